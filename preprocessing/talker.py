"""The one who talks in a video: mouth, portraits and sound, cut by the code that `avsep separate` uses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from avsep.embeddings.face import FaceEmbedder
from avsep.errors import InputError
from avsep.faces.detect import Detector
from avsep.media.probe import ClipInfo
from avsep.signals import FRAME_RATE, FaceTrack


def read_talker(
    video: Path,
    warn: Callable[[str], None],
    detector: Detector | None = None,
    *,
    audio: Path | None = None,
    face: tuple[float, float] | None = None,
    device: str = "cpu",
    embedder: FaceEmbedder | None = None,
) -> dict[str, np.ndarray]:
    """The arrays of one video, by default of its largest face and its own sound.

    audio: a file with the sound, on the same time line, where it lies beside the video. face: where the face is at the
    beginning, as shares of the picture's width and height. embedder: with it, the embedding of every picture, too.

    Returns lips (n, 96, 96) uint8 at 25 pictures a second, quality (n,) float32 in 0..1, first () int (number on the
    25-per-second grid of the first picture; 0 is the first audio sample), audio (time,) int16 at 16 kHz, portraits (up
    to 3, 160, 160, 3) uint8 RGB and, with an embedder, face (n, 512) float32. Raises InputError when there is no
    picture, no sound or no face.
    """
    from avsep.dsp.resample import model_blocks
    from avsep.faces import find_faces
    from avsep.faces.embed import embed_tracks
    from avsep.media.decode import read_audio, read_video

    pictures, sound = _clips(video, audio)
    if pictures.video is None:
        raise InputError(f"{video}: no video stream. Give videos of a talking face")
    tracks = find_faces(read_video(pictures, warn), device=device, folder=None, detector=detector).tracks
    if not tracks:
        raise InputError(f"{video}: no face found. Give videos of a talking face")
    size = (pictures.video.width, pictures.video.height)
    track = largest(tracks) if face is None else face_at(tracks, face, size)
    if track is None:
        raise InputError(f"{video}: no face at {face} (x, y as shares of the picture), where the list says one is")
    samples = np.concatenate(list(model_blocks(read_audio(sound, warn))))
    arrays = {
        "lips": track.lips.crops.read(0, len(track)),
        "quality": track.lips.quality,
        "first": np.array(track.first),
        "audio": np.clip(np.round(samples * 32768.0), -32768, 32767).astype(np.int16),
        "portraits": track.portraits,
    }
    if embedder is not None:
        (found,) = embed_tracks(read_video(pictures, lambda _: None), [track], embedder)
        arrays["face"] = found.read(0, len(track))
    return arrays


def _clips(video: Path, audio: Path | None) -> tuple[ClipInfo, ClipInfo]:
    """The clip to take the pictures from and the one to take the sound from, on the clock of the sound."""
    from avsep.media.container import open_container
    from avsep.media.probe import probe, probe_video

    sound = probe(video if audio is None else audio)
    if audio is None:
        return sound, sound
    with open_container(video) as container:
        return replace(sound, path=video, video=probe_video(container, sound.origin_seconds)), sound


def largest(tracks: Sequence[FaceTrack]) -> FaceTrack:
    """The track that covers most of the pictures: area times length."""

    def cover(track: FaceTrack) -> float:
        return float((track.boxes[:, 2:] - track.boxes[:, :2]).prod(axis=1).sum())

    return max(tracks, key=cover)


def face_at(tracks: Sequence[FaceTrack], face: tuple[float, float], size: tuple[int, int]) -> FaceTrack | None:
    """The track whose face was nearest to a place when the clip began, None when that is none's.

    face: x and y as shares of size, the width and height of the picture. A face counts within its own box, and in the
    first second only.
    """
    begin = min(track.first for track in tracks)
    place = np.multiply(face, size)

    def distance(track: FaceTrack) -> float:
        corners = track.boxes[0].reshape(2, 2)
        # 1 is the border of the box.
        return float(np.abs((place - corners.mean(axis=0)) / ((corners[1] - corners[0]) / 2)).max())

    near = [t for t in tracks if t.first < begin + FRAME_RATE and distance(t) <= 1]
    return min(near, key=distance, default=None)
