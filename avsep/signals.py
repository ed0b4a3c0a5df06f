"""The frozen types that travel between the steps: data together with its place in time.

One clock for a clip: 0 s is the first audio sample that is separated. Pictures are
resampled to a fixed grid on that clock, grid number k standing for k / FRAME_RATE seconds; numbers
below zero are pictures from before the sound starts.

An image of the video is called a picture here, on that grid or as decoded: a frame is what an encoder or an STFT makes
of sound, and both stand in the same sentences.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from avsep.storage.recording import Estimates
    from avsep.storage.spool import Spool

SAMPLE_RATE = 16_000
"""Rate at which voices are separated, detected and matched to lips, in Hz; a model of another rate is given its own."""

FRAME_RATE = 25
"""Rate of the picture grid, in frames per second: that of the lip models of the literature."""

HOP = SAMPLE_RATE // FRAME_RATE
"""Samples at SAMPLE_RATE that one picture of the grid stands for."""

LIP_SIZE = 96
"""Side of a mouth crop in pixels."""

DECISION_FRAMES = 10
"""Pictures that one decision stands for: who speaks, and whose voice a source is."""

ProgressHook = Callable[[str, float, float], None]
"""Called as hook(step, completed_seconds, total_seconds) of media; total may be an estimate."""


def pictures_in(length: int, sample_rate: int = SAMPLE_RATE) -> int:
    """How many pictures of the grid cover `length` samples."""
    return -(-length * FRAME_RATE // sample_rate)


def pictures_of(start_seconds: float, stop_seconds: float) -> tuple[int, int]:
    """Grid numbers of the first picture of a stretch of time and of the one behind its last."""
    # Times come from sample numbers: on the grid but for rounding.
    return int(start_seconds * FRAME_RATE + 1e-6), math.ceil(stop_seconds * FRAME_RATE - 1e-6)


def no_progress(step: str, completed: float, total: float) -> None:
    """A progress hook that does nothing."""


@dataclass(frozen=True, eq=False, repr=False)
class Audio:
    """A stretch of sound. samples: (channels, time) float32, full scale is +-1; sample_rate in Hz."""

    samples: np.ndarray
    sample_rate: int
    start_seconds: float = 0.0

    def __post_init__(self) -> None:
        if self.samples.ndim != 2:
            raise ValueError(f"samples must be (channels, time), got shape {self.samples.shape}")

    @property
    def seconds(self) -> float:
        return self.samples.shape[1] / self.sample_rate

    def __repr__(self) -> str:
        channels, time = self.samples.shape
        return (
            f"Audio(channels={channels}, time={time}, sample_rate={self.sample_rate}, start={self.start_seconds:.3f} s)"
        )


@dataclass(frozen=True, eq=False, repr=False)
class VideoFrames:
    """Consecutive upright pictures on the grid of FRAME_RATE.

    luma: (frames, height, width) uint8, full size. preview: (frames, h, w, 3) uint8 RGB,
    down-scaled for detection. first: grid number of the first picture (may be negative).
    """

    luma: np.ndarray
    preview: np.ndarray
    first: int

    def __post_init__(self) -> None:
        if self.luma.ndim != 3 or self.preview.ndim != 4 or len(self.luma) != len(self.preview):
            raise ValueError(f"luma (n, h, w) and preview (n, h, w, 3) differ: {self.luma.shape}, {self.preview.shape}")

    @property
    def scale(self) -> float:
        """Pixels of the full picture per pixel of the preview."""
        return self.luma.shape[2] / self.preview.shape[2]

    def __len__(self) -> int:
        return len(self.luma)

    def __repr__(self) -> str:
        sizes = f"luma={self.luma.shape[1:]}, preview={self.preview.shape[1:3]}"
        return f"VideoFrames(frames={len(self)}, {sizes}, first={self.first})"


@dataclass(frozen=True, eq=False, repr=False)
class LipClip:
    """Aligned gray mouth crops of one face, one a grid number.

    crops: Spool of (LIP_SIZE, LIP_SIZE) uint8 rows on disk. quality: (frames,) float32 in 0..1,
    0 where the mouth cannot be used. first: grid number of row 0.
    """

    crops: Spool
    quality: np.ndarray
    first: int

    def __len__(self) -> int:
        return len(self.quality)

    def __repr__(self) -> str:
        mean = float(self.quality.mean()) if len(self) else 0.0
        return f"LipClip(frames={len(self)}, first={self.first}, quality={mean:.2f})"


@dataclass(frozen=True, eq=False, repr=False)
class FaceTrack:
    """One face followed without interruption through one shot.

    first: grid number of row 0. boxes: (frames, 4) float32 x1, y1, x2, y2 and landmarks:
    (frames, 5, 2) float32 (eyes, nose, mouth corners; left of the picture first), both in pixels of the
    full picture, smoothed. confidence: (frames,) float32, the detector's probability, kept
    between detections. portraits: (n, 160, 160, 3) uint8 RGB face crops for recognition, the best of the track.
    best: grid number of the picture that shows the face best. lips: its mouth.
    """

    first: int
    boxes: np.ndarray
    landmarks: np.ndarray
    confidence: np.ndarray
    portraits: np.ndarray
    best: int
    lips: LipClip

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def start_seconds(self) -> float:
        return self.first / FRAME_RATE

    @property
    def end_seconds(self) -> float:
        return (self.first + len(self)) / FRAME_RATE

    def __repr__(self) -> str:
        box = np.median(self.boxes, axis=0).round().astype(int).tolist()
        return f"FaceTrack({self.start_seconds:.2f}-{self.end_seconds:.2f} s, box={box})"


@dataclass(frozen=True)
class Person:
    """All tracks of one face identity, in order of time (they do not overlap)."""

    tracks: tuple[FaceTrack, ...]
    warnings: tuple[str, ...] = field(default=())

    @property
    def box(self) -> list[int]:
        """Median face box x1, y1, x2, y2 in pixels of the input picture."""
        return [int(v) for v in np.median(np.concatenate([t.boxes for t in self.tracks]), axis=0).round()]

    @property
    def appearances(self) -> list[tuple[float, float]]:
        """Start and end of each track in seconds."""
        return [(t.start_seconds, t.end_seconds) for t in self.tracks]


@dataclass(frozen=True)
class Candidate:
    """Somebody of the people library who a track may be. similarity: of "face" and "voice", -1..1, as far as there are
    any."""

    name: str
    probability: float
    similarity: dict[str, float]


@dataclass(frozen=True)
class Identity:
    """Whom the people library takes a track for. found: who it is named after, None where nobody is likely enough.
    stranger: probability that it is nobody of the library. nearest: the most likely one but him. learnt: whether he was
    added to the library by this track."""

    found: Candidate | None
    stranger: float
    nearest: Candidate | None = None
    learnt: bool = False


TrackKind = Literal["person", "voice", "sound", "stem"]


@dataclass(frozen=True, eq=False)
class Track:
    """One track of the result: who or what it is, not its sound.

    name: of its files. kind: "person" (with a face), "voice" (speech without a face), "sound" or "stem". label: a
    class, a stem, or whose voice it is. identity: whom a people library takes it for. probabilities: of classes, 0..1.
    speech: (pictures,) probability of speech at FRAME_RATE, None where nothing was asked about speech. confidence: how
    sure it is that this voice belongs to this face, None where there is nothing to tell it by. offset_seconds: by which
    its sound comes after the picture. warnings: of this track.
    """

    name: str
    kind: TrackKind
    person: Person | None = None
    label: str | None = None
    identity: Identity | None = None
    probabilities: dict[str, float] = field(default_factory=dict)
    speech: np.ndarray | None = None
    confidence: float | None = None
    offset_seconds: float | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Target:
    """Somebody who was asked for. label: the name. by: the "voice" or the "face" in the file. similarity: to each track
    that was found, -1..1; None for a track that cannot be compared. least: the similarity that is needed. found: number
    of the track that is this person's, None where none is.
    """

    label: str
    by: str
    file: str
    similarity: list[float | None]
    least: float
    found: int | None = None


@dataclass(frozen=True, eq=False)
class Choice:
    """Which of the tracks that were found were asked for. option: "only", "without", "span", "enroll" or "target".
    chosen: whether each is part of what is written. likeness: of each to what sounds in the span, 0..1; None where
    something else tells. targets: who was asked for; their tracks are written in this order.
    """

    option: str
    found: list[Track]
    chosen: list[bool]
    likeness: list[float] | None = None
    targets: list[Target] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Tracks:
    """What a mode makes of a scene: track i is the sum of all sources, each times its gain.

    mode: as the manifest names it. model: the name of the weights that separated. sources: what was separated. gains:
    (tracks, sources, pictures) float32 in 0..1 at FRAME_RATE. warnings: for whoever reads the result. choice: where one
    track was asked for, which.
    """

    mode: str
    model: str
    sources: Estimates
    gains: np.ndarray
    tracks: list[Track]
    warnings: list[str] = field(default_factory=list)
    choice: Choice | None = None

    def __post_init__(self) -> None:
        if self.gains.ndim != 3 or self.gains.shape[:2] != (len(self.tracks), self.sources.count):
            raise ValueError(
                f"gains {self.gains.shape}; expected (tracks, sources, pictures) with {len(self.tracks)} tracks and "
                f"{self.sources.count} sources"
            )
