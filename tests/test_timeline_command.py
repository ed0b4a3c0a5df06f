"""`avsep timeline` and `avsep separate --also`: what is written, replaced and refused, and what the manifest says."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from fake_pipeline import fake_pipeline
from media_factory import tone, write_media
from result_factory import person, read_manifest, write_manifest, write_result, write_video_result

from avsep import Options, Separator
from avsep.errors import OutputError, UsageError
from avsep.output.ownership import SEPARATION, own_files
from avsep.results.change import change_result, rename_tracks
from avsep.results.result import read_result
from avsep.signals import SAMPLE_RATE, Track, Tracks, pictures_in
from avsep.storage.recording import Estimates
from avsep.timeline import formats
from avsep.timeline.write import add_formats

USUAL = ["timeline.rttm", "timeline.vtt", "timeline.srt", "labels.txt", "project.rpp"]
EVERYTHING = ",".join(formats.FORMATS)


@pytest.fixture
def folder(tmp_path):
    return write_result(tmp_path / "talk", [person(0, "Ann", kind="voice"), person(1, kind="voice")])


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_files_are_written_and_are_avseps(cli, folder):
    before = names(folder)
    code, out, err = cli("timeline", folder)
    assert (code, err) == (0, "")
    assert out.splitlines() == [str(folder / name) for name in USUAL]
    assert names(folder) == before | set(USUAL)
    assert read_manifest(folder)["files"] == sorted(USUAL)
    assert own_files(folder) == names(folder)


def test_all_formats_of_a_video(cli, tmp_path):
    folder = write_video_result(tmp_path / "talk", [person(0, "Ann")])
    code, out, err = cli("timeline", folder, "--formats", EVERYTHING, "--json")
    assert code == 0, err
    (made,) = json.loads(out)
    assert made == {"folder": str(folder), "files": formats.files_of(formats.FORMATS), "warnings": []}
    assert names(folder) >= set(made["files"])


def test_sound_alone_has_no_mp4(cli, folder):
    code, out, err = cli("timeline", folder, "--formats", "tracks", "--json")
    assert code == 0, err
    assert json.loads(out)[0]["files"] == ["tracks.mka"]


def test_new_names_are_in_what_is_written_again(cli, folder):
    cli("timeline", folder, "--formats", "rttm,srt")
    rename_tracks(folder, {"Ann": "Zoë"})
    code, _, err = cli("timeline", folder, "--formats", "rttm,audacity")
    assert code == 1
    assert "timeline.rttm exists already. Replace with --overwrite" in err
    assert "labels.txt" not in names(folder)
    assert cli("timeline", folder, "--formats", "rttm,audacity", "--overwrite")[0] == 0
    assert " Zoë " in (folder / "timeline.rttm").read_text(encoding="utf-8")
    assert "Ann" in (folder / "timeline.srt").read_text(encoding="utf-8")
    assert read_manifest(folder)["files"] == ["labels.txt", "timeline.rttm", "timeline.srt"]


def test_what_is_out_of_date_is_told_until_it_is_written_again(cli, folder):
    cli("timeline", folder, "--formats", "rttm,srt,tracks")
    code, _, err = cli("name", folder, "Ann=Zoë")
    assert code == 0
    assert "timeline.rttm, timeline.srt, tracks.mka of" in err
    assert f"avsep timeline {folder} --formats rttm,srt,tracks --overwrite" in err
    _, _, err = cli("name", folder, "Zoë=Zoë")
    assert "tracks.mka" in err, "still those of before"
    (folder / "tracks.mka").unlink()
    _, _, err = cli("timeline", folder, "--formats", "rttm", "--overwrite")
    assert ("timeline.srt of" in err, "rttm" in err, "tracks.mka" in err) == (True, False, False)
    assert cli("timeline", folder, "--overwrite")[2] == ""
    assert read_result(folder).outdated == []


def test_captions_are_written_again_from_their_words(cli, folder):
    (folder / "captions.vtt").write_text("WEBVTT\n")
    content = read_manifest(folder)
    write_manifest(folder, content | {"files": ["captions.vtt"]})
    _, _, err = cli("name", folder, "Ann=Zoë")
    assert err.count("\n") == 1
    assert f"captions.vtt of {folder}: " in err
    assert f"avsep timeline {folder} --captions DIR --overwrite" in err


def test_a_change_while_files_are_written_leaves_them_out_of_date(folder):
    seen = read_result(folder)
    rename_tracks(folder, {"Ann": "Zoë"})
    assert read_result(folder).outdated == []
    add_formats(seen, ["rttm"], lambda warning: None)
    assert " Ann " in (folder / "timeline.rttm").read_text(encoding="utf-8")
    assert read_result(folder).outdated == ["timeline.rttm"]


def test_only_what_is_shown_of_a_track_makes_files_out_of_date(folder):
    add_formats(read_result(folder), ["audacity"], lambda warning: None)

    def mark(content, result, doubtful):
        content["tracks"][0] |= {"measures": {"idle_db": -50.0}, "doubtful": doubtful}

    assert change_result(folder, lambda content, result: mark(content, result, [])).outdated == []
    doubt = {"start_seconds": 0.1, "end_seconds": 0.2, "kind": "leak", "reason": "leaks"}
    assert change_result(folder, lambda content, result: mark(content, result, [doubt])).outdated == ["labels.txt"]


def test_a_manifest_that_lists_nonsense_has_nothing_out_of_date(folder):
    (folder.parent / "secret").write_text("")
    content = read_manifest(folder)
    write_manifest(folder, content | {"files": [{}, "../secret"], "outdated": ["../secret", 3, "manifest.json"]})
    assert read_result(folder).outdated == []
    write_manifest(folder, content | {"files": 5, "outdated": {"a": 1}})
    assert rename_tracks(folder, {"Ann": "Zoë"}).outdated == []


def test_all_that_was_written_is_written_again(cli, folder):
    cli("timeline", folder, "--formats", "rttm,tracks")
    rename_tracks(folder, {"Ann": "Zoë"})
    old = (folder / "tracks.mka").read_bytes()
    code, out, err = cli("timeline", folder, "--overwrite")
    assert (code, err) == (0, "")
    assert [Path(line).name for line in out.splitlines()] == [*USUAL, "tracks.mka"]
    assert (folder / "tracks.mka").read_bytes() != old


def test_somebody_elses_file_stays_unless_told_otherwise(cli, folder):
    (folder / "labels.txt").write_text("mine")
    before = read_manifest(folder)
    code, out, err = cli("timeline", folder)
    assert (code, out) == (1, "")
    assert f"{folder}: labels.txt exists already. Replace with --overwrite, or move it away" in err
    assert (folder / "labels.txt").read_text() == "mine"
    assert read_manifest(folder) == before
    assert cli("timeline", folder, "--overwrite")[0] == 0
    assert (folder / "labels.txt").read_text() != "mine"


def test_a_folder_of_that_name(cli, folder):
    (folder / "labels.txt").mkdir()
    code, _, err = cli("timeline", folder, "--overwrite")
    assert code == 1
    assert "labels.txt: is a folder. Move it away" in err


@pytest.mark.parametrize("wav", ["gone", "damaged"])
def test_a_wav_that_is_missing_or_damaged_leaves_nothing(cli, folder, wav):
    (folder / "speaker_01.wav").write_bytes(b"x") if wav == "damaged" else (folder / "speaker_01.wav").unlink()
    before, manifest = names(folder), read_manifest(folder)
    code, _, err = cli("timeline", folder)
    assert code == 1
    told = "cannot be read (" if wav == "damaged" else "is missing"
    assert f"speaker_01.wav: {told}" in err
    assert "Separate the clip again with --overwrite" in err
    assert (names(folder), read_manifest(folder)) == (before, manifest)
    assert cli("timeline", folder, "--formats", "rttm,vtt,srt,audacity")[0] == 0, "these need no sound"


def test_a_disk_that_is_full_leaves_what_was_there(cli, folder, monkeypatch):
    cli("timeline", folder)
    before = {name: (folder / name).read_bytes() for name in names(folder)}
    rename_tracks(folder, {"Ann": "Zoë"})
    before["manifest.json"] = (folder / "manifest.json").read_bytes()

    def full(line, path):
        path.write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(formats.FORMATS, "reaper", (formats.Part("project.rpp", full),))
    code, _, err = cli("timeline", folder, "--overwrite")
    assert code == 1
    assert f"{folder}: cannot be written to (No space left on device)" in err
    assert {name: (folder / name).read_bytes() for name in names(folder)} == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(cli, folder):
    folder.chmod(0o500)
    code, _, err = cli("timeline", folder)
    folder.chmod(0o700)
    assert code == 1
    assert "cannot be written to (Permission denied)" in err


def test_a_folder_that_is_no_result(cli, folder, tmp_path):
    (tmp_path / "other").mkdir()
    code, out, err = cli("timeline", folder, tmp_path / "other")
    assert (code, out) == (1, "")
    assert "other: is no result of avsep separate: it has no manifest.json" in err
    assert not names(folder) & set(USUAL), "nothing is written where one of several cannot be used"


@pytest.mark.parametrize("video", [{"fps": "25", "start_seconds": 0.0}, {"fps": 25.0, "start_seconds": None}])
def test_a_damaged_manifest(cli, tmp_path, video):
    folder = write_video_result(tmp_path / "talk", [person(0)])
    manifest = read_manifest(folder)
    manifest["input"]["video"] = video
    write_manifest(folder, manifest)
    code, _, err = cli("timeline", folder)
    assert code == 1
    assert "manifest.json: is damaged" in err


@pytest.mark.parametrize("command", [("timeline", "talk", "--formats"), ("separate", "talk.wav", "--also")])
def test_an_unknown_format_and_a_missing_extra(cli, folder, monkeypatch, command):
    code, _, err = cli(*command, "rttm,edl")
    assert code == 2
    assert f"'edl' is no format here; choose from {EVERYTHING.replace(',', ', ')}" in err
    monkeypatch.setattr(formats, "find_spec", lambda name: None)
    code, _, err = cli(*command, "otio")
    assert code == 2
    assert "the format otio needs opentimelineio: pip install 'avsep[editors]'" in err
    assert not names(folder) & set(formats.files_of(formats.FORMATS))


# separate --also


def test_the_command_asks_for_formats(cli, tmp_path, monkeypatch):
    module = fake_pipeline(mode="audio-only")
    monkeypatch.setitem(sys.modules, "avsep.pipeline", module)
    write_media(tmp_path / "talk.wav", sound=tone(2), sound_codec="pcm_s16le")
    code, _, err = cli("separate", "talk.wav", "--also", "rttm,vtt")
    assert code == 0, err
    assert module.calls[-1][2].also == ("rttm", "vtt")


class Halves:
    """A mode in which two voices share the sound."""

    needs_people = False

    def misfit(self, scene, contract) -> None:
        return None

    def labels(self, scene, contract) -> Sequence[str]:
        return ()

    def __call__(self, scene) -> Tracks:
        mixture = np.concatenate([block.samples for block in scene.mixture().blocks()], axis=1)
        pictures = pictures_in(mixture.shape[1])
        speech = np.zeros(pictures, np.float32)
        speech[10:30] = 0.9
        tracks = [Track(f"speaker_{n:02d}", "voice", label=name, speech=speech) for n, name in enumerate(("Ann", None))]
        sources = Estimates.of(np.repeat(0.5 * mixture, 2, axis=0), SAMPLE_RATE)
        gains = np.eye(2, dtype=np.float32)[:, :, None].repeat(pictures, axis=2)
        return Tracks("audio-only", "halves", sources, gains, tracks)


@pytest.fixture
def separator():
    return Separator(device="cpu", modes=[Halves()])


def test_formats_appear_with_the_result(separator, tmp_path):
    clip = write_media(tmp_path / "talk.wav", sound=tone(2), sound_codec="pcm_s16le")
    made = separator.separate(clip, tmp_path / "out", Options(also=("rttm", "otio", "tracks")))
    folder = tmp_path / "out" / "talk"
    assert made["files"] == ["timeline.rttm", "timeline.otio", "tracks.mka"]
    assert read_manifest(folder) == made
    assert made["timing"]["steps"]["formats"] >= 0
    assert names(folder) == {
        "manifest.json", "residual.wav", "speaker_00.wav", "speaker_01.wav", *made["files"],
    }  # fmt: skip
    assert "SPEAKER talk 1 0.400 0.800 <NA> <NA> Ann " in (folder / "timeline.rttm").read_text()

    (folder / "notes.txt").write_text("mine")
    again = separator.separate(clip, tmp_path / "out", Options(also=("vtt",), overwrite=True))
    assert names(folder) == {
        "manifest.json", "residual.wav", "speaker_00.wav", "speaker_01.wav", "timeline.vtt", "notes.txt",
    }  # fmt: skip
    assert again["files"] == ["timeline.vtt"]


def test_what_would_replace_somebody_elses_file_is_refused_before_anything_is_decoded(separator, tmp_path):
    clip = write_media(tmp_path / "talk.wav", sound=tone(2), sound_codec="pcm_s16le")
    folder = write_result(tmp_path / "out" / "talk", [person(0, kind="voice")])
    (folder / "labels.txt").write_text("mine")
    separator.modes = []  # it does not come that far
    with pytest.raises(OutputError, match=r"holds labels\.txt, which avsep did not write"):
        separator.separate(clip, tmp_path / "out", Options(also=("audacity",), overwrite=True))
    assert (folder / "labels.txt").read_text() == "mine"
    with pytest.raises(UsageError, match="'edl' is no format here"):
        separator.separate(clip, tmp_path / "out", Options(also=("edl",), overwrite=True))


def test_a_format_that_fails_leaves_nothing(separator, tmp_path, monkeypatch):
    def broken(line, path):
        raise OutputError("broken")

    monkeypatch.setitem(formats.FORMATS, "rttm", (formats.Part("timeline.rttm", broken),))
    clip = write_media(tmp_path / "talk.wav", sound=tone(2), sound_codec="pcm_s16le")
    with pytest.raises(OutputError, match="broken"):
        separator.separate(clip, tmp_path / "out", Options(also=("rttm",)))
    assert not (tmp_path / "out").exists()


def test_names_of_files_are_told_apart():
    kind = SEPARATION.with_files(["labels.txt"])
    assert kind.result.fullmatch("labels.txt")
    assert kind.result.fullmatch("speaker_00.wav")
    assert not kind.result.fullmatch("labelsxtxt")
    assert not SEPARATION.result.fullmatch("labels.txt")
