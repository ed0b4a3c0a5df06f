"""The universal mode from a file to its tracks, with stub models of tones: labels, order, silence, length, pictures."""

from __future__ import annotations

import json
import tracemalloc

import numpy as np
import pytest
import soundfile as sf
from media_factory import write_media
from sound_scenes import CLASSES, RATE, SOUNDS, SPEECH, Store, check_sum, level_of, read, separator, tones, write
from stub_models import BandClassifier, Bands

from avsep.errors import UsageError
from avsep.modes import labels
from avsep.modes.labels import class_probabilities
from avsep.pipeline import Options


@pytest.mark.parametrize(("rate", "channels"), [(16_000, 1), (44_100, 2)])
def test_a_scene_becomes_labelled_tracks_the_loudest_first(tmp_path, rate, channels):
    mixture = np.stack([tones(3, rate, dog_bark=0.1, rain=0.3, clock_tick=0.2)] * channels)
    manifest = separator(Store()).separate(write(tmp_path / "street.wav", mixture, rate), tmp_path / "out")
    folder = tmp_path / "out" / "street"
    assert manifest["mode"] == "universal"
    assert [track["id"] for track in manifest["tracks"]] == ["source_00", "source_01", "source_02"]
    assert [track["label"] for track in manifest["tracks"]] == ["rain", "clock_tick", "dog_bark"]
    assert {track["kind"] for track in manifest["tracks"]} == {"sound"}
    assert manifest["speakers"] == []
    for track in manifest["tracks"]:
        assert tuple(track["probabilities"]) == tuple(SOUNDS)
        assert track["probabilities"][track["label"]] > 0.9
        assert all(0 <= p <= 1 for p in track["probabilities"].values())
        assert "speaking" not in track
        assert "chosen" not in track
    assert "choice" not in manifest
    check_sum(folder, manifest, mixture)
    assert level_of(read(folder / "source_00.wav"), "rain", rate) == pytest.approx(0.3, rel=0.05)
    assert json.loads((folder / "manifest.json").read_text()) == manifest


def test_sources_of_nothing_are_left_to_the_residual(tmp_path):
    mixture = tones(3, rain=0.3, dog_bark=0.015)  # 26 dB below, and no clock
    manifest = separator(Store()).separate(write(tmp_path / "a.wav", mixture), tmp_path / "out")
    assert [track["label"] for track in manifest["tracks"]] == ["rain"]
    check_sum(tmp_path / "out" / "a", manifest, mixture)
    assert level_of(read(tmp_path / "out" / "a" / "residual.wav"), "dog_bark") == pytest.approx(0.015, rel=0.05)


@pytest.mark.slow
def test_a_sound_that_is_short_is_not_nothing(tmp_path):
    mixture = tones(40, rain=0.2, dog_bark=(0.2, 17.0, 18.0))  # over the whole time 16 dB below, half a minute later 40
    manifest = separator(Store()).separate(write(tmp_path / "a.wav", mixture), tmp_path / "out")
    assert [track["label"] for track in manifest["tracks"]] == ["rain", "dog_bark"]
    assert manifest["tracks"][1]["probabilities"]["dog_bark"] > 0.9


def test_silence_has_no_track(tmp_path):
    silence = np.zeros(3 * RATE, np.float32)
    manifest = separator(Store()).separate(write(tmp_path / "a.wav", silence), tmp_path / "out")
    assert manifest["tracks"] == []
    assert manifest["warnings"] == ["nothing sounds, so there is no track: all of the sound is in the residual"]


@pytest.mark.parametrize("samples", [1, 100, 1600])
def test_a_clip_of_a_moment(tmp_path, samples):
    mixture = tones(1, rain=0.3)[:samples] + 0.01
    manifest = separator(Store()).separate(write(tmp_path / "a.wav", mixture), tmp_path / "out")
    check_sum(tmp_path / "out" / "a", manifest, mixture)


@pytest.mark.slow
def test_a_source_keeps_its_track_where_the_model_changes_their_order(tmp_path):
    mixture = tones(26, dog_bark=0.1, rain=0.3, clock_tick=0.2)
    model = Bands([*CLASSES.values(), (7000, 7900)], turns=True)
    manifest = separator(Store(universal=model)).separate(write(tmp_path / "a.wav", mixture), tmp_path / "out")
    assert model.calls > 2
    for track in manifest["tracks"]:
        samples = read(tmp_path / "out" / "a" / track["audio"])
        for second in range(26):
            part = samples[:, second * RATE : (second + 1) * RATE]
            assert [name for name in SOUNDS if level_of(part, name) > 0.02] == [track["label"]]
    check_sum(tmp_path / "out" / "a", manifest, mixture)


def test_names_of_the_model_are_the_labels_in_its_order(tmp_path):
    names = ("drums", "bass", "other")
    stems = Bands(list(CLASSES.values()), order="named", names=names, kind="stem")
    store = Store(stems=stems, classifier=None)
    mixture = tones(2, dog_bark=0.1, rain=0.3)
    manifest = separator(store, "stems").separate(write(tmp_path / "a.wav", mixture), tmp_path / "out")
    assert [(t["label"], t["kind"]) for t in manifest["tracks"]] == [(name, "stem") for name in names]
    assert all("probabilities" not in track for track in manifest["tracks"])
    assert store.sounds.lengths == []
    check_sum(tmp_path / "out" / "a", manifest, mixture)


def test_the_picture_is_left_alone(tmp_path, monkeypatch):
    def searched(scene):
        raise AssertionError("the picture was searched for people")

    monkeypatch.setattr("avsep.pipeline.find_people", searched)
    mixture = tones(1, rain=0.3)[None]
    clip = write_media(tmp_path / "a.mp4", sound=mixture, times=np.arange(25) / 25)
    manifest = separator(Store()).separate(clip, tmp_path / "out")
    assert manifest["input"]["video"] is not None
    assert {file.name for file in (tmp_path / "out" / "a").iterdir()} == {
        "manifest.json", "residual.wav", "source_00.wav",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"speakers": 2}, r"--speakers is about people, and it separates sounds \(leave --speakers out\)"),
        ({"av_offset": 0.1}, "--av-offset is about people"),
        ({"mark": True}, "--mark is about people"),
        (
            {"residual": "universal"},
            "--residual universal splits what people and voices leave, and the model separates",
        ),
    ],
)
def test_options_about_people_are_refused(tmp_path, given, message):
    clip = write(tmp_path / "a.wav", tones(1, rain=0.3))
    with pytest.raises(UsageError, match=message):
        separator(Store()).separate(clip, tmp_path / "out", Options(**given))
    assert not (tmp_path / "out").exists()


# The probabilities


def test_a_long_sound_is_named_by_the_moments_at_which_it_sounds(monkeypatch):
    monkeypatch.setattr(labels, "CHUNK_SECONDS", 1)
    x = tones(5, rain=(0.001, 0, 5), dog_bark=(0.5, 3, 4))[None]
    classifier = BandClassifier(CLASSES)
    found = class_probabilities(classifier, lambda a, b: x[:, a:b], 0, x.shape[1], RATE)
    assert found.shape == (1, 3)
    assert found[0, 0] > 0.99
    assert classifier.lengths == [RATE] * 5


def test_the_classifier_is_given_its_own_rate():
    x = tones(2, 44_100, rain=0.3)[None]
    classifier = BandClassifier(CLASSES)
    found = class_probabilities(classifier, lambda a, b: x[:, a:b], 0, x.shape[1], 44_100)
    assert classifier.lengths == [2 * RATE]
    assert found[0].argmax() == 1


def test_nothing_has_no_probability():
    found = class_probabilities(BandClassifier(CLASSES), lambda a, b: np.zeros((2, b - a)), 0, 0, RATE)
    np.testing.assert_array_equal(found, np.zeros((2, 3)))


@pytest.mark.slow
def test_a_long_sound_is_not_held_in_memory(tmp_path):
    rate, minutes = 2000, 12
    minute = (tones(60, rate, low=0.3, high=(0.2, 20, 21)) * 32767).astype(np.int16)
    with sf.SoundFile(tmp_path / "a.wav", "w", rate, 1, "PCM_16") as file:
        for _ in range(minutes):
            file.write(minute)
    model = Bands([*SPEECH.values(), (900, 950)], turns=True, sample_rate=rate)
    store = Store(BandClassifier(SPEECH), universal=model)
    tracemalloc.start()
    manifest = separator(store).separate(tmp_path / "a.wav", tmp_path / "out")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [track["label"] for track in manifest["tracks"]] == ["low", "high"]
    assert sf.info(tmp_path / "out" / "a" / "source_00.wav").frames == minutes * 60 * rate
    assert peak < 5.4e6  # one source is 5.8 MB
