"""Test videos of two faces of which one cannot be judged by its lips, or does not speak, with the voices as references.

    python tests/benchmarks/compose_hidden.py CLIPS PAIRS.tsv OUT [--pairs p01 p02] [--only "microphone 1"]

CLIPS and PAIRS.tsv are those of robustness.py. For each pair and variant it writes OUT/<pair>_<variant>.mov,
OUT/<pair>_<variant>/{left,right,rest}.wav (16 kHz, they add up to the mixture) and a line of OUT/scenes.tsv: name,
pair, variant, side (of the face that is changed), talks (whether that face talks). `score_hidden.py` makes the same
scenes for itself, without files.

The microphone and the hand are drawn over the mouth that the face detector finds. They follow it slowly, as a hand
does, and are brought in from below where they hide it for a part of the time only.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import soundfile as sf
from robustness import USUAL_FACE, Scene, Talker, film, loudness, read_talker
from scipy.ndimage import gaussian_filter1d

from avsep.faces.find import find_faces
from avsep.pipeline import Separator
from avsep.signals import SAMPLE_RATE, VideoFrames

SMALL_FACE = 50.0
"""Pixels from the top of a small face's box to its bottom."""
COMING = 6
"""Pictures that something takes from below the picture to the mouth."""


@dataclasses.dataclass(frozen=True, eq=False)
class Faced:
    """A talker with the landmarks (pictures, 5, 2) of his face."""

    talker: Talker
    landmarks: np.ndarray


def landmarks_of(talker: Talker) -> np.ndarray:
    """(pictures, 5, 2) of the largest face, held where it is not found."""
    luma = np.stack([cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in talker.pictures])
    tracks = find_faces([VideoFrames(luma, talker.pictures, 0)], device="cpu", folder=None).tracks
    track = max(tracks, key=lambda t: len(t) * float(t.boxes[0, 3] - t.boxes[0, 1]))
    return track.landmarks[(np.arange(len(luma)) - track.first).clip(0, len(track) - 1)].astype(np.float64)


def capsule(points: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Distance of points (..., 2) from the line between two points."""
    along = end - start
    share = ((points - start) @ along / (along @ along + 1e-9)).clip(0, 1)
    return np.linalg.norm(points - start - share[..., None] * along, axis=-1)


def microphone(points: np.ndarray, rng: np.random.Generator) -> list[tuple[np.ndarray, np.ndarray]]:
    """Layers (distance in radii, colour) of a microphone. points: (..., 2) from the mouth, in eye distances."""
    lean = np.radians(rng.uniform(-30, 30))
    down = np.array([np.sin(lean), np.cos(lean)])
    radius, dark = rng.uniform(0.58, 0.72), rng.uniform(25, 70)
    ball = np.linalg.norm(points, axis=-1) / radius
    light = 1.25 - 0.75 * np.linalg.norm(points + 0.35 * radius, axis=-1) / radius
    mesh = 1 + 0.25 * np.sign(np.sin(points[..., 0] * 45) * np.sin(points[..., 1] * 45))
    across = points @ np.array([down[1], -down[0]])
    handle = capsule(points, 0.8 * radius * down, 5 * down) / 0.3
    band = np.maximum(np.abs(across) / 0.42, np.abs(points @ down - 0.95 * radius) / 0.12)
    grey = np.ones(3)
    return [
        (handle, (35 + 60 * np.exp(-(((across + 0.1) / 0.08) ** 2)))[..., None] * grey),
        (ball, (dark * light.clip(0.25) * mesh)[..., None] * grey),
        (band, (120 + 80 * np.exp(-(((across + 0.1) / 0.15) ** 2)))[..., None] * grey),
    ]


def hand(points: np.ndarray, rng: np.random.Generator, skin: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Layers (distance in radii, colour) of a hand that lies over the mouth. skin: (3,) its colour."""
    side, turn = rng.choice([-1, 1]), np.radians(rng.uniform(-15, 30))
    along = np.array([-side * np.cos(turn), -np.sin(turn)])
    across = np.array([along[1], -along[0]]) * side
    layers = []

    def limb(start: np.ndarray, end: np.ndarray, radius: float) -> None:
        far = capsule(points, start, end) / radius
        layers.append((far, skin * (1.08 - 0.4 * far.clip(0, 1)[..., None] ** 2)))

    wrist = -1.9 * along - 0.3 * across + np.array([0, 1.0])
    limb(wrist, wrist + np.array([-0.8 * along[0], 3.0]), 0.42)
    limb(-1.3 * along, wrist, 0.55)
    for finger, length in enumerate((0.62, 0.78, 0.74, 0.55)):
        place = (finger - 1.4) * 0.3 * across
        limb(place - 1.2 * along, place + length * along, 0.175)
    return layers


def covered(faced: Faced, what: str, share: float, rng: np.random.Generator) -> Faced:
    """The talker with a microphone or a hand before his mouth for a share of the time."""
    talker, landmarks = faced.talker, faced.landmarks
    count = len(talker.pictures)
    eye = float(np.median(np.linalg.norm(landmarks[:, 1] - landmarks[:, 0], axis=-1)))
    mouth = gaussian_filter1d(landmarks[:, 3:].mean(axis=1), 8.0, axis=0, mode="nearest")
    drift = gaussian_filter1d(rng.standard_normal((count, 2)), 12.0, axis=0, mode="nearest")
    mouth = mouth + 0.06 * eye * drift / (drift.std() + 1e-9)
    hidden = round(share * count)
    first = int(rng.choice([0, count - hidden])) if share < 1 else 0
    numbers = np.arange(count)
    outside = np.maximum(np.maximum(first - numbers, numbers - (first + hidden - 1)), 0)
    cheek = (landmarks[count // 2, 0] + landmarks[count // 2, 3]) / 2
    x, y = cheek.round().astype(int)
    patch = talker.pictures[count // 2][max(0, y - 3) : y + 4, max(0, x - 3) : x + 4].reshape(-1, 3)
    state = rng.integers(2**32)
    pictures = talker.pictures.copy()
    height, width = pictures.shape[1:3]
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).astype(np.float64)
    for number in np.flatnonzero(outside < COMING):
        place = mouth[number] + np.array([0, 4.0 * eye * outside[number] / COMING])
        left, top = np.maximum(place - [3.5 * eye, 1.5 * eye], 0).astype(int)
        part = np.s_[top : max(top, round(place[1] + 5 * eye)), left : round(place[0] + 3.5 * eye)]
        points, same = (grid[part] - place) / eye, np.random.default_rng(state)
        if not points.size:
            continue
        skin = np.median(patch, axis=0)
        layers = microphone(points, same) if what == "microphone" else hand(points, same, skin)
        shown = pictures[number][part].astype(np.float64)
        for far, colour in layers:
            alpha = cv2.GaussianBlur((far < 1).astype(np.float64), (0, 0), max(0.6, 0.015 * eye))[..., None]
            shown = alpha * colour + (1 - alpha) * shown
        grain = rng.normal(0, 1.5, shown.shape) * (np.stack([f for f, _ in layers]).min(axis=0) < 1)[..., None]
        pictures[number][part] = (shown + grain).clip(0, 255).astype(np.uint8)
    return dataclasses.replace(faced, talker=dataclasses.replace(talker, pictures=pictures))


def resting(faced: Faced, rng: np.random.Generator) -> Faced:
    """A listener: one picture of the talker with his lips closest together, who sways and nods a little, no voice."""
    talker, landmarks = faced.talker, faced.landmarks
    count, (height, width) = len(talker.pictures), talker.pictures.shape[1:3]
    eye = np.median(np.linalg.norm(landmarks[:, 1] - landmarks[:, 0], axis=-1))
    # An open mouth is a dark spot between the corners.
    middles = landmarks[:, 3:].mean(axis=1).round().astype(int)
    reach = max(2, round(0.15 * eye))
    dark = [
        p[y - reach : y + reach, x - reach : x + reach].min()
        for p, (x, y) in zip(talker.pictures, middles, strict=True)
    ]
    still = talker.pictures[int(np.argmax(dark))]
    sway = gaussian_filter1d(rng.standard_normal((count, 4)), 15.0, axis=0, mode="nearest")
    sway = sway / (sway.std(axis=0) + 1e-9) * np.array([0.05 * eye, 0.04 * eye, np.radians(1.5), 0.01])
    pictures = np.empty_like(talker.pictures)
    for number, (right, down, turn, zoom) in enumerate(sway):
        matrix = cv2.getRotationMatrix2D((width / 2, height), float(np.degrees(turn)), 1 + float(zoom))
        matrix[:, 2] += right, down
        moved = cv2.warpAffine(still, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
        pictures[number] = (moved + rng.normal(0, 1.5, moved.shape)).clip(0, 255).astype(np.uint8)
    return dataclasses.replace(faced, talker=dataclasses.replace(talker, pictures=pictures))


def muted(faced: Faced) -> Faced:
    return dataclasses.replace(faced, talker=dataclasses.replace(faced.talker, voice=np.zeros_like(faced.talker.voice)))


Change = Callable[[Faced, np.random.Generator], Faced]


@dataclasses.dataclass(frozen=True)
class Variant:
    """change: of one face. talks: whether it talks. face: pixels. beyond: whether somebody out of the picture talks.
    other: whether the change is made to the other side than that of the pair's first variants. unjudged: whether
    nothing in the scene tells who talks, so that it is no error to give the face the voice."""

    change: Change
    talks: bool = True
    face: float = USUAL_FACE
    beyond: bool = False
    other: bool = False
    unjudged: bool = False


VARIANTS = {
    "plain": Variant(lambda faced, rng: faced),
    "microphone 1": Variant(lambda faced, rng: covered(faced, "microphone", 1.0, rng)),
    "hand 1": Variant(lambda faced, rng: covered(faced, "hand", 1.0, rng), other=True),
    "microphone 0.9": Variant(lambda faced, rng: covered(faced, "microphone", 0.9, rng), other=True),
    "hand 0.9": Variant(lambda faced, rng: covered(faced, "hand", 0.9, rng)),
    "microphone 0.5": Variant(lambda faced, rng: covered(faced, "microphone", 0.5, rng)),
    "hand 0.5": Variant(lambda faced, rng: covered(faced, "hand", 0.5, rng), other=True),
    "small": Variant(lambda faced, rng: faced, face=SMALL_FACE),
    "small, microphone 1": Variant(lambda faced, rng: covered(faced, "microphone", 1.0, rng), face=SMALL_FACE),
    "listener at rest": Variant(lambda faced, rng: muted(resting(faced, rng)), talks=False),
    "listener, lips move": Variant(lambda faced, rng: muted(faced), talks=False, other=True),
    "listener, microphone": Variant(lambda f, rng: muted(covered(f, "microphone", 1.0, rng)), talks=False, other=True),
    "listener, hand": Variant(lambda faced, rng: muted(covered(faced, "hand", 1.0, rng)), talks=False),
    "listener at rest, voice beyond": Variant(lambda f, rng: muted(resting(f, rng)), talks=False, beyond=True),
    "listener, microphone, voice beyond": Variant(
        lambda faced, rng: muted(covered(faced, "microphone", 1.0, rng)),
        talks=False,
        beyond=True,
        other=True,
        unjudged=True,
    ),
}


class Stage:
    """The faces of all pairs and what becomes of them, read once."""

    def __init__(self, clips: Path, pairs: Path) -> None:
        with pairs.open(newline="", encoding="utf-8") as file:
            self.rows = list(csv.DictReader(file, delimiter="\t"))
        self.clips, self.separator = clips, Separator(threads=1)
        self._faces: dict[tuple[str, str], Faced] = {}

    def names(self, wanted: list[str] | None) -> list[str]:
        return [row["name"] for row in self.rows if not wanted or row["name"] in wanted]

    def faced(self, name: str, side: str) -> Faced:
        """One talker of a pair, as loud as its snr_db says."""
        if (name, side) not in self._faces:
            row = self.rows[self._number(name)]
            start, seconds = float(row[f"{side}_start"]), float(row["seconds"])
            level = -26 + (1 if side == "left" else -1) * float(row["snr_db"]) / 2
            talker = loudness(read_talker(self.clips / row[side], start, seconds, self.separator), level)
            self._faces[name, side] = Faced(talker, landmarks_of(talker))
        return self._faces[name, side]

    def side(self, name: str, variant: str) -> str:
        """The side of the face that a variant changes."""
        return ("left", "right")[(self._number(name) + VARIANTS[variant].other) % 2]

    def changed(self, name: str, variant: str) -> Faced:
        rng = np.random.default_rng([self._number(name), list(VARIANTS).index(variant)])
        return VARIANTS[variant].change(self.faced(name, self.side(name, variant)), rng)

    def beyond(self, name: str) -> np.ndarray:
        """The voice (time,) of somebody who is not in the picture, nor in the pair."""
        row = self.rows[self._number(name)]
        third = next(r for r in self.rows if r["left"] not in (row["left"], row["right"]))
        return np.resize(self.faced(third["name"], "left").talker.voice, len(self.faced(name, "left").talker.voice))

    def _number(self, name: str) -> int:
        return [row["name"] for row in self.rows].index(name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path)
    parser.add_argument("pairs_file", metavar="PAIRS.tsv", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--pairs", nargs="+", help="names of pairs; all of the file by default")
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS), help="variants")
    args = parser.parse_args()

    stage = Stage(args.clips, args.pairs_file)
    args.out.mkdir(parents=True, exist_ok=True)
    with (args.out / "scenes.tsv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, delimiter="\t", lineterminator="\n")
        table.writerow(["name", "pair", "variant", "side", "talks"])
        for pair in stage.names(args.pairs):
            for variant in args.only:
                how, side = VARIANTS[variant], stage.side(pair, variant)
                sides = {one: stage.faced(pair, one) for one in ("left", "right")}
                sides[side] = stage.changed(pair, variant)
                voices = [one.talker.voice for one in sides.values()]
                rest = stage.beyond(pair) if how.beyond else np.zeros_like(voices[0])
                name = f"{pair}_{variant.replace(', ', '_').replace(' ', '_')}"
                (args.out / name).mkdir(exist_ok=True)
                heard = film(
                    Scene([one.talker for one in sides.values()], face=how.face, rest=rest), args.out / f"{name}.mov"
                )
                gain = 0.9 / np.abs(sum(voices) + rest).max()
                for one, voice in zip(("left", "right", "rest"), [*heard, rest * gain], strict=True):
                    sf.write(args.out / name / f"{one}.wav", voice, SAMPLE_RATE, subtype="FLOAT")
                table.writerow([name, pair, variant, side, int(how.talks)])
                print(f"{name}: {len(rest) / SAMPLE_RATE:.1f} s", flush=True)


if __name__ == "__main__":
    main()
