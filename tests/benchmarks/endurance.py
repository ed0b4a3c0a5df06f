"""Many separations in one process: what grows?

    python tests/benchmarks/endurance.py [CLIP ...] [--times 200]

Separates the clips (default: the demo's) in turn, with pictures, each into a folder that is removed afterwards. A line
for every tenth time: resident memory, open files, threads, what is left in the folder of temporary files. Exit code 1
where memory grows by more than 50 MB after the tenth time, or anything else grows at all.
"""

from __future__ import annotations

import argparse
import gc
import os
import shutil
import sys
import tempfile
import threading
from pathlib import Path

from bench import DEMO_CLIP, machine

from avsep import Separator
from avsep.pipeline import Options

MOST_GROWTH = 50e6
WARM = 10
"""Times until everything is loaded and memory has its size."""


def state(temporary: Path) -> dict[str, int]:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "memory": pages * os.sysconf("SC_PAGE_SIZE"),
        "files": len(os.listdir("/proc/self/fd")),
        "threads": threading.active_count(),
        "temporary": sum(1 for _ in temporary.iterdir()),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, nargs="*", default=[DEMO_CLIP])
    parser.add_argument("--times", type=int, default=200)
    args = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as own, tempfile.TemporaryDirectory() as folder:
        tempfile.tempdir = own
        separator = Separator(device="cpu", threads=1)
        first: dict[str, int] = {}
        for time in range(1, args.times + 1):
            separator.separate(args.clips[time % len(args.clips)], folder, Options(overwrite=True))
            shutil.rmtree(folder)
            Path(folder).mkdir()
            if time % WARM == 0:
                gc.collect()
                now = state(Path(own))
                first = first or now
                print(
                    f"{time:4}: {now['memory'] / 1e6:7.1f} MB, {now['files']} open files, {now['threads']} threads, "
                    f"{now['temporary']} temporary",
                    flush=True,
                )
        grown = {name: now[name] - first[name] for name in now}
    print(f"grown after the first {WARM}: {grown['memory'] / 1e6:.1f} MB, {grown['files']} open files")
    return int(grown["memory"] > MOST_GROWTH or any(grown[name] > 0 for name in ("files", "threads", "temporary")))


if __name__ == "__main__":
    sys.exit(main())
