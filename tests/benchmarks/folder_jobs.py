"""Is a folder separated faster by two jobs of one thread each than by one process with two threads?

    python tests/benchmarks/folder_jobs.py [CLIP] [--clips 6] [--seconds 16] [--runs 5]

The folder holds copies of CLIP, repeated to that length. Both commands are timed as a whole, with the start of Python
and the loading of models, on the same two cores, in turns; the mp4 per person is not written. A ratio is the time of
one process over that of two jobs: above 1 the jobs are faster. The cores have to be free: what else runs there counts.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench import DEMO_CLIP, machine, repeat_clip

CORES = 2
WAYS = {"one process, 2 threads": ("--threads", "2"), "two jobs, 1 thread each": ("--jobs", "2")}


def seconds_of(folder: Path, out: Path, options: tuple[str, ...]) -> float:
    """How long `avsep separate` takes over a folder, on the clock."""
    command = [sys.executable, "-m", "avsep", "separate", str(folder), "-o", str(out), "--no-video", "-q", *options]
    begin = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    taken = time.perf_counter() - begin
    shutil.rmtree(out)
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", nargs="?", type=Path, default=DEMO_CLIP, help="(default: the demo)")
    parser.add_argument("--clips", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=16, help="length of each clip (default: 16)")
    parser.add_argument("--runs", type=int, default=5, help="of both (default: 5)")
    args = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < CORES:
        sys.exit(f"this process may use {len(cores)} core(s); {CORES} are needed")
    os.sched_setaffinity(0, cores[:CORES])  # those that are started may use no others
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.pop(variable, None)

    print(machine())
    times: dict[str, list[float]] = {name: [] for name in WAYS}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "clips")
        folder.mkdir()
        first = repeat_clip(args.clip, args.seconds, folder / f"0{args.clip.suffix}")
        for number in range(1, args.clips):
            shutil.copy(first, folder / f"{number}{args.clip.suffix}")
        for run in range(args.runs):
            for name in list(WAYS)[:: 1 if run % 2 == 0 else -1]:
                times[name].append(seconds_of(folder, Path(place, "out"), WAYS[name]))
    one, two = times.values()
    for name, taken in times.items():
        runs = ", ".join(f"{seconds:.1f}" for seconds in taken)
        print(f"{name:24} {statistics.median(taken):8.2f} s (median of {runs})")
    ratios = [a / b for a, b in zip(one, two, strict=True)]
    print(f"ratio {statistics.median(ratios):.2f} (median; {min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
