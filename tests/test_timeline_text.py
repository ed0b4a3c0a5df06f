"""RTTM, WebVTT, SRT and Audacity's labels, read back by other programs' readers."""

from __future__ import annotations

import html
from pathlib import Path

import pytest
import webvtt
from pyannote.core import Segment
from pyannote.database.util import load_rttm
from result_factory import person, sound, time_line, write_result

from avsep.speech.turns import read_turns
from avsep.timeline.audacity import write_labels
from avsep.timeline.base import Cue
from avsep.timeline.captions import write_srt, write_vtt
from avsep.timeline.rttm import write_rttm

NAMES = ("Ann Lee", 'Bo "the <i>" O\'Neil', "王 & --> عمر", "NA", "Ann_Lee")
SPANS = {0: ((0.2, 0.9), (1.5, 2.0)), 1: ((0.5, 1.2345),), 2: (), 3: ((1.0, 1.1),), 4: ((0.2, 0.9),)}


@pytest.fixture
def line(tmp_path):
    people = [person(n, name, SPANS[n], "voice") for n, name in enumerate(NAMES)]
    return time_line(write_result(tmp_path / "talk", [*people, sound(0, "dog_bark")], name="my talk"))


@pytest.fixture
def silent(tmp_path):
    return time_line(write_result(tmp_path / "talk", [person(0, speaking=())]))


def labels(path: Path) -> list[tuple[float, float, str]]:
    rows = [row.split("\t") for row in path.read_text(encoding="utf-8").splitlines()]
    return [(float(start), float(end), name) for start, end, name in rows]


def test_rttm_has_every_turn_and_overlaps(line, tmp_path):
    write_rttm(line, tmp_path / "a.rttm")
    (recording, found), *others = load_rttm(tmp_path / "a.rttm").items()
    assert (recording, others) == ("my_talk", [])
    turns = sorted(
        (segment.start, round(segment.end, 3), name) for segment, _, name in found.itertracks(yield_label=True)
    )
    assert turns == [
        (0.2, 0.9, "Ann_Lee_speaker_00"),
        (0.2, 0.9, "Ann_Lee_speaker_04"),
        (0.5, 1.234, "Bo_'the_<i>'_O'Neil"),
        (1.0, 1.1, "NA_speaker_03"),
        (1.5, 2.0, "Ann_Lee_speaker_00"),
    ]
    overlap = found.get_overlap()
    assert overlap.crop(Segment(0, 1)).duration() == pytest.approx(0.7)
    assert overlap.duration() == pytest.approx(0.8)


def test_rttm_guides_a_separation(line, tmp_path):
    write_rttm(line, tmp_path / "a.rttm")
    assert list(read_turns(tmp_path / "a.rttm", "my talk")) == [
        "Ann_Lee_speaker_00", "Ann_Lee_speaker_04", "Bo_'the_<i>'_O'Neil", "NA_speaker_03",
    ]  # fmt: skip


def test_vtt_has_a_voice_in_each_cue(line, tmp_path):
    write_vtt(line, tmp_path / "a.vtt")
    cues = [
        (cue.start, cue.end, html.unescape(cue.voice), html.unescape(cue.text))
        for cue in webvtt.read(tmp_path / "a.vtt")
    ]
    assert cues == [
        ("00:00:00.200", "00:00:00.900", "Ann Lee", "Ann Lee"),
        ("00:00:00.200", "00:00:00.900", "Ann_Lee", "Ann_Lee"),
        ("00:00:00.500", "00:00:01.234", NAMES[1], NAMES[1]),
        ("00:00:01.000", "00:00:01.100", "NA", "NA"),
        ("00:00:01.500", "00:00:02.000", "Ann Lee", "Ann Lee"),
    ]


def test_names_end_no_cue(tmp_path):
    line = time_line(write_result(tmp_path / "talk", [person(0, NAMES[2])]))
    write_vtt(line, tmp_path / "a.vtt")
    (cue,) = webvtt.read(tmp_path / "a.vtt")
    assert html.unescape(cue.voice) == html.unescape(cue.text) == NAMES[2]
    write_srt(line, tmp_path / "a.srt")
    (cue,) = webvtt.from_srt(tmp_path / "a.srt")
    assert cue.text == "王 & → عمر: …"


def test_srt_has_the_names_before_the_words(line, tmp_path):
    write_srt(line, tmp_path / "a.srt")
    cues = [(cue.start, *cue.lines) for cue in webvtt.from_srt(tmp_path / "a.srt")]
    assert cues[0] == ("00:00:00.200", "Ann Lee: …")
    assert cues[2] == ("00:00:00.500", f"{NAMES[1]}: …")
    assert len(cues) == 5


def test_labels_are_regions(line, tmp_path):
    write_labels(line, tmp_path / "labels.txt")
    found = labels(tmp_path / "labels.txt")
    assert found[0] == (0.2, 0.9, "Ann Lee")
    assert found[2] == (0.5, 1.2345, NAMES[1])
    assert [start for start, _, _ in found] == sorted(start for start, _, _ in found)
    assert "dog_bark" not in {name for _, _, name in found}


def test_labels_tell_what_is_not_to_be_trusted(tmp_path):
    doubt = {"start_seconds": 0.4, "end_seconds": 0.7, "kind": "swap", "reason": "may be the voice of speaker_01"}
    people = [person(0, "Ann", ((0.2, 0.9),), "voice") | {"doubtful": [doubt]}, person(1, "Bo", (), "voice")]
    write_labels(time_line(write_result(tmp_path / "talk", people)), tmp_path / "labels.txt")
    assert labels(tmp_path / "labels.txt") == [
        (0.2, 0.9, "Ann"),
        (0.4, 0.7, "Ann? may be the voice of speaker_01"),
    ]


def test_hours_are_written(tmp_path):
    line = time_line(write_result(tmp_path / "talk", [person(0)]))
    line.captions = ()
    write_vtt(line, tmp_path / "none.vtt")
    assert list(webvtt.read(tmp_path / "none.vtt")) == []
    line.captions = (Cue(36_061.0005, 36_061.0005, "Ann", "now"),)
    write_vtt(line, tmp_path / "a.vtt")
    (cue,) = webvtt.read(tmp_path / "a.vtt")
    assert (cue.start, cue.end) == ("10:01:01.000", "10:01:01.001"), "a cue without length would be no cue"


def test_nobody_speaks(silent, tmp_path):
    for write in (write_rttm, write_vtt, write_srt, write_labels):
        write(silent, tmp_path / write.__name__)
    assert load_rttm(tmp_path / "write_rttm") == {}
    assert list(webvtt.read(tmp_path / "write_vtt")) == []
    assert (tmp_path / "write_srt").read_bytes() == (tmp_path / "write_labels").read_bytes() == b""


def test_two_tracks_of_one_name_stay_two(tmp_path):
    tracks = [person(0, "speaker_01"), person(1), sound(0, "rain"), sound(1, "rain"), sound(2, "residual")]
    line = time_line(write_result(tmp_path / "talk", tracks))
    assert [lane.name for lane in line.lanes] == [
        "speaker_01 (speaker_00)", "speaker_01 (speaker_01)", "rain (source_00)", "rain (source_01)",
        "residual (source_02)", "residual",
    ]  # fmt: skip


def test_a_name_is_one_line_without_control_characters(tmp_path):
    line = time_line(write_result(tmp_path / "talk", [person(0, "A\tn\nn\x1b\u202e")]))
    assert line.voices[0].name == "A n n\ufffd\u202e"
