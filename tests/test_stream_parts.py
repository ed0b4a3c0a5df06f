"""The parts of a live stream: resampling, joined pieces, latency, pace, places of voices, devices, memory."""

from __future__ import annotations

import gc
import os
import signal
import struct
import sys
import tracemalloc
import types
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from made_voices import embedding
from streams import noise, piped, tiny_model, tiny_weights

from avsep.dsp.resample import resample
from avsep.errors import WeightsError
from avsep.live import loop
from avsep.live.loop import Pace
from avsep.live.places import Places
from avsep.live.resampler import StreamResampler
from avsep.live.samples import FORMATS
from avsep.live.separator import LiveSeparator


def pieces(x: np.ndarray, most: int, seed: int = 0):
    """(channels, time) in pieces of 0 to `most` samples."""
    rng, start = np.random.default_rng(seed), 0
    while start < x.shape[1]:
        size = int(rng.integers(0, most + 1))
        yield x[:, start : start + size]
        start += size


@pytest.mark.parametrize(
    ("rate", "new_rate"),
    [
        (48_000, 16_000),
        (16_000, 44_100),
        (44_100, 16_000),
        (8000, 16_000),
        (16_000, 16_000),
        (48_001, 16_000),
        (16_000, 48_001),
    ],
)
@pytest.mark.parametrize("time", [0, 1, 5, 5000])
def test_resampled_pieces_are_what_the_whole_is(rate: int, new_rate: int, time: int) -> None:
    x = noise(1, time, 2)
    stream, out, held = StreamResampler(rate, new_rate, 2), [], [0.0]
    fed = given = 0
    for piece in pieces(x, 200):
        out.append(stream.feed(piece))
        fed, given = fed + piece.shape[1], given + out[-1].shape[1]
        held.append(fed / rate - given / new_rate)
    joined = np.concatenate([*out, stream.finish()], axis=1)
    np.testing.assert_allclose(joined, resample(x, rate, new_rate) if time else x, atol=1e-6)
    assert max(held) <= stream.wait_seconds + 1e-9 < 0.0013


def test_the_filter_of_any_rate_is_small() -> None:
    for rates in ((383_999, 16_000), (16_000, 383_999), (44_101, 48_000)):
        assert StreamResampler(*rates).phases.nbytes < 5e6, rates


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_samples_of_each_format_come_back(name: str) -> None:
    one = FORMATS[name]
    x = np.array([[0, 0.5, -1, 0.25], [-0.5, 1.5, -2, 2**-15]], np.float32)
    data = one.encode(x)
    assert len(data) == x.size * one.width
    expected = np.clip(x, -1, 1 - 1 / one.full_scale) if one.full_scale else x
    np.testing.assert_array_equal(one.decode(data, 2), expected.astype(np.float32))


@pytest.mark.parametrize(("rate", "most"), [(16_000, 400), (48_000, 700), (44_100, 3000)])
def test_joined_outputs_are_the_offline_result(rate: int, most: int) -> None:
    x = noise(0.7, rate, 2)
    separator = LiveSeparator(tiny_model(), rate)
    out = [separator.feed(piece) for piece in pieces(x, most)]
    joined = np.concatenate([*out, separator.finish()], axis=1)
    with torch.no_grad():
        mixture = torch.from_numpy(resample(x.mean(0, keepdims=True), rate, 16_000))
        whole = tiny_model()(mixture[None]).estimates[0, :, 0].numpy()
    np.testing.assert_allclose(joined, resample(whole, 16_000, rate)[:, : x.shape[1]], atol=1e-5)


@pytest.mark.parametrize("rate", [16_000, 48_000, 44_100])
def test_no_sample_is_later_than_the_latency_that_is_told(rate: int) -> None:
    separator = LiveSeparator(tiny_model(), rate)
    chunk, held = round(0.016 * rate), 0
    for start in range(0, rate // 2, chunk):
        x = noise(1, rate)[:, start : start + chunk]
        held = max(held, separator.fed + x.shape[1] - separator.given)
        separator.feed(x)
    latency = separator.latency(chunk / rate)
    told = latency.chunk + latency.model + latency.resampling
    assert told - 0.002 < held / rate <= told + 1e-9
    assert latency.chunk + latency.resampling < 0.020


def test_a_model_without_a_level_is_refused() -> None:
    model = tiny_model()
    model.contract = type(model.contract)(**(vars(model.contract) | {"level": "free"}))
    with pytest.raises(WeightsError, match="its estimates have no level of their own"):
        LiveSeparator(model, 16_000)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_length() -> None:
    separator = LiveSeparator(tiny_model(), 24_000, Places(Tones(), 2, 16_000))
    x = noise(0.1, 24_000)
    tracemalloc.start()
    seen = []
    for quarter in range(4):
        for _ in range(250):
            separator.feed(x)
        gc.collect()
        seen.append(tracemalloc.get_traced_memory()[0])
        # One piece is 9600 bytes, and 750 of them go by after the first quarter.
        assert quarter == 0 or seen[-1] < seen[0] + 50_000, seen
    tracemalloc.stop()


def test_a_slow_separation_is_told_once_in_ten_seconds() -> None:
    told: list[str] = []
    pace = Pace(told.append)
    for _ in range(100):
        pace.passed(0.016, 0.010, waited=True)
    assert (told, pace.behind) == ([], 0)
    pace.passed(0.016, 0.300, waited=True)
    assert told == [message for message in told if "after 1.6 s the separation is 0.28 s behind its input" in message]
    assert len(told) == 1
    for _ in range(10):
        pace.passed(0.016, 0.010, waited=False)
    assert pace.behind == pytest.approx(0.284 - 0.06)
    pace.passed(0.016, 0.010, waited=True)
    assert pace.behind == 0
    for _ in range(700):
        pace.passed(0.016, 0.020, waited=False)
    assert len(told) == 2
    assert pace.most_behind == pytest.approx(700 * 0.004)


class Clock:
    """Stands for the module time, for a source, a separator and a sink: separation takes 5 ms, a piece is written in
    50 ms, while others gather."""

    rate, waited, lost, gone, late, now = 16_000, False, 0, False, 0, 0.0

    def perf_counter(self) -> float:
        return self.now

    def pieces(self) -> Iterator[np.ndarray]:
        yield from [noise(0.016)] * 20

    def feed(self, piece: np.ndarray) -> np.ndarray:
        self.now += 0.005
        return piece

    def finish(self) -> np.ndarray:
        return noise(0)

    def write(self, sources: np.ndarray) -> None:
        self.now += 0.05

    def close(self) -> None:
        pass


def test_what_a_slow_reader_takes_is_no_separation(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, told = Clock(), []
    monkeypatch.setattr(loop, "time", clock)
    report = loop.separate_stream(clock, clock, [clock], told.append, live=True)
    assert (told, report.most_behind) == ([], 0)
    assert report.busy == pytest.approx(20 * 0.005)


class Tones(torch.nn.Module):
    """Stands for the weights that tell voices: what the low and the high half of the spectrum have."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        power = torch.fft.rfft(x).abs().square()
        halves = torch.stack([half.sum(1) for half in power.tensor_split(2, dim=1)], dim=1)
        return torch.from_numpy(embedding(torch.nn.functional.normalize(halves, dim=1).numpy()))


def two_voices(seconds: float = 24.0, turn: float = 4.0) -> np.ndarray:
    """(2, time) at 16 kHz that take turns, one low and one high."""
    time = np.arange(round(seconds * 16_000)) / 16_000
    low, high = (0.1 * np.sin(2 * np.pi * f * time) for f in (300, 6000))
    first = (time // turn).astype(int) % 2 == 0
    return np.stack([low * first, high * ~first]).astype(np.float32)


def test_voices_that_changed_places_are_put_back() -> None:
    voices = two_voices()
    swapped = voices.copy()
    swapped[:, 8 * 16_000 :] = voices[::-1, 8 * 16_000 :]
    places = Places(Tones(), 2, 16_000)
    out = places.feed(swapped)
    assert places.changes == 1
    assert 8 < places.changed_seconds < 11
    after = round((places.changed_seconds + 0.1) * 16_000)
    np.testing.assert_array_equal(out[:, after:], voices[:, after:])
    np.testing.assert_array_equal(out[:, : 8 * 16_000], voices[:, : 8 * 16_000])
    # The crossfade: no step beyond those of the voices.
    assert np.abs(np.diff(out)).max() <= np.abs(np.diff(voices)).max() + 1e-3


def test_voices_in_their_places_stay() -> None:
    places = Places(Tones(), 2, 16_000)
    np.testing.assert_array_equal(places.feed(two_voices()), two_voices())
    assert places.changes == 0


def test_a_second_voice_on_the_first_one_s_output_gets_its_own() -> None:
    voices = two_voices(16.0, turn=8.0)
    places = Places(Tones(), 2, 16_000)
    out = places.feed(np.stack([voices.sum(0), np.zeros_like(voices[0])]))
    assert places.changes == 1
    after = round((places.changed_seconds + 0.1) * 16_000)
    np.testing.assert_array_equal(out[:, after:], voices[:, after:])


def test_the_pieces_make_no_difference_to_the_places() -> None:
    voices = two_voices()
    voices[:, 8 * 16_000 :] = voices[::-1, 8 * 16_000 :].copy()
    whole, parts = (Places(Tones(), 2, 16_000) for _ in range(2))
    joined = np.concatenate([parts.feed(piece) for piece in pieces(voices, 5000)], axis=1)
    np.testing.assert_allclose(joined, whole.feed(voices), atol=1e-6)
    assert (parts.changes, parts.changed_seconds) == (whole.changes, whole.changed_seconds)
    assert whole.changes == 1


class FakeStream:
    """What sounddevice gives: 0.5 s of noise, overflowing once; then the device is pulled out."""

    played: list[np.ndarray]

    def __init__(self, device: int, samplerate: int, channels: int, blocksize: int, dtype: str, latency: str) -> None:
        if samplerate == 12_345:
            raise FakeError("Invalid sample rate [PaErrorCode -9997]")
        self.rate, self.channels, self.position = samplerate, channels, 0
        self.read_available = 0
        FakeStream.played = []

    def __enter__(self):
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def read(self, count: int):
        if self.position >= self.rate // 2:
            raise FakeError("Device unavailable [PaErrorCode -9985]")
        self.position += count
        return noise(count / self.rate, self.rate, self.channels).T, self.position == count

    def write(self, data: np.ndarray) -> bool:
        FakeStream.played.append(data)
        return False

    def start(self) -> None:
        pass

    stop = close = start


class FakeError(Exception):
    pass


def query_devices(device=None, kind=None):
    found = [
        {"name": "Microphone", "index": 0, "max_input_channels": 1, "max_output_channels": 0},
        {"name": "Loudspeakers", "index": 1, "max_input_channels": 0, "max_output_channels": 2},
        {"name": "Earpiece", "index": 2, "max_input_channels": 0, "max_output_channels": 1},
    ]
    found = [one | {"default_samplerate": 16_000.0} for one in found]
    if device is None:
        return found
    if isinstance(device, int) and device < len(found):
        return found[device]
    for one in found:
        if isinstance(device, str) and device in one["name"]:
            return one
    raise ValueError(f"No {kind} device matching {device!r}")


@pytest.fixture
def sounddevice(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = types.ModuleType("sounddevice")
    fake.__dict__.update(
        query_devices=query_devices, InputStream=FakeStream, OutputStream=FakeStream, PortAudioError=FakeError
    )
    monkeypatch.setitem(sys.modules, "sounddevice", fake)


@pytest.fixture
def live(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    weights = tiny_weights(tmp_path)

    def run(*arguments: str) -> tuple[int, bytes, str]:
        code, out = piped(["--keep-order", "--model", str(weights), *arguments], b"", tmp_path)
        return code, out, capsys.readouterr().err

    return run


def test_a_microphone_is_separated_until_it_is_pulled_out(live, sounddevice, tmp_path: Path) -> None:
    code, _, err = live("--device", "Micro", "--out", str(tmp_path / "voices.wav"), "--play", "1")
    assert code == 1
    assert "Microphone: no more sound comes (Device unavailable [PaErrorCode -9985])" in err
    written, rate = soundfile.read(tmp_path / "voices.wav", dtype="float32")
    assert (rate, written.shape[1]) == (16_000, 2)
    assert len(written) > 0.45 * 16_000
    np.testing.assert_array_equal(np.concatenate(FakeStream.played), written)
    code, out, _ = live("--device", "0", "--play", "Loud")
    assert (code, out) == (1, b"")
    np.testing.assert_array_equal(np.concatenate(FakeStream.played), written)


def test_an_existing_file_beside_a_microphone(live, sounddevice, tmp_path: Path) -> None:
    file = tmp_path / "voices.wav"
    file.write_bytes(b"before")
    code, _, err = live("--device", "0", "--out", str(file))
    assert (code, file.read_bytes()) == (1, b"before")
    assert "voices.wav exists. Give --overwrite to replace it" in err


def test_a_file_gets_its_length_also_where_a_device_cannot_be_stopped(live, sounddevice, tmp_path, monkeypatch) -> None:
    def stop(self: FakeStream) -> None:
        raise FakeError("Device unavailable [PaErrorCode -9985]")

    monkeypatch.setattr(FakeStream, "stop", stop)
    file = tmp_path / "voices.wav"
    code, _, err = live("--device", "Micro", "--out", str(file), "--play", "1")
    assert code == 1
    assert "Loudspeakers cannot be stopped (Device unavailable [PaErrorCode -9985])" in err
    assert struct.unpack("<I", file.read_bytes()[40:44]) == (file.stat().st_size - 44,)


class InterruptedStream(FakeStream):
    """A signal comes while the third piece is recorded."""

    def read(self, count: int):
        result = super().read(count)
        if self.position == 3 * count:
            os.kill(os.getpid(), signal.SIGTERM)
        return result


def test_what_a_microphone_records_while_a_signal_comes_is_separated(live, sounddevice, monkeypatch) -> None:
    monkeypatch.setattr(sys.modules["sounddevice"], "InputStream", InterruptedStream)
    code, _, err = live("--device", "0", "--play", "1")
    assert code == 143
    assert sum(map(len, FakeStream.played)) == 3 * 256
    assert "terminated after 0.05 s of sound; all of it is written" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--device", "Radio"], "no input device 'Radio' (No input device matching 'Radio'). There is: 0 Microphone"),
        (["--device", "7"], "no input device '7'"),
        (["--device", "1"], "no input device '1' (Loudspeakers has no input)"),
        (["--device", "0", "--play", "0"], "no output device '0' (Microphone has no output)"),
        (["--device", "0", "--play", "2"], "--play Earpiece has 1 channel(s); each of the 2 sources needs one"),
    ],
)
def test_devices_that_there_are_not(live, sounddevice, arguments: list[str], said: str) -> None:
    code, out, err = live(*arguments)
    assert (code, out) == (2, b"")
    assert said in err


def test_a_rate_that_a_device_does_not_take(live, sounddevice) -> None:
    code, _, err = live("--device", "0", "--rate", "12345")
    assert code == 1
    assert "Microphone cannot be opened with 1 channel(s) at 12345 Hz (Invalid sample rate" in err


def test_without_the_package_or_its_library(live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    code, _, err = live("--device", "0")
    assert code == 2
    assert "pip install 'avsep[live]'" in err

    class NoLibrary:
        def find_spec(self, name: str, *more: object) -> None:
            if name == "sounddevice":
                raise OSError("PortAudio library not found")

    monkeypatch.delitem(sys.modules, "sounddevice")
    monkeypatch.setattr(sys, "meta_path", [NoLibrary(), *sys.meta_path])
    code, _, err = live("--device", "0")
    assert code == 2
    assert "sound devices need the library PortAudio (PortAudio library not found). Install it" in err
