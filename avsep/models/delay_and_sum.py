"""Delay-and-sum: the mean of the microphones, each brought to the time at which a source arrives at the first one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from avsep.dsp.beamforming import beamform, delay_and_sum
from avsep.dsp.spatial import bin_frequencies, gcc_phat, phases, plane_wave_delays, spatial_covariance, steering_vectors
from avsep.dsp.stft import istft, stft
from avsep.models.base import Contract, Output, SeparationModel
from avsep.models.limits import check_spectra, check_whole
from avsep.signals import SAMPLE_RATE

BLOCK_FRAMES = 8
"""Frames over which one talker counts as the loudest, where the geometry is not known."""
QUIET = 1e-3
"""Of the power of the loudest block: quieter ones do not count."""
SAME_SAMPLES = 1.0
"""How far the delays of blocks of one talker may differ, at each microphone."""
DIRECTIONS = 180
"""Azimuths that are tried, 2 degrees apart."""


class DelayAndSum(SeparationModel):
    """One estimate for each source, as it is at the first microphone. Without weights and training.

    Where the sources are is known, or found in every mixture:

    - positions (microphones, 2 or 3) in m and directions, one azimuth in degrees for each source: beams that are fixed.
      0 is along x, 90 along y.
    - positions alone: the azimuths from which most comes, by the steered response with phase transform (SRP-PHAT); what
      a direction explains is taken out before the next is sought.
    - neither: delays against the first microphone by GCC-PHAT in blocks of frames, each of which is the loudest
      talker's; those that most blocks share count.

    A beam of few microphones lets much through of what comes from elsewhere, most at low frequencies.

    longest_delay: between two microphones, in s, where the geometry is not known; 1 ms is 34 cm.
    """

    paper = "Knapp and Carter, The generalized correlation method for estimation of time delay; DiBiase, SRP-PHAT"
    year = 1976

    def __init__(
        self,
        sources: int = 2,
        positions: Sequence[Sequence[float]] | None = None,
        directions: Sequence[float] | None = None,
        window: int = 1024,
        hop: int = 256,
        longest_delay: float = 0.001,
        most_channels: int = 8,
        sample_rate: int = SAMPLE_RATE,
    ) -> None:
        super().__init__()
        check_spectra(window, hop)
        check_whole(2, 128, most_channels=most_channels)
        if directions is not None and (positions is None or len(directions) != sources):
            raise ValueError(
                f"{len(directions)} directions and {sources} sources {'without' if positions is None else 'with'} "
                "positions; give the positions of the microphones and a direction for each source"
            )
        if not 0 < longest_delay * sample_rate < window / 2:
            raise ValueError(
                f"longest_delay is {longest_delay} s; it must be above 0 and below half a window, "
                f"{window / 2 / sample_rate:.4g} s"
            )
        self.positions = None if positions is None else checked_positions(positions)
        self.directions = None if directions is None else torch.tensor(directions, dtype=torch.float32).deg2rad()
        channels = (2, most_channels) if positions is None else (len(positions), len(positions))
        self.contract = Contract(sample_rate, channels, sources=sources)
        self.sources, self.window, self.hop, self.longest_delay = sources, window, hop, longest_delay

    def with_positions(self, positions: np.ndarray) -> DelayAndSum:
        if self.positions is not None:
            return self
        return DelayAndSum(
            self.sources,
            positions.tolist(),
            window=self.window,
            hop=self.hop,
            sample_rate=self.contract.sample_rate,
        )

    def forward(self, mixture: Tensor, **cues: Tensor) -> Output:
        """mixture (batch, channels, time) -> estimates (batch, sources, 1, time)."""
        self.check(mixture)
        spectrum = stft(mixture, self.window, self.hop)
        delays = torch.stack([self.delays(one) for one in spectrum])
        weights = delay_and_sum(delays, bin_frequencies(self.window, self.contract.sample_rate).to(mixture.device))
        made = beamform(weights, spectrum.unsqueeze(1))
        return Output(istft(made, mixture.shape[-1], self.window, self.hop).unsqueeze(2))

    @torch.no_grad()
    def delays(self, spectrum: Tensor) -> Tensor:
        """Of each source at each microphone, (channels, freq, frames) -> (sources, channels) in s."""
        if self.positions is None:
            return self._by_blocks(spectrum)
        positions = self.positions.to(spectrum.device)
        if self.directions is not None:
            return plane_wave_delays(positions, self.directions.to(spectrum.device))
        return plane_wave_delays(positions, self._azimuths(spectrum, positions))

    def _by_blocks(self, spectrum: Tensor) -> Tensor:
        """By GCC-PHAT in blocks: the delays that most blocks have, then those that most of the others have."""
        rate = self.contract.sample_rate
        blocks = torch.stack([b for b in spectrum.split(BLOCK_FRAMES, 2) if b.shape[2] == BLOCK_FRAMES] or [spectrum])
        # Blocks in which nothing sounds tell nothing.
        power = blocks.abs().square().mean((1, 2, 3))
        found = gcc_phat(blocks[power >= QUIET * power.max()], rate, longest=self.longest_delay)
        near = torch.cdist(found * rate, found * rate, p=float("inf")) <= SAME_SAMPLES
        free = torch.ones(len(found), dtype=torch.bool, device=found.device)
        delays: list[Tensor] = []
        for _ in range(self.sources):
            members = near[(near & free).sum(1).argmax()] & free
            if not members.any():
                # Fewer talkers than sources: the loudest once more.
                delays.append(delays[0])
                continue
            delays.append(found[members].median(0).values)
            free &= ~near[members].any(0)
        return torch.stack(delays)

    def _azimuths(self, spectrum: Tensor, positions: Tensor) -> Tensor:
        """Those from which most comes, (sources,) in radians."""
        tried = torch.arange(DIRECTIONS, device=positions.device) * (2 * torch.pi / DIRECTIONS)
        frequencies = bin_frequencies(self.window, self.contract.sample_rate).to(positions.device)
        steering = steering_vectors(plane_wave_delays(positions, tried), frequencies)
        covariance = spatial_covariance(phases(spectrum))
        found = []
        for _ in range(self.sources):
            power = torch.einsum("dfc,fce,dfe->d", steering.conj(), covariance, steering).real
            best = int(power.argmax())
            found.append(tried[best])
            # What comes from there is taken out.
            a = steering[best]
            outside = torch.eye(a.shape[1], device=a.device) - a.unsqueeze(2) * a.conj().unsqueeze(1) / a.shape[1]
            covariance = outside @ covariance @ outside.mH
        return torch.stack(found)


def checked_positions(positions: Sequence[Sequence[float]]) -> Tensor:
    """(microphones, 2 or 3) in m. ValueError for less than two, and for other numbers of coordinates."""
    lengths = {len(place) for place in positions}
    if len(positions) < 2 or len(lengths) != 1 or lengths.pop() not in (2, 3):
        raise ValueError(
            f"positions are {list(positions)!r:.100}; give 2 microphones or more, each with 2 or 3 coordinates in m"
        )
    made = torch.tensor(positions, dtype=torch.float32)
    if not made.isfinite().all():
        raise ValueError(f"positions are {list(positions)!r:.100}; coordinates must be numbers in metres")
    return made
