"""Does memory stay flat with length? A long clip beside a short one: peak memory and time per minute, on the clock and
on the processors (which other programs disturb less).

    python tests/benchmarks/memory_long.py [CLIP] [--minutes 60] [--short-minutes 2] [--threads 2] [--folder DIR]

The clips are the given one (default: the demo) over and over, copied without encoding. An hour needs about
4 GB in the folder, and on two cores more than half an hour.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from bench import DEMO_CLIP, machine, repeat_clip, separate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", nargs="?", type=Path, default=DEMO_CLIP)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--short-minutes", type=float, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where the temporary files go (default: the system's)")
    args = parser.parse_args()

    print(machine(), flush=True)
    print(
        f"{'minutes':>8} {'people':>7} {'peak GiB':>9} {'s per minute':>13} {'cpu s per minute':>17}"
        f" {'real-time factor':>17}",
        flush=True,
    )
    clock, processors = [], []
    for minutes in (args.short_minutes, args.minutes):
        with tempfile.TemporaryDirectory(dir=args.folder) as folder:
            clip = repeat_clip(args.clip, 60 * minutes, Path(folder, f"long{args.clip.suffix}"))
            run = separate(clip, Path(folder, "out"), "--threads", str(args.threads))
        media = run.media_seconds / 60
        clock.append(run.seconds / media)
        processors.append(run.cpu_seconds / media)
        print(
            f"{media:8.1f} {len(run.manifest['speakers']):7d} {run.peak_bytes / 2**30:9.2f} {clock[-1]:13.2f}"
            f" {processors[-1]:17.2f} {run.seconds / run.media_seconds:17.3f}",
            flush=True,
        )
    print(f"time per minute, long over short: {clock[1] / clock[0]:.2f}")
    print(f"the same of the processors: {processors[1] / processors[0]:.2f}")


if __name__ == "__main__":
    main()
