"""Stems of music by magnitude masks and a Wiener filter: Open-Unmix (Stöter, Uhlich, Liutkus and Mitsufuji, 2019)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from avsep.dsp.stft import istft, stft
from avsep.dsp.wiener import refined_images
from avsep.models.base import Output, SeparationModel
from avsep.models.limits import MOST_SIZE, check_spectra, check_whole
from avsep.models.parts.stems import contract_of

STEMS = ("vocals", "drums", "bass", "other")

HIGHEST = 384_000
"""Bandwidth in Hz."""

LEAST_DEVIATION = 1e-4
"""Of a bin, against the largest of all bins."""


class TargetNetwork(nn.Module):
    """The mask of one stem. `seen` of the `freq` bins go in, from 0 Hz up; a mask is for all of them.

    Its tensors have the names and shapes of those of the package `openunmix`: input_mean is the mean with a minus,
    input_scale one over the deviation.
    """

    def __init__(self, freq: int, seen: int, channels: int, hidden: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.seen = seen
        self.input_mean, self.input_scale = nn.Parameter(torch.zeros(seen)), nn.Parameter(torch.ones(seen))
        self.fc1, self.bn1 = nn.Linear(seen * channels, hidden, bias=False), nn.BatchNorm1d(hidden)
        self.lstm = nn.LSTM(
            hidden,
            hidden // 2,
            layers,
            batch_first=True,
            dropout=dropout if layers > 1 else 0.0,
            bidirectional=True,
        )
        self.fc2, self.bn2 = nn.Linear(2 * hidden, hidden, bias=False), nn.BatchNorm1d(hidden)
        self.fc3, self.bn3 = nn.Linear(hidden, freq * channels, bias=False), nn.BatchNorm1d(freq * channels)
        self.output_scale, self.output_mean = nn.Parameter(torch.ones(freq)), nn.Parameter(torch.ones(freq))

    def forward(self, magnitudes: Tensor) -> Tensor:
        """(batch, channels, freq, frames) -> masks of 0 or more, the same shape."""
        channels = magnitudes.shape[1]
        x = magnitudes[:, :, : self.seen].permute(0, 3, 1, 2)
        x = ((x + self.input_mean) * self.input_scale).flatten(2)
        x = torch.tanh(_by_channel(self.bn1, self.fc1(x)))
        x = torch.cat([x, self.lstm(x)[0]], dim=2)
        x = functional.relu(_by_channel(self.bn2, self.fc2(x)))
        x = _by_channel(self.bn3, self.fc3(x)).unflatten(2, (channels, -1))
        return functional.relu(x * self.output_scale + self.output_mean).permute(0, 2, 3, 1)


class OpenUnmix(SeparationModel):
    """The stems of music by name, each by a network of its own, with all channels of the mixture.

    In training an estimate is the mixture's spectrum times a mask; in use a multichannel Wiener filter follows, whose
    powers and spatial covariances are those of the estimates, made `iterations` times anew (0: none).

    hidden: width of the network, half of it the cells of an LSTM each way. layers, dropout: of the LSTM. window and hop
    in samples; bandwidth: in Hz, what a network is given of the mixture, where there is more. The networks are trained
    on the deviation from the mean of each bin in the training data, which `fit_scaler` sets. Unlike most models here it
    is not indifferent to the level of the mixture. Beyond its ends there is silence, not a mirror image of it.
    """

    paper = "Stöter et al., Open-Unmix - A reference implementation for music source separation"
    year = 2019
    published = "5.3 dB SDR, MUSDB18"

    def __init__(
        self,
        stems: Sequence[str] = STEMS,
        channels: int = 2,
        hidden: int = 512,
        layers: int = 3,
        dropout: float = 0.4,
        window: int = 4096,
        hop: int = 1024,
        bandwidth: float = 16_000.0,
        iterations: int = 1,
        sample_rate: int = 44_100,
    ) -> None:
        super().__init__()
        check_spectra(window, hop)
        check_whole(2, MOST_SIZE, hidden=hidden)
        check_whole(1, 100, layers=layers)
        check_whole(0, 100, iterations=iterations)
        self.contract = contract_of(sample_rate, channels, len(stems), stems, stride=hop)
        if wrong := [name for name in stems if not name.isidentifier()]:
            raise ValueError(f"stems: {wrong[0]!r:.100} names no network; take letters, digits and underscores")
        if iterations and len(stems) == 1:
            raise ValueError(f"iterations is {iterations} with 1 stem, of which the filter makes the mixture; set 0")
        if hidden % 2 or not 0 < bandwidth <= HIGHEST or not 0 <= dropout < 1:
            raise ValueError(
                f"hidden {hidden}, bandwidth {bandwidth:g} and dropout {dropout:g}; expected an even number, Hz above "
                f"0 to {HIGHEST} and 0 to below 1"
            )
        self.window, self.hop, self.iterations = window, hop, iterations
        freq = window // 2 + 1
        seen = min(freq, int(bandwidth * window / sample_rate) + 1)
        sizes = freq, seen, channels, hidden, layers, dropout
        self.networks = nn.ModuleDict({name: TargetNetwork(*sizes) for name in stems})

    def compiled_modules(self) -> list[nn.Module]:
        """Without the Fourier transforms: inductor makes no code for complex numbers."""
        return list(self.networks.values())

    def transform(self, waveform: Tensor) -> Tensor:
        """(..., time) -> complex (..., freq, frames)."""
        return stft(waveform, self.window, self.hop)

    def masks(self, magnitudes: Tensor) -> Tensor:
        """(batch, channels, freq, frames) -> (batch, stems, channels, freq, frames) of 0 or more."""
        return torch.stack([network(magnitudes) for network in self.networks.values()], dim=1)

    def forward(self, mixture: Tensor, **cues: Tensor) -> Output:
        """mixture (batch, channels, time) -> estimates (batch, stems, channels, time), and masks over the spectra of
        all channels."""
        return self._masked(mixture, 0)

    def separate(self, mixture: Tensor, **cues: Tensor) -> Output:
        """The same, the estimates after the Wiener filter."""
        return self._masked(mixture, self.iterations)

    def _masked(self, mixture: Tensor, iterations: int) -> Output:
        self.check(mixture)
        spectrum = self.transform(mixture)
        masks = self.masks(spectrum.abs())
        images = masks * spectrum.unsqueeze(1)
        if iterations:
            pairs = zip(images, spectrum, strict=True)
            images = torch.stack([refined_images(image, mixed, iterations) for image, mixed in pairs])
        estimates = istft(images, mixture.shape[-1], self.window, self.hop)
        return Output(estimates, spectrum=spectrum, masks=masks, transform=self.transform)

    @torch.no_grad()
    def fit_scaler(self, mixtures: Iterable[Tensor]) -> None:
        """Set what every network's input is scaled by to the mean and deviation of each bin over the frames of mixtures
        (channels, time), the mean of their channels' magnitudes counting."""
        count, total, power = 0, torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
        for mixture in mixtures:
            magnitudes = self.transform(mixture).abs().mean(0).double().cpu()
            count, total = count + magnitudes.shape[1], total + magnitudes.sum(1)
            power = power + magnitudes.square().sum(1)
        if not count:
            raise ValueError("no mixtures to fit the scaler to; give at least one")
        mean = total / count
        deviation = (power / count - mean.square()).clamp_min(0).sqrt()
        deviation = deviation.clamp_min(max(LEAST_DEVIATION * float(deviation.max()), 1e-8))
        for network in self.networks.values():
            assert isinstance(network, TargetNetwork)
            network.input_mean.copy_(-mean[: network.seen])
            network.input_scale.copy_(1 / deviation[: network.seen])


def _by_channel(norm: nn.BatchNorm1d, x: Tensor) -> Tensor:
    """Batch norm of (batch, frames, channels) over all frames of the batch."""
    return norm(x.flatten(0, 1)).unflatten(0, x.shape[:2])
