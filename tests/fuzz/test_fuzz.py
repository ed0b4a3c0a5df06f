"""Damaged files of every kind: a reader refuses them with an error of its own, or reads them.

FUZZ=20 (as `make fuzz` sets it) tries twenty times as many, others every time. A file that is not read well is kept in
build/fuzz/; when its cause is mended it goes to tests/fuzz/corpus/READER/, where test_fuzz_corpus.py replays it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from fuzz_child import Watched
from fuzz_kinds import KINDS
from hypothesis import given, settings
from hypothesis import strategies as st

CORPUS, FOUND = Path(__file__).parent / "corpus", Path(__file__).parents[2] / "build" / "fuzz"
TIMES = float(os.environ.get("FUZZ", 1))


@pytest.fixture(scope="module")
def child(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    watched = Watched(tmp_path_factory.mktemp("fuzz"))
    yield watched
    watched.stop()


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_damaged_files_are_read_or_refused(name: str, child: Watched) -> None:
    kind = KINDS[name]
    files = kind.files()
    for data in files:
        assert child.read(name, data, valid=True) is None
    for file in sorted(CORPUS.glob(f"{name}/*")):
        assert child.read(name, file.read_bytes()) is None

    @settings(max_examples=max(1, round(kind.examples * TIMES)))
    @given(st.data())
    def check(data: st.DataObject) -> None:
        example = data.draw(changed)
        wrong = child.read(name, example)
        if wrong is not None:
            raise AssertionError(f"{name} {wrong}; the file is {_kept(name, example)}")

    changed = kind.changed(files)
    check()


def _kept(name: str, example: bytes) -> Path:
    file = FOUND / name / f"{hashlib.sha256(example).hexdigest()[:8]}{KINDS[name].suffix}"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(example)
    return file
