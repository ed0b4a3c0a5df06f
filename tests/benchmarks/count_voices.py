"""How many voices are found by sound alone, without a word about their number (--speakers auto).

    python tests/benchmarks/count_voices.py SPEECH/manifest.tsv [--each 25] [--first 0] [--part all|even|odd]
        [--manner overlapped|conversation] [--seconds 120] [--model NAME]

SPEECH/manifest.tsv has the columns path, speaker, split and seconds. One to four talkers of the split dev, within 3 dB
of each other, either all of the time for 8 s (overlapped) or taking turns of 1.5 to 4 s for 20 s (conversation), in
which the next one begins between 1.5 s before the end of a turn and 1.5 s after it; at one microphone, clean or in
rooms with a T60 of 0.15 to 0.5 s with noise 30 dB below. Mixture n of a kind is drawn from the kind and n alone.
--first: its number, and --part: those with even or odd numbers, so that what is chosen on some can be judged on others.
--seconds: of a mixture, in place of 8 and 20.

A row is a kind and a number of talkers, a column the number of tracks that `avsep separate` writes. The last column is
SI-SDRi in dB against each talker at the microphone, the mean of all talkers of more than one; a talker without a track
counts with the mixture, 0 dB.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from bench import machine
from compose_rooms import NOISE_DB, find_speech, read
from scipy.optimize import linear_sum_assignment
from scipy.signal import fftconvolve

from avsep import Separator
from avsep.data.image_rooms import ImageRooms
from avsep.evaluation.metrics import si_sdr
from avsep.pipeline import Options
from avsep.signals import SAMPLE_RATE

TALKERS = (1, 2, 3, 4)
MANNERS = {"overlapped": 8.0, "conversation": 20.0}
"""How they talk, and for how many seconds."""
PLACES = ("clean", "room")
PARTS = {"all": slice(None), "even": slice(0, None, 2), "odd": slice(1, None, 2)}
TURN_SECONDS = (1.5, 4.0)
GAP_SECONDS = (-1.5, 1.5)
"""From the end of a turn to the next one."""
MOST_FOUND = 6
"""The last column: so many, or more."""


@dataclass(frozen=True)
class Kind:
    manner: str
    place: str
    talkers: int
    seconds: float

    @property
    def seed(self) -> tuple[int, int, int]:
        return list(MANNERS).index(self.manner), PLACES.index(self.place), self.talkers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("speech", type=Path, metavar="MANIFEST", help="of the speech")
    parser.add_argument("--each", type=int, default=25, help="mixtures of each kind (default: 25)")
    parser.add_argument("--first", type=int, default=0, help="number of the first one (default: 0)")
    parser.add_argument("--manner", choices=MANNERS, help="how they talk (default: both)")
    parser.add_argument("--seconds", type=float, help="of a mixture (default: 8 overlapped, 20 of a conversation)")
    parser.add_argument("--part", choices=PARTS, default="all", help="which of them (default: all)")
    parser.add_argument("--model", metavar="NAME", help="a model or weights file (default: the bundled ones)")
    args = parser.parse_args()

    speakers = find_speech(args.speech)
    separator = Separator(args.model, device="cpu", threads=1)
    print(machine())
    columns = [*range(MOST_FOUND), f"{MOST_FOUND}+"]
    print(f"{'':20} {'talkers':>7}  found {' '.join(f'{column:>3}' for column in columns)}  right  SI-SDRi")
    right: Counter[str] = Counter()
    numbers = range(args.first, args.first + args.each)[PARTS[args.part]]
    manners = [args.manner] if args.manner else list(MANNERS)
    for manner, place, talkers in itertools.product(manners, PLACES, TALKERS):
        kind = Kind(manner, place, talkers, args.seconds or MANNERS[manner])
        found: Counter[int] = Counter()
        gains: list[float] = []
        for number in numbers:
            mixture, images = record(speakers, kind, number)
            tracks = separated(separator, mixture)
            found[min(len(tracks), MOST_FOUND)] += 1
            gains += improvements(tracks, mixture, images)
        row = " ".join(f"{found[number] or '.':>3}" for number in range(MOST_FOUND + 1))
        share = found[kind.talkers] / len(numbers)
        gain = f"{np.mean(gains):7.1f}" if kind.talkers > 1 else ""
        print(f"{kind.manner + ', ' + kind.place:20} {kind.talkers:7}        {row}  {share:5.0%}  {gain}", flush=True)
        right[kind.manner] += found[kind.talkers]
    total = len(numbers) * len(PLACES) * len(TALKERS)
    print(", ".join(f"{manner}: {right[manner]} of {total} right" for manner in manners))


def separated(separator: Separator, mixture: np.ndarray) -> np.ndarray:
    """The tracks that are written, (tracks, time)."""
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder, "clip.wav")
        soundfile.write(clip, mixture, SAMPLE_RATE, subtype="FLOAT")
        tracks = separator.separate(clip, folder, Options(speakers="auto"))["tracks"]
        read = [soundfile.read(Path(folder, "clip", track["audio"]), dtype="float32")[0] for track in tracks]
    return np.stack(read) if read else np.zeros((0, len(mixture)), np.float32)


def improvements(tracks: np.ndarray, mixture: np.ndarray, images: np.ndarray) -> list[float]:
    """SI-SDRi of each talker by the track that is his in the best order."""
    before = si_sdr(mixture, images)
    found = si_sdr(tracks[:, None], images[None]) - before
    missing = np.zeros((max(0, len(images) - len(tracks)), len(images)))
    found = np.concatenate([found, missing])
    return found[linear_sum_assignment(-found)].tolist()


def record(speakers: dict[str, list[Path]], kind: Kind, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Mixture `number` of a kind, (time,), and each talker in it, (talkers, time)."""
    rng = np.random.default_rng([*kind.seed, number])
    samples = round(kind.seconds * SAMPLE_RATE)
    names = [str(name) for name in rng.choice(sorted(speakers), kind.talkers, replace=False)]
    said = [np.concatenate([read(file) for file in speakers[name]]) for name in names]
    levels = 0.05 * 10 ** (rng.uniform(-1.5, 1.5, kind.talkers) / 20)
    talk = np.ones((kind.talkers, samples), bool) if kind.manner == "overlapped" else turns(kind.talkers, samples, rng)
    voices = np.zeros((kind.talkers, samples), np.float32)
    for voice, active, sound, level in zip(voices, talk, said, levels, strict=True):
        # From a place of their own on, since many read the same sentences.
        start = rng.integers(len(sound))
        voice[active] = level / sound.std() * np.take(sound, start + np.arange(active.sum()), mode="wrap")
    if kind.place == "clean":
        return voices.sum(0), voices
    room = ImageRooms(t60=(0.15, 0.5), distance=(0.8, 2.0), order=60, decay_db=60.0)
    taps = room.simulate(rng, kind.talkers, SAMPLE_RATE).taps[:, 0]
    # Distances and walls change the levels; what they are at the microphone counts.
    images = fftconvolve(voices, taps, axes=1)[:, :samples]
    images *= voices.std(1, keepdims=True) / images.std(1, keepdims=True)
    mixed = images.sum(0)
    noise = 10 ** (NOISE_DB / 20) * mixed.std() * rng.standard_normal(samples)
    return (mixed + noise).astype(np.float32), images


def turns(talkers: int, samples: int, rng: np.random.Generator) -> np.ndarray:
    """Who talks when, (talkers, time) bool. Who has talked least is the next, so that everybody has a turn."""
    talk = np.zeros((talkers, samples), bool)
    last, end = -1, round(0.3 * SAMPLE_RATE)
    while end < samples - SAMPLE_RATE:
        spoken = talk.sum(1) + rng.uniform(0, 1, talkers)
        if talkers > 1 and last >= 0:
            spoken[last] = np.inf
        last = int(spoken.argmin())
        own = np.flatnonzero(talk[last])
        # Nobody talks over himself.
        earliest = own[-1] + 1 + round(0.3 * SAMPLE_RATE) if len(own) else 0
        start = max(earliest, end + round(rng.uniform(*GAP_SECONDS) * SAMPLE_RATE), 0)
        stop = min(samples, start + round(rng.uniform(*TURN_SECONDS) * SAMPLE_RATE))
        talk[last, start:stop] = True
        end = max(end, stop)
    return talk


if __name__ == "__main__":
    main()
