"""The four cases of a target speaker: speaking or silent, alone or with interference."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from avsep.dsp.stft import full_precision
from avsep.errors import UsageError
from avsep.losses.pairwise import EPS, NegativeSnr, PairwiseLoss


class TargetSpeaker(PairwiseLoss):
    """Pairwise loss of a target who speaks part of the time (after USEV, Pan, Ge and Li, 2022).

    Every stretch of `frame` samples belongs to one of four cases, told from the source (the target) and from the
    mixture without it (the interference). All stretches of a case are judged together:

    - both, and target alone: `speaking` over them, `NegativeSnr` unless given;
    - interference alone, and nobody: the estimate's energy a sample in dB over the mixture's (all of it), down to
      -`silent_db`. A ratio to the source would have no meaning here.

    The loss is the mean over the cases that occur, weighted by `both`, `target`, `interference` and `nobody`. SNR over
    a whole item hardly notices what leaks into the target's pauses; here it counts as a case of its own.

    A stretch sounds if its power is within `active_db` of the loudest stretch of that signal and within
    `active_db` + 20 dB of the loudest one of the mixture. The frame's default is 0.1 s at 16 kHz.
    """

    def __init__(
        self,
        speaking: nn.Module | None = None,
        both: float = 1.0,
        target: float = 1.0,
        interference: float = 0.5,
        nobody: float = 0.5,
        silent_db: float = 30.0,
        active_db: float = 40.0,
        frame: int = 1600,
    ) -> None:
        super().__init__()
        weights = (both, target, interference, nobody)
        if min(weights) < 0 or frame < 1:
            raise UsageError(
                f"weights of the cases are {weights} and the frame {frame} samples, expected weights of 0 or more and "
                "a frame of 1 or more"
            )
        self.speaking = speaking or NegativeSnr()
        self.weights = weights
        self.silent_db, self.active_db, self.frame = silent_db, active_db, frame

    def forward(self, estimate: Tensor, source: Tensor, mixture: Tensor) -> Tensor:
        """(..., time) each -> (...), in dB."""
        estimate, source, mixture = torch.broadcast_tensors(
            full_precision(estimate), full_precision(source), full_precision(mixture)
        )
        speaks, interferes = self._active(source, mixture), self._active(mixture - source, mixture)
        cases = (speaks & interferes, speaks & ~interferes, ~speaks & interferes, ~speaks & ~interferes)
        level = (mixture.square().sum(-1) + EPS) / mixture.shape[-1]
        total, weights = torch.zeros_like(level), torch.zeros_like(level)
        for case, weight, is_speech in zip(cases, self.weights, (True, True, False, False), strict=True):
            chosen = case.to(estimate.dtype)
            samples = chosen.sum(-1)
            if is_speech:
                loss = self.speaking(chosen * estimate, chosen * source, chosen * mixture)
            else:
                energy = (chosen * estimate).square().sum(-1) / samples.clamp_min(1)
                loss = 10 * torch.log10(energy / level + 10 ** (-self.silent_db / 10))
            counts = weight * (samples > 0)
            total, weights = total + counts * loss, weights + counts
        return total / weights.clamp_min(EPS)

    def _active(self, signal: Tensor, mixture: Tensor) -> Tensor:
        """Which samples are in stretches where the signal sounds: (..., time) -> (..., time) bool."""
        power, reference = self._powers(signal), self._powers(mixture)
        floor = 10 ** (-self.active_db / 10)
        own, common = power.amax(-1, keepdim=True), reference.amax(-1, keepdim=True)
        active = (power > floor * own) & (power > 0.01 * floor * common)
        return active.repeat_interleave(self.frame, -1)[..., : signal.shape[-1]]

    def _powers(self, x: Tensor) -> Tensor:
        """Energy of each stretch: (..., time) -> (..., stretches); the last one may be short."""
        x = functional.pad(x, (0, -x.shape[-1] % self.frame))
        return x.unflatten(-1, (-1, self.frame)).square().sum(-1)
