"""Embeddings of a voice made as vague as those of lips, so that lips can steer what was trained without any.

A synchrony network brings lips and voices to one space, in which those of the same moment are alike. What is trained on
the voices' own embeddings, of which there are as many as there is speech, can then be steered by lips, if it never
relied on more than lips tell.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from avsep.models.base import Part


class LipLikeness(Part):
    """Degrades embeddings (batch, pictures, channels) in training, and leaves them alone otherwise.

    An embedding is mixed with that of another item and with noise over time, so that its correlation with itself falls
    to a value drawn for each item from `correlation`; `others` is the share of the first in what is mixed in, `memory`
    the correlation of the noise from one picture to the next. It is shifted by up to `jitter` pictures, and, with the
    probability `hidden`, nothing is left of it over a stretch of up to `longest` pictures.

    Correlation and memory are those of lips and voices of four GRID talkers, with and without blur, that the network
    `sync` was not trained on (tests/benchmarks/lip_likeness.py).
    """

    def __init__(
        self,
        correlation: Sequence[float] = (0.15, 0.7),
        others: float = 0.5,
        memory: float = 0.45,
        jitter: int = 1,
        hidden: float = 0.3,
        longest: int = 40,
    ) -> None:
        super().__init__()
        low, high = correlation
        if not 0 < low <= high <= 1:
            raise ValueError(f"correlation is {list(correlation)}; expected two numbers, 0 < low <= high <= 1")
        for name, value in (("others", others), ("memory", memory), ("hidden", hidden)):
            if not 0 <= value <= 1:
                raise ValueError(f"{name} is {value}; it must lie between 0 and 1")
        if jitter < 0 or longest < 1:
            raise ValueError(f"jitter is {jitter} and longest {longest}; they must be at least 0 and 1 pictures")
        self.low, self.high, self.others, self.memory = low, high, others, memory
        self.jitter, self.hidden, self.longest = jitter, hidden, longest

    def forward(self, embedding: Tensor) -> Tensor:
        """(batch, pictures, channels), of power 1 a channel -> the same shape."""
        if not self.training:
            return embedding
        batch, pictures, _ = embedding.shape
        device = embedding.device

        noise = standard(self._noise(embedding))
        if batch > 1:
            other = embedding.roll(int(torch.randint(1, batch, ())), 0)
            noise = (1 - self.others) ** 0.5 * noise + self.others**0.5 * other
        kept = torch.empty(batch, 1, 1, device=device).uniform_(self.low, self.high)
        mixed = kept * embedding + (1 - kept.square()).sqrt() * noise

        shifts = torch.randint(-self.jitter, self.jitter + 1, (batch, 1), device=device)
        places = (torch.arange(pictures, device=device) - shifts).clamp(0, pictures - 1)
        mixed = mixed.gather(1, places.unsqueeze(2).expand_as(mixed))
        return mixed * self._seen(batch, pictures, device).unsqueeze(2)

    def _noise(self, like: Tensor) -> Tensor:
        """Gaussian noise that changes as slowly as `memory` says: a moving average with falling weights."""
        reach = 1 if self.memory == 0 else min(like.shape[1], 32)
        weights = torch.tensor([self.memory**n for n in range(reach)], device=like.device, dtype=like.dtype)
        white = torch.randn(like.shape[0], like.shape[2], like.shape[1] + reach - 1, device=like.device)
        slow = torch.nn.functional.conv1d(white.flatten(0, 1).unsqueeze(1).to(like.dtype), weights[None, None])
        return slow.squeeze(1).unflatten(0, (like.shape[0], like.shape[2])).transpose(1, 2)

    def _seen(self, batch: int, pictures: int, device: torch.device) -> Tensor:
        """(batch, pictures): 0 where the lips are hidden, else 1."""
        lengths = torch.randint(1, self.longest + 1, (batch, 1), device=device)
        starts = (torch.rand(batch, 1, device=device) * (pictures + lengths)).long() - lengths
        at = torch.arange(pictures, device=device)
        inside = (at >= starts) & (at < starts + lengths)
        chosen = torch.rand(batch, 1, device=device) < self.hidden
        return (~(inside & chosen)).float()


def standard(embedding: Tensor) -> Tensor:
    """Free of its mean over time, as `avsep.models.synchrony.correlation` looks at it, and of power 1: (...,
    pictures, channels) -> the same shape."""
    centred = embedding - embedding.mean(-2, keepdim=True)
    return centred / (centred.square().mean((-2, -1), keepdim=True) + 1e-8).sqrt()
