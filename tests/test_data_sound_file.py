"""Files that libsndfile cannot open, or not read to their end, are read all the same, or one is told why not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from corpus_factory import rows_by_id, skipped, write_sound
from media_factory import tone, write_jumpy_opus, write_media

from avsep.data.lists import MixtureSpec, Part, read_list, render
from avsep.data.manifest import Utterance, write_manifest
from avsep.data.sound import read_sound
from avsep.data.sound_file import SoundReader, decoded, sound_seconds, whole_seconds
from avsep.errors import InputError
from avsep.evaluation.files import trial_files
from preprocessing import make_mixtures, make_shards, mixture_lists, pack_audio, sound_folder
from preprocessing.mixture_lists import Mix

ONE = ["--workers", "1"]
SECONDS = 6.0


@pytest.fixture(scope="module")
def jumpy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An Opus file of a tone of 440 Hz that libsndfile cannot read to its end."""
    return write_jumpy_opus(tmp_path_factory.mktemp("opus") / "jumpy.opus", tone(SECONDS, 48_000))


@pytest.fixture
def cut_off(tmp_path: Path) -> Path:
    """A FLAC file whose header tells of 4 s, half of which were never copied."""
    write_sound(tmp_path / "cut.flac", 4.0)
    data = (tmp_path / "cut.flac").read_bytes()
    (tmp_path / "cut.flac").write_bytes(data[: len(data) // 2])
    return tmp_path / "cut.flac"


def loudness(samples: np.ndarray) -> np.ndarray:
    """Root mean square of each tenth of the sound."""
    return np.array([np.sqrt(np.mean(part**2)) for part in np.array_split(samples, 10)])


def test_libsndfile_still_stops_in_the_file(jumpy: Path) -> None:
    assert abs(sf.info(jumpy).duration - SECONDS) < 0.02
    with pytest.raises(sf.LibsndfileError, match="malformed"):
        sf.read(jumpy)
    assert whole_seconds(jumpy) is None


@pytest.mark.slow
def test_the_whole_is_read(jumpy: Path) -> None:
    with SoundReader(jumpy) as file:
        assert (file.sample_rate, file.channels) == (48_000, 1)
        samples = file.read()
    assert abs(len(samples) / 48_000 - SECONDS) < 0.02
    assert loudness(samples) == pytest.approx(0.5 / np.sqrt(2), rel=0.02)
    assert sound_seconds(jumpy) == pytest.approx(SECONDS, abs=0.02)


@pytest.mark.parametrize("rate", [16_000, 48_000])
def test_a_stretch_of_it_is_read(jumpy: Path, rate: int) -> None:
    """Even where libsndfile stops."""
    for start in np.arange(0, SECONDS - 1, 0.3):
        sound = read_sound(jumpy, float(start), rate, rate, at_least=SECONDS)
        assert sound.shape == (rate,)
        assert loudness(sound) == pytest.approx(0.5 / np.sqrt(2), rel=0.02)
    assert not read_sound(jumpy, SECONDS + 1, rate, rate).any()
    tail = read_sound(jumpy, SECONDS - 0.5, rate, rate)
    assert (tail[: rate // 3].any(), tail[-rate // 3 :].any()) == (True, False)


def test_the_fallback_keeps_the_rate_and_place_of_the_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """libsndfile gives Opus at the rate it was made of, FFmpeg at 48 kHz."""
    rise_and_fall = np.hanning(48_000).astype(np.float32)  # tells the place
    path = write_media(tmp_path / "a.opus", sound=tone(3.0) * rise_and_fall, sound_codec="libopus")
    with SoundReader(path) as file:
        assert file.sample_rate == 16_000
        whole = file.read()

        def stops(*_: object, **__: object) -> np.ndarray:
            raise sf.LibsndfileError(1)

        monkeypatch.setattr(file._file, "seek", stops)
        assert np.abs(file.read()[: len(whole)] - whole).max() < 5e-3
        for first, last in ((0, 4000), (12_345, 20_000), (44_000, 90_000)):
            part = file.read(first, last)
            assert part.shape == whole[first:last].shape
            assert np.abs(part - whole[first:last]).max() < 5e-3
        assert file.read(48_000, 50_000).shape == (0, 1)


@pytest.mark.slow
def test_formats_that_libsndfile_does_not_know(tmp_path: Path) -> None:
    path = write_media(tmp_path / "a.m4a", sound=tone(2.0, 44_100, 2), sample_rate=44_100)
    with SoundReader(path) as file:
        assert (file.sample_rate, file.channels) == (44_100, 2)
        assert file.seconds == pytest.approx(2.0, abs=0.06)
        whole, part = file.read(), file.read(22_050, 44_100)
    assert part.shape == (22_050, 2)
    assert np.abs(part - whole[22_050:44_100]).max() < 1e-3
    assert np.abs(read_sound(path, 0.5, 8000)).max() > 0.4
    assert whole_seconds(path) is None


@pytest.mark.slow
def test_a_file_that_is_cut_off_says_so(cut_off: Path) -> None:
    assert whole_seconds(cut_off) is None
    assert read_sound(cut_off, 0.5, 16_000, at_least=4.0).any()
    with SoundReader(cut_off) as file, pytest.raises(InputError, match=r"cut.flac: .*(could not be decoded|cut off)"):
        file.read()
    with pytest.raises(InputError, match=r"cut.flac: .*(could not be decoded|could be decoded|cut off)"):
        read_sound(cut_off, 2.5, 16_000, at_least=4.0)
    with pytest.raises(InputError, match=r"cut.flac: .*(could not be decoded|cut off)"):
        list(decoded(cut_off))


def test_an_mp3_that_is_cut_off_is_not_listed_as_half_as_long(tmp_path: Path) -> None:
    """libsndfile reads half of it and says nothing."""
    write_sound(tmp_path / "in" / "a" / "fine.wav")
    path = write_media(
        tmp_path / "in" / "a" / "cut.mp3", sound=tone(9.0, 44_100), sample_rate=44_100, sound_codec="mp3"
    )
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert whole_seconds(path) is None
    assert sound_folder.main([str(tmp_path / "in"), str(tmp_path / "out"), *ONE]) == 0
    assert set(rows_by_id(tmp_path / "out" / "manifest.tsv")) == {"a/fine.wav"}
    assert "the file may be cut off" in skipped(tmp_path / "out")["a/cut.mp3"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.touch(), "is empty"),
        (lambda path: path.write_text("no sound\n" * 99), "holds text, not sound"),
        (lambda path: path.write_bytes(np.random.default_rng(0).bytes(5000)), "is not a media file that can be read"),
    ],
)
def test_no_sound_at_all(tmp_path: Path, make, message: str) -> None:
    path = tmp_path / "a.wav"
    make(path)
    for read in (sound_seconds, lambda path: read_sound(path, 0.0, 10)):
        with pytest.raises(InputError, match=rf"a.wav: {message}"):
            read(path)
    assert whole_seconds(path) is None


def test_no_samples(tmp_path: Path) -> None:
    sf.write(tmp_path / "a.wav", np.zeros(0), 16_000)
    assert whole_seconds(tmp_path / "a.wav") == 0
    with pytest.raises(InputError, match=r"a.wav: holds no samples"):
        sound_seconds(tmp_path / "a.wav")
    assert not read_sound(tmp_path / "a.wav", 0.0, 10).any()


@pytest.mark.parametrize("name", ["ein Ü.wav", "caf\udce9.wav", "take:1.wav", "[a]*?.wav"])
def test_odd_names(tmp_path: Path, name: str) -> None:
    write_sound(tmp_path / "plain.wav")
    (tmp_path / "plain.wav").rename(tmp_path / name)
    assert whole_seconds(tmp_path / name) == sound_seconds(tmp_path / name) == 0.5
    assert read_sound(tmp_path / name, 0.0, 8000).any()
    assert sum(block.samples.shape[1] for block in decoded(tmp_path / name)) == 8000


# Everything that reads sounds goes this way


@pytest.fixture
def corpus(jumpy: Path, tmp_path: Path) -> Path:
    """A manifest of two speakers, the first's sound being the file that libsndfile cannot read to its end."""
    write_sound(tmp_path / "b.wav", SECONDS)
    rows = [
        Utterance("a", jumpy, None, None, "anna", "train", SECONDS),
        Utterance("b", tmp_path / "b.wav", None, None, "bert", "train", SECONDS),
    ]
    write_manifest(tmp_path / "manifest.tsv", rows)
    return tmp_path / "manifest.tsv"


@pytest.mark.slow
def test_packing_shards_and_mixtures(corpus: Path, tmp_path: Path) -> None:
    for module, more in (
        (pack_audio, []),
        (make_shards, []),
        (make_mixtures, ["--counts", "20,0,0"]),
    ):
        out = tmp_path / module.__name__
        assert module.main([str(corpus), str(out), *ONE, *more]) == 0
        assert skipped(out) == {}
    assert len(np.load(tmp_path / "preprocessing.pack_audio" / "train.npy")) == pytest.approx(2 * 96_000, abs=400)
    specs = read_list(tmp_path / "preprocessing.make_mixtures" / "train.tsv")
    assert len(specs) == 20
    for spec in specs:
        _, sources = render(spec)
        assert sources.any(axis=-1).all()


def test_listing_and_measuring(jumpy: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert sound_folder.main([str(jumpy.parent), str(out), *ONE]) == 0
    row = rows_by_id(out / "manifest.tsv")["jumpy.opus"]
    assert row.audio == out / "audio" / "jumpy.opus.flac"
    assert (sf.info(row.audio).duration, row.seconds) == pytest.approx((SECONDS, SECONDS), abs=0.02)
    part = Part(jumpy, None, "anna", "voice", 0.0, 1.0)
    assert mixture_lists.measure(Mix("m", "test", (part,))).seconds == pytest.approx(SECONDS, abs=0.02)


def test_a_place_behind_the_end_is_refused(jumpy: Path) -> None:
    spec = MixtureSpec("m", 1.0, (Part(jumpy, None, "anna", "voice", 9.0, 1.0),))
    with pytest.raises(InputError, match=r"mixture m: start_seconds is 9, but .*jumpy.opus ends at 6.0"):
        render(spec)


def test_evaluation(jumpy: Path) -> None:
    trial = trial_files("m", {"a": jumpy}, {"a": jumpy}).load()
    assert trial.references.shape == trial.estimates.shape == (1, 1, trial.mixture.shape[-1])
    assert trial.mixture.shape[-1] / 48_000 == pytest.approx(SECONDS, abs=0.02)


@pytest.mark.slow
def test_every_real_sound_is_read(shared: Path) -> None:
    """One in ten of these stops libsndfile."""
    files = sorted((shared / "sounds").rglob("*.opus"))
    stopped = [file for file in files if whole_seconds(file) is None]
    assert len(stopped) > len(files) // 20
    for file in stopped:
        with SoundReader(file) as sound:
            samples = sound.read()
            assert abs(len(samples) - sound.frames) < 0.1 * sound.sample_rate
            half = sound.read(len(samples) // 2)
            assert abs(len(half) - len(samples) // 2) < 0.1 * sound.sample_rate
