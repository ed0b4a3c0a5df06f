"""What a recogniser wrote for each track becomes one file with names."""

from __future__ import annotations

import html
import json
from pathlib import Path

import pytest
import webvtt
from result_factory import SECONDS, person, read_manifest, sound, write_result

from avsep.errors import InputError
from avsep.timeline.transcripts import read_transcript


@pytest.fixture
def folder(tmp_path):
    tracks = [person(0, "Ann & Co"), person(1, "عمر", kind="voice"), person(2, speaking=()), sound(0, "rain")]
    return write_result(tmp_path / "talk", tracks)


def write_segments(file: Path, *segments: tuple[object, object, object], **more: object) -> Path:
    """As whisper writes them, with this more for each."""
    file.parent.mkdir(exist_ok=True)
    rows = [{"id": n, "start": a, "end": b, "text": text, **more} for n, (a, b, text) in enumerate(segments)]
    file.write_text(json.dumps({"text": "", "segments": rows, "language": "en"}), encoding="utf-8")
    return file


def test_captions_have_names_in_order_of_time(cli, folder, tmp_path):
    words = {"words": [{"word": "Hello", "start": 0.2, "end": 0.4}, {"word": "1999"}]}
    write_segments(
        tmp_path / "words" / "speaker_00.json", (0.2, 0.9, " Hello --> <i>you</i>\n& me. "), (1.2, 1.9, "Yes."), **words
    )
    write_segments(
        tmp_path / "words" / "speaker_01.json", (0.5, 1.1, "مرحبا"), (1.5, 30.0, "long " * 200), (1.6, 1.6, "  ")
    )
    code, out, err = cli("timeline", folder, "--captions", tmp_path / "words", "--json")
    assert code == 0, err
    (made,) = json.loads(out)
    assert made["files"] == ["captions.vtt", "captions.srt"]
    assert [warning.split("speaker")[1] for warning in made["warnings"]] == [
        "_02.json: is not there, so there are no captions of "
    ]
    assert read_manifest(folder)["files"] == ["captions.srt", "captions.vtt"]
    said = [
        (cue.start, cue.end, html.unescape(cue.voice), html.unescape(cue.text))
        for cue in webvtt.read(folder / "captions.vtt")
    ]
    assert said == [
        ("00:00:00.200", "00:00:00.900", "Ann & Co", "Hello --> <i>you</i> & me."),
        ("00:00:00.500", "00:00:01.100", "عمر", "مرحبا"),
        ("00:00:01.200", "00:00:01.900", "Ann & Co", "Yes."),
        ("00:00:01.500", "00:00:02.000", "عمر", ("long " * 200).strip()),
    ]
    lines = [cue.lines for cue in webvtt.from_srt(folder / "captions.srt")]
    assert lines[:2] == [["Ann & Co: Hello → <i>you</i> & me."], ["عمر: مرحبا"]]
    assert len(lines) == 4


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ("{", "Expecting property name"),
        ("[" * 100_000, "nested too deeply"),
        ("[]", "it has no list of segments"),
        ('{"segments": {}}', "it has no list of segments"),
        ('{"segments": [7]}', "segment 1 has no text"),
        ('{"segments": [{"start": 0, "end": 1}]}', "segment 1 has no text"),
        ('{"segments": [{"start": 0, "end": 1, "text": null}]}', "segment 1 has no text"),
        ('{"segments": [{"end": 1, "text": "a"}]}', "the start of segment 1: None is not a number"),
        ('{"segments": [{"start": true, "end": 1, "text": "a"}]}', "the start of segment 1: True is not"),
        ('{"segments": [{"start": "0", "end": 1, "text": "a"}]}', "the start of segment 1: '0' is not"),
        ('{"segments": [{"start": NaN, "end": 1, "text": "a"}]}', "the start of segment 1: nan is not"),
        ('{"segments": [{"start": 0, "end": 1e999, "text": "a"}]}', "the end of segment 1: inf is not"),
        ('{"segments": [{"start": -1, "end": 1, "text": "a"}]}', "the start of segment 1 is -1 s, before"),
        ('{"segments": [{"start": 1, "end": 0.5, "text": "a"}]}', "segment 1 ends at 0.5 s, before its start at 1 s"),
        ('{"segments": [{"start": 9, "end": 10, "text": "a"}]}', "segment 1 starts at 9 s, and the clip has 2 s"),
        ('{"segments": [{"start": 0, "end": 1' + "0" * 400 + ', "text": "a"}]}', "the end of segment 1: 1000"),
    ],
)
def test_what_whisper_did_not_write_is_told_and_nothing_is_written(cli, folder, tmp_path, document, why):
    write_segments(tmp_path / "words" / "speaker_00.json", (0, 1, "Hello"))
    (tmp_path / "words" / "speaker_01.json").write_text(document)
    before = sorted(path.name for path in folder.iterdir())
    code, out, err = cli("timeline", folder, "--captions", tmp_path / "words")
    assert (code, out) == (1, "")
    assert "speaker_01.json: cannot be used as captions: " in err
    assert why in err
    assert "the JSON that whisper or whisperX writes" in err
    assert sorted(path.name for path in folder.iterdir()) == before


def test_an_encoding_that_is_none(tmp_path):
    (tmp_path / "a.json").write_bytes(b"\xff\xfe{")
    with pytest.raises(InputError, match=r"a\.json: cannot be used as captions"):
        read_transcript(tmp_path / "a.json", "Ann", SECONDS)


def test_wrong_folders_and_formats(cli, folder, tmp_path):
    code, _, err = cli("timeline", folder, "--captions", tmp_path / "none")
    assert code == 2
    assert "none: is no folder. Give one with a file for each track, such as speaker_00.json" in err
    (tmp_path / "empty").mkdir()
    code, _, err = cli("timeline", folder, "--captions", tmp_path / "empty")
    assert code == 1
    assert "captions of no track" in err
    assert "speaker_00.json, speaker_01.json, speaker_02.json" in err
    code, _, err = cli("timeline", folder, "--captions", tmp_path / "empty", "--formats", "rttm")
    assert code == 2
    assert "'rttm' is no format here; choose from vtt, srt" in err
    code, _, err = cli("timeline", folder, folder, "--captions", tmp_path / "empty")
    assert code == 2
    assert "belongs to one result, and 2 are given" in err
