"""Broken files that readers once took badly, kept small: each is refused with an error of ours, or read."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

import pytest
from fuzz_kinds import KINDS
from fuzz_seeds import companions

from avsep.errors import AvsepError

CORPUS = Path(__file__).parent / "corpus"
FILES = sorted(path.relative_to(CORPUS) for path in CORPUS.glob("*/*"))


@pytest.mark.parametrize("file", FILES, ids=str)
def test_a_file_that_was_taken_badly(file: Path, tmp_path: Path) -> None:
    from fuzz_readers import READERS  # imports most of avsep

    inside = tmp_path / "inside"
    inside.mkdir()
    companions(inside)
    example = inside / KINDS[file.parent.name].file_name
    shutil.copy(CORPUS / file, example)
    with contextlib.suppress(AvsepError):
        READERS[file.parent.name](example)
