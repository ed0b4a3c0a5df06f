"""Broken files that readers once took badly, kept small: each is refused with an error of ours, or read.

They are read in this process, which is quick; a reader that hangs again, or fills the memory, is stopped soon.
"""

from __future__ import annotations

import contextlib
import resource
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fuzz_child import SECONDS, bound_memory
from fuzz_kinds import KINDS
from fuzz_seeds import companions

from avsep.errors import AvsepError

CORPUS = Path(__file__).parent / "corpus"
FILES = sorted(path.relative_to(CORPUS) for path in CORPUS.glob("*/*"))


@pytest.fixture
def readers() -> Iterator[dict[str, Callable[[Path], object]]]:
    """All of them, while this process may not take much more memory."""
    from fuzz_readers import READERS  # imports most of avsep

    before = resource.getrlimit(resource.RLIMIT_AS)
    bound_memory()
    yield READERS
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.timeout(SECONDS)
@pytest.mark.parametrize("file", FILES, ids=str)
def test_a_file_that_was_taken_badly(file: Path, tmp_path: Path, readers: dict) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    companions(inside)
    example = inside / KINDS[file.parent.name].file_name
    shutil.copy(CORPUS / file, example)
    with contextlib.suppress(AvsepError):
        readers[file.parent.name](example)
