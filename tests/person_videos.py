"""The videos of people that the tests make, and what is in them."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from media_factory import picture_number, tone

from avsep.media.copied_pictures import plan_copy
from avsep.media.decode import ClipInfo
from avsep.media.encode import PersonVideo, WavWriter, write_person_videos
from avsep.media.pictures import log_pictures
from avsep.signals import FaceTrack, LipClip, Person
from avsep.storage.spool import Spool

NOBODY = Person(())


def person(first: int, frames: int, box: tuple[float, float, float, float]) -> Person:
    track = FaceTrack(
        first=first,
        boxes=np.tile(np.array(box, np.float32), (frames, 1)),
        landmarks=np.zeros((frames, 5, 2), np.float32),
        confidence=np.ones(frames, np.float32),
        portraits=np.zeros((0, 160, 160, 3), np.uint8),
        best=first,
        lips=LipClip(Spool(None, (96, 96), np.uint8), np.zeros(frames, np.float32), first),
    )
    return Person((track,))


def make_video(
    clip: ClipInfo,
    folder: Path,
    sound: np.ndarray,
    rate: int = 16_000,
    *,
    mark: bool = False,
    warnings: list[str] | None = None,
    who: Person = NOBODY,
) -> Path:
    """Write out.mp4 with `sound` (channels, time) for a person; without warnings unless a list for them is given."""
    with WavWriter(folder / "voice.wav", rate, len(sound)) as writer:
        writer.write(sound)
    warn = pytest.fail if warnings is None else warnings.append
    write_person_videos(clip, [PersonVideo(folder / "out.mp4", who, folder / "voice.wav")], warn, mark=mark)
    return folder / "out.mp4"


def is_copied(clip: ClipInfo) -> bool:
    """Whether the pictures are copied when nobody is marked."""
    return plan_copy(clip, log_pictures(clip)) is not None


def shown(path: Path) -> list[tuple[float, int]]:
    """Times and numbers of the pictures of a file."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    return [(float(f.pts * f.time_base), picture_number(f.to_ndarray(format="gray"))) for f in frames]


def heard(path: Path) -> tuple[float, np.ndarray, int]:
    """Start, samples (channels, time) and rate of a file's sound."""
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
    start = float(frames[0].pts * frames[0].time_base)
    return start, np.concatenate([f.to_ndarray() for f in frames], axis=1), frames[0].sample_rate


def click(seconds: float, at: float, rate: int = 16_000) -> np.ndarray:
    """(1, time): silence but for a burst of 10 ms."""
    sound = np.zeros((1, round(seconds * rate)), np.float32)
    sound[:, round(at * rate) : round((at + 0.01) * rate)] = 0.8 * tone(0.01, rate, frequency=2000)
    return sound
