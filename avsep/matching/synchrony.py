"""How well each face's lips move with each source, over the whole clip, at every offset between sound and picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import expit, softmax

from avsep.faces.mouth import speaking_odds
from avsep.models.synchrony import Synchrony
from avsep.signals import DECISION_FRAMES, FRAME_RATE, HOP, FaceTrack, Person, ProgressHook, no_progress, pictures_in
from avsep.storage.recording import Estimates

CHUNK = 10 * FRAME_RATE
CONTEXT = 32
"""Pictures of context for embedding a chunk; the networks reach 25 to 30 pictures."""
WINDOW = 50
"""Pictures a correlation is taken over: two seconds around the decision."""
SHORTEST = 20
"""Pictures of a window that must show the face."""
LAGS = np.arange(-10, 11)
"""Offsets tried, in pictures: sound later than picture by this many."""
POOR = 0.15
"""Quality of mouth crops below which lips count as not to be seen."""
STILL = 1e-4
"""Share of an embedding's power that must be movement, for a correlation to mean anything."""
STEEP, TYPICAL = 13.0, 0.2
"""Slope of the log odds over correlation, and the correlation at which own and foreign voice are equally likely."""
TRUST_SLOPE, TRUSTED = 25.0, 0.08
"""The same for the mean over a whole clip, which tells more than two seconds: of talkers in films one in ten lies below
with the own voice, one in four above with another's."""
USUAL = 5.0
"""Standard deviation of offsets met in films, in pictures."""
SHARED = 0.25
"""Belief, before anything is seen, that a person's offset is that of the others in the clip."""


@dataclass(frozen=True)
class Scores:
    """correlation: (decisions, people, sources), NaN where the face is not to be seen: what is to be expected over all
    offsets, each weighted by how likely it is, so that an offset that is hardly known promises little.
    moving: (decisions, people) log odds of speech by the movement of the mouth alone, 0 where it is not to be seen.
    offsets: (people,) the likeliest, in pictures, sound later than picture.
    visible: (decisions, people) in 0..1, how far the mouth is to be seen; NaN where the face is not in the picture."""

    correlation: np.ndarray
    moving: np.ndarray
    offsets: np.ndarray
    visible: np.ndarray


@torch.inference_mode()
def embed_voices(model: Synchrony, sources: Estimates, device: str) -> np.ndarray:
    """(pictures, sources, channels) float16 of sources at SAMPLE_RATE."""
    pictures = pictures_in(len(sources))
    out = []
    for first in range(0, pictures, CHUNK):
        lo, hi = max(0, first - CONTEXT), min(pictures, first + CHUNK + CONTEXT)
        samples = sources.mono(lo * HOP, hi * HOP)
        samples = np.pad(samples, ((0, 0), (0, (hi - lo) * HOP - samples.shape[1])))
        embedding = model.voice(torch.from_numpy(samples).to(device))
        kept = embedding[:, first - lo : min(first + CHUNK, pictures) - lo]
        out.append(kept.transpose(0, 1).cpu().numpy().astype(np.float16))
    return np.concatenate(out) if out else np.zeros((0, sources.count, 1), np.float16)


@torch.inference_mode()
def embed_lips(
    model: Synchrony, tracks: Sequence[FaceTrack], device: str, progress: ProgressHook = no_progress
) -> list[np.ndarray]:
    """(pictures, channels) float16 of each track. Chunks of equal length go through in one batch, whatever track
    they are of."""
    jobs: dict[int, list[tuple[int, int, int]]] = {}
    for number, track in enumerate(tracks):
        for first in range(0, len(track), CHUNK):
            lo, hi = max(0, first - CONTEXT), min(len(track), first + CHUNK + CONTEXT)
            jobs.setdefault(hi - lo, []).append((number, first, lo))
    channels = model.lips.channels
    out = [np.zeros((len(track), channels), np.float16) for track in tracks]
    total, done = sum(map(len, tracks)) / FRAME_RATE, 0.0
    for length, chunks in jobs.items():
        for group in (chunks[i : i + 4] for i in range(0, len(chunks), 4)):
            crops = np.stack([tracks[n].lips.crops.read(lo, lo + length) for n, _, lo in group])
            embedding = model.lips(torch.from_numpy(crops).to(device).float() / 255).cpu().numpy()
            for row, (n, first, lo) in zip(embedding, group, strict=True):
                last = min(first + CHUNK, len(tracks[n]))
                out[n][first:last] = row[first - lo : last - lo]
                done += (last - first) / FRAME_RATE
            progress("lips", done, total)
    return out


def _window_sums(x: np.ndarray, lo: np.ndarray, hi: np.ndarray) -> np.ndarray:
    """Sums of x (time, ...) over [lo, hi) for each window."""
    total = np.concatenate([np.zeros((1, *x.shape[1:]), np.float64), np.cumsum(x, axis=0, dtype=np.float64)])
    return total[hi] - total[lo]


def track_correlation(
    lips: np.ndarray, voices: np.ndarray, first: int, lag: int, visible: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Correlation of one track's lips (pictures, channels) with each voice (time, sources, channels) moved by `lag`,
    in a window around every decision: (decision numbers, (decisions, sources)). `first`: grid number of the track's
    first picture. visible: (pictures,) weights of the pictures in 0..1, 1 unless given."""
    lo = max(first, 0, -lag)
    hi = min(first + len(lips), len(voices), len(voices) - lag)
    if hi - lo < SHORTEST:
        return np.zeros(0, int), np.zeros((0, voices.shape[1]))
    decisions = np.arange(lo // DECISION_FRAMES, -(-hi // DECISION_FRAMES))
    start = (decisions * DECISION_FRAMES + DECISION_FRAMES // 2 - WINDOW // 2).clip(lo, hi) - lo
    stop = (decisions * DECISION_FRAMES + DECISION_FRAMES // 2 + WINDOW // 2).clip(lo, hi) - lo
    weight = np.ones(hi - lo) if visible is None else visible[lo - first : hi - first].astype(np.float64)
    enough = _window_sums(weight, start, stop) >= SHORTEST
    decisions, start, stop = decisions[enough], start[enough], stop[enough]
    lip = lips[lo - first : hi - first].astype(np.float32)
    voice = voices[lo + lag : hi + lag].astype(np.float32)
    count = _window_sums(weight, start, stop)[:, None]
    each = weight.astype(np.float32)[:, None]
    lip_sum = _window_sums(each * lip, start, stop)
    voice_sum = _window_sums(each[..., None] * voice, start, stop)
    product = _window_sums(each * np.einsum("tc,tsc->ts", lip, voice), start, stop)
    covariance = product - np.einsum("wc,wsc->ws", lip_sum, voice_sum) / count
    lip_total = _window_sums(weight * (lip**2).sum(1), start, stop)[:, None]
    voice_total = _window_sums(each * (voice**2).sum(2), start, stop)
    lip_power = lip_total - (lip_sum**2).sum(1)[:, None] / count
    voice_power = voice_total - (voice_sum**2).sum(2) / count
    # The embedding of silence, or of a still picture, does not move: what is left of its power is rounding.
    moves = (lip_power > STILL * lip_total) & (voice_power > STILL * voice_total)
    power = np.where(moves, lip_power * voice_power, 1.0)
    return decisions, np.where(moves, covariance / np.sqrt(power), 0.0).clip(-1, 1)


def score_people(
    people: Sequence[Person],
    lips: dict[int, np.ndarray],
    voices: np.ndarray,
    activity: np.ndarray,
    av_offset: float | None,
    visible: dict[int, np.ndarray] | None = None,
) -> Scores:
    """Correlations of every person with every source at the person's own offset.

    lips: embeddings by id() of the track. voices: (pictures, sources, channels). activity: (decisions, sources), weight
    of a source in a decision. av_offset: seconds the sound is later than the picture, or None to find it for each
    person. visible: by id() of the track, (pictures,) in 0..1, how surely the mouth is to be seen; 1 unless given.
    """
    decisions, sources = activity.shape
    lags = LAGS if av_offset is None else np.array([round(av_offset * FRAME_RATE)])
    tables = np.full((len(people), len(lags), decisions, sources), np.nan, np.float32)
    moving = np.zeros((decisions, len(people)), np.float32)
    seen = np.full((decisions, len(people)), np.nan, np.float32)
    centres = np.arange(decisions) * DECISION_FRAMES + DECISION_FRAMES // 2
    for number, (table, person) in enumerate(zip(tables, people, strict=True)):
        for track in person.tracks:
            on_screen = slice(*np.searchsorted(centres, (track.first, track.first + len(track))))
            shown = np.ones(len(track), np.float32) if visible is None else visible[id(track)]
            moving[on_screen, number] = speaking_odds(track, centres[on_screen], shown)
            good = decision_quality(track) >= POOR
            usable = shown * good[(track.first + np.arange(len(track))) // DECISION_FRAMES - first_decision(track)]
            middle = centres[on_screen] - track.first
            low, high = (middle - WINDOW // 2).clip(0), (middle + WINDOW // 2).clip(None, len(track))
            seen[on_screen, number] = _window_sums(usable, low, high) / (high - low)
            for row, lag in enumerate(lags):
                at, values = track_correlation(lips[id(track)], voices, track.first, int(lag), shown)
                inside = (at < decisions) & good[at - first_decision(track)]
                table[row, at[inside]] = values[inside]
    belief = lag_belief(np.stack([evidence(t, activity) for t in tables]), lags)
    # What is not to be seen at one offset only, at the edges of a track, does not count there.
    weight = belief[:, :, None, None] * ~np.isnan(tables)
    total = weight.sum(axis=1)
    expected = (weight * np.nan_to_num(tables)).sum(axis=1) / np.where(total > 0, total, np.nan)
    return Scores(expected.transpose(1, 0, 2), moving, lags[belief.argmax(axis=1)], seen)


def evidence(table: np.ndarray, activity: np.ndarray) -> np.ndarray:
    """Log likelihood of each lag, (lags, decisions, sources) and (decisions, sources) -> (lags,).

    In a decision the lips may speak with any source or with none, so that those in which the person is silent count
    little.
    """
    odds = STEEP * (np.nan_to_num(table, nan=-1.0) - TYPICAL)
    return DECISION_FRAMES / WINDOW * np.log1p((activity * np.exp(odds)).sum(axis=2)).sum(axis=1)


def lag_belief(evidence: np.ndarray, lags: np.ndarray) -> np.ndarray:
    """Probability of each lag: (people, lags) log likelihoods -> (people, lags) with rows that add up to 1.

    Small offsets are likelier than large ones, and so is that of the others in the clip: people of one recording
    share it, those of a composed picture need not.
    """
    broad = np.exp(-0.5 * (lags / USUAL) ** 2)
    broad /= broad.sum()
    belief = np.empty_like(evidence)
    for person in range(len(evidence)):
        others = np.delete(evidence, person, axis=0).sum(axis=0) + np.log(broad)
        shared = np.convolve(softmax(others), [0.25, 0.5, 0.25], "same") if len(lags) > 1 else broad
        belief[person] = softmax(evidence[person] + np.log((1 - SHARED) * broad + SHARED * shared))
    return belief


def trust(correlation: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """How sure it is that lips and voice belong together, over all that a person says: (decisions, people,
    sources) correlation and weight -> (people,) in 0..1, NaN where there is nothing to tell it by.

    It knows nothing of what people in films usually do: lips that move, with nobody else to speak, are no proof.
    """
    weight = weight * ~np.isnan(correlation)
    total = weight.sum(axis=(0, 2))
    mean = (weight * np.nan_to_num(correlation)).sum(axis=(0, 2)) / np.where(total > 0, total, np.nan)
    return expit(TRUST_SLOPE * (mean - TRUSTED))


def first_decision(track: FaceTrack) -> int:
    """The decision that holds the track's first picture."""
    return track.first // DECISION_FRAMES


def decision_quality(track: FaceTrack) -> np.ndarray:
    """Mean quality of a track's mouth crops in each decision it touches, from `first_decision` on."""
    decision = (track.first + np.arange(len(track))) // DECISION_FRAMES - first_decision(track)
    return np.bincount(decision, track.lips.quality) / np.bincount(decision)
