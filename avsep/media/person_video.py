"""One video per person: the input's pictures with only that person's sound."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from avsep.media.copied_pictures import copy_pictures, plan_copy
from avsep.media.encoded_pictures import encode_pictures
from avsep.media.mp4 import PersonVideo, TracksVideo, playable_gain
from avsep.media.pictures import PictureLog, log_pictures
from avsep.media.probe import ClipInfo
from avsep.signals import ProgressHook, no_progress

__all__ = ["PersonVideo", "write_person_videos"]


def write_person_videos(
    clip: ClipInfo,
    jobs: Sequence[PersonVideo | TracksVideo],
    warn: Callable[[str], None],
    progress: ProgressHook = no_progress,
    *,
    mark: bool = False,
    log: PictureLog | None = None,
) -> None:
    """Write an mp4 (H.264 and AAC, playable in a browser) for each job, reading the clip once for all.

    The pictures are copied where that shows the same as encoding them anew. mark: draw a box around the person, for
    which they are always encoded. log: of an earlier reading of all pictures; without it they are decoded once more.
    Pictures keep their times and size (an odd last row or column is cut off); sample 0 of each wav is at the
    clip's time 0. Where the pictures of a whole file begin before its sound, so do the videos.
    progress is called with the step "video". Raises OutputError when a file cannot be written.
    """
    if clip.video is None or not jobs:
        return
    total = clip.duration_seconds

    def done(seconds: float) -> None:
        progress("video", min(max(seconds, 0.0), total), total)

    gain = playable_gain([sound.wav for job in jobs for sound in job.sounds])
    jobs = [replace(job, gain=gain) for job in jobs]
    plan = None if mark else plan_copy(clip, log or log_pictures(clip))
    if plan is not None:
        copy_pictures(clip, plan, jobs, done)
    elif not encode_pictures(clip, jobs, mark, warn, done):
        warn(f"{clip.path}: no picture could be decoded, so no videos of the people were written")
        return
    done(total)
