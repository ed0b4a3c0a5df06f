"""How fast is a live separation, and how late, for each length of its pieces?

    taskset -c 0 python tests/benchmarks/stream_speed.py [--seconds 20] [--rates 16000 48000] [--chunks 8 16 32 64 256]

The two voices that come with the package, at once, go through the separation of `avsep stream` (audio-causal, the
memory of voices, resampling) in one thread. `real time` is what it takes of the length of the sound, by the clock and
of the processor: they differ where other programs run. `slowest` is the time of the slowest piece in a hundred, in
parts of the piece. Latency is that of the algorithm: a piece, the model, the filters.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch
from bench import machine

from avsep.checkpoint import load_model
from avsep.live.places import Places
from avsep.live.separator import LiveSeparator

sys.path.insert(0, str(Path(__file__).parents[1]))
from two_talkers import voices

WARM = 20
"""Pieces before it is measured."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20, help="of sound for each figure (default: 20)")
    parser.add_argument("--rates", type=int, nargs="+", default=[16_000, 48_000], help="Hz (default: 16000 48000)")
    parser.add_argument(
        "--chunks", type=float, nargs="+", default=[8, 16, 32, 64, 256], help="ms (default: 8 16 32 64 256)"
    )
    args = parser.parse_args()

    torch.set_num_threads(1)
    print(machine())
    print(f"{'rate':>6} {'chunk ms':>8} {'real time':>9} {'of the processor':>16} {'slowest':>7}  latency")
    model, _ = load_model("audio-causal")
    voice, _ = load_model("voice")
    for rate in args.rates:
        clip = voices(sample_rate=rate).sum(axis=0, keepdims=True)
        mixture = np.tile(clip, int(args.seconds * rate / clip.shape[1]) + 2)
        for chunk in args.chunks:
            separator = LiveSeparator(model, rate, Places(voice, 2, 16_000))
            size = round(chunk / 1000 * rate)
            taken = []
            for number in range(WARM + int(args.seconds * rate / size)):
                if number == WARM:
                    processor = time.process_time()
                began = time.perf_counter()
                separator.feed(mixture[:, number * size % clip.shape[1] :][:, :size])
                taken.append(time.perf_counter() - began)
            sound = (len(taken) - WARM) * size / rate
            clock, processor = sum(taken[WARM:]) / sound, (time.process_time() - processor) / sound
            slowest = np.quantile(taken[WARM:], 0.99) / (size / rate)
            print(
                f"{rate:6} {chunk:8g} {clock:9.3f} {processor:16.3f} {slowest:7.2f}  {separator.latency(size / rate)}",
                flush=True,
            )


if __name__ == "__main__":
    main()
