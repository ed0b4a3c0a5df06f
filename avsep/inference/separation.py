"""Run a separation model over a clip, segment by segment, into a spool of estimates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from avsep.dsp.remask import remask
from avsep.inference.cycle_spin import cycle_spin
from avsep.inference.stitch import segments, stitch
from avsep.models.base import SeparationModel
from avsep.signals import HOP, LIP_SIZE, SAMPLE_RATE, FaceTrack, Person, ProgressHook
from avsep.storage.spool import Spool

FACES_AT_ONCE = 4
"""Faces that go through the network in one batch; bounds the memory."""


def silent(step: str, completed: float, total: float) -> None:
    """A progress hook that tells nobody."""


@torch.inference_mode()
def separate_sound(
    model: SeparationModel,
    mixture: Spool,
    shifts: int,
    folder: Path | None,
    device: str,
    progress: ProgressHook = silent,
) -> Spool:
    """All sources a model without conditioning hears in `shifts` passes: mixture spool of () float32 -> spool of
    (sources,) float32 of the same length."""

    def once(heard: np.ndarray) -> np.ndarray:
        return model(torch.from_numpy(heard).to(device)[None])[0].cpu().numpy()

    def pieces() -> Iterator[tuple[int, np.ndarray]]:
        for start, stop in segments(len(mixture)):
            heard = mixture.read(start, stop)
            yield start, remask(cycle_spin(once, heard, shifts), heard)
            progress("separation", stop / SAMPLE_RATE, len(mixture) / SAMPLE_RATE)

    assert model.sources is not None
    return _collect(stitch(pieces(), reorder=True), model.sources, folder)


@torch.inference_mode()
def separate_faces(
    model: SeparationModel,
    mixture: Spool,
    people: Sequence[Person],
    offsets: Sequence[int],
    folder: Path | None,
    device: str,
    progress: ProgressHook = silent,
) -> Spool:
    """The fused way: one estimate a person, from a model conditioned on lips -> spool of (people,) float32.

    offsets: for each person, by how many pictures the sound is later than the lips. Who is out of the picture for a
    whole segment is silent in it.
    """

    def pieces() -> Iterator[tuple[int, np.ndarray]]:
        for start, stop in segments(len(mixture)):
            x = torch.from_numpy(mixture.read(start, stop)).to(device)
            first, last = start // HOP, -(-stop // HOP)
            estimates = np.zeros((len(people), stop - start), np.float32)
            shown = [(first - late, last - late) for late in offsets]
            seen = [i for i, person in enumerate(people) if _visible(person, *shown[i])]
            for group in (seen[i : i + FACES_AT_ONCE] for i in range(0, len(seen), FACES_AT_ONCE)):
                lips = np.stack([person_lips(people[i], *shown[i]) for i in group])
                lips_in = torch.from_numpy(lips).to(device).float()[None] / 255
                estimates[group] = model(x[None], lips_in)[0].cpu().numpy()
            yield start, estimates
            progress("separation", stop / SAMPLE_RATE, len(mixture) / SAMPLE_RATE)

    return _collect(stitch(pieces(), reorder=False), len(people), folder)


def person_lips(person: Person, first: int, last: int) -> np.ndarray:
    """Mouth crops of a person at grid numbers first..last: (last - first, 96, 96) uint8; the nearest picture where
    there is none."""
    out = np.zeros((last - first, LIP_SIZE, LIP_SIZE), np.uint8)
    known = np.zeros(last - first, bool)
    for track in person.tracks:
        lo, hi = max(first, track.first), min(last, track.first + len(track))
        if lo < hi:
            out[lo - first : hi - first] = track.lips.crops.read(lo - track.first, hi - track.first)
            known[lo - first : hi - first] = True
    if known.any():
        have = np.flatnonzero(known)
        right = np.searchsorted(have, np.arange(len(out))).clip(0, len(have) - 1)
        left = (right - 1).clip(0)
        grid = np.arange(len(out))
        nearest = np.where(abs(have[left] - grid) <= abs(have[right] - grid), have[left], have[right])
        out = out[nearest]
    return out


def _visible(person: Person, first: int, last: int) -> bool:
    return any(_overlap(track, first, last) > 0 for track in person.tracks)


def _overlap(track: FaceTrack, first: int, last: int) -> int:
    return min(last, track.first + len(track)) - max(first, track.first)


def _collect(blocks: Iterator[np.ndarray], sources: int, folder: Path | None) -> Spool:
    estimates = Spool(folder, (sources,), np.float32)
    for block in blocks:
        estimates.append(block.T)
    return estimates
