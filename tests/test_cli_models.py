"""`avsep models` over folders and files: good ones are listed, damaged ones get a line each."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from avsep.checkpoint import save_model
from avsep.models.conv_tasnet import ConvTasNet

SMALL = {"filters": 16, "bottleneck": 8, "hidden": 12, "blocks": 2, "repeats": 2}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two good files, two that are none, and one of another kind."""
    folder = tmp_path / "mine"
    folder.mkdir()
    lineage = {"data": ["Tones, 3 speakers, CC0", "Clicks"], "command": "avsep fit"}
    save_model(folder / "a.safetensors", ConvTasNet(**SMALL), "a", "CC0; see tones", lineage, {"SI-SDRi (dB)": 7.25})
    save_model(folder / "b.safetensors", ConvTasNet(**SMALL), "b", "MIT", {"data": {"class_path": "x.data.Songs"}})
    (folder / "cut.safetensors").write_bytes((folder / "a.safetensors").read_bytes()[:100])
    (folder / "junk.safetensors").write_bytes(b"\x80\x04\x95" + bytes(100))
    (folder / "notes.txt").write_text("no weights")
    return folder


def test_a_folder(cli, folder: Path) -> None:
    code, out, err = cli("models", folder)
    assert code == 1
    assert [line for line in out.splitlines() if not line.startswith(" ") and line] == ["a", "b"]
    for part in ("CC0; see tones", "Tones, 3 speakers, CC0, Clicks", "7.25"):
        assert part in out
    lines = err.strip().splitlines()
    assert len(lines) == 2
    for line, name in zip(lines, ("cut", "junk"), strict=True):
        assert line.startswith(f"avsep: error: {folder / name}.safetensors cannot be read as safetensors")
    assert "notes" not in out + err


def test_json_has_them_all(cli, folder: Path) -> None:
    code, out, _ = cli("models", folder, "sync", "nope", "--json")
    rows = json.loads(out)
    assert code == 1
    assert [row.get("name") for row in rows] == ["a", "b", None, None, "sync", None]
    assert rows[0]["scores"] == {"SI-SDRi (dB)": 7.25}
    assert rows[0]["parameters"] == ConvTasNet(**SMALL).parameter_count
    assert rows[2]["path"].endswith("cut.safetensors")
    assert "damaged" in rows[2]["error"]
    assert "unknown model 'nope'" in rows[5]["error"]


def test_a_table_on_a_terminal(cli, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "120")
    code, out, _ = cli("models", folder / "a.safetensors", folder / "b.safetensors")
    lines = out.splitlines()
    assert code == 0
    assert lines[1].split() == ["model", "kind", "parameters", "licence", "trained", "on", "figures"]
    (row,) = [line for line in lines if " a " in line]
    for part in ("ConvTasNet", "CC0 ", "Tones, Clicks", "7.25 SI-SDRi (dB)"):
        assert part in row
    assert "Songs" in out
    assert max(map(len, lines)) <= 120
    assert "see tones" not in out  # in short; the block has it all


def test_an_empty_folder(cli, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    code, out, err = cli("models", "empty")
    assert (code, out) == (0, "")
    assert "no weights" in err
    assert json.loads(cli("models", "empty", "--json")[1]) == []
