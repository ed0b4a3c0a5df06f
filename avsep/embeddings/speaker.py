"""Whose voice it is: how alike a track is to an enrolment. The one place that knows how a voice is told from others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import uniform_filter1d

from avsep.dsp.resample import resample
from avsep.output.tracks import TrackReader
from avsep.signals import FRAME_RATE, SAMPLE_RATE
from avsep.speech.activity import CHUNK, ON

if TYPE_CHECKING:
    from avsep.models.voice_statistics import VoiceStatistics

MODEL = "voice"
"""The bundled weights."""

SAME_VOICE = 0.3
"""`alike` of two embeddings from which on they are taken for one voice."""

LEAST_SECONDS = 1.0
"""Of speech, below which nothing is told about a voice."""

ENOUGH_SECONDS, MOST_SECONDS = 5.0, 60.0
"""Of speech that a voice is told by: what it says alone, and where that is less than enough, what it says over the
others."""

ALONE = 0.9
"""Part of the energy of all tracks from which on a track is alone."""

SMOOTH_PICTURES = 7
"""Pictures over which that part is averaged, so that what is taken is whole syllables."""


def speech_by_itself(tracks: TrackReader, speech: np.ndarray) -> list[np.ndarray]:
    """What each track says alone, or mostly alone: speech (tracks, pictures) probability -> samples (time,) at
    SAMPLE_RATE for each, up to MOST_SECONDS, in order."""
    count, pictures = speech.shape
    rate = tracks.sample_rate
    hop = rate // FRAME_RATE
    power = np.zeros((count, pictures))
    for start in range(0, pictures, CHUNK // hop):
        stop = min(pictures, start + CHUNK // hop)
        x = _mono(tracks, start * hop, stop * hop).reshape(count, stop - start, hop)
        power[:, start:stop] = np.square(x, dtype=np.float64).mean(axis=2)
    share = uniform_filter1d(power, SMOOTH_PICTURES, axis=1, mode="nearest")
    share /= share.sum(axis=0) + 1e-12
    found = []
    for number in range(count):
        spoken = np.flatnonzero(speech[number] > ON)
        alone = int((share[number, spoken] > ALONE).sum())
        wanted = min(max(alone, round(ENOUGH_SECONDS * FRAME_RATE)), round(MOST_SECONDS * FRAME_RATE))
        taken = np.sort(spoken[np.argsort(-share[number, spoken], kind="stable")[:wanted]])
        pieces = [_mono(tracks, first * hop, last * hop)[number] for first, last in _runs(taken)]
        joined = np.concatenate([np.zeros(0, np.float32), *pieces])
        found.append(np.asarray(resample(joined, rate, SAMPLE_RATE), np.float32))
    return found


def embed(model: VoiceStatistics, speech: list[np.ndarray], device: str = "cpu") -> np.ndarray:
    """Samples (time,) at SAMPLE_RATE of each voice -> (voices, size) float32, to be compared by `evidence`; NaN where
    there is too little to tell it by."""
    import torch

    made: list[np.ndarray | None] = []
    for samples in speech:
        if len(samples) < LEAST_SECONDS * SAMPLE_RATE:
            made.append(None)
            continue
        with torch.inference_mode():
            made.append(model(torch.from_numpy(samples)[None].to(device))[0].float().cpu().numpy())
    nothing = np.full(model.size, np.nan, np.float32)
    return np.stack([nothing if one is None else one for one in made]) if made else np.zeros((0, model.size))


def evidence(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Embeddings (..., size), broadcast -> (...): log-likelihood ratio of one voice against two, by the natural
    logarithm. The evidence of the mean of embeddings of one length is the mean of theirs."""
    alone, weight, rest, length = (one[..., n] for n in (-4, -3, -2, -1))
    alone_2, weight_2, rest_2, length_2 = (other[..., n] for n in (-4, -3, -2, -1))
    along = np.einsum("...d,...d->...", one[..., :-4], other[..., :-4])
    return np.asarray(along - alone * weight_2 - weight * alone_2 + rest + rest_2 + np.abs(length - length_2))


def alike(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The same as -1..1: how much more probable one voice is than two, where both were as probable before."""
    return np.asarray(np.tanh(evidence(one, other) / 2))


def _mono(tracks: TrackReader, start: int, stop: int) -> np.ndarray:
    """(tracks, stop - start); of an array the reference microphone's channel."""
    x = tracks.read(start, stop)
    return x[:, 0] if tracks.sources.of_array else x.mean(axis=1)


def _runs(numbers: np.ndarray) -> list[tuple[int, int]]:
    """Rising whole numbers as stretches (first, one behind the last)."""
    breaks = np.flatnonzero(np.diff(numbers) > 1) + 1
    return [(int(run[0]), int(run[-1]) + 1) for run in np.split(numbers, breaks) if len(run)]
