"""Names for tracks by a library, and what --learn adds to it. Tones stand for voices, colours for faces."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from known_people import GREEN, RED, Pitch, Shades, Voices, enrolment, shown, speech_by_level, tracks_of
from sound_scenes import RATE, check_sum, level_of, read, separator, tones, write
from torch import from_numpy

from avsep.cli import report
from avsep.errors import InputError, UsageError
from avsep.media.decode import probe
from avsep.modes.base import Scene
from avsep.output.manifest import entry
from avsep.people.library import INDEX, Embeddings, changed_library, open_library
from avsep.people.naming import name_tracks
from avsep.pipeline import Options
from avsep.signals import Tracks

BLUE = (20, 20, 200)


@pytest.fixture(autouse=True)
def _stand_ins(monkeypatch):
    speech_by_level(monkeypatch)
    for module in ("naming", "traits"):
        monkeypatch.setattr(f"avsep.people.{module}.load_face_embedder", lambda device: (Shades(), None))


@pytest.fixture
def talk(tmp_path):
    """A low voice from 0 to 6 s, a high one from 4 to 10 s."""
    return write(tmp_path / "talk.wav", tones(10, low=(0.2, 0, 6), high=(0.1, 4, 10)))


def run(clip: Path, **options):
    """Folder and manifest of a separation."""
    out = clip.parent / "out"
    manifest = separator(Voices(), None).separate(clip, out, Options(speakers=2, overwrite=True, **options))
    return out / clip.stem, manifest


def known(voice: str | None = None, colour=None, seconds: float = 8.0) -> Embeddings:
    none = np.zeros((0, 0), np.float32)
    faces = none if colour is None else Shades()(np.full((1, 160, 160, 3), colour, np.uint8))
    voices = none if voice is None else Pitch()(from_numpy(tones(2, **{voice: 0.1}))[None]).numpy()
    return Embeddings(faces, voices, np.full(len(voices), seconds, np.float32))


def library_of(folder: Path, **people: Embeddings) -> str:
    with changed_library(folder, create=True) as library:
        for name, one in people.items():
            library.add(name, one)
    return str(folder)


def names_in(folder: Path | str) -> list[str]:
    with open_library(Path(folder)) as library:
        return [one.name for one in library.entries]


@pytest.fixture
def library(tmp_path):
    return library_of(tmp_path / "lib", Ann=known("low"), Bob=known("high"))


def by_pitch(folder: Path, manifest) -> dict[str, str | None]:
    """The label of the track in which each tone is louder."""
    tracks = manifest["tracks"]
    return {
        name: max(tracks, key=lambda one: level_of(read(folder / one["audio"]), name))["label"]
        for name in ("low", "high")
    }


# By a library


def test_the_tracks_have_the_names_of_the_library(talk, library):
    folder, manifest = run(talk, people=library)
    assert by_pitch(folder, manifest) == {"low": "Ann", "high": "Bob"}
    for track, other in zip(manifest["tracks"], reversed(manifest["tracks"]), strict=True):
        told = track["identity"]
        assert (told["name"], told["by"], told["learnt"]) == (track["label"], ["voice"], False)
        assert told["probability"] > 0.98
        assert told["similarity"]["voice"] > 0.95
        assert told["runner_up"]["name"] == other["label"]
        assert told["runner_up"]["probability"] < 0.01
    assert manifest["speakers"] == manifest["tracks"]
    assert (manifest["options"]["people"], manifest["options"]["learn"]) == (library, False)
    assert "Ann; known by voice (" in report.separated(manifest, folder)
    check_sum(folder, manifest, read(talk))


def test_who_is_unknown_has_no_name(talk, tmp_path):
    library = library_of(tmp_path / "lib", Bob=known("high"), Carl=known("dog_bark"))
    folder, manifest = run(talk, people=library)
    assert by_pitch(folder, manifest) == {"low": None, "high": "Bob"}
    (stranger,) = (one["identity"] for one in manifest["tracks"] if one["label"] is None)
    assert (stranger["name"], stranger["by"]) == (None, [])
    assert stranger["probability"] > 0.99
    assert "nobody of the library (1.00)" in report.separated(manifest, folder)
    assert names_in(library) == ["Bob", "Carl"], "nobody is added without --learn"


@pytest.mark.parametrize(("option", "wanted", "left"), [("only", "low", "high"), ("without", "high", "low")])
def test_only_ann_and_everything_without_ann(talk, library, option, wanted, left):
    folder, manifest = run(talk, people=library, **{option: ("Ann",)})
    (track,) = manifest["tracks"]
    assert track["label"] == ("Ann" if option == "only" else None)
    for file, loud, soft in ((track["audio"], wanted, left), ("residual.wav", left, wanted)):
        assert level_of(read(folder / file), loud) > 10 * level_of(read(folder / file), soft)
    assert {one["label"]: one["chosen"] for one in manifest["choice"]["found"]} == {
        "Ann": option == "only",
        "Bob": option == "without",
    }
    check_sum(folder, manifest, read(talk))


def test_only_goes_by_the_names_of_enrolments_too(talk, tmp_path):
    files = {"Ann": enrolment(tmp_path, "low"), "Bob": enrolment(tmp_path, "high")}
    folder, manifest = run(talk, enroll=files, without=("Ann",))
    (track,) = manifest["tracks"]
    assert level_of(read(folder / track["audio"]), "high") > 10 * level_of(read(folder / track["audio"]), "low")
    assert {one["label"] for one in manifest["choice"]["found"]} == {"Ann", "Bob"}
    check_sum(folder, manifest, read(talk))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"only": ("Anne",)}, "--only: no label is 'Anne'; the nearest is 'Ann'. Labels: Ann, Bob"),
        (
            {"enroll": {"Ann": "ann.wav"}},
            "--people and --enroll both name tracks. Leave out --enroll, and add its file",
        ),
        ({"target": {"Ann": "ann.jpg"}}, "--people and --target both name tracks"),
    ],
)
def test_what_does_not_go_together(talk, library, options, message):
    with pytest.raises(UsageError, match=message):
        run(talk, people=library, **options)


def test_sounds_are_nobody(talk, library):
    with pytest.raises(UsageError, match="--people names voices, and model 'universal' separates sounds"):
        separator(Voices(), "universal").separate(talk, talk.parent / "out", Options(people=library))


def test_a_library_that_cannot_be_used_is_told_before_the_clip_is_decoded(talk, tmp_path, library):
    with pytest.raises(InputError, match="there is no people library"):
        run(talk, people=str(tmp_path / "none"))
    (Path(library) / INDEX).write_text("{}")
    for learn in (False, True):
        with pytest.raises(InputError, match=r"library\.json: is damaged"):
            separator(Voices(), None).check(talk, Options(people=library, learn=learn))
    assert (Path(library) / INDEX).read_text() == "{}"


# By face and voice


def named(folder: str, tracks: Tracks, clip: Path, **options) -> Tracks:
    people = [track.person for track in tracks.tracks if track.person]
    return name_tracks(Scene(probe(clip), people, Voices(), Options(people=folder, **options)), tracks)


def with_voices(tracks: Tracks, *voices: str) -> Tracks:
    """Each track says its tone for 4 s."""
    samples = np.stack([tones(4, **{voice: 0.1}) for voice in voices])
    sources = type(tracks.sources).of(samples, RATE)
    return replace(tracks, sources=sources)


def test_face_and_voice_tell_together(talk, tmp_path):
    folder = library_of(tmp_path / "lib", Ann=known("low", RED), Bob=known("high", GREEN))
    made = named(folder, with_voices(tracks_of(shown(GREEN), shown(RED)), "high", "low"), talk)
    assert [track.label for track in made.tracks] == ["Bob", "Ann"]
    told = entry(made.tracks[0], True, 4.0)["identity"]
    assert told["by"] == ["face", "voice"]
    assert set(told["similarity"]) == {"face", "voice"}


def test_a_voice_that_may_be_anothers_tells_nothing(talk, tmp_path):
    folder = library_of(tmp_path / "lib", Ann=known("low", RED), Bob=known("high", GREEN))
    tracks = with_voices(tracks_of(shown(GREEN)), "low")
    assert named(folder, tracks, talk).tracks[0].label is None
    doubtful = replace(tracks, tracks=[replace(tracks.tracks[0], confidence=0.3)])
    (track,) = named(folder, doubtful, talk).tracks
    assert (track.label, track.identity.found.similarity.keys()) == ("Bob", {"face"})


def test_who_may_be_somebody_is_told_in_a_warning(talk, tmp_path):
    folder = library_of(tmp_path / "lib", Ann=known(None, RED), Eve=known(None, RED), Bob=known(None, GREEN))
    (track,) = named(folder, tracks_of(shown(RED)), talk).tracks
    assert track.label is None
    assert track.warnings == ()
    folder = library_of(tmp_path / "less", Ann=known(None, (70, 185, 20)))
    (track,) = named(folder, tracks_of(shown(RED)), talk).tracks
    assert track.label is None
    assert track.warnings == ("it may be Ann (probability 0.67), which is too little for the name",)


def test_without_weights_of_faces_voices_tell(talk, tmp_path, monkeypatch):
    monkeypatch.setattr("avsep.people.naming.load_face_embedder", lambda device: (None, "no FaceNet weights"))
    folder = library_of(tmp_path / "lib", Ann=known("low", RED))
    scene = Scene(probe(talk), [], Voices(), Options(people=folder))
    made = name_tracks(scene, with_voices(tracks_of(shown(GREEN)), "low"))
    assert made.tracks[0].label == "Ann"
    assert scene.warnings == ["--people goes by voices only: no FaceNet weights"]


def test_a_track_that_has_a_label_keeps_it(talk, library):
    tracks = with_voices(tracks_of(shown(RED), shown(GREEN)), "low", "low")
    tracks = replace(tracks, tracks=[replace(tracks.tracks[0], label="Ann"), tracks.tracks[1]])
    made = named(library, tracks, talk)
    assert [track.label for track in made.tracks] == ["Ann", None]
    assert made.tracks[0].identity is None


# What is learnt


def test_the_same_people_have_the_same_names_in_every_clip(talk, tmp_path):
    other = write(tmp_path / "other.wav", tones(10, high=(0.2, 0, 6), low=(0.1, 4, 10)))
    third = write(tmp_path / "third.wav", tones(10, low=(0.2, 0, 10)))
    folder = tmp_path / "new" / "lib"
    found = [by_pitch(*run(clip, people=str(folder), learn=True)) for clip in (talk, other, talk, third)]
    assert set(found[0].values()) == {"person-1", "person-2"}
    assert found[0] == found[1] == found[2]
    assert found[3]["low"] == found[0]["low"]
    assert names_in(folder) == ["person-1", "person-2"]
    with open_library(folder) as library:
        assert [(one.faces, one.voices, one.source) for one in library.entries] == [(0, 1, "talk.wav")] * 2


def test_who_was_learnt_is_told_and_has_a_picture(talk, tmp_path):
    folder = str(tmp_path / "lib")
    tracks = with_voices(tracks_of(shown(RED)), "low")
    (track,) = named(folder, tracks, talk, learn=True).tracks
    told = entry(track, True, 4.0)["identity"]
    assert (track.label, told["learnt"], told["by"]) == ("person-1", True, [])
    with open_library(Path(folder)) as library:
        (one,) = library.entries
        assert (one.faces, one.voices, one.thumbnail) == (1, 1, True)
        assert library.embeddings(one).picture.startswith(b"\xff\xd8")
    (track,) = named(folder, tracks, talk, learn=True).tracks
    assert (track.label, track.identity.learnt) == ("person-1", False)


def test_nobody_is_learnt_who_is_silent_or_says_too_little(talk, tmp_path):
    folder = str(tmp_path / "lib")
    silent = tracks_of(shown(RED))
    silent = replace(silent, tracks=[replace(silent.tracks[0], speech=np.zeros(100, np.float32))])
    faceless = with_voices(tracks_of(shown(RED)), "low")
    faceless = replace(faceless, tracks=[replace(faceless.tracks[0], person=None, kind="voice")])
    for tracks in (silent, faceless):
        assert named(folder, tracks, talk, learn=True).tracks[0].label is None
    assert names_in(library_of(Path(folder))) == []


def test_who_may_be_somebody_is_not_learnt_as_another(talk, tmp_path):
    """Ann's face with another voice: neither Ann nor somebody new."""
    folder = library_of(tmp_path / "lib", Ann=known("high", RED), Bob=known("low", BLUE))
    (track,) = named(folder, with_voices(tracks_of(shown(RED)), "low"), talk, learn=True).tracks
    assert track.label is None
    assert names_in(folder) == ["Ann", "Bob"]


def test_jobs_at_once_give_one_person_one_name(talk, tmp_path):
    folder = str(tmp_path / "lib")
    clips = [((RED, "low"), (GREEN, "high")), ((GREEN, "high"), (BLUE, "dog_bark")), ((BLUE, "dog_bark"), (RED, "low"))]
    found: list[tuple[str, str]] = []

    def job(people) -> None:
        tracks = with_voices(tracks_of(*(shown(colour) for colour, _ in people)), *(voice for _, voice in people))
        made = named(folder, tracks, talk, learn=True)
        found.extend((voice, track.label) for (_, voice), track in zip(people, made.tracks, strict=True))

    threads = [threading.Thread(target=job, args=(people,)) for people in clips * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 12
    assert len(set(found)) == 3
    assert {name for _, name in found} == {"person-1", "person-2", "person-3"}
