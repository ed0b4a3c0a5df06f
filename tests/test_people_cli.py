"""`avsep people`, and what `avsep separate --people` says of libraries that cannot be used."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import soundfile
from known_people import Faces, Shades, speech_by_level
from sound_scenes import tones, write
from test_people_library import embeddings

import avsep
from avsep.dsp.resample import resample
from avsep.people.library import INDEX, changed_library, open_library

DEMO = Path(avsep.__file__).parent / "assets" / "demo"


@pytest.fixture
def enrolled(monkeypatch):
    """Whatever is given is a face or a voice."""

    def made(name, faces, voices, device, threads, warn):
        warn(f"of {name}")
        return embeddings(len(faces), len(voices), seed=len(name))

    monkeypatch.setattr("avsep.people.enrol.enrolled", made)


@pytest.fixture
def faces(monkeypatch, tmp_path):
    """A detector that finds so many faces, and a picture: faces(2)."""
    cv2.imwrite(str(tmp_path / "ann.png"), np.full((80, 200, 3), 99, np.uint8))

    def find(count: int) -> None:
        monkeypatch.setattr("avsep.faces.detect.MtcnnDetector", lambda device: Faces(count))
        monkeypatch.setattr("avsep.people.traits.load_face_embedder", lambda device: (Shades(), None))

    return find


def test_people_are_added_listed_renamed_merged_and_removed(cli, enrolled, tmp_path):
    code, out, err = cli(
        "people", "add", "Ann", "--face", "a.jpg", "--face", "b.jpg", "--voice", "a.wav", "--library", "l"
    )
    assert (code, out, err) == (0, "Ann is in l (2 faces, 1 voice)\n", "avsep: of Ann\n")
    assert cli("people", "add", " Bob  Lee ", "--voice", "b.wav", "--library", "l", "-q")[::2] == (0, "")
    code, out, _ = cli("people", "add", "Ann", "--more", "--face", "c.jpg", "--people", "l")
    assert (code, out) == (0, "Ann is in l (3 faces, 1 voice)\n")

    code, out, _ = cli("people", "list", "--library", "l")
    ann, bob = out.split("Bob Lee")
    assert re.fullmatch(r"Ann\n +faces +3\n +voices +1\n +added +20\d\d-\d\d-\d\d\n +picture +l/\w{32}\.jpg\n", ann)
    assert "faces        0\n  voices       1\n" in bob
    code, out, _ = cli("people", "list", "--library", "l", "--json")
    assert [(one["name"], one["faces"], one["voices"]) for one in json.loads(out)["people"]] == [
        ("Ann", 3, 1),
        ("Bob Lee", 0, 1),
    ]

    assert cli("people", "rename", "Bob Lee", "Bob", "--library", "l")[0] == 0
    code, out, _ = cli("people", "merge", "Ann", "Bob", "--library", "l", "--json")
    assert [(one["name"], one["voices"]) for one in json.loads(out)["people"]] == [("Ann", 2)]
    code, out, _ = cli("people", "remove", "Ann", "--library", "l")
    assert (code, out) == (0, "removed from l: Ann\n")
    assert [file.name for file in (tmp_path / "l").iterdir()] == [INDEX], "nothing of her is left"
    assert cli("people", "list", "--library", "l")[1:] == ("", "avsep: nobody is in l\n")


def test_a_damaged_person_is_told_beside_the_others(cli, enrolled, tmp_path):
    for name in ("Ann", "Bob"):
        assert cli("people", "add", name, "--face", "a.jpg", "--library", "l")[0] == 0
    code, out, _ = cli("people", "list", "--library", "l", "--json")
    (ann,) = (one["id"] for one in json.loads(out)["people"] if one["name"] == "Ann")
    (tmp_path / "l" / f"{ann}.safetensors").write_bytes(b"cut")
    code, out, err = cli("people", "list", "--library", "l")
    assert (code, "Bob" in out, "Ann" in out) == (1, True, True)
    assert "the embeddings of Ann cannot be read" in err


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        (["add", "Ann"], 2, "there is nothing to know the person by. Give --face PICTURE or --voice RECORDING"),
        (
            ["add", "ann", "--face", "a.jpg"],
            2,
            "ann is there already. Add to that person with --more, or choose another",
        ),
        (["add", "A\x1b[2J", "--face", "a.jpg"], 2, "is not a name"),
        (["add", "Zoe", "--more", "--face", "a.jpg"], 1, "nobody is called 'Zoe'; 'avsep people list' names all"),
        (["remove", "Bob", "Ane"], 1, "nobody is called 'Ane'; the nearest is 'Ann'"),
        (["rename", "Ann", "bob"], 2, "Bob is there already"),
        (["merge", "Ann", "Ann"], 2, "a name is given twice"),
        ([], 2, "the following arguments are required: ACTION"),
    ],
)
def test_mistakes_change_nothing(cli, enrolled, tmp_path, command, code, message):
    with changed_library(tmp_path / "l", create=True) as library:
        library.add("Ann", embeddings())
        library.add("Bob", embeddings(seed=1))
    before = (tmp_path / "l" / INDEX).read_bytes()
    found, out, err = cli("people", *command, *(["--library", "l"] if command else []))
    assert (found, out) == (code, ""), err
    assert message in err
    assert "Traceback" not in err
    assert (tmp_path / "l" / INDEX).read_bytes() == before


def test_pictures_without_one_face_and_voices_that_tell_nothing(cli, faces, tmp_path, monkeypatch):
    speech_by_level(monkeypatch)
    write(tmp_path / "silent.wav", np.zeros(5 * 16000, np.float32))
    write(tmp_path / "short.wav", tones(0.2, low=0.1))
    for count, given, message in (
        (0, ["--face", "ann.png"], "ann.png: shows no face"),
        (2, ["--face", "ann.png"], "ann.png: shows 2 faces. Cut out the one that is meant"),
        (1, ["--face", "none.png"], "none.png: no such file"),
        (1, ["--face", "ann.png", "--voice", "silent.wav"], "silent.wav: nobody speaks in it"),
        (1, ["--voice", "short.wav"], "short.wav: somebody speaks for 0.2 s only"),
    ):
        faces(count)
        code, out, err = cli("people", "add", "Ann", *given, "--library", "l")
        assert (code, out) == (1, ""), err
        assert message in err
        assert not (tmp_path / "l").exists()


def test_a_face_is_enough(cli, faces, tmp_path):
    faces(1)
    assert cli("people", "add", "Ann", "--face", "ann.png", "--library", "l")[0] == 0
    with open_library(tmp_path / "l") as library:
        (ann,) = library.entries
        assert library.embeddings(ann).faces.shape == (1, 512)
        assert (tmp_path / "l" / f"{ann.id}.jpg").read_bytes().startswith(b"\xff\xd8")


def test_the_library_of_the_user(cli, enrolled, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    code, _, err = cli("people", "list")
    assert code == 1
    assert "there is no people library. Make one with 'avsep people add" in err
    assert cli("people", "add", "Ann", "--face", "a.jpg")[0] == 0
    assert (tmp_path / "data" / "avsep" / "people" / INDEX).is_file()
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))
    code, _, err = cli("people", "add", "Ann", "--face", "a.jpg")
    assert code == 1
    assert "the people library cannot be written" in err
    assert "Name another folder" in err


def test_separate_tells_what_is_no_library(cli, tmp_path):
    clip = write(tmp_path / "talk.wav", tones(1, low=0.1))
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").touch()
    for given, message in (
        ([clip, "--people", "none"], "none: there is no people library"),
        (
            ["--people", clip, clip],
            "talk.wav: is a file, and a people library is a folder. An option that stands before",
        ),
        ([clip, "--learn", "--people", "notes"], "is no people library, it has no library.json and holds mine.txt"),
    ):
        code, _, err = cli("separate", *given)
        assert code == 1, err
        assert message in err
        assert not (tmp_path / "separated").exists()


@pytest.mark.slow
def test_the_people_of_the_demo_are_known_by_face_and_voice(cli, tmp_path):
    """They are learnt from the clip, and then known by their voices alone."""
    shutil.copy(DEMO / "demo.mp4", "talk.mp4")
    code, out, err = cli("separate", "talk.mp4", "--no-video", "--learn", "--people", "lib")
    assert code == 0, err
    assert out.count("new in the library") == 2
    labels = {}
    manifest = json.loads(Path("separated/talk/manifest.json").read_text())
    for track in manifest["tracks"]:
        sound, rate = soundfile.read(f"separated/talk/{track['audio']}", dtype="float32", always_2d=True)
        alike = {}
        for side in ("left", "right"):
            voice, voice_rate = soundfile.read(DEMO / f"{side}.flac", dtype="float32")
            track_of = resample(sound.mean(1), rate, voice_rate)[: len(voice)]
            alike[side] = abs(np.corrcoef(track_of, voice[: len(track_of)])[0, 1])
        labels[max(alike, key=alike.get)] = track["label"]
    assert set(labels.values()) == {"person-1", "person-2"}
    for side, name in (("left", "Ann"), ("right", "Bob")):
        assert cli("people", "rename", labels[side], name, "--library", "lib")[0] == 0
        code, out, err = cli("separate", DEMO / f"{side}.flac", "-o", side, "--people", "lib", "--only", name)
        assert code == 0, err
        assert f"{name}; known by voice" in out
