"""How estimates of one channel sound in every channel of the input: a Wiener filter for each channel.

A model separates the mean of a film's channels or one microphone of an array. Each channel is then told as a sum of
the estimates, filtered: in each frequency the complex gains that leave the least of the channel. They hold a source's
place between the loudspeakers as well as the delay and the room between microphones.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from avsep.dsp.stft import istft, stft

WINDOW_SECONDS = 0.064
MEMORY_SECONDS = 3.0
"""After which what was measured counts by 1/e: somebody may move, and a film cuts."""
PULL = 0.05
"""Of the mean power of the estimates, towards a gain of 1, which a silent estimate has."""
MAX_GAIN = 4.0


class ChannelImages:
    """Filters that follow the sound, block after block; between two blocks they are faded from one to the next.

    rate in Hz. overlap: samples of context on both sides of each block.
    """

    def __init__(self, rate: int, overlap: int) -> None:
        self.window = 4 * round(WINDOW_SECONDS * rate / 4)
        self.overlap = overlap
        self.forget = float(np.exp(-1 / MEMORY_SECONDS))
        self._gram: Tensor | None = None
        self._cross: Tensor | None = None
        self._before: Tensor | None = None

    def __call__(self, estimates: np.ndarray, channels: np.ndarray) -> np.ndarray:
        """(tracks, overlap + time + overlap), (channels, the same) -> (tracks, channels, the same)."""
        tracks, time = estimates.shape
        if len(channels) == 1 or not tracks:
            return estimates[:, None].repeat(len(channels), 1)
        hop = self.window // 2
        e = stft(torch.from_numpy(estimates), self.window, hop).transpose(0, 1)
        x = stft(torch.from_numpy(channels), self.window, hop).transpose(0, 1)
        filters = self._filters(e, x)
        before = filters if self._before is None else self._before
        self._before = filters
        # Linear from the start of the block to its end, so that the next one goes on where this one stops.
        at = (torch.arange(e.shape[-1]) * hop - self.overlap) / max(1, time - 2 * self.overlap)
        new = at.clamp(0, 1)
        fading = before[..., None] * (1 - new) + filters[..., None] * new
        images = torch.einsum("fckt,fkt->kcft", fading, e)
        return istft(images, time, self.window, hop).numpy()

    def _filters(self, estimates: Tensor, channels: Tensor) -> Tensor:
        """(freq, tracks, frames), (freq, channels, frames) -> (freq, channels, tracks), from all so far."""
        tracks = estimates.shape[1]
        gram = estimates @ estimates.mH
        cross = channels @ estimates.mH
        if self._gram is None or self._cross is None:
            self._gram, self._cross = gram, cross
        else:
            self._gram, self._cross = self.forget * self._gram + gram, self.forget * self._cross + cross
        power = self._gram.diagonal(dim1=1, dim2=2).real.mean(dim=1)
        pull = (PULL * power + 1e-6 * power.mean() + 1e-9)[:, None, None] * torch.eye(tracks)
        ones = torch.ones(channels.shape[1], tracks, dtype=gram.dtype)
        offset = self._cross - ones @ self._gram
        delta = torch.linalg.solve(self._gram + pull, offset, left=False)
        filters = 1 + delta
        return filters * (MAX_GAIN / filters.abs().clamp(min=MAX_GAIN))
