"""Any model over a signal of any length: the only code that runs a model outside training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from avsep.dsp.level_fit import fitted_to
from avsep.dsp.ratio_mask import ratio_mask_refinement
from avsep.dsp.resample import resampled_blocks
from avsep.errors import UsageError, WeightsError
from avsep.inference.cycle_spin import cycle_spin
from avsep.inference.quality import Quality, at_quality, passes_for
from avsep.inference.stitch import segments, stitch
from avsep.models.base import Contract, SeparationModel
from avsep.signals import Audio, ProgressHook, no_progress
from avsep.storage.recording import Estimates, Recording

CUES_AT_ONCE = 4
"""Cues that go through the network in one batch, unless it needs all of them; bounds the memory."""

OVERLAP_SECONDS = 2.0
"""What two segments share: long enough to tell which source goes on with which."""


class Cues(Protocol):
    """What a model needs besides the mixture, by time. sources: how many have a cue."""

    @property
    def sources(self) -> int: ...

    def read(self, start_seconds: float, stop_seconds: float) -> tuple[list[int], Mapping[str, np.ndarray]]:
        """The sources whose cues there are in that stretch, and the cues by name, each (those sources, ...)."""
        ...


@dataclass(frozen=True, eq=False)
class SlidingSeparator:
    """Runs a model segment by segment in bounded memory, at the model's rate and with as many channels as its contract
    allows; the estimates have the rate and the length of the mixture.

    quality: see `avsep.inference.quality`. passes: of cycle spinning, by default as the quality asks. refine: whether
    estimates are fitted to the mixture, by default as the contract says. segment_seconds: by default the contract's.
    overlap_seconds: what two segments share, at most half of one.
    """

    model: SeparationModel
    device: str = "cpu"
    quality: Quality = "normal"
    passes: int | None = None
    refine: bool | None = None
    segment_seconds: float | None = None
    overlap_seconds: float = OVERLAP_SECONDS
    _kept: dict[int, int] = field(default_factory=dict, init=False, repr=False)
    """Channels of a mixture -> those of its estimates."""

    @property
    def passes_made(self) -> int:
        return self.passes or passes_for(self.model.contract, self.quality)

    @property
    def refines(self) -> bool:
        return self.model.contract.refine if self.refine is None else self.refine

    @torch.inference_mode()
    def separate(
        self,
        mixture: Recording,
        cues: Cues | None = None,
        folder: Path | None = None,
        progress: ProgressHook = no_progress,
    ) -> Estimates:
        """The estimates of a mixture. cues: for models that need some; folder: where the estimates lie.

        Raises UsageError where the mixture has too few or too many channels or cues are missing, WeightsError where the
        model gives values that are not numbers.
        """
        contract = self.model.contract
        if contract.cues and cues is None:
            raise UsageError(f"the model needs {', '.join(contract.cues)} besides the mixture, and there is none")
        given = with_channels(mixture, contract, folder)
        at_rate = at_sample_rate(given, contract.sample_rate, folder)
        joined = stitch(self._pieces(at_rate, cues, progress), contract.order == "any")
        if given.channels > mixture.channels:
            # Of copies of one channel the mean is one channel again.
            joined = (block.mean(axis=1, keepdims=True) for block in joined)
        return _collected(joined, at_rate, mixture, folder)

    def _pieces(
        self, mixture: Recording, cues: Cues | None, progress: ProgressHook
    ) -> Iterator[tuple[int, np.ndarray]]:
        contract, rate = self.model.contract, mixture.sample_rate
        length = max(1, round((self.segment_seconds or contract.segment_seconds) * rate))
        overlap = min(round(self.overlap_seconds * rate), length // 2)
        for start, stop in segments(len(mixture), length, overlap):
            samples = mixture.read(start, stop)
            estimates = self._segment(samples, start / rate, stop / rate, cues)
            if not np.isfinite(estimates).all():
                raise WeightsError(
                    f"the model gives values that are not numbers for the sound at {start / rate:.2f} to "
                    f"{stop / rate:.2f} s. Take other weights"
                )
            yield start, refined(estimates, samples, rate) if self.refines else estimates
            progress("separation", stop / rate, mixture.seconds)

    def _segment(self, samples: np.ndarray, start: float, stop: float, cues: Cues | None) -> np.ndarray:
        contract = self.model.contract
        if cues is None:
            return self._spun(samples, {})
        present, found = cues.read(start, stop)
        if contract.order != "cue":
            return self._spun(samples, found)
        # Who has no cue in the whole segment is silent in it.
        if not present:
            return np.zeros((cues.sources, self._channels(samples, found), samples.shape[-1]), np.float32)
        estimates: np.ndarray | None = None
        at_once = len(present) if contract.joint else CUES_AT_ONCE
        for first in range(0, len(present), at_once):
            group = slice(first, first + at_once)
            made = self._spun(samples, {name: cue[group] for name, cue in found.items()})
            self._kept[len(samples)] = made.shape[1]
            if estimates is None:
                estimates = np.zeros((cues.sources, *made.shape[1:]), np.float32)
            estimates[present[group]] = made
        assert estimates is not None
        return estimates

    def _channels(self, samples: np.ndarray, cues: Mapping[str, np.ndarray]) -> int:
        """Channels of the estimates for a segment without anybody's cue: of several the model may keep all or one."""
        if len(samples) == 1:
            return 1
        if len(samples) not in self._kept:
            nobody = {name: np.zeros((1, *cue.shape[1:]), cue.dtype) for name, cue in cues.items()}
            self._kept[len(samples)] = self._spun(samples, nobody).shape[1]
        return self._kept[len(samples)]

    def _spun(self, samples: np.ndarray, cues: Mapping[str, np.ndarray]) -> np.ndarray:
        """(channels, time) and cues (sources, ...) -> (sources, channels, time), the mean of all passes."""
        given = {name: torch.from_numpy(np.ascontiguousarray(cue)).to(self.device)[None] for name, cue in cues.items()}
        model = at_quality(self.model, self.quality)

        def once(x: np.ndarray) -> np.ndarray:
            mixture = torch.from_numpy(np.ascontiguousarray(x, np.float32)).to(self.device)[None]
            estimates = model.separate(mixture, **given).estimates
            assert estimates is not None, f"{type(self.model).__name__}.separate gives no estimates"
            made = estimates[0].float().cpu().numpy()
            return fitted_to(x, made) if contract.level == "free" else made

        contract = self.model.contract
        return cycle_spin(once, samples, self.passes_made, contract.stride, contract.order == "any")


def with_channels(mixture: Recording, contract: Contract, folder: Path | None = None) -> Recording:
    """The mixture with as many channels as a model takes: the mean of all for one, copies of a single one for stems,
    else as it is. Raises UsageError where that cannot be."""
    fewest, most = contract.channels
    if fewest <= mixture.channels <= most:
        return mixture
    if not contract.takes(mixture.channels):
        raise UsageError(
            f"the sound has {mixture.channels} channel{'s' if mixture.channels > 1 else ''}, and the model takes "
            f"{contract.channel_counts}. Give a recording with that many, or another model (avsep models lists them)"
        )
    adapted = Recording(folder, fewest, mixture.sample_rate)
    for block in mixture.blocks():
        adapted.append(np.repeat(block.samples.mean(axis=0, keepdims=True), fewest, axis=0))
    return adapted


def at_sample_rate(recording: Recording, sample_rate: int, folder: Path | None = None) -> Recording:
    """The recording at another rate; itself where it has that rate already."""
    if recording.sample_rate == sample_rate:
        return recording
    made = Recording(folder, recording.channels, sample_rate)
    for block in resampled_blocks(recording.blocks(), sample_rate):
        made.append(block)
    return made


def refined(estimates: np.ndarray, mixture: np.ndarray, sample_rate: int) -> np.ndarray:
    """`ratio_mask_refinement` of each channel against that of the mixture, of which there may be more: (sources,
    channels, time), (channels, time) -> (sources, channels, time)."""
    channels = range(estimates.shape[1])
    return np.stack([ratio_mask_refinement(estimates[:, n], mixture[n], sample_rate) for n in channels], axis=1)


def _collected(joined: Iterator[np.ndarray], given: Recording, mixture: Recording, folder: Path | None) -> Estimates:
    """Estimates at the model's rate as they come -> on disk, at the mixture's rate and of its length."""
    made: Estimates | None = None
    for block in joined:
        made = made or Estimates(folder, block.shape[1], given.sample_rate)
        made.append(block)
    assert made is not None, "segments cover every signal, even an empty one"
    if given.sample_rate == mixture.sample_rate:
        return made
    count, channels, rate = made.count, made.channels, given.sample_rate
    # All sources as channels of one sound.
    starts = range(0, len(made), rate) if count else ()
    blocks = (Audio(made.read(at, at + rate).reshape(count * channels, -1), rate) for at in starts)
    estimates = Estimates(folder, channels, mixture.sample_rate)
    for block in resampled_blocks(blocks, mixture.sample_rate):
        missing = len(mixture) - len(estimates)
        estimates.append(block.reshape(count, channels, -1)[..., :missing])
    # A last fraction of a sample may be lost on the way there and back.
    estimates.append(np.zeros((count, channels, len(mixture) - len(estimates)), np.float32))
    return estimates
