"""What a corpus of videos costs on one core, step by step, and what a second worker gives.

    python tests/benchmarks/scale.py VIDEOS OUT [--cluster]

VIDEOS is a folder as preprocessing.extract_lips takes it. Every step is run as its own command with one worker; its
seconds are those of the clips in jobs.jsonl, without the start of Python and the loading of models. Then extract_lips
is run again with two workers, and with --cluster by Ray with one and two; the start of each engine is what one worker
takes beyond its clips. A line of the table: seconds of one core and bytes for an hour of video. Reading is that of a
training: mixtures of two talkers of 3 s with their lips, from the shards.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from bench import machine

from avsep.data.casts import Speakers
from avsep.data.cues import Lips
from avsep.data.recipe import Recipe
from avsep.data.shards import StreamedMixtures
from avsep.media.audio import read_audio
from avsep.media.probe import probe
from avsep.media.video import read_video
from preprocessing.extract_lips import list_videos

ITEM_SECONDS, ITEMS = 3.0, 100


def tool(module: str, *arguments: object) -> float:
    """Seconds on the clock of `python -m preprocessing.MODULE`."""
    begin = time.perf_counter()
    command = [sys.executable, "-m", f"preprocessing.{module}", *map(str, arguments)]
    subprocess.run(command, check=True, capture_output=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    return time.perf_counter() - begin


def spent(folder: Path) -> float:
    """Seconds of the jobs in a folder, as if the first one, in which everything is loaded, were like the others."""
    rows = map(json.loads, (folder / "jobs.jsonl").read_text(encoding="utf-8").splitlines())
    _, *others = (row["seconds"] for row in rows if "seconds" in row)
    return sum(others) * (len(others) + 1) / len(others)


def size(folder: Path, ending: str) -> int:
    return sum(file.stat().st_size for file in folder.rglob(f"*{ending}"))


def decoding(videos: list[Path]) -> tuple[float, float]:
    """Seconds of video, and what decoding its pictures and sound alone takes."""
    length, begin = 0.0, time.perf_counter()
    for file in videos:
        clip = probe(file)
        length += clip.duration_seconds
        for _ in read_video(clip, print):
            pass
        for _ in read_audio(clip, print):
            pass
    return length, time.perf_counter() - begin


def reading(shards: Path) -> tuple[float, float]:
    """Seconds of mixtures that a training reads, and how long that takes."""
    data = StreamedMixtures(str(shards), Recipe(Speakers(), ITEM_SECONDS, cues=[Lips(2)]), items=ITEMS, pool=20)
    begin = time.perf_counter()
    count = sum(1 for _ in data)
    return count * ITEM_SECONDS, time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("videos", type=Path, metavar="VIDEOS")
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--cluster", action="store_true", help="Ray too")
    args = parser.parse_args()
    print(machine())
    shutil.rmtree(args.out, ignore_errors=True)
    videos = [clip.video for clip in list_videos(args.videos)]
    length, decoded = decoding(videos)
    hours = length / 3600
    given = sum(file.stat().st_size for file in videos)
    print(f"{len(videos)} clips, {length:.0f} s\n{'':28} {'s/h':>8} {'MB/h':>8}")

    def row(name: str, seconds: float, made: int | None = None) -> None:
        print(f"{name:28} {seconds / hours:8.0f} {'' if made is None else round(made / hours / 1e6):>8}", flush=True)

    row("decoding alone", decoded, given)
    lips = args.out / "lips_1"
    walls = {"processes, 1": tool("extract_lips", args.videos, lips, "--workers", 1)}
    row("faces and lips, with decoding", spent(lips), size(lips, ".npz") + size(lips, ".flac"))
    tool("pack_audio", lips / "manifest.tsv", args.out / "packed", "--workers", 1)
    row("packing sound", spent(args.out / "packed"), size(args.out / "packed", ".npy"))
    tool("make_shards", lips / "manifest.tsv", args.out / "shards", "--workers", 1)
    row("shards", spent(args.out / "shards"), size(args.out / "shards", ".tar"))
    read, seconds = reading(args.out / "shards")
    row("reading an hour of mixtures", seconds / read * length)

    walls["processes, 2"] = tool("extract_lips", args.videos, args.out / "lips_2", "--workers", 2)
    for workers in (1, 2) if args.cluster else ():
        out = args.out / f"lips_ray_{workers}"
        walls[f"ray, {workers}"] = tool("extract_lips", args.videos, out, "--cluster", "ray", "--workers", workers)
    work = spent(lips)
    for name, wall in walls.items():
        engine, workers = name.split(", ")
        start = walls[f"{engine}, 1"] - work
        efficiency = work / (wall - start) / int(workers)
        print(f"{name:14} {wall:7.1f} s, of it {start:.1f} s of start; efficiency without it {efficiency:.2f}")


if __name__ == "__main__":
    main()
