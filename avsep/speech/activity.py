"""Who speaks when: speech probabilities to spans, activity of sources, number of voices."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import maximum_filter1d, uniform_filter1d

from avsep.signals import DECISION_FRAMES, FRAME_RATE, HOP, SAMPLE_RATE, ProgressHook, no_progress
from avsep.storage.recording import Estimates

CHUNK = 20 * SAMPLE_RATE
ON, OFF = 0.5, 0.3
"""Probabilities at which a span of speech begins and ends."""
SHORTEST_SPEECH, SHORTEST_PAUSE = 0.12, 0.3
"""Seconds; shorter spans are dropped, shorter pauses bridged."""
AROUND = 0.4
"""Seconds around speech that are kept."""
FEW_SECONDS, FEW_SHARE = 1.0, 0.05
"""Seconds of speech, and share of the clip, below which (both) a person with a face counts as silent: noises are
now and then taken for speech."""
AT_ONCE = (0.0, 0.02, 0.3)
"""Part of the time in which anybody speaks that one, two, three voices must speak together to be expected. The weights
for three give three in more than 0.3 of it in one of 26 recordings of two voices in a room, in 12 of 14 of three; and
two in less than 0.01 where one speaks."""
IN_TURNS = 0.15
"""Part of the time in which anybody speaks in which others than the one who speaks most must be the most active. With
the weights for two it is up to 0.12 in 41 of 42 recordings of one voice, most of them in rooms, and 0.19 to 0.5 in 36
of 44 conversations."""
FAR_BELOW = 25.0
"""dB below the louder source at which a source counts as its leak, not as a voice."""


def speech_and_level(sources: Estimates, progress: ProgressHook = no_progress) -> tuple[np.ndarray, np.ndarray]:
    """Probability of speech and level of each source at SAMPLE_RATE: (sources, pictures) at FRAME_RATE, in 0..1 and in
    dB of full scale."""
    from avsep.speech.detect import SpeechDetector  # with torch, which who only reads results need not wait for

    detector = SpeechDetector()
    speech, level = [], []
    for start in range(0, len(sources), CHUNK):
        x = sources.mono(start, start + CHUNK)
        speech.append(detector.probability(x))
        padded = np.pad(x, ((0, 0), (0, -x.shape[1] % HOP)))
        power = (padded.reshape(len(x), padded.shape[1] // HOP, HOP) ** 2).mean(axis=2)
        level.append(10 * np.log10(power + 1e-10))
        progress("speech", min(start + CHUNK, len(sources)) / SAMPLE_RATE, len(sources) / SAMPLE_RATE)
    empty = np.zeros((sources.count, 0), np.float32)
    return np.concatenate([empty, *speech], axis=1), np.concatenate([empty, *level], axis=1)


def speech_of_tracks(gains: np.ndarray, speech: np.ndarray) -> np.ndarray:
    """Probability of speech of tracks that are sums of sources: gains (tracks, sources, pictures) and the sources'
    (sources, pictures) -> (tracks, pictures) in 0..1."""
    return np.einsum("pst,st->pt", gains, speech).clip(0, 1)


def per_decision(x: np.ndarray) -> np.ndarray:
    """Mean over the pictures of a decision: (..., pictures) -> (..., decisions)."""
    pictures = x.shape[-1]
    starts = np.arange(0, pictures, DECISION_FRAMES)
    if not pictures:
        return x
    return np.add.reduceat(x, starts, axis=-1) / np.minimum(DECISION_FRAMES, pictures - starts)


def activity(speech: np.ndarray, level: np.ndarray, far_below: float = FAR_BELOW) -> np.ndarray:
    """How much each source is a voice in each decision, in 0..1: (sources, pictures) each -> (decisions, sources).

    A source far below the louder one (in dB) is its leak, one far below the loudest speech of the clip is none.
    """
    loud = per_decision(10 ** (level / 10))
    if not len(loud):
        return loud.T
    top = np.maximum(loud.max(axis=0, keepdims=True), np.percentile(loud, 95) * 1e-2 + 1e-12)
    above = (10 * np.log10(loud / top + 1e-12) + far_below) / 10
    return (per_decision(speech) * above.clip(0, 1)).T


def gate(speech: np.ndarray) -> np.ndarray:
    """1 around speech, 0 where there is none, with soft edges: (..., pictures) probability -> the same shape.

    Wide enough for breaths and soft endings, which the detector does not count as speech.
    """
    size = 2 * round(AROUND * FRAME_RATE) + 1
    near = maximum_filter1d((speech > OFF).astype(np.float32), size, axis=-1, mode="nearest")
    return uniform_filter1d(near, size // 2, axis=-1, mode="nearest")


def too_little(speech: np.ndarray) -> np.ndarray:
    """Who speaks so little that it is rather a mistake: (people, pictures) probability -> (people,) bool."""
    spoken = (speech > ON).sum(axis=1)
    return spoken < np.minimum(FEW_SECONDS * FRAME_RATE, FEW_SHARE * speech.shape[1])


def count_voices(active: np.ndarray) -> int:
    """Voices in (decisions, sources) activity: one where the second source is but seldom a voice of its own."""
    seconds = np.sort((active > 0.4).sum(axis=0))[::-1]
    if not seconds.any():
        return len(seconds)
    return int((seconds > 0.15 * seconds[0]).sum())


def voices_at_once(active: np.ndarray) -> int:
    """How many voices speak together, by (decisions, sources) activity: the most that do so more than seldom, and none
    in silence."""
    together = (active > 0.4).sum(axis=1)
    spoken = max(1, int((together > 0).sum()))
    shares = [int((together >= number).sum()) / spoken for number in range(1, active.shape[1] + 1)]
    return sum(share > seldom for share, seldom in zip(shares, AT_ONCE, strict=False))


def takes_turns(active: np.ndarray) -> bool:
    """Whether voices take turns, by (decisions, sources) activity: then no source is the most active one nearly all of
    the time, as it is where one voice is alone, also if some of it went to another source."""
    leads = np.bincount(active[active.max(axis=1, initial=0) > 0.4].argmax(axis=1)) if active.size else np.zeros(0)
    return bool(leads.sum() - leads.max(initial=0) > IN_TURNS * leads.sum())


def spans(probability: np.ndarray) -> list[tuple[float, float]]:
    """(pictures,) probability of speech -> (start, end) seconds, with hysteresis."""
    found: list[list[float]] = []
    talking = False
    for number in np.flatnonzero(np.diff(np.concatenate([[0], (probability > OFF).astype(int), [0]]))):
        if not talking:
            begin = number
        elif probability[begin:number].max() > ON:
            found.append([begin / FRAME_RATE, number / FRAME_RATE])
        talking = not talking
    joined: list[list[float]] = []
    for begin_s, end_s in found:
        if joined and begin_s - joined[-1][1] < SHORTEST_PAUSE:
            joined[-1][1] = end_s
        else:
            joined.append([begin_s, end_s])
    return [(a, b) for a, b in joined if b - a >= SHORTEST_SPEECH]
