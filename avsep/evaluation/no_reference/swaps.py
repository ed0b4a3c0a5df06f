"""Does a track stay one person's voice? Embeddings of its pieces over time, beside those of the other tracks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import convolve1d

from avsep.embeddings.speaker import LEAST_SECONDS, embed, evidence
from avsep.evaluation.no_reference.sound import VoiceSounds
from avsep.signals import FRAME_RATE, HOP, ProgressHook, no_progress

if TYPE_CHECKING:
    from avsep.models.voice_statistics import VoiceStatistics

PIECE, STEP = 50, 10
"""Pictures of a piece, and from one to the next: 2 s and 0.4 s."""

OVERLAPPING = PIECE // STEP
"""Pieces so far apart have no sound in common."""

FEWEST_PIECES = 3
"""That a voice is told from."""


def embed_pieces(
    sounds: VoiceSounds,
    spoken: np.ndarray,
    model: VoiceStatistics,
    device: str = "cpu",
    progress: ProgressHook = no_progress,
) -> np.ndarray:
    """(pieces, tracks, size) float32 of `embed` for what is spoken in each piece; NaN for less than LEAST_SECONDS.
    spoken: (tracks, pictures) bool."""
    tracks, pictures = spoken.shape
    starts = range(0, max(1, pictures - PIECE + STEP), STEP)
    found = np.full((len(starts), tracks, model.size), np.nan, np.float32)
    for number, start in enumerate(starts):
        here = spoken[:, start : start + PIECE]
        for track in np.flatnonzero(here.sum(axis=1) >= LEAST_SECONDS * FRAME_RATE):
            samples = sounds.read(int(track), start / FRAME_RATE, (start + PIECE) / FRAME_RATE)
            said = samples[np.repeat(here[track], HOP)[: len(samples)]]
            found[number, track] = embed(model, [said], device)[0] if np.any(said) else np.nan
        progress("voices", min((start + PIECE) / FRAME_RATE, sounds.seconds), sounds.seconds)
    return found


def likeness(pieces: np.ndarray) -> np.ndarray:
    """(pieces, tracks, size) -> (pieces, tracks, tracks): the mean evidence of a piece of the first track with all that
    the second one says in pieces that do not overlap it; NaN where there is too little speech in one of them."""
    there = ~np.isnan(pieces[..., 0])
    known = np.where(there[..., None], pieces, 0)
    count = there.sum(axis=0) - _around(there)
    found = np.full((len(pieces), *2 * there.shape[1:]), np.nan)
    for track in range(there.shape[1]):
        voice = known[:, track].sum(axis=0) - _around(known[:, track])
        told = count[:, track] >= FEWEST_PIECES
        voice[told] /= count[told, track, None]
        found[told, :, track] = evidence(pieces[told], voice[told, None])
    return found


def exchange_gain(alike: np.ndarray) -> np.ndarray:
    """(pieces, tracks, tracks) likeness -> (pieces, tracks, tracks): by how much more alike to themselves the voices
    would be if these two tracks were exchanged in that piece; NaN where the first does not speak in it, or it cannot be
    told."""
    own = alike.diagonal(axis1=1, axis2=2)
    gain = alike - own[:, :, None]
    both = gain + np.nan_to_num(gain.transpose(0, 2, 1))
    both[:, np.eye(both.shape[1], dtype=bool)] = np.nan
    return both


def _around(values: np.ndarray) -> np.ndarray:
    """(pieces, ...): for each piece the sum over those that overlap it, itself among them."""
    window = np.ones(2 * OVERLAPPING - 1)
    return convolve1d(values.astype(np.float64), window, axis=0, mode="constant")
