"""Names of files and what weights say of themselves: shown, but nothing of it is obeyed by the terminal."""

from __future__ import annotations

import json
import os
import unicodedata
from pathlib import Path

import pytest
import torch
from media_factory import tone, write_media
from safetensors.torch import save_file

from avsep.cli import report
from avsep.cli.listing import table
from avsep.cli.terminal import Terminal
from avsep.media.probe import probe
from avsep.models.conv_tasnet import ConvTasNet
from avsep.safe_text import first_line, one_line, safe_line, safe_text

CLIPBOARD = "\x1b]52;c;cm0gLXJm\x07"
HOSTILE = f"a{CLIPBOARD}\x1b[2J\x9b31m\u202egpj\rb"
SMALL = {"filters": 8, "bottleneck": 8, "hidden": 12, "blocks": 2, "repeats": 1}


def assert_harmless(text: str) -> None:
    for character in text:
        assert character in "\n\t" or unicodedata.category(character) not in ("Cc", "Cs"), repr(text)
        assert character not in "\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069", repr(text)


def test_every_control_character_is_shown_by_its_number() -> None:
    assert_harmless(safe_text("".join(map(chr, range(0x3000)))))
    assert safe_text(CLIPBOARD) == "\\u001b]52;c;cm0gLXJm\\u0007"
    assert safe_line("a\nb\tc\udcff") == "a\\nb\\tc\\udcff"


def test_text_of_all_languages_stays() -> None:
    text = "Änne, 王, مريم, 👩\u200d🦰, e\u0301\n\tnext line"
    assert safe_text(text) == text


@pytest.mark.parametrize(
    ("error", "line", "first"),
    [
        (ValueError("a\n\tb. \u2028c.\n"), "a b. c", "a"),
        (OSError(2, "No such file"), "[Errno 2] No such file", "[Errno 2] No such file"),
        (MemoryError(), "MemoryError", "MemoryError"),
        (RuntimeError(" \n"), "RuntimeError", "RuntimeError"),
    ],
)
def test_an_error_in_one_line(error: Exception, line: str, first: str) -> None:
    assert one_line(error) == line
    assert first_line(error) == first


@pytest.mark.parametrize("say", [Terminal.error, Terminal.say])
def test_a_message_is_one_harmless_line(capsys: pytest.CaptureFixture[str], say) -> None:
    say(Terminal(), f"{HOSTILE}\nsecond: {HOSTILE}")
    err = capsys.readouterr().err
    assert_harmless(err)
    assert err.count("\n") == 1
    assert "\\u001b]52" in err


def test_json_stays_json(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal().result_json({"path": HOSTILE, "bytes": "\udcff", "deleted": "\x7f"})
    out = capsys.readouterr().out
    assert_harmless(out)
    assert json.loads(out) == {"path": HOSTILE, "bytes": "\udcff", "deleted": "\x7f"}


def test_a_table_for_a_terminal() -> None:
    assert_harmless(table(("model", "licence"), [(f"a{CLIPBOARD}", HOSTILE)]))


def weights(path: Path) -> Path:
    """Weights whose name, licence, lineage and scores are hostile, as no tool of ours refuses to write them."""
    model = ConvTasNet(**SMALL)
    header = {
        "format": 1,
        "name": HOSTILE,
        "class_path": "avsep.models.conv_tasnet.ConvTasNet",
        "init_args": model.init_args,
        "parameters": 3,
        "licence": f"{HOSTILE}\nforged: line",
        "lineage": {HOSTILE: [HOSTILE], "data": f"x\n{HOSTILE}"},
        "scores": {HOSTILE: HOSTILE},
    }
    save_file({"a": torch.zeros(1)}, path, metadata={"avsep": json.dumps(header)})
    return path


@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_weights_that_say_hostile_things(cli, tmp_path: Path, arguments: list[str]) -> None:
    file = weights(tmp_path / f"w{CLIPBOARD}\nw.safetensors")
    for where in (file, tmp_path):
        code, out, err = cli("models", where, *arguments)
        assert code == 0
        assert_harmless(out + err)
        assert "\nforged" not in out
    _, _, err = cli("models", tmp_path / f"gone{CLIPBOARD}.safetensors")
    assert_harmless(err)


def hostile_clip(folder: Path) -> Path:
    clip = folder / f"{HOSTILE}\nx.wav"
    write_media(folder / "a.wav", sound=tone(1.0), sound_codec="pcm_s16le").rename(clip)
    return clip


def assert_one_harmless_line(result: tuple[int, str, str], code: int) -> None:
    got, out, err = result
    assert (got, out, err.count("\n")) == (code, "", 1)
    assert_harmless(err)


def test_messages_about_a_clip_with_a_hostile_name(cli, tmp_path: Path) -> None:
    clip = hostile_clip(tmp_path)
    assert_one_harmless_line(cli("separate", clip, "--start", "9"), 1)
    assert_one_harmless_line(cli("separate", clip, f"--no{HOSTILE}\nx"), 2)
    assert_one_harmless_line(cli("faces", tmp_path / f"gone{HOSTILE}\n.mp4"), 1)


def test_reports_about_a_clip_with_a_hostile_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = f"{HOSTILE}\nx"
    track = {"id": "speaker_00", "audio": name, "label": name, "warnings": [name]}
    manifest = {"input": {"path": name, "duration_seconds": 1.0}, "mode": "audio-only", "tracks": [track]}
    clip = probe(hostile_clip(tmp_path))
    for text in (report.separated(manifest, Path(name)), report.plan(clip, Path(name), name)):
        Terminal().result(text)
        out = capsys.readouterr().out
        assert_harmless(out)
        assert "\nx" not in out
        assert "\\nx" in out


@pytest.mark.slow
def test_a_clip_with_a_hostile_name_is_separated(cli, tmp_path: Path) -> None:
    code, out, err = cli("separate", hostile_clip(tmp_path), "--dry-run")
    assert code == 0
    assert_harmless(out + err)
    assert "\nx.wav" not in out + err


@pytest.mark.slow
def test_a_name_that_is_no_utf_8(cli, tmp_path: Path) -> None:
    name = os.fsdecode(b"\xffx.wav")
    write_media(tmp_path / "a.wav", sound=tone(1.0), sound_codec="pcm_s16le").rename(tmp_path / name)
    code, out, err = cli("separate", tmp_path / name, "--dry-run")
    assert code == 0, err
    assert "\\udcffx.wav" in out
    code, out, _ = cli("separate", tmp_path / name, "--dry-run", "--json")
    assert code == 0
    assert json.loads(out)[0]["input"] == str(tmp_path / name)
