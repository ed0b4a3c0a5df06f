"""How fast is `avsep separate`, step by step, and what would the naive way of finding faces cost?

    python tests/benchmarks/separate_speed.py [CLIP] [--seconds 30] [--runs 3] [--threads 2]

Times come from the manifest (without starting Python and loading models) and are medians; the mp4 per person is not
written. The naive way is MTCNN on every picture at full size.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from bench import DEMO_CLIP, machine, repeat_clip, separate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "clip", nargs="?", type=Path, default=DEMO_CLIP, help="a 720p25 clip of two faces (default: the demo)"
    )
    parser.add_argument("--seconds", type=float, default=30, help="repeat the clip to this length (default: 30)")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--naive-frames", type=int, default=50, help="pictures the naive way is timed on (default: 50)")
    args = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        clip = repeat_clip(args.clip, args.seconds, Path(folder, f"speed{args.clip.suffix}"))
        runs = [separate(clip, Path(folder, "out"), "--threads", str(args.threads), "-q") for _ in range(args.runs)]
        naive = naive_faces(clip, args.naive_frames, args.threads)
    media, people = runs[0].media_seconds, len(runs[0].manifest["speakers"])
    print(machine())
    print(f"{args.clip.name} repeated to {media:.1f} s, {people} speakers, {args.threads} threads")
    print(f"{'step':24} {'seconds':>9} {'per second of media':>21}")
    for step in runs[0].manifest["timing"]["steps"]:
        row(step, statistics.median(run.manifest["timing"]["steps"][step] for run in runs), media)
    row("whole run", statistics.median(run.seconds for run in runs), media)
    row("whole process", statistics.median(run.wall_seconds for run in runs), media)
    row("naive faces alone", naive * media, media)


def row(name: str, seconds: float, media: float) -> None:
    print(f"{name:24} {seconds:9.2f} {seconds / media:21.3f}")


def naive_faces(clip: Path, frames: int, threads: int) -> float:
    """Seconds that decoding and MTCNN on every picture at full size take for a second of media."""
    import av
    import torch
    from facenet_pytorch import MTCNN

    torch.set_num_threads(threads)
    detector = MTCNN(keep_all=True)
    with av.open(str(clip)) as container:
        pictures = container.decode(video=0)
        detector.detect(next(pictures).to_ndarray(format="rgb24"))  # warm up
        begin, count = time.perf_counter(), 0
        for picture in pictures:
            detector.detect(picture.to_ndarray(format="rgb24"))
            count += 1
            if count == frames:
                break
        rate = float(container.streams.video[0].average_rate)
    return (time.perf_counter() - begin) / count * rate


if __name__ == "__main__":
    main()
