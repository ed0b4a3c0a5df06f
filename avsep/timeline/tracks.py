"""All tracks in one file, each a named audio stream, for players and editors."""

from __future__ import annotations

from pathlib import Path

from avsep.timeline.base import TimeLine

STEP = "tracks"


def write_mka(line: TimeLine, path: Path) -> None:
    """A Matroska file of the sounds, without loss."""
    from avsep.media.mka import write_mka as write
    from avsep.media.mp4 import NamedSound

    total = line.seconds
    sounds = [NamedSound(lane.audio, lane.name) for lane in line.lanes]
    write(path, sounds, lambda seconds: line.progress(STEP, min(seconds, total), total))


def write_mp4(line: TimeLine, path: Path) -> None:
    """The picture with the sounds beside it, as AAC. That of a person's video, which browsers play, is copied; that of
    the clip is copied or encoded as for such a video. No file where the result has no picture."""
    from avsep.media.copied_pictures import copy_pictures, plan_own
    from avsep.media.mp4 import NamedSound, TracksVideo, playable_gain
    from avsep.media.person_video import write_person_videos

    picture, total = line.picture, line.seconds
    if picture is None:
        return
    job = TracksVideo(path, tuple(NamedSound(lane.audio, lane.name) for lane in line.lanes))
    if picture.is_own:
        job = TracksVideo(path, job.sounds, playable_gain([sound.wav for sound in job.sounds]))
        plan = plan_own(picture.file, -picture.zero_seconds)
        copy_pictures(picture.clip, plan, [job], lambda at: line.progress(STEP, min(max(at, 0.0), total), total))
    else:
        write_person_videos(picture.clip, [job], line.warn, lambda _, done, of: line.progress(STEP, done, of))
