"""Separators by sound on pairs of real talkers: every two of some clips of one talker each, as they are and coded.

    python tests/benchmarks/single_pairs.py CLIPS/*.mp4 --models FIRST [OTHER ...] [--quality normal]

The last 5 s of each clip at 16 kHz, both voices equally loud, by default one pass. Prints the mean SI-SDRi over the
pairs for each model, and its difference from FIRST's with the standard error over pairs; then the same with each voice
through a codec at 32 kb/s by itself.
"""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path

import numpy as np
from bench import machine
from scipy.optimize import linear_sum_assignment

from avsep.checkpoint import load_model
from avsep.dsp.resample import model_blocks
from avsep.evaluation.metrics import si_sdr
from avsep.inference.sliding import SlidingSeparator
from avsep.media.audio import read_audio
from avsep.media.codec import coded
from avsep.media.decode import probe
from avsep.signals import SAMPLE_RATE
from avsep.storage.recording import Recording

SECONDS = 5
KINDS = ("as it is", "aac", "mp3")
BITS_PER_SECOND = 32_000


def voice(path: Path) -> np.ndarray:
    sound = np.concatenate(list(model_blocks(read_audio(probe(path), lambda _: None))))[-SECONDS * SAMPLE_RATE :]
    return (sound * 0.05 / np.sqrt(np.mean(sound**2))).astype(np.float32)


def gain(engine: SlidingSeparator, voices: np.ndarray) -> float:
    """SI-SDRi in dB, the mean of the voices (2, time)."""
    mixture = voices.sum(0)
    separated = engine.separate(Recording.of(mixture, SAMPLE_RATE, None), folder=None).read(0, len(mixture))[:, 0]
    found = np.array([[si_sdr(e, v).item() for v in voices] for e in separated])
    before = np.mean([si_sdr(mixture, v).item() for v in voices])
    return float(found[linear_sum_assignment(found, maximize=True)].mean() - before)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--models", nargs="+", default=["ensemble-2spk"], help="names or files of weights")
    parser.add_argument("--quality", choices=["fast", "normal", "best"], default="fast")
    args = parser.parse_args()

    engines = [SlidingSeparator(load_model(name)[0], "cpu", args.quality) for name in args.models]
    pairs = list(itertools.combinations([voice(path) for path in sorted(args.clips)], 2))
    print(machine())
    print(f"{len(pairs)} pairs of {len(args.clips)} talkers")
    for kind in KINDS:
        gains = []
        for pair in pairs:
            time = min(map(len, pair))
            voices = np.stack([one[-time:] for one in pair])
            if kind != KINDS[0]:
                voices = np.stack([coded(one[None], SAMPLE_RATE, kind, BITS_PER_SECOND)[0] for one in voices])
            gains.append([gain(engine, voices) for engine in engines])
        table = np.array(gains)
        less = table - table[:, :1]
        errors = less.std(axis=0, ddof=1) / np.sqrt(len(pairs))
        for name, mean, difference, error in zip(args.models, table.mean(0), less.mean(0), errors, strict=True):
            print(f"{kind:9} {Path(name).stem:24} {mean:5.2f} dB, {difference:+.2f} ({error:.2f})", flush=True)


if __name__ == "__main__":
    main()
