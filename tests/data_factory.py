"""A small corpus for the tests of training data: every speaker a tone of its own, with lips that tell the time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile as sf

from avsep.data.manifest import Utterance, write_manifest

TONES = {"ada": 503, "bob": 907, "cyd": 1409, "dan": 2011}
"""Speaker -> Hz."""


def tone(hz: float, seconds: float, rate: int = 16_000) -> np.ndarray:
    return (0.1 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def write_lips(path: Path, count: int, first: int = 0) -> np.ndarray:
    """Picture k of the file is all k + 1."""
    lips = np.broadcast_to(np.arange(1, count + 1, dtype=np.uint8)[:, None, None], (count, 96, 96)).copy()
    np.savez(path, lips=lips, quality=np.ones(count, np.float32), first=np.array(first), audio=np.zeros(9, np.int16))
    return lips


def make_corpus(
    folder: Path, speakers: tuple[str, ...] = tuple(TONES), seconds: float = 1.6, lips: bool = False, rate: int = 16_000
) -> Path:
    """Two utterances a speaker, train and dev each; returns the manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for speaker in speakers:
        for number, split in enumerate(("train", "train", "dev", "dev")):
            audio, mouth = folder / f"{speaker}{number}.wav", folder / f"{speaker}{number}.npz"
            sf.write(audio, tone(TONES[speaker], seconds, rate), rate)
            if lips:
                write_lips(mouth, round(25 * seconds))
            rows.append(Utterance(f"{speaker}{number}", audio, mouth if lips else None, None, speaker, split, seconds))
    write_manifest(folder / "manifest.tsv", rows)
    return folder / "manifest.tsv"


def loudest_hz(x: np.ndarray, rate: int = 16_000) -> float:
    """Frequency of the highest peak of the spectrum of (time,)."""
    return float(np.abs(np.fft.rfft(x * np.hanning(len(x)))).argmax() * rate / len(x))
