"""How much does a mouth move? A photograph on the wall and a listener who sits still do not speak."""

from __future__ import annotations

import numpy as np

from avsep.signals import LIP_SIZE, FaceTrack

CHUNK = 500
BLOCK = 4
"""Crops are averaged over squares of this side, so that noise of the picture is not taken for movement."""
STEP = 3
"""Pictures over which movement is measured: long enough for lips to open, short enough for a head to stay in place."""
MOUTH = slice(36 // BLOCK, 72 // BLOCK), slice(24 // BLOCK, 72 // BLOCK)
"""Rows and columns of the mouth within a crop of 96 x 96."""
WINDOW = 50
"""Pictures of which one in five must show movement."""
USUAL = 0.3
"""Movement that is as likely of a mouth that speaks as of one that does not: of real talkers nine in ten move more,
of silent faces that smile, chew and look around one in twenty."""
SLOPE = 4.0
"""Log odds for speaking a factor e of movement; less than the 8.5 measured on few faces, as some people hardly open
their mouths."""
LEAST, MOST = -6.0, 1.2
"""Bounds of the log odds: a head that turns or walks moves a mouth too, so much movement proves little."""


def movement(track: FaceTrack) -> np.ndarray:
    """How much the mouth of each picture differs from that of STEP pictures before, as a share of the crops' contrast:
    (pictures,) float32. What a shift or a zoom of the whole crop explains does not count."""
    side = LIP_SIZE // BLOCK
    changes, contrast = [np.zeros(min(STEP, len(track)), np.float32)], []
    before = np.zeros((0, side, side), np.float32)
    for start in range(0, len(track), CHUNK):
        crops = track.lips.crops.read(start, start + CHUNK).astype(np.float32)
        contrast.append(crops.std(axis=(1, 2)))
        now = np.concatenate([before, crops.reshape(-1, side, BLOCK, side, BLOCK).mean(axis=(2, 4))])
        changes.append(np.abs(deformation(now[:-STEP], now[STEP:])[:, *MOUTH]).mean(axis=(1, 2)))
        before = now[-STEP:]
    found = np.concatenate(changes)
    # The first pictures have nothing to be compared with: they count as the one after them.
    found[:STEP] = found[STEP] if len(found) > STEP else USUAL * 256
    return found / max(float(np.concatenate(contrast).mean()), 1.0)


def deformation(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """What is left of after - before, (n, side, side) each, when a shift, a zoom and a change of brightness are taken
    out: one Gauss-Newton step of image registration (Lucas and Kanade, 1981), solved for all pictures at once."""
    height, width = before.shape[1:]
    down, across = np.gradient((before + after) / 2, axis=(1, 2))
    y, x = np.mgrid[:height, :width] / height - 0.5
    basis = np.stack([down, across, y * down + x * across, np.ones_like(down)], axis=-1).reshape(-1, height * width, 4)
    change = (after - before).reshape(-1, height * width, 1)
    normal = basis.transpose(0, 2, 1) @ basis + 1e-3 * np.eye(4, dtype=np.float32)
    explained = basis @ np.linalg.solve(normal, basis.transpose(0, 2, 1) @ change)
    return (change - explained).reshape(after.shape)


def speaking_odds(track: FaceTrack, centres: np.ndarray, visible: np.ndarray | None = None) -> np.ndarray:
    """Log odds that the mouth speaks around each picture of `centres` (grid numbers), by its movement alone: (n,).
    visible: (pictures,) in 0..1; pictures below 0.5 show something else that moves or rests. 0 where all do."""
    found = movement(track)
    if visible is not None:
        # Movement is a difference of two pictures, and both must show the mouth.
        both = np.minimum(visible, np.concatenate([visible[:STEP], visible[:-STEP]])[: len(visible)])
        found = np.where(both > 0.5, found, np.nan)
    padded = np.pad(found, WINDOW // 2, constant_values=np.nan)
    rows = (centres - track.first).clip(0, len(track) - 1)
    windows = padded[rows[:, None] + np.arange(WINDOW)]
    known = ~np.isnan(windows).all(axis=1)
    odds = np.zeros(len(rows))
    if not known.any():
        return odds
    moves = np.nanpercentile(windows[known], 80, axis=1)
    odds[known] = (SLOPE * np.log(np.maximum(moves, 1e-3) / USUAL)).clip(LEAST, MOST)
    return odds
