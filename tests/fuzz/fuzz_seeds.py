"""Small valid files of each kind that avsep reads: what the mutations begin with."""

from __future__ import annotations

import io
import json
import tarfile
import tempfile
import wave
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from media_factory import tone, write_media

from avsep.people.library import made_by

SECONDS, SIZE = 0.4, (48, 32)

MODEL = {
    "class_path": "avsep.models.conv_tasnet.ConvTasNet",
    "init_args": {
        "filters": 8, "kernel": 8, "stride": 4, "bottleneck": 4, "hidden": 4, "skip": 4, "blocks": 1, "repeats": 1,
    },
}  # fmt: skip


def _made(suffix: str, write: Callable[[Path], object]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, f"a{suffix}")
        write(file)
        return file.read_bytes()


@cache
def clips() -> tuple[bytes, ...]:
    """Sound with pictures, in the containers and codecs of cameras, phones and the web."""
    times = np.arange(0, SECONDS, 0.04)

    def clip(suffix: str, sound: str, video: str, rate: int = 16_000, **more: Any) -> bytes:
        return _made(
            suffix,
            lambda file: write_media(
                file, sound=tone(SECONDS, rate), sample_rate=rate, sound_codec=sound, times=times, size=SIZE,
                video_codec=video, **more,
            ),
        )  # fmt: skip

    return (
        clip(".mp4", "aac", "libx264"),
        clip(".mp4", "aac", "mpeg4", rotation=90),
        clip(".mkv", "flac", "libx264"),
        clip(".webm", "libopus", "libvpx", 48_000),
        clip(".avi", "libmp3lame", "mpeg4"),
        clip(".mov", "pcm_s16le", "mjpeg", pixel_format="yuvj420p"),
        clip(".ts", "aac", "libx264"),
    )


@cache
def sounds() -> tuple[bytes, ...]:
    """Sound alone, as libsndfile and FFmpeg read it."""
    mono, stereo = tone(SECONDS)[0], tone(SECONDS, channels=2).T

    def sound(samples: np.ndarray, rate: int = 16_000, **how: str) -> bytes:
        out = io.BytesIO()
        soundfile.write(out, samples, rate, **how)
        return out.getvalue()

    def coded(suffix: str, codec: str, rate: int = 16_000) -> bytes:
        return _made(
            suffix, lambda file: write_media(file, sound=tone(SECONDS, rate), sample_rate=rate, sound_codec=codec)
        )

    return (
        sound(mono, format="WAV", subtype="PCM_16"),
        sound(stereo, format="WAV", subtype="FLOAT"),
        sound(stereo, format="WAVEX", subtype="PCM_24"),
        sound(mono, format="FLAC"),
        sound(stereo, format="OGG", subtype="VORBIS"),
        sound(mono, format="MP3"),
        sound(mono, format="AIFF"),
        coded(".opus", "libopus", 48_000),
        coded(".m4a", "aac"),
        coded(".mp3", "libmp3lame"),
    )


@cache
def weights() -> tuple[bytes, ...]:
    """A small model's file, and one with parts inside of parts."""
    from avsep.checkpoint import save_model
    from avsep.models.build import build_model

    model = build_model(MODEL["class_path"], MODEL["init_args"])
    return (
        _made(".safetensors", lambda file: save_model(file, model, "tiny", "MIT", {"data": ["none"]}, {"dB": 1.0})),
    )


@cache
def checkpoints() -> tuple[bytes, ...]:
    """What `avsep fit` leaves."""
    import torch

    from avsep.export.trained import HEADER
    from avsep.models.build import build_model

    state = build_model(MODEL["class_path"], MODEL["init_args"]).state_dict()
    ours = {"state_dict": {f"model.{k}": v for k, v in state.items()}, "global_step": 3, HEADER: MODEL}
    return (_made(".ckpt", lambda file: torch.save(ours, file)),)


@cache
def published() -> tuple[bytes, ...]:
    """A small model as asteroid saves it."""
    import torch

    golden = torch.load(Path(__file__).parents[1] / "imported" / "asteroid_conv_tasnet.pt", weights_only=True)
    return (_made(".pth", lambda file: torch.save(golden["serialized"], file)),)


@cache
def lips() -> tuple[bytes, ...]:
    out = io.BytesIO()
    np.savez(
        out, first=np.array(0), lips=np.zeros((3, 96, 96), np.uint8), quality=np.ones(3, np.float32),
        audio=np.zeros(1920, np.int16), face=np.zeros((3, 512), np.float32),
    )  # fmt: skip
    return (out.getvalue(),)


@cache
def rooms() -> tuple[bytes, ...]:
    out = io.BytesIO()
    np.savez(
        out, taps=np.ones((2, 2, 8), np.float32), ends=np.array([4, 8]), direct=np.zeros((2, 2, 2), np.int32),
        places=np.zeros((2, 2, 3), np.float32), microphones=np.zeros((2, 2, 3), np.float32),
        sample_rate=np.int64(16_000),
    )  # fmt: skip
    return (out.getvalue(),)


def _rows(*rows: str) -> bytes:
    return ("\n".join(rows) + "\n").encode()


def manifests() -> tuple[bytes, ...]:
    return (
        _rows(
            "id\taudio\tlips\tface\tspeaker\tsplit\tseconds",
            "a\ta.wav\ta.npz\t\tann\ttrain\t0.4",
            "b\ta.wav\t\t\tbob\tdev\t0.4",
        ),
    )


def lists() -> tuple[bytes, ...]:
    return (
        _rows(
            "mixture\tseconds\trole\tspeaker\taudio\tlips\tstart_seconds\tgain\tenrolment",
            "m\t0.4\tvoice\tann\ta.wav\ta.npz\t0.0\t1.0\ta.wav",
            "m\t0.4\tvoice\tbob\ta.wav\t\t0.1\t0.5\ta.wav",
            "m\t0.4\tnoise\t\ta.wav\t\t0.0\t0.1\t",
        ),
        _rows(
            "mixture\tseconds\trole\tspeaker\taudio\tlips\tstart_seconds\tgain",
            "m\t0.4\trecording\t\ta.wav\t\t0.0\t1.0",
            "m\t0.4\tvoice\tbob\ta.wav\t\t0.1003\t0.5",
        ),
    )


def pairs() -> tuple[bytes, ...]:
    return (
        _rows(
            "mixture\tsource\treference\testimate\taudio\tlabel\tdry",
            "m\ts1\ta.wav\ta.wav\ta.wav\tdog\ta.wav",
            "m\ts2\ta.wav\t\t\t\ta.wav",
        ),
    )


def labels() -> tuple[bytes, ...]:
    return (_rows("mixture\tsource\tlabel", "m\ts1\tdog", "m\ts2\tcat"),)


def tables() -> tuple[bytes, ...]:
    """Paths are taken as from the folder above."""
    return (
        _rows(
            "mixture_ID,mixture_path,source_1_path,source_2_path,length",
            "m,inside/a.wav,inside/a.wav,inside/a.wav,6400",
        ),
    )


def packed() -> tuple[bytes, ...]:
    return (_rows("id\tspeaker\tstart\tlength\tlips", "a\tann\t0\t1000\t", "b\tbob\t1000\t500\ta.npz"),)


def turns() -> tuple[bytes, ...]:
    return (
        _rows(
            ";; a meeting",
            "SPEAKER clip 1 0.00 0.20 <NA> <NA> ann <NA> <NA>",
            "SPEAKER clip 1 0.10 0.30 <NA> <NA> bob <NA> <NA>",
            "SPKR-INFO clip 1 <NA> <NA> <NA> unknown ann <NA> <NA>",
        ),
    )


def configurations() -> tuple[bytes, ...]:
    document = {
        "seed_everything": 0,
        "model": {
            "class_path": "avsep.training.separation.SeparationTask",
            "init_args": {"learning_rate": 1e-3, "model": MODEL},
        },
        "data": {
            "class_path": "avsep.data.module.SeparationData",
            "init_args": {
                "batch_size": 4,
                "train": {
                    "class_path": "avsep.data.mixtures.Mixtures",
                    "init_args": {"recipe": {"seconds": 2.0, "cast": {"class_path": "avsep.data.casts.Speakers"}}},
                },
            },
        },
        "trainer": {"max_epochs": 5},
    }
    return (json.dumps(document).encode(),)


def yaml_texts() -> tuple[bytes, ...]:
    return (
        _rows(
            "# avsep fit --config a.yaml",
            "seed_everything: 0",
            "model: &m",
            "  class_path: avsep.training.separation.SeparationTask",
            "  init_args: {learning_rate: 3.0e-3, model: {class_path: avsep.models.conv_tasnet.ConvTasNet}}",
            "trainer: {max_epochs: 5, devices: [0, 1]}",
            "ckpt_path: null",
        ),
    )


def positions() -> tuple[bytes, ...]:
    return (json.dumps({"positions": [[0, 0, 0], [0.05, 0, 0]]}).encode(),)


def lineages() -> tuple[bytes, ...]:
    return (json.dumps({"licence": "MIT", "lineage": {"data": ["a"]}, "scores": {"dB": 1.0}, "values": {}}).encode(),)


def results() -> tuple[bytes, ...]:
    """The manifest that `avsep separate` leaves."""
    track = {"id": "left", "audio": "a.wav", "label": "", "kind": "person", "box": [0, 0, 10, 10]}
    document = {
        "format": 1, "avsep_version": "0.1.0", "input": {"video": {"width": 48, "height": 32}}, "tracks": [track],
        "speakers": [track], "files": ["a.wav"], "residual": "residual.wav",
    }  # fmt: skip
    return (json.dumps(document).encode(),)


def people() -> tuple[bytes, ...]:
    """The list of a people library, of which one has no file of embeddings."""
    entry = {
        "id": "0" * 32, "name": "Ann", "added": "2026-01-01T00:00:00+00:00", "faces": 2, "voices": 1, "source": None,
        "thumbnail": True,
    }  # fmt: skip
    document = {"format": 1, "avsep_version": "0.1.0", "embeddings": made_by(), "learnt": 3, "people": [entry]}
    return (json.dumps(document).encode(),)


@cache
def transcripts() -> tuple[bytes, ...]:
    """What whisper and whisperX write for a track."""
    word = {"word": "a", "start": 0.5, "end": 0.6, "score": 0.9}
    segment = {"id": 0, "start": 0.5, "end": 1.5, "text": " a b", "words": [word]}
    both = ({"text": "a b", "segments": [segment], "language": "en"}, {"segments": [segment], "word_segments": [word]})
    return tuple(json.dumps(document).encode() for document in both)


@cache
def shards() -> tuple[bytes, ...]:
    flac, out = io.BytesIO(), io.BytesIO()
    soundfile.write(flac, tone(SECONDS)[0], 16_000, format="FLAC")
    members = {"flac": flac.getvalue(), "npz": lips()[0], "json": b'{"id": "a", "speaker": "ann", "seconds": 0.4}'}
    with tarfile.open(fileobj=out, mode="w") as archive:
        for suffix, data in members.items():
            entry = tarfile.TarInfo(f"000000.{suffix}")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return (out.getvalue(),)


@cache
def zips() -> tuple[bytes, ...]:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("corpus/a.txt", "text " * 100)
        archive.writestr("corpus/b/c.txt", "more")
    return (out.getvalue(),)


@cache
def tars() -> tuple[bytes, ...]:
    found = []
    for mode in ("w", "w:gz"):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode=mode) as archive:
            for name in ("corpus/a.txt", "corpus/b/c.txt"):
                entry = tarfile.TarInfo(name)
                entry.size = 500
                archive.addfile(entry, io.BytesIO(b"text " * 100))
        found.append(out.getvalue())
    return tuple(found)


def companions(folder: Path) -> None:
    """The files that seeds name, beside them."""
    with wave.open(str(folder / "a.wav"), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes((tone(SECONDS)[0] * 32767).astype("<i2").tobytes())
    (folder / "a.npz").write_bytes(lips()[0])
    np.save(folder / "train.npy", np.zeros(2000, np.int16))
