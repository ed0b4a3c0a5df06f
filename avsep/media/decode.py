"""Media files as streams of sound and pictures: one door to the rooms that read them."""

from avsep.media.audio import read_audio
from avsep.media.pictures import PictureLog, pictures
from avsep.media.probe import AudioInfo, ClipInfo, VideoInfo, probe
from avsep.media.video import picture_at, read_video

__all__ = [
    "AudioInfo",
    "ClipInfo",
    "PictureLog",
    "VideoInfo",
    "picture_at",
    "pictures",
    "probe",
    "read_audio",
    "read_video",
]
