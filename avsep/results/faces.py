"""faces.json of a result read back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from avsep.errors import InputError
from avsep.output.faces import FACES, Rows
from avsep.safe_text import one_line
from avsep.storage.documents import read_json


def read_faces(folder: Path) -> dict[str, Rows]:
    """Rows by the id of the track; empty where there is no such file. Raises InputError for a damaged one."""
    file = folder / FACES
    try:
        people = read_json(file)["people"]
        return {str(name): _checked(rows) for name, rows in people.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{file}: is damaged ({one_line(error)}). Remove it, or separate the clip again") from error


def _checked(rows: Sequence[Any]) -> Rows:
    checked = [[float(value) for value in row] for row in rows]
    if not all(len(row) == 5 and all(map(math.isfinite, row)) for row in checked):
        raise ValueError("a row is not a time and a box")
    return sorted(checked)
