"""Asking for somebody's voice by an enrolment or a face: who is found, who is not, and what is said about it. Tones
stand for voices: a voice is its pitch."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import soundfile as sf
import torch
from known_people import GREEN, RED, Faces, Pitch, Shades, Voices, enrolment, shown, speech_by_level, tracks_of
from media_factory import tone, write_media
from PIL import Image
from sound_scenes import RATE, check_sum, level_of, read, separator, tones, write
from stub_models import band
from torch import Tensor

from avsep.cli.options import named_file
from avsep.embeddings import face as face_module
from avsep.embeddings.speaker import SAME_VOICE, alike, embed, speech_by_itself
from avsep.errors import InputError, UsageError
from avsep.faces.picture import portrait_in
from avsep.models.base import Contract, Output, SeparationModel
from avsep.modes.base import Scene
from avsep.modes.target import choose_targets
from avsep.output.tracks import TrackReader
from avsep.pipeline import Options
from avsep.signals import Tracks
from avsep.storage.recording import Estimates


class Steered(SeparationModel):
    """Estimate i is what lies around the strongest frequency of enrolment i."""

    contract = Contract(8000, cues=("enrolment",), sources=None, order="cue")

    def forward(self, mixture: Tensor, **cues: Tensor) -> Output:
        made = []
        for one in cues["enrolment"][0]:
            hz = float(torch.fft.rfft(one).abs().argmax()) * 8000 / one.shape[-1]
            made.append(band(mixture[:, 0], 8000, hz - 100, hz + 100))
        return Output(torch.stack(made, 1).unsqueeze(2))


@pytest.fixture(autouse=True)
def _speech_by_level(monkeypatch):
    speech_by_level(monkeypatch)


@pytest.fixture
def talk(tmp_path):
    """A low voice from 0 to 6 s, a high one from 4 to 8 s."""
    return write(tmp_path / "talk.wav", tones(8, low=(0.2, 0, 6), high=(0.1, 4, 8)))


def run(clip, store=None, model=None, **options):
    """Folder and manifest of a separation."""
    manifest = separator(store or Voices(), model).separate(clip, clip.parent / "out", Options(**options))
    return clip.parent / "out" / clip.stem, manifest


# By voice


@pytest.mark.parametrize("name", ["low", "high"])
def test_one_voice_is_given_and_the_rest_is_the_residual(talk, tmp_path, name):
    other = {"low": "high", "high": "low"}[name]
    folder, manifest = run(talk, speakers=2, enroll={"Ann": enrolment(tmp_path, name)})
    (track,) = manifest["tracks"]
    assert (track["id"], track["kind"], track["label"], track["chosen"]) == ("speaker_00", "voice", "Ann", True)
    assert track["warnings"] == manifest["warnings"] == []
    assert level_of(read(folder / "speaker_00.wav"), name) > 10 * level_of(read(folder / "speaker_00.wav"), other)
    assert level_of(read(folder / "residual.wav"), other) > 10 * level_of(read(folder / "residual.wav"), name)
    (target,) = manifest["choice"]["targets"]
    assert (target["label"], target["by"], target["track"]) == ("Ann", "voice", "speaker_00")
    assert target["similarity"] > 0.99
    assert target["runner_up"]["similarity"] < -0.99
    assert target["least_similarity"] == SAME_VOICE
    found = {one["id"]: one["chosen"] for one in manifest["choice"]["found"]}
    assert found[target["found"]]
    assert not found[target["runner_up"]["id"]]
    check_sum(folder, manifest, read(talk))


def test_several_voices_come_in_the_order_of_the_names(talk, tmp_path):
    files = {"Bob": enrolment(tmp_path, "high"), "Ann": enrolment(tmp_path, "low")}
    folder, manifest = run(talk, speakers=2, enroll=files)
    assert [(one["id"], one["label"]) for one in manifest["tracks"]] == [("speaker_00", "Bob"), ("speaker_01", "Ann")]
    assert level_of(read(folder / "speaker_00.wav"), "high") > 0.04
    assert level_of(read(folder / "speaker_01.wav"), "low") > 0.1
    assert (manifest["choice"]["option"], manifest["options"]["enroll"]) == ("enroll", files)
    check_sum(folder, manifest, read(talk))


def test_who_is_not_there_has_no_track_and_a_warning_says_so(talk, tmp_path):
    file = str(write(tmp_path / "carl.wav", tones(6, dog_bark=0.1)))
    files = {"Ann": enrolment(tmp_path, "low"), "Carl": file}
    folder, manifest = run(talk, speakers=2, enroll=files)
    assert [one["label"] for one in manifest["tracks"]] == ["Ann"]
    (warning,) = manifest["warnings"]
    assert warning.startswith(f"Carl is not found: no voice in the clip is alike to that in {file} (at most -1.00")
    carl = manifest["choice"]["targets"][1]
    assert (carl["track"], carl["found"]) == (None, None)
    check_sum(folder, manifest, read(talk))


def test_where_nobody_is_found_all_of_the_sound_is_the_residual(talk, tmp_path):
    file = str(write(tmp_path / "carl.wav", tones(6, dog_bark=0.1)))
    folder, manifest = run(talk, enroll={"Carl": file})
    assert manifest["tracks"] == []
    assert manifest["warnings"][1] == "there is no track: all of the sound is in the residual"
    check_sum(folder, manifest, read(talk))


def test_the_channels_the_rate_and_the_level_of_an_enrolment_do_not_matter(tmp_path, talk):
    found = []
    for rate, channels in ((RATE, 1), (44_100, 2), (8000, 1)):
        files = {"Ann": enrolment(tmp_path, "high", 6, rate, channels)}
        _, manifest = run(talk, speakers=2, enroll=files, overwrite=True)
        found.append(manifest["choice"]["targets"][0])
    assert all(one["similarity"] == pytest.approx(found[0]["similarity"], abs=0.01) for one in found)
    assert {one["found"] for one in found} == {found[0]["found"]}


def test_a_model_of_enrolments_is_steered(talk, tmp_path):
    files = {"Bob": enrolment(tmp_path, "high", 6), "Ann": enrolment(tmp_path, "low", 5)}
    folder, manifest = run(talk, Voices(mine=Steered()), "mine", enroll=files)
    assert (manifest["mode"], manifest["model"]) == ("target", "mine")
    assert [one["label"] for one in manifest["tracks"]] == ["Bob", "Ann"]
    assert level_of(read(folder / "speaker_00.wav"), "high") > 0.04
    assert level_of(read(folder / "speaker_01.wav"), "low") > 0.1
    # One enrolment's estimate is not compared with another's.
    assert [one["runner_up"] for one in manifest["choice"]["targets"]] == [None, None]
    check_sum(folder, manifest, read(talk))


# What cannot say whose voice it is


def silent(folder: Path) -> str:
    return str(write(folder / "silent.wav", np.zeros(5 * RATE, np.float32)))


def short(folder: Path) -> str:
    return str(write(folder / "short.wav", tones(0.2, low=0.1)))


def text(folder: Path) -> str:
    (folder / "text.wav").write_text("This is not a voice.\n" * 50)
    return str(folder / "text.wav")


def missing(folder: Path) -> str:
    return str(folder / "missing.wav")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (silent, "silent.wav: nobody speaks in it; a voice is told from 1 s on. Give 5 s or more of Ann alone"),
        (short, "short.wav: somebody speaks for 0.2 s only; a voice is told from 1 s on"),
        (text, "text.wav.*holds text"),
        (missing, "missing.wav.*no such file"),
    ],
)
def test_an_enrolment_without_a_voice_is_refused_before_the_clip_is_decoded(talk, tmp_path, make, message):
    with pytest.raises(InputError, match=message):
        run(talk, enroll={"Ann": make(tmp_path)})
    with pytest.raises(InputError, match=message):
        separator(Voices(), None).check(talk, Options(enroll={"Ann": make(tmp_path)}))
    assert not (tmp_path / "out").exists()


def test_a_short_enrolment_is_taken_with_a_warning(talk, tmp_path):
    _, manifest = run(talk, speakers=2, enroll={"Ann": enrolment(tmp_path, "low", 2)})
    assert [one["label"] for one in manifest["tracks"]] == ["Ann"]
    assert "2.0 s of speech tell a voice badly; give 5 s or more of Ann" in manifest["warnings"][0]


def test_two_voices_in_an_enrolment_are_told(talk, tmp_path):
    both = str(write(tmp_path / "both.wav", tones(6, low=0.1, high=0.09)))
    _, manifest = run(talk, speakers=2, enroll={"Ann": both})
    assert "more than one voice seems to speak in it; give a recording of Ann alone" in manifest["warnings"][0]


def test_two_voices_in_turn_are_told(talk, tmp_path):
    turns = np.concatenate([tones(4, low=0.1), tones(4, high=0.1)], axis=-1)
    _, manifest = run(talk, speakers=2, enroll={"Ann": str(write(tmp_path / "turns.wav", turns))})
    assert "more than one voice seems to speak in it; give a recording of Ann alone" in manifest["warnings"][0]


def test_two_enrolments_of_one_voice_are_told(talk, tmp_path):
    files = {"Ann": enrolment(tmp_path, "low", 6), "Eve": enrolment(tmp_path, "low", 7)}
    _, manifest = run(talk, speakers=2, enroll=files)
    assert [one["label"] for one in manifest["tracks"]] == ["Ann"]
    assert "the enrolments of Ann and Eve are alike (1.00)" in manifest["warnings"][0]
    assert "Eve is not found: what is alike to" in manifest["warnings"][1]
    assert manifest["warnings"][1].endswith("is the track of Ann")


@pytest.mark.parametrize(
    ("options", "model", "message"),
    [
        ({"only": ("rain",)}, None, "--only: no label is 'rain'; the nearest is 'Ann'. Labels: Ann"),
        ({"span": (1, 2)}, None, "--span and --enroll both choose a track"),
        ({"residual": "universal"}, None, "with --enroll other voices are left too"),
        ({}, "universal", "--enroll asks for somebody's voice, and model 'universal' separates sounds"),
        ({"target": {"Bob": "face.jpg"}}, None, "--target finds faces, and .*talk.wav has no pictures"),
        ({"target": {"Ann": "face.jpg"}}, None, "Ann is asked for by --enroll and by --target"),
        ({"target": {"Bob": "face.jpg"}}, "mine", "--target finds faces, and model 'mine' is steered by voices"),
    ],
)
def test_options_that_do_not_go_together(talk, tmp_path, options, model, message):
    with pytest.raises(UsageError, match=message):
        run(talk, Voices(mine=Steered()), model, enroll={"Ann": enrolment(tmp_path, "low")}, **options)


def test_a_model_of_enrolments_needs_some(talk):
    with pytest.raises(UsageError, match="it needs enrolments, a recording of each voice with --enroll"):
        run(talk, Voices(mine=Steered()), "mine")


# What is compared


def test_a_voice_is_told_by_what_it_says_alone():
    x = np.stack([tones(10, low=(0.2, 0, 8)), tones(10, high=(0.2, 2, 4))])
    sources = Estimates.of(x, RATE)
    reader = TrackReader(sources, np.eye(2, dtype=np.float32)[:, :, None].repeat(250, 2))
    first, second = speech_by_itself(reader, np.ones((2, 250), np.float32))
    # 0 to 2 s and 4 to 8 s, but for the edges; the second is never alone, and is told by what it says.
    assert len(first) == pytest.approx(6 * RATE, abs=0.4 * RATE)
    assert level_of(first, "low") == pytest.approx(0.2, rel=0.1)
    assert len(second) == 5 * RATE
    silent, _ = speech_by_itself(reader, np.zeros((2, 250), np.float32))
    assert len(silent) == 0


def test_at_most_a_minute_is_compared():
    sources = Estimates.of(tones(80, low=0.2)[None], RATE)
    reader = TrackReader(sources, np.ones((1, 1, 2000), np.float32))
    (found,) = speech_by_itself(reader, np.ones((1, 2000), np.float32))
    assert len(found) == 60 * RATE


def test_less_than_a_second_is_not_compared():
    made = embed(Pitch(), [tones(2, low=0.1), tones(0.9, low=0.1)])
    assert alike(made[0], made[0]) > 0.99
    assert np.isnan(made[1]).all()
    assert np.isnan(embed(Pitch(), [tones(0.1, low=0.1)])).all()


# By face


@pytest.fixture
def shades(monkeypatch):
    monkeypatch.setattr("avsep.people.traits.load_face_embedder", lambda device: (Shades(), None))


def asked_for(colours: dict, people) -> Tracks:
    portraits = {name: np.full((160, 160, 3), colour, np.uint8) for name, colour in colours.items()}
    target = {name: f"{name}.jpg" for name in colours}
    scene = Scene(None, people, Voices(), Options(target=target), portraits=portraits)
    return choose_targets(scene, tracks_of(*people))


def test_the_track_of_a_face(shades):
    people = [shown(RED), shown(GREEN)]
    made = asked_for({"Bob": GREEN}, people)
    (track,) = made.tracks
    assert (track.name, track.label, track.kind, track.person) == ("speaker_00", "Bob", "person", people[1])
    assert made.gains[0, :, 0].tolist() == [0, 1]
    (target,) = made.choice.targets
    assert (target.by, target.found, target.least) == ("face", 1, 0.9)
    assert made.choice.option == "target"


def test_a_face_that_is_not_in_the_picture(shades):
    made = asked_for({"Bob": (20, 20, 200), "Ann": RED}, [shown(RED), shown(GREEN)])
    assert [track.label for track in made.tracks] == ["Ann"]
    assert made.warnings == [
        "Bob is not found: no face in the clip is alike to that in Bob.jpg (at most 0.21, expected 0.90 or more)"
    ]


def test_nobody_in_the_picture(shades):
    made = asked_for({"Bob": RED}, [])
    assert made.tracks == []
    assert made.warnings[0] == "Bob is not found: no face is to be seen in the clip"


def test_two_people_who_look_alike_are_told(shades):
    made = asked_for({"Bob": RED}, [shown((200, 60, 20)), shown((200, 20, 20))])
    (track,) = made.tracks
    assert track.person.tracks[0].portraits[0, 0, 0].tolist() == [200, 20, 20]
    assert track.warnings == (
        "Bob may be another one: a track that is not given, speaker_00 without the option, is alike to Bob.jpg by "
        "0.98, this one by 1.00",
    )


@pytest.fixture
def picture(tmp_path):
    import cv2

    image = np.zeros((80, 200, 3), np.uint8)
    image[10:50, 0:30] = (20, 20, 200)  # blue, green, red
    cv2.imwrite(str(tmp_path / "face.png"), image)
    return tmp_path / "face.png"


def test_a_face_is_cut_out_of_a_picture(picture):
    portrait = portrait_in(picture, detector=Faces(1))
    assert portrait.shape == (160, 160, 3)
    assert portrait[80, 60].tolist() == [200, 20, 20]


@pytest.mark.parametrize(
    ("count", "message"), [(0, "shows no face. Give a picture of the face from the front"), (3, "shows 3 faces. Cut")]
)
def test_a_picture_without_one_face_is_refused(picture, count, message):
    with pytest.raises(InputError, match=message):
        portrait_in(picture, detector=Faces(count))


def test_what_is_no_picture_is_refused(tmp_path):
    for make, message in ((text, "is no picture that can be read"), (missing, "no such file"), (str, "is a folder")):
        with pytest.raises(InputError, match=message):
            portrait_in(make(tmp_path))
    (tmp_path / "empty.jpg").touch()
    with pytest.raises(InputError, match="is no picture that can be read"):
        portrait_in(tmp_path / "empty.jpg")


def test_a_large_picture_is_scaled_down(tmp_path):
    import cv2

    seen = []
    cv2.imwrite(str(tmp_path / "large.jpg"), np.zeros((2000, 3000, 3), np.uint8))
    portrait_in(tmp_path / "large.jpg", detector=lambda p, s: seen.append(p.shape) or Faces(1)(p, s))
    assert seen == [(1, 853, 1280, 3)]


# On the command line


def test_names_and_files(cli, talk, tmp_path):
    write(tmp_path / "ann.wav", tones(6, low=0.1))
    for given, message in (
        (["--enroll", "ann.wav", "--enroll", "ann=other.wav"], "ann.wav and other.wav are both named 'ann'"),
        (["--enroll", "=ann.wav"], "'=ann.wav' is no file with a name; give FILE, or NAME=FILE"),
        (["--enroll", "Ann="], "'Ann=' is no file with a name"),
        (["--enroll", "Ann=ann.wav", "--span", "1-2"], "--span and --enroll both choose a track"),
        (["--target", "Ann=face.jpg"], "--target finds faces, and"),
    ):
        code, out, err = cli("separate", talk, *given)
        assert (code, out) == (2, ""), err
        assert message in err
    code, _, err = cli("separate", talk, "--enroll", "Ann=nothing.wav")
    assert code == 1
    assert "nothing.wav: no such file" in err
    assert not (tmp_path / "separated").exists()


def test_a_target_without_weights_of_faces_is_refused(cli, tmp_path, monkeypatch):
    clip = write_media(tmp_path / "film.mp4", sound=tone(2.0), times=np.arange(0, 2, 0.04))
    monkeypatch.setattr("avsep.people.traits.load_face_embedder", lambda device: (None, "no FaceNet weights"))
    code, _, err = cli("separate", clip, "--target", "face.jpg")
    assert code == 1
    assert "--target: faces cannot be compared (no FaceNet weights)" in err


@pytest.mark.slow
def test_the_voices_of_the_demo_are_told_apart(cli, tmp_path):
    demo = Path(face_module.__file__).parents[1] / "assets" / "demo"
    sounds = {}
    for name in ("left", "right"):
        samples, rate = sf.read(demo / f"{name}.flac", dtype="float32")
        sounds[name] = samples
        sf.write(tmp_path / f"{name}.wav", samples[: 7 * rate], rate)
    sf.write(tmp_path / "both.wav", sum(sounds.values()), rate)
    code, out, err = cli("separate", "both.wav", "--enroll", "Ann=left.wav", "--enroll", "Bob=right.wav")
    assert code == 0, err
    assert "Ann; voice alike by" in out
    for name, label in (("left", "speaker_00"), ("right", "speaker_01")):
        track = read(tmp_path / f"separated/both/{label}.wav")[0]
        match = {other: abs(np.corrcoef(track, sound)[0, 1]) for other, sound in sounds.items()}
        assert max(match, key=match.get) == name


@pytest.mark.parametrize("size", [(1, 5000), (5000, 1)])
def test_a_picture_of_a_line_shows_no_face(tmp_path, size):
    cv2.imwrite(str(tmp_path / "line.png"), np.zeros((*size, 3), np.uint8))
    with pytest.raises(InputError, match="shows no face"):
        portrait_in(tmp_path / "line.png")


def test_a_picture_without_end_is_not_decoded(tmp_path):
    Image.new("1", (8, 8)).save(tmp_path / "vast.png")
    whole = bytearray((tmp_path / "vast.png").read_bytes())
    whole[16:24] = struct.pack(">II", 40_000, 40_000)  # the size in its header, and the checksum
    whole[29:33] = struct.pack(">I", zlib.crc32(whole[12:29]))
    (tmp_path / "vast.png").write_bytes(whole)
    with pytest.raises(InputError, match="has more than 100 million pixels"):
        portrait_in(tmp_path / "vast.png")


def test_a_name_of_any_length_is_a_name():
    assert named_file("n" * 3000 + "=ann.wav") == ("n" * 3000, "ann.wav")
