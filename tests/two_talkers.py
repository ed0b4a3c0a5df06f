"""The two voices that come with the package, at once: in a room with microphones, and as a batch to learn."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import soundfile
import torch
from torch import Tensor

from avsep.dsp.resample import resample
from avsep.losses import FixedOrder, NegativeSiSnr, Objective, PermutationInvariant
from avsep.models.base import SeparationModel
from avsep.signals import FRAME_RATE
from preprocessing.make_smoke import embeddings, mouths

DEMO = Path(__file__).parents[1] / "avsep" / "assets" / "demo"


def voices(start: float = 0.0, seconds: float = 8.6, sample_rate: int = 16_000) -> np.ndarray:
    """(2, time) float32, equally loud; the first speaks from 0.3 s to 7.5, the second from 2.4 s on."""
    read = [soundfile.read(DEMO / f"{name}.flac", dtype="float32") for name in ("left", "right")]
    span = slice(round(start * sample_rate), round((start + seconds) * sample_rate))
    both = np.stack([resample(samples, rate, sample_rate)[span] for samples, rate in read])
    return 0.1 * both / both.std(axis=1, keepdims=True)


def in_a_room(sources: np.ndarray, microphones: int, sample_rate: int = 16_000) -> np.ndarray:
    """(sources, time) -> what each is at each microphone of a line 5 cm apart: (sources, microphones, time) float32."""
    import pyroomacoustics as pra

    size = np.array([5.0, 4.0, 2.6])
    absorption, _ = pra.inverse_sabine(0.15, size)
    room = pra.ShoeBox(size, fs=sample_rate, materials=pra.Material(absorption), max_order=6)
    line = 0.05 * (np.arange(microphones) - (microphones - 1) / 2)
    room.add_microphone_array(np.stack([2.5 + line, np.full(microphones, 2.0), np.full(microphones, 1.2)]))
    for place, source in zip(([1.2, 1.0, 1.5], [3.9, 1.3, 1.5], [2.5, 3.4, 1.6]), sources, strict=False):
        room.add_source(place, signal=source)
    return room.simulate(return_premix=True)[..., : sources.shape[1]].astype(np.float32)


def two_mixtures(seconds: float, sample_rate: int = 8000) -> Tensor:
    """The sources of two mixtures in which both speak, (2, 2, time)."""
    return torch.from_numpy(np.stack([voices(start, seconds, sample_rate) for start in (3.5, 4.5)]))


def two_mixtures_in_a_room(seconds: float, microphones: int) -> Tensor:
    """The same at the microphones of a line, (2, 2, microphones, time) at 16 kHz."""
    return torch.from_numpy(np.stack([in_a_room(voices(start, seconds), microphones) for start in (3.5, 4.5)]))


def loudness(sources: Tensor, sample_rate: int) -> np.ndarray:
    """(..., time) -> (..., pictures) in 0..1, as far as a drawn mouth is open."""
    hop = sample_rate // FRAME_RATE
    padded = torch.nn.functional.pad(sources, (0, -sources.shape[-1] % hop))
    level = padded.unflatten(-1, (-1, hop)).square().mean(-1).sqrt()
    return (level / level.amax(-1, keepdim=True)).numpy()


def lips_of(sources: Tensor, sample_rate: int) -> Tensor:
    """Drawn mouths that open as the voices get louder: (batch, n, time) -> (batch, n, pictures, 96, 96) in 0..1."""
    rng = np.random.default_rng(0)
    drawn = [[mouths(rng, wide, rng.random(3)) for wide in item] for item in loudness(sources, sample_rate)]
    return torch.from_numpy(np.array(drawn, np.float32) / 255)


def faces_of(sources: Tensor, sample_rate: int) -> Tensor:
    """Vectors that stand for the faces' embeddings: (batch, n, time) -> (batch, n, pictures, 512)."""
    rng = np.random.default_rng(0)
    wide = loudness(sources, sample_rate)
    drawn = [[embeddings(rng, one, rng.standard_normal(512)) for one in item] for item in wide]
    return torch.from_numpy(np.array(drawn))


def si_sdr(estimates: Tensor, sources: Tensor, in_order: bool = False) -> Tensor:
    """(batch, n, time) each -> (batch,), the mean of the sources in their best order, or in that given, in dB."""
    loss = FixedOrder(NegativeSiSnr()) if in_order else PermutationInvariant(NegativeSiSnr())
    return -loss(estimates, sources, sources.sum(1))


def steps_to(
    goal: float,
    model: SeparationModel,
    objective: Objective,
    sources: Tensor,
    learning_rate: float = 1e-2,
    most: int = 600,
    labels: Tensor | None = None,
    cues: Mapping[str, Tensor] | None = None,
    more: Mapping[str, Tensor] | None = None,
) -> int:
    """Train with one batch, sources (batch, n, time) or (batch, n, microphones, time), until all of its mixtures are
    separated, as in use, to more than `goal` dB (SI-SDR); the steps it took. Fails after `most` of them.

    labels: (batch, n), for models that are given them in training. cues: by their names, (batch, n, ...), of a model
    whose estimates are in their order. more: what else is in the batch."""
    sources = sources.unsqueeze(2) if sources.dim() == 3 else sources
    mixture = sources.sum(1)
    cues = cues or {}
    taught = cues if labels is None else {**cues, "labels": labels}
    batch = {"mixture": mixture, "sources": sources, **taught, **(more or {})}
    in_order = model.contract.order != "any"
    for part in objective.modules():
        if isinstance(part, Objective):
            part.adapt(model.contract)
    optimizer = torch.optim.Adam(model.parameters(), learning_rate, fused=True)
    for step in range(1, most + 1):
        optimizer.zero_grad()
        objective(model.train()(mixture, **taught), batch).mean().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        if step % 10 == 0:
            with torch.no_grad():
                estimates = model.eval().separate(mixture, **cues).estimates
            found = si_sdr(estimates[:, :, 0], sources[:, :, 0], in_order)
            if (found > goal).all():
                return step
    raise AssertionError(f"after {most} steps SI-SDR is {found.tolist()} dB, expected more than {goal}")
