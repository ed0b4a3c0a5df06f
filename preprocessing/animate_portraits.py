"""Make talking faces from still portraits and recordings, as training clips with their own clean sound.

python -m preprocessing.animate_portraits --portrait me.jpg you.png --speech recordings/ --out clips/ --count 500

Every clip takes a portrait, a recording and a style (gain, motion, size, light, blur, noise, compression) drawn from
the seed and its number, so that a run that was interrupted goes on where it stopped and gives the same clips. Without
--portrait, two portraits free of rights that come inside packages are used (pip install "avsep[portraits]").
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from avsep.errors import AvsepError, InputError, OutputError, UsageError
from avsep.signals import SAMPLE_RATE
from preprocessing.portraits.motion import animate
from preprocessing.portraits.outline import find_landmarks, find_lips
from preprocessing.portraits.puppet import FACE_HEIGHT, Puppet, frame_portrait
from preprocessing.portraits.stock import PICTURES, read_picture, stock_picture
from preprocessing.portraits.style import Style, random_style
from preprocessing.portraits.video import read_speech, resample, write_mp4

SOUND_SUFFIXES = (".wav", ".flac", ".ogg", ".opus")
SHORTEST_SECONDS = 0.5
SKIPPED = "skipped.tsv"

SIDE_STEP = 32
"""Frames are multiples of this: then they lie in memory without padding, whose stray bytes would reach the encoder and
make files of the same clip differ."""


@dataclass(frozen=True, eq=False)
class Portrait:
    """A picture (height, width, 3) uint8 RGB and its face's landmarks (5, 2) in pixels."""

    name: str
    picture: np.ndarray
    landmarks: np.ndarray


def load_portrait(path: Path) -> Portrait:
    """Read a picture and find its largest face and lips. Raises InputError."""
    picture = read_picture(path)
    landmarks = find_landmarks(picture, str(path))
    find_lips(picture, landmarks)
    return Portrait(path.stem, picture, landmarks)


def find_recordings(paths: list[Path]) -> list[Path]:
    """Sound files among the paths and in the folders among them, sorted. Raises UsageError when there are none."""
    found = []
    for path in paths:
        if path.is_dir():
            found += [p for p in sorted(path.rglob("*")) if p.suffix.lower() in SOUND_SUFFIXES]
        elif path.is_file():
            found.append(path)
        else:
            raise UsageError(f"--speech {path}: no such file or folder")
    if not found:
        raise UsageError(f"--speech {' '.join(map(str, paths))}: no sound files ({', '.join(SOUND_SUFFIXES)}) in there")
    return found


def put_in_frame(portrait: Portrait, style: Style) -> tuple[np.ndarray, np.ndarray]:
    """The portrait as the style's camera sees it, and its landmarks: a square with the whole head."""
    picture, landmarks = portrait.picture, portrait.landmarks
    if style.mirrored:
        picture = np.ascontiguousarray(picture[:, ::-1])
        landmarks = landmarks[[1, 0, 2, 4, 3]] * [-1, 1] + [picture.shape[1] - 1, 0]
    face = FACE_HEIGHT * float(np.linalg.norm(landmarks[1] - landmarks[0]))
    # Never beyond the picture: that would enlarge the face instead.
    zoom = min(style.zoom, min(picture.shape[:2]) / face)
    side = int((style.face or face) * zoom) // SIDE_STEP * SIDE_STEP
    return frame_portrait(picture, landmarks, (side, side), style.face)


def animate_portrait(
    portrait: Portrait,
    recording: Path,
    target: Path,
    style: Style,
    rng: np.random.Generator,
    seconds: float | None = None,
) -> None:
    """Write one mp4 of a portrait that speaks (at most the first `seconds` of) a recording. Raises AvsepError."""
    speech, rate = read_speech(recording)
    speech = speech[: None if seconds is None else round(seconds * rate)]
    if len(speech) < SHORTEST_SECONDS * rate:
        raise InputError(f"{recording} lasts {len(speech) / rate:.2f} s, at least {SHORTEST_SECONDS} s are needed")
    puppet = Puppet(*put_in_frame(portrait, style))
    motion = animate(resample(speech, rate, SAMPLE_RATE), style, rng)
    write_mp4(target, puppet.render(motion, style, rng), speech, rate, style.quality)


def animate_all(
    portraits: list[Portrait],
    recordings: list[Path],
    folder: Path,
    *,
    count: int | None = None,
    seed: int = 0,
    seconds: float | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> tuple[int, int]:
    """Write count clips (default: one a recording) and skipped.tsv into a folder; returns numbers written and skipped.

    Clips that are there already are left alone and counted as written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {folder}: {error.strerror}; choose another with --out") from error
    count = len(recordings) if count is None else count
    skipped = []
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        recording = recordings[number % len(recordings)]
        portrait = portraits[int(rng.integers(len(portraits)))]
        style = random_style(rng)
        target = folder / f"{number:06d}_{portrait.name}_{recording.stem}.mp4"
        if target.exists():
            continue
        progress(f"{number + 1}/{count} {target.name}")
        try:
            animate_portrait(portrait, recording, target, style, rng, seconds)
        except InputError as error:
            skipped.append(f"{number}\t{recording}\t{error}\n")
        except OSError as error:
            raise OutputError(
                f"cannot write {target}: {error.strerror or error}; free space or choose another --out"
            ) from error
    if skipped:
        partial = folder / f".{SKIPPED}.partial"
        partial.write_text("number\trecording\treason\n" + "".join(skipped), encoding="utf-8")
        partial.replace(folder / SKIPPED)
    else:
        (folder / SKIPPED).unlink(missing_ok=True)
    return count - len(skipped), len(skipped)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m preprocessing.animate_portraits",
        description="Talking faces from still portraits and recordings.",
    )
    parser.add_argument(
        "--portrait", type=Path, nargs="+", metavar="PICTURE", help="frontal portraits (default: two from packages)"
    )
    parser.add_argument(
        "--speech", type=Path, nargs="+", required=True, metavar="PATH", help="recordings or folders of them"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where the mp4 files go")
    parser.add_argument("--seed", type=int, default=0, help="of all random choices (default: %(default)s)")
    parser.add_argument("--count", type=int, help="clips to make (default: one a recording)")
    parser.add_argument("--seconds", type=float, help="longest clip; the rest of a recording is cut off")
    return parser


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        if options.count is not None and options.count < 1:
            raise UsageError(f"--count {options.count}: give 1 or more")
        if options.seconds is not None and options.seconds < SHORTEST_SECONDS:
            raise UsageError(f"--seconds {options.seconds}: give {SHORTEST_SECONDS} or more")
        recordings = find_recordings(options.speech)
        pictures = options.portrait or [stock_picture(name) for name in PICTURES]
        portraits = [load_portrait(path) for path in pictures]
        cv2.setNumThreads(2)
        written, skipped = animate_all(
            portraits,
            recordings,
            options.out,
            count=options.count,
            seed=options.seed,
            seconds=options.seconds,
            progress=lambda line: print(line, file=sys.stderr),
        )
    except AvsepError as error:
        print(f"animate_portraits: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    print(f"{written} clips in {options.out}" + (f", {skipped} skipped (see {SKIPPED})" if skipped else ""))
    return 1 if skipped else 0


if __name__ == "__main__":
    sys.exit(main())
