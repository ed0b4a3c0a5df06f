"""What is an array and what is a film's sound, what is written of an array, and which of its channels are used."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from avsep.errors import InputError, UsageError
from avsep.media.array import is_array, read_positions
from avsep.media.probe import AudioInfo
from avsep.pipeline import Options, Separator

RATE = 16_000
CROSS = [[0.05, 0, 0], [0, 0.05, 0], [-0.05, 0, 0], [0, -0.05, 0]]


@pytest.mark.parametrize(
    ("channels", "layout", "asked", "expected"),
    [
        (1, "mono", "auto", False),
        (2, "stereo", "auto", False),
        (2, "2 channels", "auto", False),
        (2, "stereo", "places.json", True),
        (3, "3 channels", "auto", True),
        (4, "quad", "auto", True),
        (6, "6 channels", "auto", True),
        (6, "5.1", "auto", False),
        (6, "5.1(side)", "auto", False),
        (6, "5.1", "places.json", True),
        (7, "6.1", "auto", True),
        (8, "7.1(wide)", "auto", False),
        (8, "8 channels", "auto", True),
        (8, "8 channels", "off", False),
        (9, "9 channels", "auto", False),
    ],
)
def test_the_container_and_the_option_tell_an_array(channels: int, layout: str, asked: str, expected: bool) -> None:
    assert is_array(AudioInfo(0, RATE, channels, "pcm", layout), asked) is expected


def test_one_channel_is_no_array() -> None:
    with pytest.raises(UsageError, match=r"--array places.json: the sound has one channel, so there is no array"):
        is_array(AudioInfo(0, RATE, 1, "pcm", "mono"), "places.json")


def test_positions_are_read_in_the_order_of_the_channels(tmp_path: Path) -> None:
    file = tmp_path / "places.json"
    file.write_text(json.dumps({"positions": CROSS, "name": "table"}))
    assert read_positions(file, 4).tolist() == CROSS


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[0, 0", "is not JSON"),
        ("[]", 'has no list "positions"'),
        ('{"positions": 3}', 'has no list "positions"'),
        (json.dumps({"positions": CROSS[:3]}), "has 3 positions, and the sound 4 channels"),
        (
            json.dumps({"positions": [*CROSS[:3], [0, 1]]}),
            r"position 3 is \[0, 1\]; it must be three numbers in metres",
        ),
        (json.dumps({"positions": [*CROSS[:3], [0, 1, "a"]]}), "position 3 is"),
        (json.dumps({"positions": [*CROSS[:3], [0, 1, True]]}), "position 3 is"),
        ('{"positions": [[0, 0, 0], [0, 0, 1], [0, 1, 0], [NaN, 0, 0]]}', "position 3 is"),
        (json.dumps({"positions": [*CROSS[:3], [0, 5000, 0]]}), "each within -1000 to 1000"),
        (json.dumps({"positions": [*CROSS[:3], CROSS[1]]}), "positions 1 and 3 are the same"),
    ],
)
def test_positions_that_cannot_be_used_are_named(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "places.json"
    file.write_text(text)
    with pytest.raises(InputError, match=message):
        read_positions(file, 4)


@pytest.fixture(scope="module")
def meeting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two noises that come and go, at four microphones."""
    rng = np.random.default_rng(0)
    time = 2 * RATE
    envelope = np.repeat(rng.uniform(0.02, 0.3, (2, 40)), time // 40, axis=1)
    sources = envelope * rng.standard_normal((2, time))
    delays = ((0, 3, 6, 9), (9, 6, 3, 0))
    mixture = np.stack([sum(np.roll(s, d[m]) for s, d in zip(sources, delays, strict=True)) for m in range(4)])
    mixture += 1e-3 * rng.standard_normal(mixture.shape)
    path = tmp_path_factory.mktemp("array") / "meeting.wav"
    sf.write(path, (0.3 * mixture).T.astype(np.float32), RATE, subtype="FLOAT")
    return path


def written(folder: Path, manifest: dict) -> tuple[np.ndarray, np.ndarray]:
    """All tracks (tracks, channels, time) and the residual (channels, time)."""
    files = [track["audio"] for track in manifest["tracks"]] + [manifest["residual"]]
    sounds = [sf.read(folder / file, dtype="float32", always_2d=True)[0].T for file in files]
    return np.stack(sounds[:-1]), sounds[-1]


@pytest.mark.slow
@pytest.mark.parametrize(("channels", "shown"), [("reference", [0]), ("all", [0, 1, 2, 3])])
@pytest.mark.parametrize("model", ["auxiva", "audio-2spk"])
def test_tracks_and_residual_sum_to_the_channels_that_are_written(tmp_path, meeting, model, channels, shown) -> None:
    result = Separator(model, device="cpu").separate(meeting, tmp_path, Options(speakers=2, channels=channels))
    tracks, residual = written(tmp_path / "meeting", result)
    assert result["warnings"] == []
    assert len(tracks) == 2
    mixture = sf.read(meeting, dtype="float32")[0].T[shown]
    np.testing.assert_allclose(tracks.sum(axis=0) + residual, mixture, atol=1e-6)
    if model == "auxiva":  # the other one takes noise for noise
        assert np.square(residual).mean() < 0.5 * np.square(mixture).mean()


@pytest.mark.slow
def test_a_dead_channel_is_left_out_and_told(tmp_path: Path, meeting: Path) -> None:
    samples = sf.read(meeting, dtype="float32")[0]
    samples[:, 0] = 0
    sf.write(tmp_path / "spoilt.wav", samples, RATE, subtype="FLOAT")
    options = Options(speakers=2, channels="all")
    result = Separator("auxiva", device="cpu").separate(tmp_path / "spoilt.wav", tmp_path, options)
    tracks, residual = written(tmp_path / "spoilt", result)
    assert result["warnings"] == ["channel 0 is silent; it is left out"]
    np.testing.assert_allclose(tracks.sum(axis=0) + residual, samples.T[1:], atol=1e-6)
    # The reference microphone is the first that is of use.
    result = Separator("audio-2spk", device="cpu").separate(
        tmp_path / "spoilt.wav", tmp_path, Options(speakers=2, overwrite=True)
    )
    tracks, residual = written(tmp_path / "spoilt", result)
    np.testing.assert_allclose(tracks.sum(axis=0) + residual, samples.T[1:2], atol=1e-6)


@pytest.mark.slow
def test_nine_channels_without_positions_are_said_to_be_mixed_down(tmp_path: Path, meeting: Path) -> None:
    samples = sf.read(meeting, dtype="float32")[0]
    sf.write(tmp_path / "nine.wav", np.tile(samples, 3)[:, :9], RATE, subtype="FLOAT")
    separator = Separator("audio-2spk", device="cpu")
    told = separator.separate(tmp_path / "nine.wav", tmp_path / "a", Options(speakers=2))["warnings"]
    assert told == [
        "the 9 channels of this sound are taken for a film's, and their mean is separated; if they are microphones, "
        "give their positions with --array FILE.json"
    ]
    off = separator.separate(tmp_path / "nine.wav", tmp_path / "b", Options(speakers=2, array="off"))
    assert off["warnings"] == []


@pytest.mark.slow
@pytest.mark.parametrize("channels", ["reference", "all"])
def test_of_the_residual_of_an_array_the_reference_microphone_is_split(tmp_path, meeting, channels) -> None:
    options = Options(speakers=2, residual="universal", channels=channels)
    result = Separator("auxiva", device="cpu").separate(meeting, tmp_path, options)
    tracks, residual = written(tmp_path / "meeting", result)
    mixture = sf.read(meeting, dtype="float32")[0].T[: 1 if channels == "reference" else 4]
    np.testing.assert_allclose(tracks.sum(axis=0) + residual, mixture, atol=1e-6)


def test_too_few_good_channels_are_an_error_that_says_why(tmp_path: Path, meeting: Path, cli) -> None:
    samples = sf.read(meeting, dtype="float32")[0][:, :3]
    samples[:, 1] = 0
    samples[:, 2] = samples[:, 0]
    sf.write(tmp_path / "spoilt.wav", samples, RATE, subtype="FLOAT")
    code, out, err = cli("separate", tmp_path / "spoilt.wav", "--model", "auxiva", "-o", tmp_path / "out")
    assert (code, out) == (1, "")
    assert "1 of 3 channels can be used (channel 1 is silent; it is left out; channel 2 is a copy of channel 0" in err
    assert "'auxiva' takes 2 or more. Give --array off, or a model of one channel" in err
    assert not (tmp_path / "out").exists()


def test_off_is_a_film_with_all_its_channels(tmp_path: Path, meeting: Path, cli) -> None:
    code, _, err = cli("separate", meeting, "--array", "off", "--speakers", "2", "-o", tmp_path / "out")
    assert code == 0, err
    assert sf.info(tmp_path / "out" / "meeting" / "speaker_00.wav").channels == 4


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--array", "nowhere.json"), 2, "--array nowhere.json: No such file or directory. Give auto, off, or a JSON"),
        (("--array", "places.json"), 1, "places.json has 3 positions, and the sound 4 channels"),
        (("--channels", "two"), 2, "argument --channels: invalid choice: 'two'"),
    ],
)
@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_bad_options_are_refused_before_anything_is_written(
    tmp_path, monkeypatch, meeting, cli, arguments, code, message, dry
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("places.json").write_text(json.dumps({"positions": CROSS[:3]}))
    found, out, err = cli("separate", meeting, *arguments, *dry)
    assert (found, out) == (code, "")
    assert message in err
    assert not (tmp_path / "separated").exists()
