"""Cuts the mouths out of a folder of videos of one talker each, together with their sound, to train lip models on.

    python -m preprocessing.extract_lips VIDEO_FOLDER OUT_FOLDER

Every video below VIDEO_FOLDER gives OUT_FOLDER/<same path>.npz of its largest face, cut by the same code that
`avsep separate` uses: lips (n, 96, 96) uint8 at 25 pictures a second, quality (n,) float32 in 0..1, first (number on
the 25-per-second grid of the first picture; 0 is the first audio sample) and audio (time,) int16 at 16 kHz, mono.
manifest.tsv lists them (lips, video, frames, first, samples, quality), skipped.tsv what gave nothing, and why.
A run that was stopped goes on where it was; --overwrite begins anew.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from avsep.errors import AvsepError, InputError
from avsep.faces.detect import Detector, MtcnnDetector
from avsep.signals import FaceTrack

SUFFIXES = {".mpg", ".mpeg", ".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".ts"}

COLUMNS = ("lips", "video", "frames", "first", "samples", "quality")


def extract(video: Path, warn: Callable[[str], None], detector: Detector | None = None) -> dict[str, np.ndarray]:
    """The arrays of one video (see the module). Raises InputError when it has no picture, no sound or no face."""
    from avsep.dsp.resample import model_blocks
    from avsep.faces import find_faces
    from avsep.media.decode import probe, read_audio, read_video

    clip = probe(video)
    if clip.video is None:
        raise InputError(f"{video}: no video stream. Give videos of a talking face")
    track = largest(find_faces(read_video(clip, warn), device="cpu", folder=None, detector=detector).tracks)
    if track is None:
        raise InputError(f"{video}: no face found. Give videos of a talking face")
    audio = np.concatenate(list(model_blocks(read_audio(clip, warn))))
    return {
        "lips": track.lips.crops.read(0, len(track)),
        "quality": track.lips.quality,
        "first": np.array(track.first),
        "audio": np.clip(np.round(audio * 32768.0), -32768, 32767).astype(np.int16),
    }


def largest(tracks: Sequence[FaceTrack]) -> FaceTrack | None:
    """The track that covers most of the pictures: area times length."""

    def cover(track: FaceTrack) -> float:
        return float((track.boxes[:, 2:] - track.boxes[:, :2]).prod(axis=1).sum())

    return max(tracks, key=cover, default=None)


def extract_folder(source: Path, out: Path, *, overwrite: bool = False, device: str = "cpu") -> tuple[int, int]:
    """Extract every video below `source` into `out`; returns how many gave lips and how many did not."""
    if not source.is_dir():
        raise InputError(f"{source}: no such folder. Give the folder that holds the videos")
    videos = sorted(p for p in source.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    if not videos:
        raise InputError(f"{source}: no videos in it (looked for {', '.join(sorted(SUFFIXES))})")
    detector = MtcnnDetector(device)
    rows: list[str] = []
    skipped: list[str] = []
    for number, video in enumerate(videos, 1):
        name = video.relative_to(source)
        target = out / name.parent / f"{name.name}.npz"
        print(f"[{number}/{len(videos)}] {name}", file=sys.stderr)
        try:
            arrays = None if overwrite else _read(target)
            if arrays is None:
                arrays = extract(video, lambda message: print(message, file=sys.stderr), detector)
                _write(target, arrays)
        except AvsepError as error:
            skipped.append(f"{name}\t{' '.join(str(error).split())}")
            continue
        quality = f"{float(arrays['quality'].mean()):.3f}"
        figures = (len(arrays["lips"]), int(arrays["first"]), len(arrays["audio"]), quality)
        rows.append("\t".join(map(str, (target.relative_to(out), name, *figures))))
    _write_lines(out / "manifest.tsv", ["\t".join(COLUMNS), *rows])
    _write_lines(out / "skipped.tsv", ["video\treason", *skipped])
    return len(rows), len(skipped)


def _read(file: Path) -> dict[str, np.ndarray] | None:
    """The arrays of an earlier run, or None."""
    if not file.is_file():
        return None
    with np.load(file) as arrays:
        return dict(arrays)


def _write(file: Path, arrays: dict[str, np.ndarray]) -> None:
    """All or nothing: under another name first."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.partial")
    try:
        with partial.open("wb") as f:
            np.savez(f, **arrays)  # type: ignore[arg-type]
        os.replace(partial, file)
    finally:
        partial.unlink(missing_ok=True)


def _write_lines(file: Path, lines: list[str]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.partial")
    partial.write_text("\n".join(lines) + "\n")
    os.replace(partial, file)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m preprocessing.extract_lips",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("videos", type=Path, metavar="VIDEO_FOLDER")
    parser.add_argument("out", type=Path, metavar="OUT_FOLDER")
    parser.add_argument("--overwrite", action="store_true", help="extract again what is there already")
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda")
    options = parser.parse_args(arguments)
    try:
        done, skipped = extract_folder(options.videos, options.out, overwrite=options.overwrite, device=options.device)
    except (AvsepError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{options.out / 'manifest.tsv'}: {done} videos, {skipped} skipped")
    return 0 if done else 1


if __name__ == "__main__":
    sys.exit(main())
