"""Does loading and mixing keep up with training?

    python tests/benchmarks/data_time.py [--voices MANIFEST_OR_PACKED] [--noises ...] [--device cuda]

Times the items of one process for recipes with nothing, every change of sound, and every change of sound and lips on;
then trains the 5.1 M Conv-TasNet with 2 workers and everything of sound on, and reports which share of the time the
loop waits for its batch. Exit code 1 when that is more than 5 %. Without --voices a corpus of noise is made first;
what it holds does not matter for the time.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import soundfile as sf
import torch
from bench import machine

from avsep.data.activity import Pauses
from avsep.data.casts import Speakers
from avsep.data.cues import Lips
from avsep.data.degradation import Noise
from avsep.data.effects import Clipping, Codec
from avsep.data.filters import BandLimit, Equaliser, Speed
from avsep.data.image_rooms import ImageRooms
from avsep.data.lip_augment import (
    Blur,
    Brightness,
    Crop,
    Flip,
    Grain,
    LipAugment,
    Occlusion,
    SpanDropout,
    SyncJitter,
    Warp,
)
from avsep.data.manifest import Utterance, write_manifest
from avsep.data.mixtures import Mixtures
from avsep.data.order import training_loader
from avsep.data.recipe import Recipe
from avsep.data.scene import SimulatedScene
from avsep.models.conv_tasnet import ConvTasNet

LIMIT = 0.05
LIPS: list[LipAugment] = [
    SyncJitter(),
    Flip(),
    Crop(),
    Warp(),
    Brightness(),
    Blur(),
    Grain(),
    Occlusion(),
    SpanDropout(),
]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--voices", help="manifest.tsv or packed folder (default: noise)")
    parser.add_argument("--noises", help="the same, of sounds (default: the voices)")
    parser.add_argument("--seconds", type=float, default=4.0, help="of an item (default: 4)")
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--items", type=int, default=60, help="items timed for each recipe (default: 60)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    args = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        made = str(make_corpus(Path(folder)))
        voices, noises = args.voices or made, args.noises or args.voices or made
        scene = SimulatedScene(
            speed=Speed(),
            filters=[Equaliser(), BandLimit()],
            room=ImageRooms(p=0.5, early_seconds=0.05),
            activity=Pauses(),
        )
        degradation = [Noise(noises), Clipping(), Codec()]
        lips = [Lips(2, changes=LIPS)]
        rows = {
            "plain": Mixtures(Recipe(Speakers(voices), args.seconds)),
            "sound": Mixtures(Recipe(Speakers(voices), args.seconds, scene, degradation=degradation)),
            "sound and two pairs of lips": Mixtures(Recipe(Speakers(made), args.seconds, scene, lips, degradation)),
        }
        print(f"{args.seconds:g} s items of two voices from {args.voices or 'a corpus of noise'}, one process")
        print(f"{'recipe':30} {'ms an item':>11} {'items a second':>15}")
        costs = {}
        for name, data in rows.items():
            seconds = costs[name] = time_items(data, args.items)
            print(f"{name:30} {1000 * seconds:11.1f} {1 / seconds:15.0f}")
        step, waiting = time_loop(rows["sound"], args)
    share = waiting / (step + waiting)
    print(f"5.1 M Conv-TasNet, batches of {args.batch_size}, {args.device}, {args.precision}, 2 workers:")
    print(f"step {step:.3f} s, waiting for data {waiting:.4f} s: {100 * share:.2f} % (limit {100 * LIMIT:g} %)")
    print(f"two workers can make {2 / costs['sound']:.0f} items a second, the loop takes {args.batch_size / step:.1f}")
    return int(share > LIMIT)


def make_corpus(folder: Path) -> Path:
    """Eight speakers of noise with lips of noise, two utterances of 6 s each."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(16):
        audio, lips = folder / f"{number}.flac", folder / f"{number}.npz"
        sf.write(audio, 0.1 * rng.standard_normal(96_000), 16_000)
        np.savez(lips, lips=rng.integers(0, 255, (150, 96, 96), dtype=np.uint8), first=np.array(0))
        rows.append(Utterance(str(number), audio, lips, None, f"speaker{number // 2}", "train", 6.0))
    write_manifest(folder / "manifest.tsv", rows)
    return folder / "manifest.tsv"


def time_items(data: Mixtures, items: int) -> float:
    """Processor seconds of an item."""
    threads = torch.get_num_threads()
    # As in a worker of a loader.
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    data[0]
    start = time.process_time()
    for n in range(1, items + 1):
        data[n]
    seconds = (time.process_time() - start) / items
    torch.set_num_threads(threads)
    return seconds


def time_loop(data: Mixtures, args: argparse.Namespace) -> tuple[float, float]:
    """Seconds of a step (median) and of the wait for its batch (mean)."""
    torch.manual_seed(0)
    model = ConvTasNet(sources=2, filters=512, kernel=32, stride=16, bottleneck=128, hidden=512, skip=128, repeats=3)
    model.to(args.device)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    warm = 2
    loader = iter(training_loader(data, args.batch_size, args.batch_size * (args.steps + warm), workers=2))
    steps, waits = [], []
    for _ in range(args.steps + warm):
        start = time.perf_counter()
        batch = next(loader)
        ready = time.perf_counter()
        mixture, sources = batch["mixture"].to(args.device), batch["sources"].to(args.device)
        with torch.autocast(args.device, torch.bfloat16, enabled=args.precision == "bf16"):
            estimates = model(mixture).estimates
        optimizer.zero_grad()
        # Any loss will do: the model takes the time.
        (estimates.float() - sources).abs().mean().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        if args.device != "cpu":
            torch.cuda.synchronize()
        waits.append(ready - start)
        steps.append(time.perf_counter() - ready)
    # Means of the waits: a single long one starves the loop as many short ones do.
    return float(np.median(steps[warm:])), float(np.mean(waits[warm:]))


if __name__ == "__main__":
    sys.exit(main())
