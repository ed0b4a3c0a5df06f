"""Neural network adaptive beamforming (Li, Sainath, Weiss, Wilson and Bacchiani, 2016)."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from avsep.dsp.stft import full_precision
from avsep.models.base import Contract, Output, SeparationModel
from avsep.models.limits import MOST_SIZE, check_whole
from avsep.models.parts.context_windows import ContextWindows
from avsep.models.parts.levels import level_of
from avsep.signals import SAMPLE_RATE

Every = Literal["frame", "utterance"]


class NAB(SeparationModel):
    """A fixed number of estimates as the first microphone has them, from a fixed number of microphones.

    An LSTM reads the raw samples of all microphones and predicts a filter for each microphone and source; an estimate
    is the sum of what the filters give. In the paper the sum goes to a speech recogniser, which also feeds back what it
    recognised; here there is none, and a beam for each source.

    every: "frame" for filters of each window, or "utterance" for one from the mean over windows (as in Xiao et al.,
    Deep beamforming networks, 2016). window in samples, in steps of half of it; context: samples on either side, a
    filter having one tap more than twice as many. bidirectional: the LSTM sees the future too.
    """

    paper = "Li et al., Neural network adaptive beamforming for robust multichannel speech recognition"
    year = 2016

    def __init__(
        self,
        sources: int = 2,
        microphones: int = 2,
        window: int = 256,
        context: int = 64,
        hidden: int = 512,
        layers: int = 2,
        bidirectional: bool = False,
        every: Every = "frame",
        sample_rate: int = SAMPLE_RATE,
    ) -> None:
        super().__init__()
        if every not in get_args(Every):
            raise ValueError(f"every is {every!r}; it must be one of {', '.join(get_args(Every))}")
        check_whole(1, MOST_SIZE, hidden=hidden)
        check_whole(1, 100, layers=layers)
        check_whole(2, 128, microphones=microphones)
        self.windows, self.every = ContextWindows(window, context), every
        self.contract = Contract(sample_rate, (microphones, microphones), sources=sources, stride=self.windows.hop)
        self.lstm = nn.LSTM(
            microphones * self.windows.size, hidden, layers, batch_first=True, bidirectional=bidirectional
        )
        self.to_filters = nn.Linear(hidden * (2 if bidirectional else 1), microphones * sources * self.windows.taps)

    def compiled_modules(self) -> list[nn.Module]:
        """Without the Fourier transforms: inductor makes no code for complex numbers."""
        return [self.lstm, self.to_filters]

    def forward(self, mixture: Tensor, **cues: Tensor) -> Output:
        """mixture (batch, microphones, time) -> estimates (batch, sources, 1, time)."""
        self.check(mixture)
        mixture = full_precision(mixture)
        contexts = self.windows.cut(mixture)
        samples = (contexts / level_of(mixture)[..., None]).transpose(1, 2).flatten(2)
        state = self.lstm(samples)[0]
        if self.every == "utterance":
            state = state.mean(1, keepdim=True)
        each = (*self.contract.channels[:1], -1, self.windows.taps)
        filters = self.to_filters(state).unflatten(2, each).permute(0, 2, 3, 1, 4)
        weights = torch.ones_like(mixture[..., 0])
        made = self.windows.filtered(filters, self.windows.spectra(contexts), weights)
        return Output(self.windows.overlap_add(made, mixture.shape[-1]).unsqueeze(2))
