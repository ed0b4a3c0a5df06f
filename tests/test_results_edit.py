"""People merged and split, wrong spans taken away: the sum stays the input, and nothing is left half-changed."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import soundfile
from page_results import RATE, make_result

from avsep.errors import InputError, OutputError, UsageError
from avsep.media.decode import probe, read_audio
from avsep.output.workspace import workspace
from avsep.results import edit
from avsep.results.change import change_result
from avsep.results.edit import merge_tracks, split_track, take_away
from avsep.results.faces import read_faces
from avsep.results.result import Span, read_result


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_result(tmp_path_factory.mktemp("made") / "talk", people=3)


@pytest.fixture
def folder(made, tmp_path):
    copy = tmp_path / "talk"
    copy.mkdir()
    for name in os.listdir(made):
        os.link(made / name, copy / name)  # changes write new files, so the first ones stay as they were
    return copy


def sound(file) -> np.ndarray:
    return soundfile.read(file, dtype="float32")[0]


def total(folder) -> np.ndarray:
    result = read_result(folder)
    return np.sum([sound(track.audio) for track in result.tracks] + [sound(result.residual)], axis=0)


def files(folder) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in sorted(os.listdir(folder))}


def test_merged_people_are_one_with_the_first_ones_face(folder):
    before, sums = read_result(folder), total(folder)
    voices = sound(folder / "speaker_00.wav") + sound(folder / "speaker_02.wav")
    merged = merge_tracks(folder, "speaker_00", "speaker_02")
    assert [track.id for track in merged.tracks] == ["speaker_00", "speaker_01"]
    assert merged.tracks[0].box == before.tracks[0].box
    assert merged.tracks[0].speaking == (Span(0.0, 1.0), Span(2.0, 4.0)), "those of both, as one where they touch"
    np.testing.assert_array_equal(sound(folder / "speaker_00.wav"), voices)
    np.testing.assert_allclose(total(folder), sums, atol=1e-6)
    assert not list(folder.glob("speaker_02.*"))
    assert set(read_faces(folder)) == {"speaker_00", "speaker_01"}
    assert merged.manifest["speakers"] == merged.manifest["tracks"]
    assert merged.manifest["changes"] == [{"change": "merged", "track": "speaker_00", "with": "speaker_02"}]


def test_somebody_seen_as_two_one_after_the_other_is_seen_with_both_faces(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    for number, times in ((0, (0.0, 2.0)), (1, (2.5, 4.0))):
        manifest["tracks"][number]["appearances"] = [{"start_seconds": times[0], "end_seconds": times[1]}]
    (folder / "manifest.json").unlink()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    rows = read_faces(folder)
    merged = merge_tracks(folder, "speaker_00", "speaker_01")
    assert merged.tracks[0].appearances == (Span(0.0, 2.0), Span(2.5, 4.0))
    assert read_faces(folder)["speaker_00"] == sorted(rows["speaker_00"] + rows["speaker_01"])


def test_the_video_of_who_is_changed_has_the_new_sound_and_the_same_pictures(folder):
    pictures = probe(folder / "speaker_00.mp4").video
    merge_tracks(folder, "speaker_00", "speaker_01")
    clip = probe(folder / "speaker_00.mp4")
    assert clip.video == pictures
    heard = np.concatenate([block.samples for block in read_audio(clip, pytest.fail)], axis=1)[0]
    wanted = sound(folder / "speaker_00.wav")
    size = min(len(heard), len(wanted))
    assert np.corrcoef(heard[:size], wanted[:size])[0, 1] > 0.98


def test_what_is_taken_away_is_in_the_residual(folder):
    sums, before = total(folder), sound(folder / "speaker_00.wav")
    taken = take_away(folder, "speaker_00", [Span(0.2, 0.6)])
    after = sound(folder / "speaker_00.wav")
    assert np.abs(after[int(0.2 * RATE) : int(0.6 * RATE)]).max() == 0
    edge = round(edit.FADE_SECONDS * RATE) + 1
    np.testing.assert_array_equal(after[: int(0.2 * RATE) - edge], before[: int(0.2 * RATE) - edge])
    assert np.abs(np.diff(after)).max() <= np.abs(np.diff(before)).max() * 1.05, "no click"
    assert taken.tracks[0].speaking == (Span(0.0, 0.2), Span(0.6, 1.0), Span(3.0, 4.0))
    np.testing.assert_allclose(total(folder), sums, atol=1e-6)


def test_a_split_makes_a_new_voice(folder):
    sums, before = total(folder), sound(folder / "speaker_01.wav")
    split = split_track(folder, "speaker_01", [Span(0.9, 2.6)], "Cy")
    assert [track.id for track in split.tracks] == ["speaker_00", "speaker_01", "speaker_03", "speaker_02"]
    new = split.track("Cy")
    assert (new.kind, new.box, new.video, new.speaking) == ("voice", None, None, (Span(1.0, 2.0),))
    assert split.track("speaker_01").speaking == ()
    np.testing.assert_allclose(sound(new.audio), before, atol=1e-6)
    np.testing.assert_allclose(total(folder), sums, atol=1e-6)
    back = merge_tracks(folder, "speaker_01", "Cy")
    np.testing.assert_allclose(sound(folder / "speaker_01.wav"), before, atol=1e-6)
    assert back.track("Cy").id == "speaker_01", "who had no name has that of the other"


def test_files_of_others_stay(folder):
    (folder / "notes.txt").write_text("mine")
    take_away(folder, "speaker_00", [Span(0, 1)])
    assert (folder / "notes.txt").read_text() == "mine"
    with workspace(folder, overwrite=True) as partial:
        (partial / "manifest.json").write_text("{}")
    assert sorted(os.listdir(folder)) == ["manifest.json", "notes.txt"], "all the rest is known as avsep's"


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda f: merge_tracks(f, "speaker_00", "speaker_00"), UsageError, "with itself"),
        (lambda f: merge_tracks(f, "speaker_00", "Ann"), InputError, "no track 'Ann'"),
        (lambda f: take_away(f, "speaker_00", [Span(3, 2)]), UsageError, "3-2 s is no part of the clip"),
        (lambda f: take_away(f, "speaker_00", [Span(9, 10)]), UsageError, "times from 0 to 4 s"),
        (lambda f: take_away(f, "speaker_00", [Span(float("nan"), 1)]), UsageError, "no part of the clip"),
        (lambda f: take_away(f, "speaker_00", []), UsageError, "no stretch of time"),
        (lambda f: split_track(f, "speaker_00", [Span(0, 1)], "a\nb\x07"), UsageError, "is not a name"),
    ],
)
def test_what_makes_no_sense_changes_nothing(folder, change, error, message):
    before = files(folder)
    with pytest.raises(error, match=message):
        change(folder)
    assert files(folder) == before
    assert os.listdir(folder.parent) == ["talk"]


def test_a_change_that_fails_midway_leaves_everything_as_it_was(folder, monkeypatch):
    before = files(folder)

    def full(*args):
        raise OSError(28, "No space left on device", str(folder))

    monkeypatch.setattr(edit, "replace_sound", full)
    with pytest.raises(OutputError, match="the disk is full"):
        take_away(folder, "speaker_00", [Span(0, 1)])
    assert files(folder) == before
    assert os.listdir(folder.parent) == ["talk"]


def test_what_is_elsewhere_does_not_come_in(folder, tmp_path):
    (folder / "speaker_00.wav").rename(tmp_path / "mine.wav")
    (folder / "speaker_00.wav").symlink_to(tmp_path / "mine.wav")
    with pytest.raises(InputError, match="is a link"):
        split_track(folder, "speaker_00", [Span(0, 1)])


def test_a_video_that_cannot_be_read_is_left_out_and_told(folder):
    (folder / "speaker_00.mp4").unlink()
    (folder / "speaker_00.mp4").write_bytes(b"no video")
    taken = take_away(folder, "speaker_00", [Span(0, 1)])
    assert taken.tracks[0].video is None
    assert "could not be made anew" in taken.tracks[0].entry["warnings"][0]
    assert not (folder / "speaker_00.mp4").exists()


def test_who_waits_for_a_change_sees_what_it_made(folder, monkeypatch):
    """The folder is another one after a change; a change that waited for it is made in the new one."""
    from threading import Thread

    waited = []
    first = edit.replace_sound

    def meanwhile(*args):
        if not waited:
            waited.append(Thread(target=change_result, args=(folder, lambda content, _: content.update(late=True))))
            waited[0].start()
        first(*args)

    monkeypatch.setattr(edit, "replace_sound", meanwhile)
    take_away(folder, "speaker_00", [Span(0, 1)])
    waited[0].join(20)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["late"]
    assert manifest["changes"]
