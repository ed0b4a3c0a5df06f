"""`avsep stream`: what comes in, what goes out, and every way in which a stream ends."""

from __future__ import annotations

import array
import fcntl
import io
import os
import signal
import socket
import struct
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import torch
from streams import noise, piped, standard, tiny_model, tiny_weights

from avsep.cli.main import main
from avsep.live.samples import FORMATS
from avsep.live.separator import LiveSeparator
from avsep.live.sinks import PipeSink, Sound
from avsep.live.source import PipeSource
from avsep.live.stopping import Stopping
from avsep.live.wav import UNKNOWN, write_head

RAW = ["--format", "f32le", "--keep-order"]


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """As from a terminal, also where the tests themselves run in the background and are not to be interrupted."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def stream(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """stream(arguments, data) -> (exit code, standard output, standard error), with the tiny model."""
    weights = tiny_weights(tmp_path)

    def run(arguments: list[str], data: bytes, **more) -> tuple[int, bytes, str]:
        code, out = piped(["--model", str(weights), *arguments], data, tmp_path, **more)
        return code, out, capsys.readouterr().err

    return run


def offline(mixture: np.ndarray) -> np.ndarray:
    """(time,) -> (sources, time), at the model's rate."""
    with torch.no_grad():
        return tiny_model()(torch.from_numpy(mixture)[None, None]).estimates[0, :, 0].numpy()


def floats(data: bytes, channels: int = 2) -> np.ndarray:
    return np.frombuffer(data, "<f4").reshape(-1, channels).T


def wav_through_a_pipe(samples: np.ndarray, rate: int) -> bytes:
    """As ffmpeg writes it where it cannot go back: (channels, time) as 16 bits, of unknown length."""

    class Pipe(io.RawIOBase):
        """No tell and no seek."""

        def __init__(self) -> None:
            self.data = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data) -> int:
            self.data += data
            return len(data)

    pipe = Pipe()
    with av.open(pipe, "w", format="wav") as container:
        layout = {1: "mono", 2: "stereo"}[len(samples)]
        track = container.add_stream("pcm_s16le", rate=rate, layout=layout)
        frame = av.AudioFrame.from_ndarray(
            (samples.T * 32767).astype(np.int16).reshape(1, -1), format="s16", layout=layout
        )
        frame.sample_rate = rate
        container.mux(track.encode(frame))
        container.mux(track.encode(None))
    return bytes(pipe.data)


def test_raw_samples_give_the_offline_result(stream) -> None:
    mixture = noise(1.3)[0]
    code, out, err = stream([*RAW, "-v"], mixture.tobytes())
    assert code == 0
    np.testing.assert_allclose(floats(out), offline(mixture), atol=1e-5)
    assert "latency chunk 16.0 ms + model 2.4 ms + resampling 0.0 ms = 18.4 ms" in err
    assert "1.30 s separated, real-time factor" in err


def test_a_wav_of_unknown_length_from_a_pipe(stream, tmp_path: Path) -> None:
    mixture = noise(1.0, 48_000, 2)
    data = wav_through_a_pipe(mixture, 48_000)
    assert data[4:8] == b"\xff\xff\xff\xff"  # as ffmpeg does
    code, out, err = stream(["--keep-order"], data)
    assert (code, err) == (0, "")
    (tmp_path / "out.wav").write_bytes(out)
    sources, rate = soundfile.read(tmp_path / "out.wav")
    assert (rate, sources.shape) == (48_000, (48_000, 2))
    assert np.abs(sources).max() > 0.01
    with av.open(io.BytesIO(out)) as container:  # what others make of an output without a length
        assert sum(frame.samples for frame in container.decode(audio=0)) == 48_000


@pytest.mark.parametrize("size", [0, UNKNOWN, 0x7FFF_F000])
def test_sizes_that_tell_no_length(stream, size: int) -> None:
    head = write_head(FORMATS["f32le"], 16_000, 1)
    mixture = noise(0.2)[0]
    code, out, _ = stream(["--keep-order", "--to", "raw"], head[:-4] + struct.pack("<I", size) + mixture.tobytes())
    assert code == 0
    np.testing.assert_allclose(floats(out), offline(mixture), atol=1e-5)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
@pytest.mark.parametrize("kind", ["WAV", "WAVEX", "RF64"])
def test_wav_files_of_each_kind(stream, tmp_path: Path, subtype: str, kind: str) -> None:
    soundfile.write(tmp_path / "in.wav", noise(0.1, channels=1)[0], 16_000, subtype=subtype, format=kind)
    data = (tmp_path / "in.wav").read_bytes() + b"LIST\4\0\0\0INFO"  # what follows the sound is none
    code, out, err = stream(["--keep-order", "--to", "raw"], data)
    assert (code, err) == (0, "")
    width = {"PCM_16": 2, "PCM_24": 3, "DOUBLE": 8}.get(subtype, 4)
    assert len(out) == 1600 * 2 * width


def test_a_file_for_each_voice_and_a_descriptor(stream, tmp_path: Path) -> None:
    mixture = noise(0.5)[0]
    with (tmp_path / "second.raw").open("wb") as file:
        number = os.dup(file.fileno())
        code, out, _ = stream([*RAW, "--out", str(tmp_path / "first.wav"), "--out", str(number)], mixture.tobytes())
    assert (code, out) == (0, b"")
    first, _ = soundfile.read(tmp_path / "first.wav", dtype="float32")
    assert soundfile.info(tmp_path / "first.wav").frames == 8000  # the length is set at the end
    second = floats((tmp_path / "second.raw").read_bytes(), 1)[0]
    np.testing.assert_allclose(np.stack([first, second]), offline(mixture), atol=1e-5)
    again = stream([*RAW, "--out", str(tmp_path / "first.wav")], mixture.tobytes())
    assert again[0] == 1
    assert "first.wav exists. Give --overwrite to replace it" in again[2]
    assert stream([*RAW, "--overwrite", "--out", str(tmp_path / "first.wav")], mixture.tobytes())[0] == 0
    assert soundfile.info(tmp_path / "first.wav").channels == 2


def test_one_file_is_not_two_outputs(stream, tmp_path: Path) -> None:
    kept, link, other = (tmp_path / name for name in ("kept.wav", "link.wav", "other"))
    kept.write_bytes(b"before")
    link.symlink_to(kept)
    names = [str(kept), f"{tmp_path}/./kept.wav", str(link)]
    with other.open("wb") as file:
        first, second = os.dup(file.fileno()), os.dup(file.fileno())
        pairs = [(names[0], names[1]), (names[0], names[2]), (str(first), str(second)), ("new.wav", "./new.wav")]
        for one, two in pairs:
            code, out, err = stream([*RAW, "--overwrite", "--out", one, "--out", two], noise(0.1).tobytes())
            assert (code, out) == (2, b"")
            assert f"--out {one} and --out {two} are the same. Give each source a place of its own" in err
        for number in (first, second):
            os.close(number)
    assert (kept.read_bytes(), other.read_bytes(), Path("new.wav").exists()) == (b"before", b"", False)


def test_a_file_is_kept_where_another_cannot_be_opened(stream, tmp_path: Path) -> None:
    kept, new = tmp_path / "kept.wav", tmp_path / "new.wav"
    kept.write_bytes(b"before")
    for one in (kept, new):
        code, _, err = stream(
            [*RAW, "--overwrite", "--out", str(one), "--out", str(tmp_path / "no" / "b.wav")], noise(0.1).tobytes()
        )
        assert code == 1
        assert "b.wav (No such file or directory)" in err
    assert (kept.read_bytes(), new.exists()) == (b"before", False)


def test_the_name_of_a_file_decides_only_where_nothing_else_does(stream, tmp_path: Path) -> None:
    mixture = noise(0.1)[0]
    out = tmp_path / "out.wav"
    assert stream([*RAW, "--to", "raw", "--out", str(out)], mixture.tobytes())[0] == 0
    np.testing.assert_allclose(floats(out.read_bytes()), offline(mixture), atol=1e-5)
    assert stream([*RAW, "--to", "wav", "--overwrite", "--out", str(tmp_path / "out.raw")], mixture.tobytes())[0] == 0
    assert (tmp_path / "out.raw").read_bytes().startswith(write_head(FORMATS["f32le"], 16_000, 2, 1600))


def test_a_head_is_looked_for_also_where_its_rate_is_given(stream) -> None:
    samples = bytes(3200)
    data = write_head(FORMATS["s16le"], 8000, 1, 1600) + samples
    code, out, err = stream(["--keep-order", "--rate", "8000", "--channels", "1", "--to", "raw"], data)
    assert (code, len(out), err) == (0, 6400, "")
    code, out, err = stream(["--keep-order", "--rate", "8000"], samples)
    assert (code, len(out), err) == (0, 6400, "")


def test_behind_the_sound_of_a_wav_nothing_is_waited_for() -> None:
    read, write = os.pipe()
    os.write(write, write_head(FORMATS["s16le"], 16_000, 1, 300) + bytes(600))  # 256 a chunk, and the pipe stays open
    reader = PipeSource(read, 0.016, Stopping(), lambda text: None)
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.extend(piece.shape[1] for piece in reader.pieces()))
    thread.start()
    thread.join(10)
    ended = not thread.is_alive()
    os.close(write)
    thread.join()
    os.close(read)
    assert ended
    assert sum(found) == 300


def test_half_a_frame_at_the_end_is_told(stream) -> None:
    code, out, err = stream(RAW, noise(0.1)[0].tobytes() + b"abc")
    assert (code, len(out)) == (0, 1600 * 8)
    assert "the last 3 bytes are no whole frame of 4, and are left out" in err


def test_samples_that_are_not_finite_become_silence(stream) -> None:
    mixture = noise(0.5)[0]
    damaged, silent = mixture.copy(), mixture.copy()
    damaged[[100, 4000]] = np.nan, np.inf
    silent[[100, 4000]] = 0
    code, out, err = stream(RAW, damaged.tobytes())
    assert code == 0
    np.testing.assert_allclose(floats(out), offline(silent), atol=1e-5)
    assert "not finite or far beyond full scale became silence" in err


def test_an_input_that_ends_too_early_is_told(stream) -> None:
    code, out, err = stream(["--keep-order"], write_head(FORMATS["s16le"], 16_000, 1, 16_000) + bytes(16_000))
    assert (code, len(out)) == (0, 44 + 4 * 8000)
    assert "ended 0.50 s before the end that its head tells" in err


def test_bytes_that_tell_nothing_are_taken_as_raw_and_that_is_told(stream) -> None:
    code, out, err = stream(["--keep-order"], bytes(3200))
    assert (code, len(out)) == (0, 6400)
    assert "taken as s16le, 16000 Hz, 1 channel(s)" in err


@pytest.mark.parametrize(
    ("arguments", "data", "code", "said"),
    [
        ([], b"", 1, "standard input: nothing came"),
        (["--format", "s16le"], b"\0", 1, "standard input: nothing came, not even a frame of 2 bytes"),
        ([], write_head(FORMATS["s16le"], 16_000, 1), 1, "standard input: nothing came, not even a frame of 2 bytes"),
        ([], write_head(FORMATS["s16le"], 16_000, 2, 0), 1, "nothing came, not even a frame of 4 bytes"),
        ([], b"OggS" + bytes(20), 1, "standard input is Ogg; WAV and raw samples can be read"),
        ([], b"\0\0\0\x20ftypisom" + bytes(20), 1, "standard input is MP4; WAV"),
        ([], b"RIFF\0\0\1\0AVI LIST" + bytes(20), 1, "standard input is AVI or another RIFF without sound; WAV"),
        (["--rate", "8000"], b"\xff\xfb\x90\x64" + bytes(20), 1, "standard input is MP3; WAV"),
        ([], b"\xff\xf3\x90\x64" + bytes(20), 1, "standard input is MP3; WAV"),
        (["--format", "wav"], bytes(20), 1, "standard input is no WAV"),
        ([], b"RIFF\0\0\0\0WAVEfmt ", 1, "the WAV ends before its first sample"),
        ([], b"RIFF\0\0\0\0WAVELIST\xff\xff\xff\x7f", 1, "more than 1,000,000 bytes before the sound"),
        ([], b"RIFF\0\0\0\0WAVEdata\0\0\0\0", 1, "no 'fmt ' chunk before its sound"),
        ([], b"RIFF\0\0\0\0WAVEfmt \4\0\0\0abcd", 1, "chunk of the WAV is too short"),
        ([], b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x55\0\1\0" + bytes(12), 1, "samples of kind 0x55 with 0 bits"),
        ([], write_head(FORMATS["s16le"], 0, 1), 1, "1 channel(s) at 0 Hz"),
        ([], write_head(FORMATS["s16le"], 16_000, 0) + bytes(20), 1, "0 channel(s) at 16000 Hz"),
        ([], write_head(FORMATS["s16le"], 2_999_999, 1) + bytes(20), 1, "at 2999999 Hz; up to 384000 Hz are read"),
        (
            ["--rate", "16000"],
            write_head(FORMATS["s16le"], 8000, 1) + bytes(20),
            2,
            "--rate 16000, but the head of the",
        ),
        (
            ["--channels", "2"],
            write_head(FORMATS["s16le"], 8000, 1) + bytes(20),
            2,
            "--channels 2, but the head of the",
        ),
        (["--sources", "3"], b"", 2, "--sources 3, but model 'tiny' separates 2"),
        (["--out", "a", "--out", "b", "--out", "c"], b"", 2, "--out is given 3 times, but there are 2 sources"),
        (["--out", "-", "--out", "1"], b"", 2, "--out - is given twice"),
        (["--out", "a.flac"], b"", 2, "--out a.flac: .flac cannot be written, but .wav, .raw, .pcm"),
        (["--to", "wav", "--out", "a.MP3"], b"", 2, "--out a.MP3: .mp3 cannot be written"),
        (["--out", "987654"], b"", 2, "no file descriptor 987654 is open"),
        (["--out", "no/folder/x.wav"], bytes(20), 1, "cannot write no/folder/x.wav (No such file or directory)"),
        (["--format", "wav", "--rate", "8000"], b"", 2, "--rate and --channels are of raw samples"),
        (["--model", "auxiva"], bytes(20), 1, "and this is AuxIVA"),
        (["--chunk", "0"], b"", 2, "'0' is no number of milliseconds from 1 to 1000"),
        (["--device", "0", "--format", "s16le"], b"", 2, "--format s16le is of standard input"),
    ],
)
def test_what_cannot_be(stream, arguments: list[str], data: bytes, code: int, said: str) -> None:
    found, out, err = stream(["--keep-order", *arguments], data)
    assert (found, out) == (code, b"")
    assert said in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"causal": False}, "streaming needs a model with causal=True and norm='cLN'; this one has causal=False"),
        ({"norm": "gLN"}, "this one has causal=True, norm='gLN'"),
        ({"padded": False}, "padded"),
    ],
)
def test_models_that_cannot_stream(tmp_path: Path, capsys, options: dict, said: str) -> None:
    weights = tiny_weights(tmp_path, **options)
    assert piped(["--model", str(weights), *RAW], noise(0.1).tobytes(), tmp_path) == (1, b"")
    err = capsys.readouterr().err
    assert f"model {str(weights)!r} cannot separate a stream" in err
    assert said in err


def test_other_numbers_of_voices_need_weights(capsys) -> None:
    with open(os.devnull, "rb") as null, standard(0, null.fileno()):
        assert main(["stream", "--sources", "4"]) == 2
    assert "no weights that come with avsep separate 4 voices of a stream, but 2" in capsys.readouterr().err


def waiting_in(pipe: int) -> int:
    """Bytes."""
    count = array.array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, count)
    return count[0]


def all_read(pipe: int) -> None:
    """Wait until a pipe has been emptied."""
    while waiting_in(pipe):
        time.sleep(0.01)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_stream_and_all_is_written(stream, number: int, code: int) -> None:
    def end(write: int) -> None:
        all_read(write)
        os.kill(os.getpid(), number)
        time.sleep(0.3)

    mixture = noise(0.503)[0]  # no whole number of chunks
    before = signal.getsignal(signal.SIGINT)
    found, out, err = stream(RAW, mixture.tobytes(), then=end)
    assert found == code
    np.testing.assert_allclose(floats(out), offline(mixture), atol=1e-5)
    assert "after 0.50 s of sound; all of it is written" in err
    assert signal.getsignal(signal.SIGINT) == before


def test_a_signal_just_after_sound_was_read_loses_nothing(stream, monkeypatch: pytest.MonkeyPatch) -> None:
    mixture = noise(0.503)[0]
    read, calls = os.read, []

    def read_and_interrupt(number: int, count: int) -> bytes:
        data = read(number, count)
        if number == 0:
            calls.append(len(data))
            if len(calls) == 2:
                os.kill(os.getpid(), signal.SIGINT)
        return data

    monkeypatch.setattr(os, "read", read_and_interrupt)
    code, out, _ = stream(RAW, mixture.tobytes())
    assert (code, out[8 * sum(calls) // 4 :]) == (130, b"")
    assert sum(calls) > calls[0]
    np.testing.assert_allclose(floats(out), offline(mixture[: sum(calls) // 4]), atol=1e-5)


def test_what_a_pipe_holds_when_a_signal_comes_is_separated(stream, monkeypatch: pytest.MonkeyPatch) -> None:
    mixture = noise(0.903)[0]  # less than a pipe holds, more than is taken at once
    all_in = threading.Event()
    feed = LiveSeparator.feed

    def feed_and_interrupt(self: LiveSeparator, piece: np.ndarray) -> np.ndarray:
        if not self.fed:
            assert all_in.wait(10)
            os.kill(os.getpid(), signal.SIGINT)
        return feed(self, piece)

    monkeypatch.setattr(LiveSeparator, "feed", feed_and_interrupt)
    code, out, err = stream(RAW, mixture.tobytes(), then=lambda end: all_in.set())
    assert code == 130
    np.testing.assert_allclose(floats(out), offline(mixture), atol=1e-5)
    assert "after 0.90 s of sound; all of it is written" in err


def test_a_signal_before_any_sound(stream) -> None:
    def end(write: int) -> None:
        while waiting_in(write):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.3)

    code, out, err = stream([], b"RIFF", then=end)
    assert (code, out) == (130, b"")
    assert "interrupted before any sound was separated" in err


def test_a_socket_that_is_reset_is_a_reader_that_went_away() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as ours:
        theirs, _ = server.accept()
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, no end
        theirs.close()
        sink = PipeSink(ours.fileno(), "x", slice(0, 1), 1, Sound("raw", FORMATS["f32le"], 16_000), Stopping())
        sink.write(noise(0.01))
    assert sink.gone


def test_a_reader_that_goes_away_ends_the_stream(tmp_path: Path, capsys) -> None:
    weights = tiny_weights(tmp_path)
    read, write = os.pipe()
    os.close(read)
    with (tmp_path / "in").open("w+b") as file, standard(0, file.fileno()), standard(1, write):
        file.write(noise(1.0).tobytes())
        file.seek(0)
        os.close(write)
        assert main(["stream", "--model", str(weights), *RAW]) == 0
    assert "nobody reads the output any more; stopped after" in capsys.readouterr().err


@pytest.mark.slow
def test_a_signal_ends_a_stream_whose_reader_takes_nothing(tmp_path: Path, capsys) -> None:
    weights = tiny_weights(tmp_path)
    out_read, out_write = os.pipe()

    def interrupt() -> None:
        while waiting_in(out_read) < 60_000:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    with (tmp_path / "in").open("w+b") as file, standard(0, file.fileno()), standard(1, out_write):
        file.write(noise(2.0).tobytes())  # more than a pipe holds, when separated
        file.seek(0)
        thread.start()
        assert main(["stream", "--model", str(weights), *RAW]) == 130
    assert "some of the output was not taken by its reader, and is lost" in capsys.readouterr().err
    for end in (out_read, out_write):
        os.close(end)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full here")
def test_a_full_disk(stream) -> None:
    code, _, err = stream([*RAW, "--out", "/dev/full"], noise(0.5).tobytes())
    assert code == 1
    assert "/dev/full cannot be written (No space left on device)" in err
