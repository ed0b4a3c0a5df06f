"""A small corpus for the tests of training data: every speaker a tone of its own, with lips that tell the time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf

from avsep.data.casts import Speakers
from avsep.data.cues import Cue
from avsep.data.degradation import Degradation
from avsep.data.levels import Loudness
from avsep.data.manifest import Utterance, write_manifest
from avsep.data.recipe import Recipe
from avsep.data.scene import SimulatedScene

TONES = {"ada": 503, "bob": 907, "cyd": 1409, "dan": 2011}
"""Speaker -> Hz."""


def tone(hz: float, seconds: float, rate: int = 16_000) -> np.ndarray:
    return (0.1 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def white(length: int, seed: int = 0) -> np.ndarray:
    """(1, length) of noise."""
    return 0.1 * np.random.default_rng(seed).standard_normal((1, length), dtype=np.float32)


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


def make_songs(folder: Path, songs: dict[str, tuple[str, ...]], seconds: float = 1.0, rate: int = 44_100) -> Path:
    """Stereo stems of songs: song -> its stems; returns the manifest. A stem is a tone of its own, twice as loud on the
    left; song number n has n cycles a second of tremolo, to be told from the others."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number, (song, stems) in enumerate(songs.items(), 1):
        for stem in stems:
            audio = folder / f"{song}-{stem}.wav"
            time = np.arange(round(seconds * rate)) / rate
            x = tone(STEM_TONES[stem], seconds, rate) * (1 + 0.5 * np.sin(2 * np.pi * number * time))
            sf.write(audio, np.stack([x, x / 2], axis=1), rate, subtype="FLOAT")
            rows.append(Utterance(f"train/{song}/{stem}", audio, None, None, stem, "train", seconds))
    write_manifest(folder / "manifest.tsv", rows)
    return folder / "manifest.tsv"


STEM_TONES = {"bass": 220, "drums": 880, "other": 1760, "vocals": 440}
"""Stem -> Hz."""


def speech(
    voices: str | Path | list[str] | None,
    seconds: float = 1.0,
    speakers: tuple[int, int] = (2, 2),
    cues: Sequence[Cue] = (),
    degradation: Sequence[Degradation] = (),
    sample_rate: int = 16_000,
    scene: dict[str, Any] | None = None,
    levels: dict[str, Any] | None = None,
    **cast: Any,
) -> Recipe:
    """A recipe of speakers. scene, levels, cast: options of SimulatedScene, Loudness and Speakers."""
    who = Speakers(str(voices) if isinstance(voices, Path) else voices, speakers, **cast)
    return Recipe(
        who,
        seconds,
        SimulatedScene(**({"levels": Loudness(**(levels or {}))} | (scene or {}))),
        list(cues),
        list(degradation),
        sample_rate,
    )
