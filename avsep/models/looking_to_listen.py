"""Voices of several faces in one pass, by complex masks: Looking to listen (Ephrat et al., 2018)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from avsep.dsp.stft import full_precision, istft, power_law, stft
from avsep.embeddings.face import DIMENSIONS
from avsep.models.base import Contract, Output, SeparationModel
from avsep.models.limits import MOST_SIZE, check_spectra, check_whole
from avsep.signals import SAMPLE_RATE

SOUND = (
    [((1, 7), (1, 1)), ((7, 1), (1, 1)), ((5, 5), (1, 1))]
    + [((5, 5), (2**i, 1)) for i in range(1, 6)]
    + [((5, 5), (2**i, 2**i)) for i in range(6)]
)
"""Kernel and dilation in frames and bins of the convolutions over the spectrum, but for the last, which is 1x1."""

FACE = [(7, 1), (5, 1), (5, 2), (5, 4), (5, 8), (5, 16)]
"""Kernel and dilation in pictures of the convolutions over a face's embeddings."""

BOUND = 10.0
"""Of the real and the imaginary part of a mask: -BOUND to BOUND."""


class LookingToListen(SeparationModel):
    """One estimate for each face given: face (batch, faces, pictures, 512), the FaceNet embedding of each picture of
    the same stretch of time as the mixture, zeros where there is no face.

    faces: that go through in one pass, and see each other; with fewer, nobody is in the place of the others, with more,
    they go through in groups. channels: of the convolutions over the spectrum, of which the last has `narrow`. visual:
    channels of the convolutions over a face's embeddings, whose weights all faces share. hidden: cells of the LSTM each
    way. dense: units of the three layers behind it. window, hop, points: of the STFT, in samples. power: magnitudes are
    raised to it for the network.

    The complex mask multiplies the spectrum as it is, the paper's the compressed one, which is the same mask compressed
    by the same power. The paper bounds it by a sigmoid, for which a scaled tanh stands here.
    """

    paper = "Ephrat et al., Looking to listen at the cocktail party"
    year = 2018
    paper_args: ClassVar = {"channels": 96}

    def __init__(
        self,
        faces: int = 2,
        channels: int = 32,
        narrow: int = 8,
        visual: int = 256,
        hidden: int = 400,
        dense: int = 600,
        window: int = 400,
        hop: int = 160,
        points: int = 512,
        power: float = 0.3,
        sample_rate: int = SAMPLE_RATE,
    ) -> None:
        super().__init__()
        check_whole(1, 16, faces=faces)
        check_whole(1, MOST_SIZE, channels=channels, narrow=narrow, visual=visual, hidden=hidden, dense=dense)
        check_spectra(window, hop, points)
        if not 0 < power <= 1:
            raise ValueError(f"power is {power}; it must be above 0 and at most 1")
        self.faces, self.window, self.hop, self.points, self.power = faces, window, hop, points, power
        self.freq = points // 2 + 1
        entering = [2, *[channels] * (len(SOUND) - 1)]
        self.sound = nn.Sequential(
            *(_convolution2d(e, channels, *sizes) for e, sizes in zip(entering, SOUND, strict=True)),
            _convolution2d(channels, narrow, (1, 1), (1, 1)),
        )
        entering = [DIMENSIONS, *[visual] * (len(FACE) - 1)]
        self.face = nn.Sequential(*(_convolution1d(e, visual, *s) for e, s in zip(entering, FACE, strict=True)))
        self.lstm = nn.LSTM(narrow * self.freq + faces * visual, hidden, batch_first=True, bidirectional=True)
        self.to_masks = nn.Sequential(
            nn.Linear(2 * hidden, dense),
            nn.ReLU(),
            nn.Linear(dense, dense),
            nn.ReLU(),
            nn.Linear(dense, dense),
            nn.ReLU(),
            nn.Linear(dense, faces * 2 * self.freq),
        )
        self.contract = Contract(sample_rate, cues=("face",), sources=None, order="cue", stride=hop, joint=faces > 1)

    def compiled_modules(self) -> list[nn.Module]:
        """Without the transform: inductor makes no code for complex numbers."""
        return [self.sound, self.face, self.to_masks]

    def transform(self, waveform: Tensor) -> Tensor:
        """(..., time) -> complex (..., freq, frames)."""
        return stft(waveform, self.window, self.hop, self.points)

    def forward(self, mixture: Tensor, **cues: Tensor) -> Output:
        """mixture (batch, 1, time), face (batch, faces, pictures, 512) -> estimates (batch, faces, 1, time), complex
        masks (batch, faces, freq, frames)."""
        self.check(mixture)
        face = cues["face"]
        spectrum = self.transform(mixture[:, 0])
        sound = self.of_sound(mixture[:, 0], spectrum)
        shown = self.of_faces(face, spectrum.shape[2])
        groups = shown.shape[1]
        joined = torch.cat([sound.repeat_interleave(groups, 0), shown.flatten(0, 1)], 2)
        masks = self.masks(self.lstm(joined)[0]).unflatten(0, (-1, groups)).flatten(1, 2)[:, : face.shape[1]]
        estimates = istft(masks * spectrum.unsqueeze(1), mixture.shape[-1], self.window, self.hop, self.points)
        return Output(estimates.unsqueeze(2), spectrum=spectrum, masks=masks, transform=self.transform)

    def of_sound(self, waveform: Tensor, spectrum: Tensor) -> Tensor:
        """(batch, time) and its spectrum -> features (batch, frames, narrow * freq), free of the level."""
        level = full_precision(waveform).square().mean(1).sqrt().clamp_min(1e-5)
        bins = power_law(spectrum.mT / level[:, None, None], self.power)
        return self.sound(torch.stack([bins.real, bins.imag], 1)).transpose(1, 2).flatten(2)

    def of_faces(self, face: Tensor, frames: int) -> Tensor:
        """(batch, faces, pictures, 512) -> (batch, groups, frames, faces of a group * visual), each frame with the
        nearest picture."""
        whole = functional.pad(face, (0, 0, 0, 0, 0, -face.shape[1] % self.faces))
        x = self.face(whole.flatten(0, 1).mT)
        x = functional.interpolate(x, size=frames, mode="nearest").mT
        return x.unflatten(0, (len(face), -1, self.faces)).transpose(2, 3).flatten(3)

    def masks(self, x: Tensor) -> Tensor:
        """(batch, frames, 2 * hidden) -> complex (batch, faces of a group, freq, frames)."""
        made = BOUND * torch.tanh(full_precision(self.to_masks(x)) / BOUND)
        real, imaginary = made.unflatten(2, (self.faces, 2, self.freq)).permute(3, 0, 2, 4, 1)
        return torch.complex(real, imaginary)


def _convolution2d(entering: int, channels: int, kernel: tuple[int, int], dilation: tuple[int, int]) -> nn.Sequential:
    """(batch, entering, frames, freq) -> (batch, channels, frames, freq)."""
    convolution = nn.Conv2d(entering, channels, kernel, padding="same", dilation=dilation, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels), nn.ReLU())


def _convolution1d(entering: int, channels: int, kernel: int, dilation: int) -> nn.Sequential:
    """(n, entering, pictures) -> (n, channels, pictures)."""
    convolution = nn.Conv1d(entering, channels, kernel, padding="same", dilation=dilation, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm1d(channels), nn.ReLU())
