"""Make talking faces from still portraits and recordings, as training clips with their own clean sound.

    python -m preprocessing.animate_portraits --portrait me.jpg you.png --speech recordings/ --out clips/ --count 500

FOLDER/manifest.tsv lists the clips for training: lips (ID.npz), sound (ID.flac), and the speaker and split of the
recording, by the rules of preprocessing/speech_folder.py. skipped.tsv lists what gave no clip, and why.

Every clip takes a portrait, a recording and a style (gain, motion, size, light, blur, noise, compression) drawn from
the seed and its number, so that a run that was interrupted goes on where it stopped and gives the same clips. Without
--portrait, two portraits free of rights that come inside packages are used (pip install "avsep[portraits]").
"""

from __future__ import annotations

import argparse
import functools
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from avsep.data.manifest import Utterance, write_manifest
from avsep.errors import AvsepError, InputError, OutputError, UsageError
from avsep.jobs.engine import IN_PROCESS, Engine
from avsep.jobs.options import add_engine, engine_of
from avsep.jobs.run import run_jobs
from avsep.safe_text import safe_line
from avsep.signals import SAMPLE_RATE
from preprocessing.command import add_seed
from preprocessing.corpus import SUFFIXES, Sound, find_sounds, hashed_split
from preprocessing.faces_corpus import Clip, make_clip
from preprocessing.portraits.motion import animate
from preprocessing.portraits.outline import find_landmarks, find_lips
from preprocessing.portraits.puppet import FACE_HEIGHT, Puppet, frame_portrait
from preprocessing.portraits.stock import PICTURES, read_picture, stock_picture
from preprocessing.portraits.style import Style, random_style
from preprocessing.portraits.video import read_speech, resample, write_mp4
from preprocessing.speech_folder import list_speech, listed

SHORTEST_SECONDS = 0.5

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


def find_recordings(paths: list[Path]) -> list[Sound]:
    """Recordings among the paths, in the folders and in the manifests among them, with their speakers and splits (see
    preprocessing/speech_folder.py). Raises UsageError when there are none."""
    found: list[Sound] = []
    for path in paths:
        if path.is_dir():
            found += list_speech(path) if (path / "manifest.tsv").is_file() or find_sounds(path) else []
        elif path.suffix == ".tsv" and path.is_file():
            found += listed(path)
        elif path.is_file():
            found.append(Sound(path.name, path, path.stem, hashed_split(path.stem)))
        else:
            raise UsageError(f"--speech {path}: no such file or folder")
    if not found:
        raise UsageError(
            f"--speech {' '.join(map(str, paths))}: no sound files ({', '.join(sorted(SUFFIXES))}) in there"
        )
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


@dataclass(frozen=True)
class Film:
    """One clip to make: its number in the run of this seed, and who of how many portraits says what."""

    number: int
    seed: int
    portrait: Path
    portraits: int
    recording: Sound

    @property
    def id(self) -> str:
        return f"{self.number:06d}_{self.portrait.stem}_{self.recording.file.stem}"

    def random(self) -> tuple[int, np.random.Generator]:
        """Which portrait it is, and where the random numbers of its style come from."""
        rng = np.random.default_rng([self.seed, self.number])
        return int(rng.integers(self.portraits)), rng


def choose(portraits: list[Path], recordings: list[Sound], count: int | None = None, seed: int = 0) -> Iterator[Film]:
    """The clips of a run (default: one a recording): speakers in turn, portraits at random."""
    recordings = speakers_in_turn(recordings)
    for number in range(len(recordings) if count is None else count):
        film = Film(number, seed, portraits[0], len(portraits), recordings[number % len(recordings)])
        yield replace(film, portrait=portraits[film.random()[0]])


def speakers_in_turn(recordings: Iterable[Sound]) -> list[Sound]:
    """Every speaker's first recording, then every speaker's second, and so on: few clips still have many voices."""
    said: Counter[str] = Counter()
    ranked = []
    for recording in recordings:
        ranked.append((said[recording.speaker], recording))
        said[recording.speaker] += 1
    return [recording for _, recording in sorted(ranked, key=lambda pair: pair[0])]


@functools.cache
def _loaded(path: Path) -> Portrait:
    """Once a process."""
    return load_portrait(path)


class Made(NamedTuple):
    """The files of a clip; without lips no row of a manifest."""

    video: Path
    row: Utterance | None


def make_film(film: Film, folder: Path, *, seconds: float | None = None, lips: bool = True) -> Made:
    """Write ID.mp4 and, with lips, ID.npz and ID.flac of a clip (see preprocessing/faces_corpus.py). Raises
    AvsepError."""
    video = folder / f"{film.id}.mp4"
    _, rng = film.random()
    style = random_style(rng)
    animate_portrait(_loaded(film.portrait), film.recording.file, video, style, rng, seconds)
    if not lips:
        return Made(video, None)
    return Made(video, make_clip(Clip(film.id, video, film.recording.speaker, film.recording.split), folder))


def animate_all(
    portraits: list[Path],
    recordings: list[Sound],
    folder: Path,
    *,
    count: int | None = None,
    seed: int = 0,
    seconds: float | None = None,
    lips: bool = True,
    engine: Engine = IN_PROCESS,
) -> tuple[int, int]:
    """Write count clips, skipped.tsv and, with lips, manifest.tsv into a folder; returns numbers written and skipped.

    Clips that an earlier run made in the same way are left alone and counted as written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the folder {folder}: {error.strerror}; choose another with --out") from error
    films = list(choose(portraits, recordings, count, seed))
    work = functools.partial(make_film, folder=folder, seconds=seconds, lips=lips)
    done = run_jobs(films, work, folder, name=lambda film: film.id, engine=engine)
    if lips:
        write_manifest(folder / "manifest.tsv", [made.row for made in done.values() if made.row is not None])
    return len(done), len(films) - len(done)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m preprocessing.animate_portraits",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--portrait", type=Path, nargs="+", metavar="PICTURE", help="frontal portraits (default: two from packages)"
    )
    parser.add_argument(
        "--speech", type=Path, nargs="+", required=True, metavar="PATH", help="recordings, folders or manifests of them"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where the mp4 files go")
    add_seed(parser)
    parser.add_argument("--count", type=int, help="clips to make, speakers in turn (default: one a recording)")
    parser.add_argument("--seconds", type=float, help="longest clip; the rest of a recording is cut off")
    parser.add_argument("--videos-only", action="store_true", help="no lips, no manifest.tsv")
    add_engine(parser)
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
        for path in pictures:
            _loaded(path)  # one without a face: say so before anything is made
        engine = engine_of(options)
        cv2.setNumThreads(2 if engine.in_process else 1)
        written, skipped = animate_all(
            pictures,
            recordings,
            options.out,
            count=options.count,
            seed=options.seed,
            seconds=options.seconds,
            lips=not options.videos_only,
            engine=engine,
        )
    except AvsepError as error:
        print(f"animate_portraits: {safe_line(str(error))}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    print(f"{written} clips in {options.out}" + (f", {skipped} skipped (see skipped.tsv)" if skipped else ""))
    return 1 if skipped else 0


if __name__ == "__main__":
    sys.exit(main())
