"""Which sounds are there, ten milliseconds by ten: a MobileNet over patches of a log-mel spectrogram.

After Hershey et al., CNN architectures for large-scale audio classification, 2017, with the depthwise-separable layers
that Tzinis et al., 2020, take as embeddings of a separator.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torchaudio
from torch import Tensor, nn
from torch.nn import functional

from avsep.models.base import Model
from avsep.models.limits import MOST_SIZE, check_spectra, check_whole
from avsep.models.parts.mobilenet import Layer, windows
from avsep.signals import SAMPLE_RATE

CHANNELS = (32, 64, 128, 128, 256, 256, 512, 512, 512, 512, 512)
MEL_STRIDES = (2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 1)
TIME_STRIDES = (2, 1, 2, 1, 1, 1, 1, 1, 1, 1, 1)
"""Of the first convolution and the ten depthwise-separable layers; a patch of 96 frames ends as 6 places in time."""

SILENCE = "silence"
"""The class of patches in which nothing sounds, where a classifier has it."""

LEAST_POWER = 1e-10
"""What a mel band holds at least: -100 dB."""


class SoundClassifier(Model):
    """Logits of classes for each frame of a sound, from the patch around the frame.

    names: of the classes; without them there are `classes` numbered ones. sample_rate, window, hop: in Hz and samples;
    the transform has the next power of two. mels: bands from low_hz to high_hz. patch: frames that a logit goes by.
    channels, mel_strides, time_strides: of the first convolution and each depthwise-separable layer. pooled: strides
    are means behind the convolutions. padded: zeros around the sound in every layer, where patches see each other; else
    a logit is what its patch alone would give. hidden: cells of a layer before the logits; 0 for none. dropout: of what
    the last layer is given.
    """

    paper = "Tzinis et al., Improving universal sound separation using sound classification"
    year = 2020

    def __init__(
        self,
        names: list[str] | None = None,
        classes: int = 527,
        sample_rate: int = SAMPLE_RATE,
        window: int = 400,
        hop: int = 160,
        mels: int = 64,
        low_hz: float = 60.0,
        high_hz: float = 7600.0,
        patch: int = 96,
        channels: Sequence[int] = CHANNELS,
        mel_strides: Sequence[int] = MEL_STRIDES,
        time_strides: Sequence[int] = TIME_STRIDES,
        pooled: bool = False,
        padded: bool = False,
        hidden: int = 0,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        self.names = _named(names, classes)
        check_whole(1000, 384_000, sample_rate=sample_rate)
        check_whole(1, 1024, mels=mels)
        check_whole(1, 10_000, patch=patch)
        check_whole(0, MOST_SIZE, hidden=hidden)
        check_spectra(fft := 1 << (window - 1).bit_length(), hop)
        if not 0 <= low_hz < high_hz <= sample_rate / 2:
            raise ValueError(f"low_hz {low_hz} and high_hz {high_hz}; they must rise within 0 to {sample_rate / 2:g}")
        if not len(channels) == len(mel_strides) == len(time_strides) > 0:
            raise ValueError(
                f"{len(channels)} channels, {len(mel_strides)} mel_strides and {len(time_strides)} time_strides; each "
                "layer needs one of each"
            )
        self.sample_rate, self.window, self.fft, self.hop, self.patch = sample_rate, window, fft, hop, patch
        filters = torchaudio.functional.melscale_fbanks(
            fft // 2 + 1, low_hz, high_hz, mels, sample_rate, norm="slaney", mel_scale="slaney"
        )
        self.filters: Tensor
        self.register_buffer("filters", filters, persistent=False)
        self.input_norm = nn.BatchNorm1d(mels)
        sizes = zip((1, *channels[:-1]), channels, mel_strides, time_strides, strict=True)
        self.layers = nn.ModuleList(
            Layer(inputs, outputs, mel, time, number > 0, pooled, padded)
            for number, (inputs, outputs, mel, time) in enumerate(sizes)
        )
        self.hidden = nn.Sequential(nn.Linear(channels[-1], hidden), nn.ReLU()) if hidden else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden or channels[-1], len(self.names))
        self.step, seen = 1, 1
        for layer in self._layers:
            seen += layer.shrinkage() * self.step
            self.step *= layer.strides[1]
        self.places = (patch - seen) // self.step + 1
        if self.places < 1:
            raise ValueError(f"patch is {patch} frames; with these strides it must be at least {seen}")

    @property
    def _layers(self) -> list[Layer]:
        return [layer for layer in self.layers if isinstance(layer, Layer)]

    def last_layers(self, count: int) -> list[nn.Module]:
        """The last `count` layers, the logits' own with its hidden one being the last: what fine-tuning trains.

        Raises ValueError for fewer than one or more than there are.
        """
        if not 1 <= count <= len(self.layers) + 1:
            raise ValueError(f"{count} last layers; the classifier has 1 to {len(self.layers) + 1}")
        return [*list(self.layers)[len(self.layers) + 1 - count :], self.hidden, self.output]

    def forward(self, waveform: Tensor, every_frame: bool = True) -> Tensor:
        """(batch, time) -> logits (batch, frames, classes).

        One frame a `hop` from the first sample on, 1 + time // hop in all. Before the sound's start and behind its end
        patches see it mirrored, and behind the end of one shorter than a patch, silence. every_frame: else only each
        `step`-th frame, of the same values at a part of the cost.
        """
        frames = 1 + waveform.shape[-1] // self.hop
        mel = self.spectrogram(waveform)
        mel = functional.pad(mel, (self.patch // 2, (self.patch - 1) // 2), mode="reflect")
        x, spread = self.input_norm(mel)[:, None], 1
        for layer in self._layers:
            x = layer(x, spread, every_frame)
            spread *= layer.strides[1] if every_frame else 1
        found = windows(x.mean(2), self.places, spread)
        stacked = torch.stack(found)
        logits = self.head(stacked.mean(0) + stacked.amax(0))
        return logits[:, : frames if every_frame else -(-frames // self.step)]

    def clip_logits(self, waveform: Tensor) -> Tensor:
        """(batch, time) -> (batch, classes) of the whole as one patch, as networks for tagging clips are trained."""
        x = self.input_norm(self.spectrogram(waveform))[:, None]
        for layer in self._layers:
            x = layer(x)
        x = x.mean(2)
        return self.head(x.mean(2, keepdim=True) + x.amax(2, keepdim=True))[:, 0]

    def probabilities(self, waveform: Tensor) -> Tensor:
        """(sources, time) -> (sources, classes) in 0..1: the mean over frames of their probabilities.

        Of a classifier that knows silence, frames count by the probability that they are not silent, and silence has
        the least of its probabilities: a short bark in a long silence is a bark.
        """
        p = self(waveform, every_frame=False).float().sigmoid()
        if SILENCE not in self.names:
            return p.mean(1)
        silence = self.names.index(SILENCE)
        sounding = 1 - p[..., silence : silence + 1]
        mean = (p * sounding).sum(1) / (sounding.sum(1) + 1e-3)
        mean[:, silence] = p[..., silence].amin(1)
        return mean

    def head(self, pooled: Tensor) -> Tensor:
        """(batch, channels, frames) -> logits (batch, frames, classes)."""
        return self.output(self.dropout(self.hidden(pooled.transpose(1, 2))))

    def spectrogram(self, waveform: Tensor) -> Tensor:
        """(batch, time) -> mel bands in dB (batch, mels, frames); silence behind a sound shorter than a patch."""
        if waveform.dim() != 2:
            raise ValueError(f"waveform {tuple(waveform.shape)}; expected (batch, time)")
        least = max((self.patch - 1) * self.hop, self.fft)
        waveform = functional.pad(waveform, (0, max(0, least - waveform.shape[-1])))
        # Halves lose the powers of quiet bands.
        with torch.autocast(waveform.device.type, enabled=False):
            window = torch.hann_window(self.window, device=waveform.device)
            bins = torch.stft(waveform.float(), self.fft, self.hop, self.window, window, return_complex=True)
            power = bins.real.square() + bins.imag.square()
            return 10 * torch.log10((self.filters.T @ power).clamp(min=LEAST_POWER))


def _named(names: Sequence[str] | None, classes: int) -> tuple[str, ...]:
    if names is None:
        check_whole(1, 100_000, classes=classes)
        return tuple(f"class_{number:03d}" for number in range(classes))
    if not names or len(set(names)) < len(names):
        raise ValueError(f"names are {list(names)!r:.200}; there must be one or more, each once")
    return tuple(names)
