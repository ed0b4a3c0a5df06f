"""Asking for one sound, by label or by a span of time, and splitting the residual of people; with stub models."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile as sf
from fake_pipeline import person
from media_factory import write_media
from sound_scenes import (
    CLASSES,
    RATE,
    SOUNDS,
    Store,
    check_sum,
    fixed_speech,
    level_of,
    read,
    separator,
    tones,
    write,
)
from stub_models import Bands, Gains, Lips

from avsep.cli.options import names
from avsep.cli.report import mode_line
from avsep.errors import UsageError
from avsep.media.decode import probe, read_audio
from avsep.pipeline import Options
from avsep.storage.recording import Estimates


@pytest.fixture
def street(tmp_path):
    """Rain throughout, a dog from 1 to 2 s, a clock from 3 to 4 s."""
    return write(tmp_path / "street.wav", tones(5, rain=0.2, dog_bark=(0.3, 1, 2), clock_tick=(0.25, 3, 4)))


def run(clip, store=None, model="universal", **options):
    """Folder and manifest of a separation."""
    out = clip.parent / "out"
    manifest = separator(store or Store(), model).separate(clip, out, Options(**options))
    return out / clip.stem, manifest


def sounds_in(path) -> set[str]:
    return {name for name in SOUNDS if level_of(read(path), name) > 0.02}


def found(manifest) -> dict[str, bool]:
    return {one["label"] or one["id"]: one["chosen"] for one in manifest["choice"]["found"]}


# By label


def test_only_one_sound_and_the_rest(street):
    folder, manifest = run(street, only=("dog_bark",))
    (track,) = manifest["tracks"]
    assert (track["id"], track["label"], track["kind"], track["chosen"]) == ("source_00", "dog_bark", "sound", True)
    assert track["probabilities"]["dog_bark"] > 0.9
    assert sounds_in(folder / "source_00.wav") == {"dog_bark"}
    assert sounds_in(folder / "residual.wav") == {"rain", "clock_tick"}
    assert manifest["choice"]["option"] == "only"
    assert found(manifest) == {"rain": False, "dog_bark": True, "clock_tick": False}
    assert manifest["options"]["only"] == ["dog_bark"]
    check_sum(folder, manifest, read(street))


def test_only_several_sounds_are_one_track(street):
    folder, manifest = run(street, only=("dog_bark", "clock_tick"))
    (track,) = manifest["tracks"]
    assert (track["label"], track["id"]) == (None, "source_00")
    assert min(track["probabilities"][name] for name in ("dog_bark", "clock_tick")) > 0.9
    assert sounds_in(folder / "source_00.wav") == {"dog_bark", "clock_tick"}
    check_sum(folder, manifest, read(street))


def test_two_tracks_of_one_label_are_one(street):
    low, high = CLASSES["rain"]
    model = Bands([CLASSES["dog_bark"], (low, 2000), (2000, high), CLASSES["clock_tick"]])
    folder, manifest = run(write(street, tones(3, rain=0.2, dog_bark=0.2)), Store(universal=model), only=("rain",))
    assert [track["label"] for track in manifest["tracks"]] == ["rain"]
    assert level_of(read(folder / "source_00.wav"), "rain") == pytest.approx(0.2, rel=0.05)


def test_without_some_sounds_is_everything_else(street):
    folder, manifest = run(street, only=None, without=("rain", "clock_tick"))
    (track,) = manifest["tracks"]
    assert (track["id"], track["label"], track["kind"], track["chosen"]) == ("source_00", None, "sound", True)
    assert sounds_in(folder / "source_00.wav") == {"dog_bark"}
    assert sounds_in(folder / "residual.wav") == {"rain", "clock_tick"}
    assert found(manifest) == {"rain": False, "dog_bark": True, "clock_tick": False}
    check_sum(folder, manifest, read(street))


def test_without_keeps_what_the_model_leaves_out(street):
    mixture = read(street)[0] + tones(5, low=0.1)  # in none of the model's bands
    folder, manifest = run(write(street, mixture), without=("rain",))
    assert level_of(read(folder / "source_00.wav"), "low") == pytest.approx(0.1, rel=0.05)
    assert level_of(read(folder / "residual.wav"), "low") < 0.005
    check_sum(folder, manifest, mixture)


ABSENT = "no track is labelled rain (labels found: dog_bark)"


@pytest.mark.parametrize(
    ("options", "tracks", "warnings"),
    [
        ({"only": ("rain",)}, 0, [ABSENT, "there is no track: all of the sound is in the residual"]),
        ({"only": ("rain", "dog_bark")}, 1, [ABSENT]),
        ({"without": ("rain",)}, 1, [ABSENT]),
    ],
)
def test_a_label_that_no_track_has_is_told(street, options, tracks, warnings):
    clip = write(street, tones(2, dog_bark=0.3))
    folder, manifest = run(clip, **options)
    assert (len(manifest["tracks"]), manifest["warnings"]) == (tracks, warnings)
    check_sum(folder, manifest, read(clip))


def test_stems_are_asked_for_by_the_models_names(street):
    names = ("drums", "bass", "other")
    stems = Bands(list(CLASSES.values()), order="named", names=names, kind="stem")
    folder, manifest = run(street, Store(stems=stems), "stems", only=("bass",))
    assert [(track["label"], track["kind"]) for track in manifest["tracks"]] == [("bass", "stem")]
    assert sounds_in(folder / "source_00.wav") == {"rain"}
    _, manifest = run(street, Store(stems=stems), "stems", without=("bass",), overwrite=True)
    assert [(track["label"], track["kind"]) for track in manifest["tracks"]] == [(None, "stem")]
    assert sounds_in(folder / "source_00.wav") == {"dog_bark", "clock_tick"}
    with pytest.raises(
        UsageError, match=r"--only: no label is 'basss'; the nearest is 'bass'. Labels: drums, bass, other"
    ):
        run(street, Store(stems=stems), "stems", only=("basss",), overwrite=True)


# By a span


@pytest.mark.parametrize(("span", "label"), [((1.2, 1.8), "dog_bark"), ((3.1, 3.9), "clock_tick"), ((4.2, 5), "rain")])
def test_a_span_chooses_what_sounds_there(street, span, label):
    folder, manifest = run(street, span=span)
    assert [track["label"] for track in manifest["tracks"]] == [label]
    assert sounds_in(folder / "source_00.wav") == {label}
    likeness = {one["label"]: one["likeness"] for one in manifest["choice"]["found"]}
    assert max(likeness, key=likeness.get) == label
    assert found(manifest) == {name: name == label for name in SOUNDS}
    check_sum(folder, manifest, read(street))


def test_a_span_is_on_the_clock_of_start_and_end(street):
    _, manifest = run(street, span=(3.1, 3.9), start=2.5, end=4.5)
    assert [track["label"] for track in manifest["tracks"]] == ["clock_tick"]


def test_a_span_of_stems_goes_by_level(street):
    stems = Bands(list(CLASSES.values()), order="named", names=("drums", "bass", "other"), kind="stem")
    store = Store(stems=stems)
    _, manifest = run(street, store, "stems", span=(1.2, 1.8))
    assert [track["label"] for track in manifest["tracks"]] == ["drums"]
    assert store.sounds.lengths == []


def test_the_class_outweighs_a_little_level(street, monkeypatch):
    class Bark:
        """What sounds in the span is a dog's bark to the classifier, which knows the tracks by their pitch."""

        def __init__(self, inner):
            self.inner, self.sample_rate, self.names, self.first = inner, RATE, inner.names, True

        def probabilities(self, waveform):
            found = self.inner.probabilities(waveform)
            if not self.first:
                found = found.new_tensor([[1.0, 0.0, 0.0]])
            self.first = False
            return found

    store = Store()
    store.sounds = Bark(store.sounds)
    _, manifest = run(write(street, tones(3, dog_bark=0.2, rain=0.25)), store, span=(1, 2))
    assert [track["label"] for track in manifest["tracks"]] == ["dog_bark"]


def test_a_span_in_which_nothing_sounds(street):
    clip = write(street, tones(5, dog_bark=(0.3, 1, 2)))
    with pytest.raises(UsageError, match=r"--span 3-4: no track sounds there. Give a span in which one does"):
        run(clip, span=(3.0, 4.0))
    assert not (street.parent / "out").exists()


def test_a_span_of_voices_chooses_who_speaks_there(street, monkeypatch):
    fixed_speech(monkeypatch, 0.9, 0.9)
    clip = write(street, tones(4, low=(0.2, 0, 2), high=(0.2, 2, 4)))
    folder, manifest = run(clip, model=None, speakers=2, span=(2.5, 3.5))
    (track,) = manifest["tracks"]
    assert (manifest["mode"], track["id"], track["kind"], track["chosen"]) == (
        "audio-only",
        "speaker_00",
        "voice",
        True,
    )
    assert manifest["speakers"] == manifest["tracks"]
    assert level_of(read(folder / "speaker_00.wav"), "high") > 0.09 > level_of(read(folder / "speaker_00.wav"), "low")
    assert sum(found(manifest).values()) == 1
    check_sum(folder, manifest, read(clip))


def test_a_voice_that_does_not_speak_is_not_meant(street, monkeypatch):
    fixed_speech(monkeypatch, 0.9, 0.1)
    clip = write(street, tones(4, low=0.15, high=0.2))
    folder, manifest = run(clip, model=None, speakers=2, span=(1, 3))
    assert level_of(read(folder / "speaker_00.wav"), "low") > 0.1
    likeness = [one["likeness"] for one in manifest["choice"]["found"]]
    assert likeness == pytest.approx([0.9 * 0.36, 0.1 * 0.64], abs=0.02)


def test_a_span_of_several_microphones(street, monkeypatch):
    fixed_speech(monkeypatch, 0.9, 0.8)
    array = Bands([(60, 340), (360, 640)], channels=(2, 8), kind="voice")
    mixture = np.stack([tones(4, low=(0.2, 0, 2), high=(0.2, 2, 4)), tones(4, low=(0.1, 0, 2), high=(0.3, 2, 4))])
    folder, manifest = run(write(street, mixture), Store(array=array), "array", span=(2.5, 3.5))
    assert (manifest["mode"], len(manifest["tracks"])) == ("multichannel", 1)
    assert level_of(read(folder / "speaker_00.wav")[1], "high") > 0.14
    check_sum(folder, manifest, mixture)


# What is refused

ALL_LABELS = "Labels: dog_bark, rain, clock_tick"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"only": ("dogbark",)}, f"--only: no label is 'dogbark'; the nearest is 'dog_bark'. {ALL_LABELS}"),
        ({"without": ("rain", "x")}, f"--without: no label is 'x'; the nearest is .*. {ALL_LABELS}"),
        ({"only": ("rain",), "span": (1, 2)}, "--only and --span both choose a track. Give one of them"),
        ({"only": ("rain",), "without": ("rain",)}, "--only and --without both choose a track"),
        ({"span": (2, 1)}, r"--span 2-1 ends before it begins. Give start and end in seconds, such as 3.1-4.7"),
        ({"span": (4, 6)}, r"--span 4-6 is not in what is separated, 0.00 to 5.00 s. Give a span within it"),
        ({"span": (1, 2), "start": 1.5}, r"--span 1-2 is not in what is separated, 1.50 to 5.00 s"),
    ],
)
def test_choices_that_cannot_be_made_are_told_before_anything_is_decoded(street, monkeypatch, options, message):
    store = Store(universal=Gains([1.0], kind="sound"))
    with pytest.raises(UsageError, match=message):
        run(street, store, **options)
    assert store.models["universal"].given == []
    assert not (street.parent / "out").exists()


@pytest.mark.parametrize("option", ["only", "without"])
def test_voices_have_no_labels(street, option):
    with pytest.raises(UsageError, match=rf"--{option} goes by labels, and voices have none. Name them with --people"):
        run(street, model=None, **{option: ("rain",)})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--only", "a", "--without", "b"), "argument --without: not allowed with argument --only"),
        (("--only", "a", "--span", "1-2"), "argument --span: not allowed with argument --only"),
        (("--only", ","), "argument --only: ',' names nothing; give names with commas between them"),
        (("--span", "3"), "argument --span: '3' is not a start and a later end in seconds, such as 3.1-4.7"),
        (("--span", "4-3"), "argument --span: '4-3' is not a start and a later end"),
        (("--span", "a-b"), "argument --span: 'a-b' is not a start and a later end"),
        (("--only", "dogbark"), "--only: no label is 'dogbark'; the nearest is 'dog_bark'"),
        (("--span", "4-9"), "--span 4-9 is not in what is separated, 0.00 to 5.00 s"),
        (("--speakers", 2), "--speakers is about people, and it separates sounds"),
        (("--mark",), "--mark is about people"),
        (("--residual", "universal"), "--residual universal splits what people and voices leave"),
    ],
)
@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_the_command_refuses_with_one_line_and_code_2(cli, street, monkeypatch, arguments, message, dry):
    monkeypatch.setattr("avsep.pipeline.ModelStore", lambda device: Store())
    code, out, err = cli("separate", street, "--model", "universal", *arguments, *dry)
    assert (code, out) == (2, "")
    assert message in err
    assert len(err.splitlines()) == 1


def test_a_label_with_a_comma_stands_in_quotes():
    assert names('dog_bark, "Male speech, man speaking",rain') == ("dog_bark", "Male speech, man speaking", "rain")


def test_the_command_writes_what_is_asked_for(cli, street, monkeypatch):
    monkeypatch.setattr("avsep.pipeline.ModelStore", lambda device: Store())
    code, out, err = cli("separate", street, "--model", "universal", "--only", "rain, dog_bark", "-o", "a")
    assert (code, err) == (0, "avsep: street.wav: universal, 1 source of 3\n")
    code, out, _ = cli("separate", street, "--model", "universal", "--span", "1.2-1.8", "-o", "b")
    assert code == 0
    assert "dog_bark (1.00)" in out
    for folder in ("a", "b"):
        assert sorted(p.name for p in (street.parent / folder / "street").iterdir()) == [
            "manifest.json", "residual.wav", "source_00.wav",
        ]  # fmt: skip


# The residual of people


@pytest.fixture
def film(tmp_path, monkeypatch):
    """Two people, whose voices are the tones low and high, in front of rain and a dog."""
    sound = tones(3, low=(0.2, 0, 1.5), high=(0.2, 1.5, 3), rain=0.1, dog_bark=0.05)[None]
    clip = write_media(tmp_path / "film.mov", sound=sound, sound_codec="pcm_f32le", times=np.arange(75) / 25)
    fixed_speech(monkeypatch, 0.9, 0.9)
    monkeypatch.setattr("avsep.modes.lips_match.lip_matcher", lambda scene: Lips(2, [0, 1]))

    def two_people(scene) -> None:
        scene.searched = True
        scene.people = [person((10, 20, 40, 60), 3.0), person((90, 20, 120, 60), 3.0)]

    monkeypatch.setattr("avsep.pipeline.find_people", two_people)
    return clip


def sound_of(clip) -> np.ndarray:
    return np.concatenate([block.samples for block in read_audio(probe(clip), pytest.fail)], axis=1)


def test_the_sounds_of_the_residual_follow_the_people(film):
    folder, manifest = run(film, model=None, residual="universal")
    assert [(t["id"], t["kind"], t["label"]) for t in manifest["tracks"]] == [
        ("speaker_00", "person", None),
        ("speaker_01", "person", None),
        ("source_00", "sound", "rain"),
        ("source_01", "sound", "dog_bark"),
    ]
    assert manifest["speakers"] == manifest["tracks"][:2]
    assert mode_line(manifest).endswith("audio-visual, 2 people, 2 sources")
    assert (manifest["mode"], manifest["options"]["residual"]) == ("audio-visual", "universal")
    assert [track["video"] for track in manifest["tracks"]] == ["speaker_00.mp4", "speaker_01.mp4", None, None]
    assert sounds_in(folder / "source_00.wav") == {"rain"}
    assert sounds_in(folder / "residual.wav") == sounds_in(folder / "speaker_00.wav") == set()
    check_sum(folder, manifest, sound_of(film))


@pytest.mark.parametrize(
    ("options", "kept", "removed"),
    [({"only": ("rain",)}, {"rain"}, {"dog_bark"}), ({"without": ("rain",)}, {"dog_bark"}, {"rain"})],
)
def test_sounds_of_a_film_are_asked_for_by_label(film, options, kept, removed):
    folder, manifest = run(film, model=None, residual="universal", **options)
    assert [(track["id"], track["kind"]) for track in manifest["tracks"]] == [("source_00", "sound")]
    assert (sounds_in(folder / "source_00.wav"), sounds_in(folder / "residual.wav")) == (kept, removed)
    voice = folder / ("residual.wav" if "only" in options else "source_00.wav")
    assert level_of(read(voice), "low") > 0.09
    check_sum(folder, manifest, sound_of(film))


def test_a_span_of_a_film_chooses_a_person_with_picture_and_face(film):
    folder, manifest = run(film, model=None, span=(1.8, 2.8))
    (track,) = manifest["tracks"]
    assert (track["id"], track["kind"], track["box"]) == ("speaker_00", "person", [90, 20, 120, 60])
    assert {p.name for p in folder.iterdir()} == {
        "manifest.json", "faces.json", "residual.wav", "speaker_00.wav", "speaker_00.mp4", "speaker_00.jpg",
    }  # fmt: skip
    assert level_of(read(folder / "speaker_00.wav"), "high") > 0.09
    assert [one["id"] for one in manifest["choice"]["found"] if one["chosen"]] == ["speaker_01"]
    check_sum(folder, manifest, sound_of(film))


def test_a_residual_of_nothing_is_not_split(film, tmp_path, monkeypatch):
    clip = write(tmp_path / "a.wav", tones(3, low=0.2, high=0.2, rain=0.001))
    store = Store()
    folder, manifest = run(clip, store, model=None, speakers=2, residual="universal")
    assert [track["kind"] for track in manifest["tracks"]] == ["voice", "voice"]
    assert manifest["warnings"][-1] == "the tracks leave nothing that could be split"
    assert store.models["universal"].calls == 0
    check_sum(folder, manifest, read(clip))


def test_where_nobody_speaks_all_is_split(street, monkeypatch):
    fixed_speech(monkeypatch, 0, 0)
    folder, manifest = run(street, model=None, residual="universal")
    assert [track["label"] for track in manifest["tracks"]] == ["rain", "dog_bark", "clock_tick"]
    check_sum(folder, manifest, read(street))


@pytest.mark.parametrize(("rate", "channels"), [(44_100, 2), (8_000, 1)])
def test_the_residual_at_other_rates(street, monkeypatch, rate, channels):
    fixed_speech(monkeypatch, 0.9, 0.9)
    mixture = np.stack([tones(2, rate, low=0.2, high=0.2, rain=0.1)] * channels)
    sf.write(street, mixture.T, rate, subtype="FLOAT")
    folder, manifest = run(street, model=None, speakers=2, residual="universal")
    assert [track["label"] for track in manifest["tracks"]] == [None, None, "rain"]
    check_sum(folder, manifest, mixture)


def test_the_residual_of_several_microphones(street, monkeypatch):
    fixed_speech(monkeypatch, 0.9, 0.8)
    array = Bands([(60, 340), (360, 640)], channels=(2, 8), kind="voice")
    mixture = np.stack([tones(2, low=0.2, high=0.1, rain=0.1), tones(2, low=0.1, high=0.2, rain=0.1)])
    folder, manifest = run(write(street, mixture), Store(array=array), "array", residual="universal")
    assert [track["kind"] for track in manifest["tracks"]] == ["voice", "voice", "sound"]
    assert level_of(read(folder / "source_00.wav"), "rain") == pytest.approx(0.1, rel=0.1)
    check_sum(folder, manifest, mixture)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ensemble-2spk", r"--residual ensemble-2spk: it separates voices. Give a model of sounds, such as universal"),
        ("pair", r"--residual pair: it takes 2 channels, and the clip has 1. Give a model of sounds"),
    ],
)
def test_models_that_cannot_split_a_residual(street, name, message):
    pair = Bands([(0, 100)], channels=(2, 2))
    with pytest.raises(UsageError, match=message):
        run(street, Store(pair=pair), model=None, residual=name)


def test_estimates_that_differ_are_not_joined():
    one, other = (Estimates.of(np.zeros((1, n), np.float32), RATE) for n in (10, 11))
    with pytest.raises(ValueError, match="estimates of one length, rate and number of channels expected"):
        Estimates.joined(one, other)
