"""The guided mode: turns or faces tell when who speaks, the array separates."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from stub_models import Gains, Lips
from stub_scenes import Store, person, scene

import avsep.modes.guided as guided
from avsep.errors import InputError, UsageError
from avsep.models.base import Contract
from avsep.modes.array import Array
from avsep.modes.by_sound import BySound
from avsep.modes.guided import Activity, Guided, check_turns, turns_of
from avsep.modes.lips_match import LipsMatch
from avsep.pipeline import Separator

VOICES, ARRAY = Contract(16_000), Contract(16_000, channels=(2, 8))

TURNS = """\
SPEAKER clip 1 0.0 2.0 <NA> <NA> ann <NA> <NA>
SPEAKER clip 1 1.0 2.6 <NA> <NA> bob <NA> <NA>
"""


@pytest.fixture
def rttm(tmp_path) -> str:
    (tmp_path / "clip.rttm").write_text(TURNS)
    return str(tmp_path / "clip.rttm")


@pytest.mark.parametrize(
    ("model", "contract", "channels", "faces", "turns", "expected"),
    [
        (None, VOICES, 4, 0, True, Guided),
        (None, VOICES, 4, 2, False, Guided),
        (None, ARRAY, 4, 2, False, Guided),
        ("ensemble-2spk", VOICES, 4, 1, False, Guided),
        (None, VOICES, 4, 0, False, Array),
        (None, VOICES, 2, 2, False, LipsMatch),
        ("auxiva", ARRAY, 4, 2, True, Array),
        (None, VOICES, 1, 0, True, BySound),
    ],
)
def test_what_is_guided(model, contract, channels, faces, turns, expected, rttm):
    made = scene(Store(), people=[person()] * faces, model=model, channels=channels, turns=rttm if turns else None)
    assert type(Separator(device="cpu")._mode(made, contract)) is expected


@pytest.mark.parametrize(
    ("channels", "model", "mode", "message"),
    [
        (
            1,
            None,
            BySound(),
            r"--turns guides .* an array of microphones, and the clip has 1 channel\. Leave out --turns",
        ),
        (2, None, BySound(), r"the clip's 2 channels are taken for a film's\. Say that .* with --array FILE.json"),
        (4, "auxiva", Array(), r"no other model, and --model auxiva is one\. Leave out --turns or --model"),
        (4, "ensemble-2spk", Guided(), r"no other model, and --model ensemble-2spk is one"),
    ],
)
def test_turns_that_cannot_guide_are_refused(channels, model, mode, message, rttm):
    with pytest.raises(UsageError, match=message):
        check_turns(scene(Store(), model=model, channels=channels, turns=rttm), mode)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"array": "off"}, r"and --array off says there is none\. Leave out --turns or --array"),
        ({"speakers": 3}, r"--turns tells who speaks, and --speakers how many\. Leave out --speakers"),
    ],
)
def test_options_that_turns_contradict_are_refused(options, message, rttm):
    with pytest.raises(UsageError, match=message):
        check_turns(scene(Store(), channels=4, turns=rttm, **options), BySound())


def test_names_of_turns_are_labels_to_choose_by(rttm):
    made = scene(Store(), channels=4, turns=rttm)
    assert Guided().labels(made, VOICES) == list(turns_of(made))
    assert Guided().labels(scene(Store(), channels=4), VOICES) == ()


def test_what_is_planned_is_told():
    turns = scene(Store(), channels=4, turns="somewhere.rttm")
    faces = scene(Store(), people=[person()], channels=4)
    assert (Guided().plan(turns), Guided().plan(faces)) == (
        "gss",
        "audio-2spk or split-3spk or ensemble-2spk, then gss",
    )
    assert Array().plan(scene(Store(), channels=4, model="auxiva")) == "auxiva"
    assert BySound().plan(scene(Store(), speakers=2)) == "ensemble-2spk"


def test_turns_of_another_time_are_refused(rttm):
    made = scene(Store(), channels=4, turns=rttm)
    check_turns(made, Guided())
    made.clip = dataclasses.replace(made.clip, start_seconds=10.0)
    with pytest.raises(InputError, match=r"no turn lies in what is separated, 10\.00 to 14\.00 s\. Give the turns of"):
        check_turns(made, Guided())


@pytest.mark.slow
def test_a_track_for_each_name(rttm):
    made = scene(Store(), channels=4, turns=rttm)
    tracks = Guided()(made)
    assert (tracks.mode, tracks.model) == ("multichannel", "gss")
    assert [(track.name, track.kind, track.label) for track in tracks.tracks] == [
        ("speaker_00", "voice", "ann"),
        ("speaker_01", "voice", "bob"),
    ]
    np.testing.assert_array_equal(tracks.tracks[1].speech, [0] * 25 + [1] * 65 + [0] * 10)
    assert (tracks.sources.count, tracks.sources.channels, len(tracks.sources)) == (2, 4, 64_000)
    np.testing.assert_array_equal(tracks.gains[:, :, 37], np.eye(2))
    assert not tracks.gains[0, :, 75].any()


def test_lips_choose_among_the_voices_of_the_array_where_all_speak_all_the_time(speech, monkeypatch):
    speech(0.9, 0.9, 0.0)
    monkeypatch.setattr(guided, "lip_matcher", lambda scene: Lips(2, [1, 0]))
    both = {"ensemble-2spk": Gains([0.6, 0.4]), "audio-2spk": Gains([0.6, 0.4]), "split-3spk": Gains([0.5, 0.3, 0.2])}
    store = Store(**both, **{"array-2spk": Gains([0.7, 0.3], channels=(2, 8))})
    people = [person(), person()]
    tracks = Guided()(scene(store, people=people, channels=4))
    assert (tracks.mode, tracks.model) == ("audio-visual", "array-2spk")
    assert [track.person for track in tracks.tracks] == people
    np.testing.assert_array_equal(tracks.gains[:, :, 50], [[0, 1], [1, 0]])


@pytest.mark.slow
def test_faces_tell_when_each_speaks(speech, monkeypatch):
    speech(0.9, 0.9, 0.0)
    monkeypatch.setattr(guided, "MOST_OVERLAPPED", 1.0)
    monkeypatch.setattr(guided, "lip_matcher", lambda scene: Lips(2, [1, 0]))
    given = []
    monkeypatch.setattr(
        Activity, "__init__", lambda self, activity: given.append(activity) or setattr(self, "activity", activity)
    )
    people = [person(), person()]
    store = Store(
        **{"ensemble-2spk": Gains([0.6, 0.4]), "audio-2spk": Gains([0.6, 0.4]), "split-3spk": Gains([0.5, 0.3, 0.2])}
    )
    tracks = Guided()(scene(store, people=people, channels=4))
    assert (tracks.mode, tracks.model) == ("audio-visual", "ensemble-2spk + gss")
    assert [track.person for track in tracks.tracks] == people
    np.testing.assert_allclose(given[0], 0.9, atol=1e-6)
    assert (tracks.sources.count, tracks.sources.channels) == (2, 4)
    np.testing.assert_array_equal(tracks.gains[:, :, 50], np.eye(2))


def test_activity_by_time():
    activity = Activity(np.array([[0, 0.5, 1, 0], [0, 0, 0, 1]], np.float32))
    assert activity.sources == 2
    present, cues = activity.read(0.04, 0.12)
    assert present == [0]
    np.testing.assert_array_equal(cues["activity"], [[0.5, 1]])
    # Behind the end nobody speaks.
    present, cues = activity.read(0.12, 0.24)
    assert present == [1]
    np.testing.assert_array_equal(cues["activity"], [[1, 0, 0]])


@pytest.fixture
def meeting(tmp_path) -> np.ndarray:
    """clip.wav with four channels in the folder of the command line, and clip.rttm: (time, 4)."""
    rng = np.random.default_rng(0)
    sound = sum(rng.standard_normal((64_000, 1)) * rng.standard_normal(4) * on for on in (speaks(0, 2), speaks(1, 3.6)))
    sound = (0.05 * sound + 1e-3 * rng.standard_normal((64_000, 4))).astype(np.float32)
    soundfile.write(tmp_path / "clip.wav", sound, 16_000, subtype="FLOAT")
    (tmp_path / "clip.rttm").write_text(TURNS)
    return sound


def speaks(start: float, end: float) -> np.ndarray:
    at = np.arange(64_000)[:, None] / 16_000
    return ((at >= start) & (at < end)).astype(float)


@pytest.mark.slow
def test_a_meeting_on_the_command_line(cli, meeting, tmp_path):
    code, out, err = cli("separate", "clip.wav", "--turns", "clip.rttm", "--json")
    assert code == 0, err
    (manifest,) = json.loads(out)
    assert (manifest["mode"], manifest["model"]) == ("multichannel", "gss")
    assert manifest["options"]["turns"] == "clip.rttm"
    assert [track["label"] for track in manifest["tracks"]] == ["ann", "bob"]
    assert [track["speaking"] for track in manifest["tracks"]] == [
        [{"start_seconds": 0.0, "end_seconds": 2.0}],
        [{"start_seconds": 1.0, "end_seconds": 3.6}],
    ]
    names = [*(track["audio"] for track in manifest["tracks"]), manifest["residual"]]
    files = [soundfile.read(tmp_path / "separated/clip" / name, dtype="float32", always_2d=True)[0] for name in names]
    np.testing.assert_allclose(sum(files), meeting[:, : files[0].shape[1]], atol=1e-5)
    # Most of what is heard is somebody's.
    assert np.square(files[-1]).mean() < 0.1 * np.square(meeting).mean()


@pytest.mark.parametrize(
    ("turns", "code", "message"),
    [
        ("none.rttm", 2, "--turns none.rttm: No such file or directory. Give an RTTM file"),
        ("SPEAKER clip 1 x 1 <NA> <NA> ann <NA>", 1, "bad.rttm, line 1: start is 'x'; it must be seconds"),
        ("SPEAKER clip 1 50 1 <NA> <NA> ann <NA>", 1, "no turn lies in what is separated, 0.00 to 4.00 s"),
    ],
)
@pytest.mark.parametrize("dry", [True, False])
def test_turns_are_checked_before_anything_is_decoded(cli, meeting, tmp_path, turns, code, message, dry):
    if turns != "none.rttm":
        Path(tmp_path, "bad.rttm").write_text(turns)
        turns = "bad.rttm"
    found, out, err = cli("separate", "clip.wav", "--turns", turns, *(["--dry-run"] if dry else []))
    assert (found, out) == (code, "")
    assert message in err
    assert not Path(tmp_path, "separated").exists()


def test_turns_of_a_recording_with_one_channel(cli, tmp_path, meeting):
    soundfile.write(tmp_path / "clip.wav", meeting[:, 0], 16_000)
    code, _, err = cli("separate", "clip.wav", "--turns", "clip.rttm")
    assert code == 2
    assert "the clip has 1 channel. Leave out --turns" in err
