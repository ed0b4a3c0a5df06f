"""Makes a tiny corpus of synthetic talkers and songs, to try a training without any data.

    python -m preprocessing.make_smoke data/smoke

A talker is a pitch, a vocal tract (three resonances) and a drawn mouth; an utterance is a run of syllables, and the
mouth opens as the voice gets louder. OUT_FOLDER gets manifest.tsv, and for each utterance a .wav (16 kHz) and the .npz
of preprocessing/extract_lips.py, with made-up vectors in the place of its FaceNet embeddings. songs/manifest.tsv lists
the stereo stems of songs (16 kHz): such a voice, drums, a bass and chords, each at its own place between left and
right. Everything is drawn from --seed: there is no recording in it. Models learn to tell such talkers and stems apart
within minutes; they will not separate people or music.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import soundfile as sf
from scipy.signal import lfilter

from avsep.data.manifest import Utterance, write_manifest
from avsep.embeddings.face import DIMENSIONS
from avsep.signals import HOP, SAMPLE_RATE
from avsep.storage.files import write_whole
from preprocessing.command import add_seed, command

SIZE = 96
"""Side of a mouth crop in pixels."""

VOWELS = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480), (570, 840, 2410))
"""First three formants in Hz (Peterson and Barney, 1952): /a/, /i/, /u/, /e/, /o/."""

CHORD = np.array([0, 4, 7])
"""Semitones above the root."""


def opening(rng: np.random.Generator, pictures: int) -> np.ndarray:
    """How far the mouth is open in each picture, 0..1: syllables of 0.15 to 0.35 s, and pauses."""
    wide = np.zeros(pictures)
    start = int(rng.integers(0, 6))
    while start < pictures:
        length = int(rng.integers(4, 9))
        part = wide[start : start + length]
        part += (np.sin(np.pi * (np.arange(length) + 0.5) / length) * rng.uniform(0.5, 1.0))[: len(part)]
        start += length + (int(rng.integers(6, 14)) if rng.random() < 0.2 else 0)
    return wide


def voice(rng: np.random.Generator, wide: np.ndarray, pitch: float, tract: float) -> np.ndarray:
    """A buzz with formants as loud as the mouth is open: (pictures,) -> (pictures * 640,) float32.

    pitch: mean in Hz. tract: factor on the formants, small for a long vocal tract.
    """
    time = len(wide) * HOP
    knots = np.arange(0, time + 5 * HOP, 5 * HOP)
    drift = np.interp(np.arange(time), knots, rng.uniform(0.85, 1.2, len(knots)))
    phase = np.cumsum(pitch * drift / SAMPLE_RATE)
    buzz = np.diff(np.floor(phase), prepend=0.0) + 0.02 * rng.standard_normal(time)
    sound = np.zeros(time)
    start = 0
    while start < time:
        end = min(time, start + int(rng.uniform(0.15, 0.35) * SAMPLE_RATE))
        piece = buzz[start:end]
        for formant in VOWELS[rng.integers(len(VOWELS))]:
            radius = np.exp(-np.pi * 90 / SAMPLE_RATE)
            angle = 2 * np.pi * min(formant * tract, 7500) / SAMPLE_RATE
            piece = lfilter([1 - radius], [1, -2 * radius * np.cos(angle), radius**2], piece)
        sound[start:end] = piece / (np.abs(piece).max() + 1e-9)
        start = end
    loudness = np.interp(np.arange(time), (np.arange(len(wide)) + 0.5) * HOP, wide)
    return (0.3 * sound * loudness).astype(np.float32)


def mouths(rng: np.random.Generator, wide: np.ndarray, face: np.ndarray) -> np.ndarray:
    """Two lips around a dark opening, on skin: (pictures,) -> (pictures, 96, 96) uint8. face: three numbers in 0..1
    (width of the mouth, thickness and shade)."""
    y, x = np.mgrid[:SIZE, :SIZE]
    centre = SIZE / 2 + rng.uniform(-3, 3, 2) + np.cumsum(rng.normal(0, 0.15, (len(wide), 2)), 0)
    width, thick = 20 + 10 * face[0], 5 + 4 * face[1]
    skin, lip = 150 + 60 * face[2], 90 + 40 * face[2]
    out = np.empty((len(wide), SIZE, SIZE), np.uint8)
    for number, height in enumerate(16 * wide):
        across = (x - centre[number, 0]) / width
        down = y - centre[number, 1]
        curve = np.sqrt(np.clip(1 - across**2, 0, 1))
        picture = np.where(np.abs(down) < (height + thick) * curve, lip, skin)
        picture = np.where(np.abs(down) < height * curve, 30.0, picture)
        out[number] = np.clip(picture + rng.normal(0, 1, picture.shape), 0, 255)
    return out


def song(rng: np.random.Generator, seconds: float) -> dict[str, np.ndarray]:
    """Stem -> (time, 2) float32: a tempo, a key and a place for each stem."""
    time = round(seconds * 25) * HOP
    beat, root = int(rng.uniform(0.3, 0.5) * SAMPLE_RATE), rng.uniform(40, 70)
    wide = opening(rng, round(seconds * 25))
    mono = {
        "vocals": voice(rng, wide, rng.uniform(150, 300), rng.uniform(0.85, 1.2)),
        "drums": in_time(time, beat // 2, lambda n, size: drum(rng, size, kick=n % 4 == 0)),
        "bass": in_time(time, beat, lambda n, size: tones(size, [root * 2 ** (rng.choice([0, 3, 5, 7]) / 12)], 6.0)),
        "other": in_time(
            time, 2 * beat, lambda n, size: tones(size, 8 * root * 2 ** ((rng.choice([0, 3, 5]) + CHORD) / 12), 1.5)
        ),
    }
    places = {stem: rng.uniform(0.2, 0.8) * np.pi / 2 for stem in mono}
    return {
        stem: np.stack([np.cos(places[stem]) * x, np.sin(places[stem]) * x], axis=1).astype(np.float32)
        for stem, x in mono.items()
    }


def in_time(time: int, every: int, sound: Callable[[int, int], np.ndarray]) -> np.ndarray:
    """(time,): sound(number, size) from each multiple of `every` samples to the next."""
    return np.concatenate([sound(number, every) for number in range(-(-time // every))])[:time]


def tones(size: int, pitches: Sequence[float] | np.ndarray, decay: float) -> np.ndarray:
    """(size,) of notes with eight harmonics, struck at once. decay: to 1/e of the level, times a second."""
    at = np.arange(size) / SAMPLE_RATE
    harmonics = np.arange(1, 9)
    waves = [np.sin(2 * np.pi * pitch * harmonics[:, None] * at).T @ (1 / harmonics) for pitch in pitches]
    return 0.15 / len(waves) * np.sum(waves, 0) * np.exp(-decay * at) * np.minimum(1, 200 * at)


def drum(rng: np.random.Generator, size: int, kick: bool) -> np.ndarray:
    """(size,) of a kick (a tone that falls from 160 to 50 Hz) or a burst of noise."""
    at = np.arange(size) / SAMPLE_RATE
    if kick:
        return 0.5 * np.exp(-18 * at) * np.sin(2 * np.pi * (50 * at - 110 / 30 * np.expm1(-30 * at)))
    return rng.uniform(0.02, 0.12) * np.exp(-rng.uniform(20, 60) * at) * rng.standard_normal(size)


def make_songs(out: Path, songs: int, seconds: float, seed: int) -> int:
    """Write stems, and a manifest that lists them as preprocessing.musdb18 does; returns the number of songs."""
    rows = []
    for number in range(songs):
        split = "dev" if number % 4 == 0 else "train"
        for stem, samples in song(np.random.default_rng((seed, 1, number)), seconds).items():
            audio = out / f"song{number:02}" / f"{stem}.wav"
            write_whole(audio, lambda file, samples=samples: sf.write(file, samples, SAMPLE_RATE, "PCM_16"))
            name = f"{split}/song{number:02}/{stem}"
            rows.append(Utterance(name, audio, None, None, stem, split, len(samples) / SAMPLE_RATE))
    write_manifest(out / "manifest.tsv", rows)
    return songs


def embeddings(rng: np.random.Generator, wide: np.ndarray, who: np.ndarray) -> np.ndarray:
    """Vectors that stand for FaceNet's: (pictures,) -> (pictures, 512) float32 of length 1. who: (512,), of the talker;
    an opening mouth moves those of all talkers in one direction."""
    way = np.random.default_rng(0).standard_normal(DIMENSIONS)
    vectors = who + wide[:, None] * way + 0.1 * rng.standard_normal((len(wide), DIMENSIONS))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def make(out: Path, talkers: int, utterances: int, seconds: float, seed: int) -> int:
    """Write the corpus; returns the number of utterances."""
    rows = []
    held_out = max(2, talkers // 4)
    for talker in range(talkers):
        name = f"talker{talker:02}"
        rng = np.random.default_rng((seed, talker))
        # Spread evenly, so that any two differ.
        pitch, tract = 80 + 160 * talker / max(1, talkers - 1), rng.uniform(0.85, 1.2)
        face, who = rng.random(3), rng.standard_normal(DIMENSIONS)
        split = "train" if talker % (talkers // held_out) else "dev"
        for number in range(utterances):
            rng = np.random.default_rng((seed, talker, number))
            wide = opening(rng, round(seconds * 25))
            sound = voice(rng, wide, pitch, tract)
            arrays = {
                "lips": mouths(rng, wide, face),
                "face": embeddings(rng, wide, who),
                "quality": np.ones(len(wide), np.float32),
                "first": np.array(0),
                "audio": np.round(sound * 32767).astype(np.int16),
            }
            audio, lips = out / name / f"{number:02}.wav", out / name / f"{number:02}.npz"
            write_whole(audio, lambda file, sound=sound: sf.write(file, sound, SAMPLE_RATE, "PCM_16"))
            write_whole(lips, lambda file, arrays=arrays: np.savez_compressed(file, **arrays))
            rows.append(Utterance(f"{name}_{number:02}", audio, lips, None, name, split, len(sound) / SAMPLE_RATE))
    write_manifest(out / "manifest.tsv", rows)
    return len(rows)


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", type=Path, metavar="OUT_FOLDER")
    parser.add_argument("--talkers", type=int, default=16, help="a quarter is held out (default: 16)")
    parser.add_argument("--utterances", type=int, default=3, help="of each talker (default: 3)")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of an utterance (default: 4)")
    parser.add_argument("--songs", type=int, default=8, help="a quarter is held out (default: 8)")
    add_seed(parser)


def run(options: argparse.Namespace) -> int:
    made = make(options.out, options.talkers, options.utterances, options.seconds, options.seed)
    print(f"{options.out / 'manifest.tsv'}: {made} utterances of {options.talkers} talkers")
    songs = options.out / "songs"
    print(f"{songs / 'manifest.tsv'}: {make_songs(songs, options.songs, 2 * options.seconds, options.seed)} songs")
    return made


main = command(__doc__ or "", "make_smoke", configure, run)

if __name__ == "__main__":
    sys.exit(main())
