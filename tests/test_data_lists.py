"""Fixed lists of mixtures, and the stretches of files they are rendered from."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch
from data_factory import write_lips
from scipy.signal import butter, sosfilt

from avsep.data.lists import FixedMixtures, MixtureSpec, Part, read_list, render, write_list
from avsep.data.sound import read_face, read_lips, read_repeated, read_sound
from avsep.dsp.alignment import moved
from avsep.errors import InputError
from avsep.signals import pictures_in


def write_noise(path: Path, seconds: float, rate: int = 16_000, channels: int = 1, seed: int = 0) -> np.ndarray:
    """Smooth noise in a float WAV; returns (time, channels)."""
    rng = np.random.default_rng(seed)
    samples = rng.standard_normal((round(seconds * rate), channels)).astype(np.float32)
    samples = 0.1 * (samples + np.roll(samples, 1, 0) + np.roll(samples, 2, 0))
    sf.write(path, samples, rate, subtype="FLOAT")
    return samples


@pytest.fixture
def specs(tmp_path: Path) -> list[MixtureSpec]:
    for number in range(3):
        write_noise(tmp_path / f"{number}.wav", 1.5, seed=number)
    write_lips(tmp_path / "0.npz", 30)
    write_lips(tmp_path / "1.npz", 30)
    parts = [Part(tmp_path / f"{n}.wav", tmp_path / f"{n}.npz", f"s{n}", "voice", 0.1 * n, 0.5 + n) for n in (0, 1)]
    noise = Part(tmp_path / "2.wav", None, "rain", "noise", 1.2, 1 / 3)
    return [MixtureSpec("a", 1.0, (*parts, noise)), MixtureSpec("b", 1.25, (parts[1], parts[0]))]


def test_a_list_reads_back_as_it_was_written(tmp_path: Path, specs: list[MixtureSpec]) -> None:
    write_list(tmp_path / "lists" / "dev.tsv", specs)
    again = read_list(tmp_path / "lists" / "dev.tsv")
    assert [(s.id, s.seconds, [(p.speaker, p.role, p.start_seconds, p.gain) for p in s.parts]) for s in again] == [
        (s.id, s.seconds, [(p.speaker, p.role, p.start_seconds, p.gain) for p in s.parts]) for s in specs
    ]
    assert [p.audio.resolve() for s in again for p in s.parts] == [p.audio for s in specs for p in s.parts]
    assert str(tmp_path) not in (tmp_path / "lists" / "dev.tsv").read_text()


def test_a_list_may_name_enrolments(tmp_path: Path, specs: list[MixtureSpec]) -> None:
    enrolled = [replace(part, enrolment=tmp_path / f"{1 - n}.wav") for n, part in enumerate(specs[0].voices)]
    write_list(tmp_path / "dev.tsv", [MixtureSpec("a", 1.0, (*enrolled, specs[0].parts[2])), specs[1]])
    first, second = read_list(tmp_path / "dev.tsv")
    assert [part.enrolment and part.enrolment.name for part in first.parts] == ["1.wav", "0.wav", None]
    assert [part.enrolment for part in second.parts] == [None, None]
    item = FixedMixtures([first], enrolment_seconds=0.5)[0]
    assert np.array_equal(item["enrolment"][0].numpy(), read_sound(tmp_path / "1.wav", 0, 8000))
    (tmp_path / "1.wav").write_bytes(b"no sound")
    with pytest.raises(InputError, match=r"1.wav: holds text, not sound"):
        read_repeated(tmp_path / "1.wav", 8000)
    (tmp_path / "1.wav").unlink()
    with pytest.raises(InputError, match=r"dev.tsv, line 2: enrolment is .*1.wav, which is not there"):
        read_list(tmp_path / "dev.tsv")


def test_a_list_in_a_folder_that_is_a_link_finds_its_files(tmp_path: Path, specs: list[MixtureSpec]) -> None:
    (tmp_path / "big" / "disk").mkdir(parents=True)
    (tmp_path / "data").symlink_to(tmp_path / "big" / "disk")
    write_list(tmp_path / "data" / "dev.tsv", specs)
    assert [p.audio.resolve() for s in read_list(tmp_path / "data" / "dev.tsv") for p in s.parts] == [
        p.audio for s in specs for p in s.parts
    ]


def test_a_mixture_is_the_sum_of_its_parts(tmp_path: Path, specs: list[MixtureSpec]) -> None:
    mixture, sources = render(specs[0])
    whole = [sf.read(tmp_path / f"{n}.wav", dtype="float32")[0] for n in range(3)]
    assert mixture.shape == (1, 16_000)
    assert sources.shape == (2, 1, 16_000)
    assert np.allclose(sources[0, 0], 0.5 * whole[0][:16_000])
    assert np.allclose(sources[1, 0], 1.5 * whole[1][1600:17_600])
    noise = (mixture - sources.sum(0))[0]
    assert np.allclose(noise[:4800], whole[2][19_200:24_000] / 3, atol=1e-6)
    # The noise's file ends 0.3 s into the mixture.
    assert np.abs(noise[4800:]).max() < 1e-6


def test_items_of_one_length_with_lips(specs: list[MixtureSpec]) -> None:
    data = FixedMixtures(specs, seconds=1.1, faces=True)
    assert len(data) == 2
    assert data[0]["mixture"].shape == (1, 17_600)
    assert data[0]["lips"].shape == (2, 28, 96, 96)
    assert data[0]["sources"].shape == (2, 1, 17_600)
    assert data[1]["name"] == "b"
    assert data.names == ["s0", "s1"]
    assert [data[n]["labels"].tolist() for n in (0, 1)] == [[0, 1], [1, 0]]
    # Source 1 starts 0.1 s into its file: its first picture is the third of the file (2.5 pictures in).
    assert data[0]["lips"][:, 0, 0, 0].mul(255).round().tolist() == [1, 3]
    assert torch.equal(data[2]["mixture"], data[0]["mixture"])
    with pytest.raises(InputError, match=r"mixture a: no lips for .*2.wav"):
        FixedMixtures([MixtureSpec("a", 1.0, (Part(specs[0].parts[2].audio, None, "s", "voice", 0, 1),))], faces=True)


def test_channels_and_rate_of_a_list_of_stems(tmp_path: Path) -> None:
    stems = [Part(tmp_path / f"{name}.wav", None, name, "voice", 0.0, 1.0) for name in ("vocals", "bass")]
    whole = [write_noise(part.audio, 0.3, 44_100, 2, seed) for seed, part in enumerate(stems)]
    sf.write(stems[1].audio, np.zeros((13_230, 2)), 44_100)
    item = FixedMixtures([MixtureSpec("song", 0.2, tuple(stems))], sample_rate=44_100, channels=2)[0]
    assert item["mixture"].shape == (2, 8820)
    assert np.array_equal(item["sources"][0].numpy(), whole[0][:8820].T)
    # The second stem is silent.
    assert item["labels"].tolist() == [1, -1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("voice", "singer"), r"line 2: role is 'singer'; it must be one of voice, noise"),
        (("\t1.0\t", "\tlong\t"), r"line 2: seconds is 'long'; it must be a number"),
        (("\t1.0\t", "\t-1.0\t"), r"line 2: seconds is -1.0; a mixture is longer than 0 s"),
        (("0.5\n", "nan\n"), r"line 2: gain is nan; it must be finite"),
        (("0.wav", "gone.wav"), r"line 2: audio is .*gone.wav, which is not there"),
        (("0.npz", "gone.npz"), r"line 2: lips is .*gone.npz, which is not there"),
        (("0.wav", ""), r"line 2: audio is empty"),
        (("\ts0\t", "\t"), r"line 2: not 8 columns"),
        (("\tgain", "\tlevel"), r"no column gain; a list of mixtures has mixture, "),
        (("a\t1.0\tvoice\ts1", "a\t2.0\tvoice\ts1"), r"line 3: seconds is 2, but 1 in an earlier row of a"),
    ],
)
def test_a_bad_list_is_named_with_line_and_column(
    tmp_path: Path, specs: list[MixtureSpec], change: tuple[str, str], message: str
) -> None:
    path = tmp_path / "dev.tsv"
    write_list(path, specs)
    path.write_text(path.read_text().replace(*change, 1))
    with pytest.raises(InputError, match=message):
        read_list(path)


def test_no_list_no_rows_no_voice(tmp_path: Path, specs: list[MixtureSpec]) -> None:
    with pytest.raises(InputError, match=r"gone.tsv: no such list.*preprocessing.make_mixtures"):
        read_list(tmp_path / "gone.tsv")
    write_list(tmp_path / "empty.tsv", [])
    with pytest.raises(InputError, match="no rows"):
        read_list(tmp_path / "empty.tsv")
    write_list(tmp_path / "noise.tsv", [MixtureSpec("n", 1.0, specs[0].parts[2:])])
    with pytest.raises(InputError, match="mixture n has no row with role voice"):
        read_list(tmp_path / "noise.tsv")


def test_a_part_behind_the_end_or_damaged_is_named(tmp_path: Path) -> None:
    write_noise(tmp_path / "short.wav", 0.5)
    (tmp_path / "bad.wav").write_bytes(b"no sound")
    for name, message in (("short", r"mixture m: start_seconds is 2, but .*short.wav ends at 0.500 s"), ("bad", "bad")):
        part = Part(tmp_path / f"{name}.wav", None, "s", "voice", 2.0, 1.0)
        with pytest.raises(InputError, match=message):
            render(MixtureSpec("m", 1.0, (part,)))


@pytest.mark.parametrize("rate", [8000, 44_100, 48_000])
def test_a_stretch_of_another_rate_is_that_stretch_of_the_whole(tmp_path: Path, rate: int) -> None:
    write_noise(tmp_path / "x.wav", 1.0, rate, channels=2)
    whole = read_sound(tmp_path / "x.wav", 0.0, 16_000)
    part = read_sound(tmp_path / "x.wav", 0.40125, 4000)
    assert np.allclose(part, whole[6420:10_420], atol=2e-4 * np.abs(whole).max())
    early = read_sound(tmp_path / "x.wav", -0.1, 3200)
    assert np.abs(early[:1500]).max() < 0.02 * np.abs(whole).max()
    assert np.allclose(early[1700:], whole[100:1600], atol=1e-3)


def test_lips_outside_the_file_are_black(tmp_path: Path) -> None:
    lips = write_lips(tmp_path / "x.npz", 10, first=-2)
    got = read_lips(tmp_path / "x.npz", -0.16, 20)
    assert not got[:2].any()
    assert np.array_equal(got[2:12], lips)
    assert not got[12:].any()
    assert not read_lips(tmp_path / "x.npz", 60.0, 5).any()
    assert [pictures_in(n) for n in (640, 641, 16_000)] == [1, 2, 25]
    (tmp_path / "bad.npz").write_bytes(b"x")
    with pytest.raises(InputError, match=r"bad.npz: no lips can be read.*preprocessing.extract_lips"):
        read_lips(tmp_path / "bad.npz", 0, 1)


def test_embeddings_of_a_list(tmp_path: Path, specs: list[MixtureSpec]) -> None:
    numbers = np.arange(1, 41, dtype=np.float32)[:, None].repeat(512, 1)
    np.savez(tmp_path / "x.npz", face=numbers, first=np.array(-2))
    got = read_face(tmp_path / "x.npz", -0.16, 6)
    assert (got.shape, got.dtype) == ((6, 512), np.float32)
    assert got[:, 3].tolist() == [0, 0, 1, 2, 3, 4]
    part = replace(specs[0].parts[0], lips=tmp_path / "x.npz", start_seconds=0.2)
    item = FixedMixtures([MixtureSpec("a", 0.4, (part, part))], embeddings=True)[0]
    assert item["face"].shape == (2, 10, 512)
    assert item["face"][1, :2, 0].tolist() == [8, 9]
    assert "lips" not in item
    with pytest.raises(InputError, match=r"no face can be read.*preprocessing.extract_lips with --face-embeddings"):
        FixedMixtures(specs[:1], embeddings=True)[0]
    np.savez(tmp_path / "x.npz", face=numbers[:, :100], first=np.array(0))
    with pytest.raises(InputError, match=r"face is \(40, 100\) float32, not \(n, 512\) float32"):
        read_face(tmp_path / "x.npz", 0, 1)


def test_training_on_a_list_shuffles_and_cuts(tmp_path: Path) -> None:
    specs = []
    for number in range(6):
        write_noise(tmp_path / f"{number}.wav", 1.0, seed=number)
        specs.append(MixtureSpec(str(number), 1.0, (Part(tmp_path / f"{number}.wav", None, "s", "voice", 0.0, 1.0),)))
    data = FixedMixtures(specs, seconds=0.4, seed=1)
    epochs = [[str(data[n]["name"]) for n in range(first, first + 6)] for first in (0, 6, 12)]
    assert all(sorted(epoch) == list("012345") for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1
    assert torch.equal(data[9]["mixture"], FixedMixtures(specs, seconds=0.4, seed=1)[9]["mixture"])
    cuts = {float(data[n]["mixture"][0, 0]) for n in range(24)}
    assert len(cuts) > 12
    assert all(data[n]["mixture"].shape == (1, 6400) for n in range(6))


@pytest.fixture
def recorded(tmp_path: Path) -> MixtureSpec:
    """Two sources that begin 1000.25 and -80.5 samples after a recording of them."""
    noises = [write_noise(tmp_path / f"{n}.wav", 1.0, seed=n)[:, 0] for n in range(2)]
    sounds = [np.hanning(16_000) * sosfilt(butter(8, 2000, fs=16_000, output="sos"), noise) for noise in noises]
    for n, sound in enumerate(sounds):
        sf.write(tmp_path / f"{n}.wav", sound, 16_000, subtype="FLOAT")
    places = ((1000.25, 0.5), (-80.5, -2.0))
    mixture = sum(gain * moved(sound, delay, 20_000) for sound, (delay, gain) in zip(sounds, places, strict=True))
    sf.write(tmp_path / "mix.wav", mixture + 0.01, 16_000, subtype="FLOAT")
    voices = [
        Part(tmp_path / f"{n}.wav", None, f"s{n}", "voice", -delay / 16_000, gain)
        for n, (delay, gain) in enumerate(places)
    ]
    return MixtureSpec("a", 1.25, (Part(tmp_path / "mix.wav", None, "x", "recording", 0.0, 1.0), *voices))


def test_a_recording_is_the_mixture_and_its_voices_lie_where_they_are_in_it(
    tmp_path: Path, recorded: MixtureSpec
) -> None:
    write_list(tmp_path / "test.tsv", [recorded])
    (spec,) = read_list(tmp_path / "test.tsv")
    assert spec.recording is not None
    assert spec.recording.audio.resolve() == tmp_path / "mix.wav"
    mixture, sources = render(spec)
    assert sources.shape == (2, 1, 20_000)
    assert np.array_equal(mixture[0], sf.read(tmp_path / "mix.wav", dtype="float32")[0])
    # All that the voices leave of it is the recording's own noise.
    np.testing.assert_allclose((mixture - sources.sum(0))[:, 300:-300], 0.01, atol=2e-3)
    item = FixedMixtures([spec], seconds=0.5, seed=0)[0]
    np.testing.assert_allclose((item["mixture"] - item["sources"].sum(0))[:, 300:-300], 0.01, atol=2e-3)
    halved = render(spec, 8000)
    np.testing.assert_allclose((halved[0] - halved[1].sum(0))[:, 300:-300], 0.01, atol=4e-3)


def test_a_recording_stands_beside_voices_only(tmp_path: Path, recorded: MixtureSpec) -> None:
    noise = replace(recorded.parts[1], role="noise")
    for more in (noise, recorded.parts[0]):
        write_list(tmp_path / "test.tsv", [replace(recorded, parts=(*recorded.parts, more))])
        with pytest.raises(InputError, match=r"mixture a has a row with role recording and others that are no voices"):
            read_list(tmp_path / "test.tsv")
    write_list(tmp_path / "test.tsv", [replace(recorded, parts=recorded.parts[:1])])
    with pytest.raises(InputError, match="mixture a has no row with role voice"):
        read_list(tmp_path / "test.tsv")
