"""OpenTimelineIO, read back by its library, and projects of Reaper, read back by a small parser."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import opentimelineio as otio
import pytest
from media_factory import picture_number
from result_factory import (
    SECONDS,
    person,
    read_manifest,
    sound,
    time_line,
    write_manifest,
    write_result,
    write_video_result,
)

from avsep.media.decode import picture_at, probe
from avsep.timeline.otio import write_otio
from avsep.timeline.reaper import quoted, write_project

NAMES = ('Ann "A" O\'Neil', "王 <& `é")


def read_otio(path: Path) -> tuple[otio.schema.Track | None, list[otio.schema.Track]]:
    """The track of the picture and those of sounds."""
    line = otio.adapters.read_from_file(str(path))
    pictures, sounds = line.video_tracks(), line.audio_tracks()
    assert line.tracks[: len(pictures)] == pictures
    assert all(Path(unquote(clip.media_reference.target_url)).is_absolute() is False for clip in line.find_clips())
    return (pictures[0] if pictures else None), sounds


def seconds(time: otio.opentime.RationalTime) -> float:
    return round(time.value / time.rate, 4)


def span(range: otio.opentime.TimeRange) -> tuple[float, float]:
    return seconds(range.start_time), seconds(range.end_time_exclusive())


Block = tuple[list[str], list]
"""The words of a line, and the blocks and lines below it."""


def read_rpp(path: Path) -> Block:
    """A project as Reaper reads it: lines of words, of which some are in quotes, and blocks within < and >."""
    stack: list[Block] = [([], [])]
    for row in path.read_text(encoding="utf-8").splitlines():
        text = row.strip()
        if text == ">":
            closed = stack.pop()
            stack[-1][1].append(closed)
            continue
        found = [
            next(filter(None, each), "")
            for each in re.findall(r""" "([^"]*)"|'([^']*)'|`([^`]*)`|([^\s"'`]\S*)""", " " + text)
        ]
        if text.startswith("<"):
            stack.append(([found[0][1:], *found[1:]], []))
        else:
            stack[-1][1].append((found, []))
    (top,) = stack
    (project,) = top[1]
    return project


def below(block: Block, key: str) -> list[Block]:
    return [each for each in block[1] if each[0][0] == key]


def value(block: Block, key: str) -> list[str]:
    (found,) = below(block, key)
    return found[0][1:]


def items(project: Block) -> dict[str, tuple[float, float, float, str, str]]:
    """Of each track: position, length, offset into the file, kind of source and file."""
    found = {}
    for track in below(project, "TRACK"):
        (item,) = below(track, "ITEM")
        (source,) = below(item, "SOURCE")
        times = (float(value(item, key)[0]) for key in ("POSITION", "LENGTH", "SOFFS"))
        found[value(track, "NAME")[0]] = (*times, source[0][1], value(source, "FILE")[0])
    return found


def regions(project: Block) -> list[tuple[float, float, str]]:
    rows = [row[0] for row in below(project, "MARKER")]
    return [
        (float(start[2]), float(end[2]), start[3])
        for start, end in zip(rows[::2], rows[1::2], strict=True)
        if start[1] == end[1] and start[4] == end[4] == "1"
    ]


@pytest.fixture
def sounds(tmp_path):
    """A result without a picture."""
    tracks = [person(0, NAMES[0], ((0.2, 1.5),), "voice"), person(1, NAMES[1], (), "voice"), sound(0, "rain")]
    return write_result(tmp_path / "talk", tracks, rate=44_100)


def test_otio_has_a_track_for_each_sound(sounds, tmp_path):
    write_otio(time_line(sounds), tmp_path / "a.otio")
    picture, tracks = read_otio(tmp_path / "a.otio")
    assert picture is None
    assert [track.name for track in tracks] == [*NAMES, "rain", "residual"]
    assert [track.metadata["avsep"]["kind"] for track in tracks] == ["voice", "voice", "sound", "residual"]
    clips = [clip for track in tracks for clip in track]
    assert [clip.media_reference.target_url for clip in clips] == [
        "speaker_00.wav", "speaker_01.wav", "source_00.wav", "residual.wav",
    ]  # fmt: skip
    assert {span(clip.source_range) for clip in clips} == {(0.0, SECONDS)}
    assert clips[0].source_range.duration.rate == 44_100
    assert [[span(marker.marked_range) for marker in clip.markers] for clip in clips] == [[(0.2, 1.5)], [], [], []]


def test_editors_show_what_is_not_to_be_trusted(tmp_path):
    doubt = {"start_seconds": 0.4, "end_seconds": 0.7, "kind": "leak", "reason": "speaker_01 is loud in it"}
    tracks = [person(0, "Ann", ((0.2, 1.5),), "voice") | {"doubtful": [doubt]}, person(1, "Bo", (), "voice")]
    line = time_line(write_result(tmp_path / "talk", tracks))
    write_otio(line, tmp_path / "a.otio")
    (clip, *_) = [clip for track in read_otio(tmp_path / "a.otio")[1] for clip in track]
    assert [(marker.name, *span(marker.marked_range)) for marker in clip.markers] == [
        ("Ann", 0.2, 1.5),
        ("Ann? speaker_01 is loud in it", 0.4, 0.7),
    ]
    write_project(line, tmp_path / "a.rpp")
    assert regions(read_rpp(tmp_path / "a.rpp")) == [(0.2, 1.5, "Ann"), (0.4, 0.7, "Ann? speaker_01 is loud in it")]


def test_reaper_has_a_track_for_each_sound(sounds, tmp_path):
    write_project(time_line(sounds), tmp_path / "a.rpp")
    project = read_rpp(tmp_path / "a.rpp")
    assert project[0][0] == "REAPER_PROJECT"
    assert value(project, "SAMPLERATE")[0] == "44100"
    assert items(project) == {
        NAMES[0]: (0, SECONDS, 0, "WAVE", "speaker_00.wav"),
        NAMES[1]: (0, SECONDS, 0, "WAVE", "speaker_01.wav"),
        "rain": (0, SECONDS, 0, "WAVE", "source_00.wav"),
        "residual": (0, SECONDS, 0, "WAVE", "residual.wav"),
    }
    assert regions(project) == [(0.2, 1.5, NAMES[0])]
    colours = [value(track, "PEAKCOL")[0] for track in below(project, "TRACK")]
    assert len(set(colours)) == 4
    assert below(project, "MARKER")[0][0][5] == colours[0]


@pytest.mark.parametrize(
    ("text", "written"),
    [("Ann", '"Ann"'), ('"A" B', "'\"A\" B'"), ('"A" O\'N', '`"A" O\'N`'), ("\"A' `B", "`\"A' 'B`")],
)
def test_reaper_quotes_with_what_a_name_has_not(text, written):
    assert quoted(text) == written


CASES = [
    pytest.param({"sound_start": 0.8}, None, 0.8, id="picture first"),
    pytest.param({"times": 0.8 + np.arange(60) / 25}, None, 0.0, id="sound first"),
    pytest.param({}, 0.52, 0.0, id="a span"),
]


@pytest.mark.parametrize(("media", "start", "lead"), CASES)
def test_a_persons_video_is_the_picture(tmp_path, media, start, lead):
    """lead: seconds by which its pictures come before the sound."""
    folder = write_video_result(tmp_path / "talk", [person(0), person(1)], start=start, **media)
    line = time_line(folder)
    write_otio(line, tmp_path / "a.otio")
    track, tracks = read_otio(tmp_path / "a.otio")
    (clip,) = track
    assert clip.media_reference.target_url == "speaker_00.mp4"
    assert clip.source_range.duration.rate == 25
    assert {sound[0].source_range.duration.rate for sound in tracks} == {25}
    assert seconds(clip.source_range.start_time) == lead
    assert seconds(clip.media_reference.available_range.start_time) == 0

    write_project(line, tmp_path / "a.rpp")
    position, length, offset, kind, file = items(read_rpp(tmp_path / "a.rpp"))["picture"]
    assert (position, offset, kind, file) == (0, lead, "VIDEO", "speaker_00.mp4")
    assert length == pytest.approx(seconds(clip.source_range.duration), abs=1e-4)
    # What is shown at 1 s is what the clip shows then.
    written, source = probe(folder / "speaker_00.mp4"), probe(tmp_path / "talk.mkv", start=start)
    assert picture_number(picture_at(written, offset + 1)[..., 1]) == picture_number(picture_at(source, 1.0)[..., 1])


@pytest.mark.parametrize(
    ("media", "start", "position", "offset"),
    [
        ({}, None, 0.0, 0.0),
        ({"sound_start": 0.8}, None, 0.0, 0.8),
        ({"times": 0.8 + np.arange(60) / 25}, None, 0.8, 0.8),
        ({}, 0.52, 0.0, 0.52),
        ({"sound_start": 0.8}, 0.52, 0.0, 1.32),
        ({"times": 0.8 + np.arange(60) / 25}, 0.52, 0.28, 0.8),
    ],
)
def test_without_videos_the_clip_is_the_picture(tmp_path, monkeypatch, media, start, position, offset):
    folder = write_video_result(tmp_path / "talk", [person(0)], videos=False, start=start, **media)
    monkeypatch.chdir(tmp_path)
    line = time_line(folder)
    write_project(line, folder / "a.rpp")
    found = items(read_rpp(folder / "a.rpp"))["picture"]
    assert (found[0], found[2]) == pytest.approx((position, offset), abs=0.002)
    assert found[3:] == ("VIDEO", "../talk.mkv")


@pytest.mark.parametrize("videos", [True, False])
def test_a_folder_that_moves_keeps_its_files_together(tmp_path, monkeypatch, videos):
    folder = write_video_result(tmp_path / "a" / "talk", [person(0)], videos=videos)
    monkeypatch.chdir(tmp_path / "a")
    write_otio(time_line(folder), folder / "timeline.otio")
    write_project(time_line(folder), folder / "project.rpp")
    shutil.move(tmp_path / "a", tmp_path / "b")
    moved = tmp_path / "b" / "talk"
    picture, tracks = read_otio(moved / "timeline.otio")
    clips = [picture[-1], *(track[0] for track in tracks)]
    named = {unquote(clip.media_reference.target_url) for clip in clips}
    assert named == {file for *_, file in items(read_rpp(moved / "project.rpp")).values()}
    assert all((moved / name).is_file() for name in named)


def test_boxes_are_in_nobodys_way(tmp_path, monkeypatch):
    folder = write_video_result(tmp_path / "talk", [person(0)], options={"mark": True})
    monkeypatch.chdir(tmp_path)
    picture = time_line(folder).picture
    assert picture is not None
    assert picture.file.name == "talk.mkv"


def test_a_span_ends_its_picture(tmp_path, monkeypatch):
    folder = write_video_result(tmp_path / "talk", [person(0)], videos=False, options={"end": 1.2})
    monkeypatch.chdir(tmp_path)
    picture = time_line(folder).picture
    assert picture is not None
    assert picture.end_seconds == pytest.approx(1.2)


@pytest.mark.parametrize(("change", "told"), [("gone", "is not there"), ("other", "is another file")])
def test_without_its_clip_the_picture_is_left_out(tmp_path, monkeypatch, change, told):
    folder = write_video_result(tmp_path / "talk", [person(0)], videos=False)
    monkeypatch.chdir(tmp_path)
    if change == "gone":
        Path("talk.mkv").unlink()
    else:
        Path("talk.mkv").write_bytes(b"x")
    warnings: list[str] = []
    line = time_line(folder, warnings)
    write_otio(line, tmp_path / "a.otio")
    write_project(line, tmp_path / "a.rpp")
    assert read_otio(tmp_path / "a.otio")[0] is None
    assert "picture" not in items(read_rpp(tmp_path / "a.rpp"))
    (warning,) = warnings
    assert f"talk.mkv: {told}" in warning


def test_a_clip_of_any_name_is_found(tmp_path, monkeypatch):
    folder = write_video_result(tmp_path / "talk", [person(0)], videos=False)
    name = 'my "talk" #1 %20 é.mkv'
    monkeypatch.chdir(tmp_path)
    Path("talk.mkv").rename(name)
    manifest = read_manifest(folder)
    manifest["input"]["path"] = name
    write_manifest(folder, manifest)
    write_otio(time_line(folder), folder / "a.otio")
    write_project(time_line(folder), folder / "a.rpp")
    picture, _ = read_otio(folder / "a.otio")
    assert (folder / unquote(picture[0].media_reference.target_url)).is_file()
    assert (folder / items(read_rpp(folder / "a.rpp"))["picture"][-1]).is_file()
