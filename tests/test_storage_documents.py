"""Documents that somebody wrote: read whole, with bounds, and never waited for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from avsep.errors import InputError, UsageError
from avsep.export.weights import read_about
from avsep.media.array import read_positions
from avsep.speech.turns import read_turns
from avsep.storage.documents import MOST_BYTES, parse_yaml, read_json, read_text, read_yaml


@pytest.mark.parametrize("read", [read_text, read_json, read_yaml])
def test_a_pipe_is_not_waited_for(tmp_path: Path, read) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(ValueError, match="pipe or device"):
            read(path)


def test_a_document_without_end(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x" * 2**20 + "xx")
    with pytest.raises(ValueError, match="larger than 1 MiB"):
        read_yaml(tmp_path / "a")
    assert len(read_text(tmp_path / "a")) == 2**20 + 2
    os.truncate(tmp_path / "a", MOST_BYTES + 1)  # a hole: nothing on the disk
    for read in (read_text, read_json):
        with pytest.raises(ValueError, match="larger than 64 MiB"):
            read(tmp_path / "a")


@pytest.mark.parametrize("levels", [101, 20_000])
def test_a_document_that_is_nested(tmp_path: Path, levels: int) -> None:
    for text in ("[" * levels, "[" * levels + "]" * levels, "a: " + "{a: " * levels):
        with pytest.raises(ValueError, match="levels"):
            parse_yaml(text)
    (tmp_path / "a.json").write_text("[" * 100_000 + "]" * 100_000)
    with pytest.raises(ValueError, match="nested too deeply"):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize("text", ["a: !!python/object:os.system x", "? {a: b}\n: c", "\x00", "&a [*a]"])
def test_odd_documents_are_one_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_yaml(text)


def test_a_mark_of_the_byte_order(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_json(tmp_path / "a") == read_yaml(tmp_path / "a") == {"a": 1}


def test_those_who_read_documents(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "deep").write_text("[" * 100_000)
    (tmp_path / "latin").write_bytes(b'{"licence": "\xe9"}')
    for name in ("pipe", "deep", "latin"):
        with pytest.raises(UsageError, match="is not JSON"):
            read_about(tmp_path / name)
        with pytest.raises(InputError, match="is not JSON"):
            read_positions(tmp_path / name, 2)
    for name in ("pipe", "deep", "latin"):
        with pytest.raises(InputError):
            read_turns(tmp_path / name, "a")
