"""Small documents that somebody wrote, as JSON, YAML or lines: read whole, with bounds on what they may hold."""

from __future__ import annotations

import json
import math
import stat
from pathlib import Path
from typing import Any

MOST_BYTES, MOST_YAML_BYTES = 64 * 2**20, 2**20
MOST_VALUES, MOST_LEVELS = 100_000, 100
"""Of a YAML, with what its references (*name) stand for counted each time."""


class TooLarge(ValueError):
    """A document is nested too deeply, or holds more than anybody means."""


def read_text(path: Path, encoding: str = "utf-8", most: int = MOST_BYTES) -> str:
    """The text of a file. Raises OSError, and ValueError for a pipe or device, for a file of more than `most` bytes and
    for text that is not of this encoding."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
        raise ValueError("it is a pipe or device, not a file")
    with path.open("rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise ValueError(f"it is larger than {most // 2**20} MiB")
    return data.decode(encoding)


def read_json(path: Path) -> Any:
    """What a JSON file holds. Raises OSError, and ValueError for no JSON or one that is nested too deeply."""
    try:
        return json.loads(read_text(path, "utf-8-sig"))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def finite(value: Any) -> float:
    """A number that a document holds. Raises ValueError for what is none, and for NaN and infinity."""
    try:
        found = float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    except OverflowError:  # an integer of many digits
        found = math.inf
    if not math.isfinite(found):
        raise ValueError(f"{value!r:.60} is not a number")
    return found


def read_yaml(path: Path) -> Any:
    """What a YAML file holds. Raises OSError and ValueError as `read_json`, also for one of too many values."""
    return parse_yaml(read_text(path, "utf-8-sig", MOST_YAML_BYTES))


def parse_yaml(text: str) -> Any:
    """What a YAML text holds. Raises ValueError as `read_yaml`."""
    import yaml

    # The reader's time grows with the square of the levels.
    if text.count("[") + text.count("{") > MOST_LEVELS and _levels(text) > MOST_LEVELS:
        raise TooLarge(f"it is nested more than {MOST_LEVELS} levels deep")
    try:
        document = yaml.safe_load(text)
    except RecursionError as error:
        raise TooLarge("it is nested too deeply") from error
    except (yaml.YAMLError, AttributeError, TypeError) as error:  # the latter for odd tags and keys
        raise ValueError(str(error)) from error
    waiting, values = [(document, 0)], 0
    while waiting:
        value, level = waiting.pop()
        values += 1
        if values > MOST_VALUES or level > MOST_LEVELS:
            raise TooLarge(f"it has more than {MOST_VALUES:,} values, or more than {MOST_LEVELS} levels")
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | set | tuple) else ()
        waiting += [(item, level + 1) for item in inner]
    return document


def _levels(text: str) -> int:
    """Brackets that are open at once, at most, those in quotes among them."""
    level = deepest = 0
    for character in text:
        level += (character in "[{") - (character in "]}")
        deepest = max(deepest, level)
    return deepest
