"""Magnitude, then phase, of the voice that belongs to a pair of lips: The Conversation (Afouras, Chung and Zisserman,
2018)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from avsep.dsp.spatial import phases
from avsep.dsp.stft import full_precision, istft, stft
from avsep.models.base import Contract, Output, SeparationModel
from avsep.models.limits import MOST_SIZE, check_spectra, check_whole
from avsep.models.parts.lip_encoder import LipEncoder
from avsep.signals import SAMPLE_RATE


class TowerBlock(nn.Module):
    """Batch norm, rectifier and a depth-wise separable convolution over time, beside which the input goes on.

    rate: 1; 2 for twice as many frames; -2 for half of them.
    """

    def __init__(self, channels: int, kernel: int, rate: int = 1) -> None:
        super().__init__()
        self.rate = rate
        self.body = nn.Sequential(
            nn.BatchNorm1d(channels),
            nn.ReLU(),
            nn.Conv1d(channels, channels, kernel, padding=kernel // 2, groups=channels, bias=False),
            nn.Conv1d(channels, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(batch, channels, frames) -> (batch, channels, frames * 2, / 2 rounded up or the same)."""
        if self.rate > 1:
            x = x.repeat_interleave(self.rate, 2)
        made = self.body(x)
        return (x + made)[:, :, :: -self.rate] if self.rate < 0 else x + made


class MagnitudeNet(nn.Module):
    """Lips and the mixture's magnitude to a mask of the magnitude in 0..1.

    A tower of `sound_blocks` over the spectrum, which is led to a quarter of its frames, one of `lip_blocks` over the
    lips, and one of `joint_blocks` over both, which leads back to all frames.
    """

    def __init__(
        self, freq: int, lips: int, width: int, kernel: int, sound_blocks: int, lip_blocks: int, joint_blocks: int
    ) -> None:
        super().__init__()
        halved, doubled = (1, 3), (joint_blocks // 3, 2 * joint_blocks // 3)
        self.sound = nn.Sequential(
            nn.Conv1d(freq, width, 1),
            *(TowerBlock(width, kernel, -2 if n in halved else 1) for n in range(sound_blocks)),
        )
        self.lips = nn.Sequential(nn.Conv1d(lips, width, 1), *(TowerBlock(width, kernel) for _ in range(lip_blocks)))
        self.join = nn.Conv1d(2 * width, width, 1)
        self.joint = nn.Sequential(
            *(TowerBlock(width, kernel, 2 if n in doubled else 1) for n in range(joint_blocks)),
            nn.BatchNorm1d(width),
            nn.ReLU(),
            nn.Conv1d(width, freq, 1),
            nn.Sigmoid(),
        )

    def forward(self, magnitude: Tensor, lips: Tensor, faces: int) -> Tensor:
        """(batch, freq, frames), embeddings (batch * faces, channels, pictures) -> (batch * faces, freq, frames)."""
        sound = self.sound(magnitude).repeat_interleave(faces, 0)
        shown = functional.interpolate(self.lips(lips), size=sound.shape[2], mode="linear", align_corners=False)
        return self.joint(self.join(torch.cat([sound, shown], 1)))[:, :, : magnitude.shape[2]]


class PhaseNet(nn.Module):
    """The mixture's phase and the estimated magnitude to the source's phase: what is added to the cosine and the sine
    of every bin before they are brought to length 1."""

    def __init__(self, freq: int, width: int, kernel: int, blocks: int) -> None:
        super().__init__()
        self.of_phase = nn.Conv1d(2 * freq, width // 2, 1)
        self.of_magnitude = nn.Conv1d(freq, width - width // 2, 1)
        self.blocks = nn.Sequential(*(TowerBlock(width, kernel) for _ in range(blocks)))
        self.residual = nn.Conv1d(width, 2 * freq, 1)
        # Before any training the phase passes as it is.
        nn.init.zeros_(self.residual.weight)
        assert self.residual.bias is not None
        nn.init.zeros_(self.residual.bias)

    def forward(self, phase: Tensor, magnitude: Tensor) -> Tensor:
        """Complex (n, freq, frames) of length 1, (n, freq, frames) -> complex (n, freq, frames) of length 1."""
        parts = torch.cat([phase.real, phase.imag], 1)
        x = self.blocks(torch.cat([self.of_phase(parts), self.of_magnitude(magnitude)], 1))
        real, imaginary = full_precision(parts + self.residual(x)).chunk(2, 1)
        return phases(torch.complex(real, imaginary))


class TheConversation(SeparationModel):
    """One estimate for each face given: lips (batch, faces, pictures, height, width) in 0..1 of the same stretch of
    time as the mixture.

    width, phase_width: channels of the towers of the two sub-networks, kernel: of their convolutions. sound_blocks,
    lip_blocks, joint_blocks, phase_blocks: of each tower. window, hop: of the STFT, in samples; a picture has four
    hops in the paper. power: magnitudes are raised to it for the networks; 1 is the paper's. lip: arguments of
    `LipEncoder`.
    """

    paper = "Afouras et al., The Conversation: Deep audio-visual speech enhancement"
    year = 2018
    paper_args: ClassVar = {"width": 1536, "phase_width": 1024, "power": 1.0, "lip": {"channels": 512}}

    def __init__(
        self,
        width: int = 512,
        phase_width: int = 512,
        kernel: int = 5,
        sound_blocks: int = 5,
        lip_blocks: int = 10,
        joint_blocks: int = 15,
        phase_blocks: int = 6,
        window: int = 640,
        hop: int = 160,
        power: float = 0.3,
        sample_rate: int = SAMPLE_RATE,
        lip: dict | None = None,
    ) -> None:
        super().__init__()
        check_spectra(window, hop)
        check_whole(2, MOST_SIZE, width=width, phase_width=phase_width)
        check_whole(1, 101, kernel=kernel)
        # Two blocks of the first tower halve the frames, and two of the third double them.
        check_whole(4, 100, sound_blocks=sound_blocks)
        check_whole(3, 100, joint_blocks=joint_blocks)
        check_whole(0, 100, lip_blocks=lip_blocks, phase_blocks=phase_blocks)
        if kernel % 2 == 0:
            raise ValueError(f"kernel is {kernel}; it must be odd")
        if not 0 < power <= 1:
            raise ValueError(f"power is {power}; it must be above 0 and at most 1")
        self.window, self.hop, self.power = window, hop, power
        freq = window // 2 + 1
        # The tower over the lips is behind it: no convolutions over time of its own.
        self.lips = LipEncoder(**{"temporal_blocks": 0} | (lip or {}))
        self.magnitude = MagnitudeNet(freq, self.lips.channels, width, kernel, sound_blocks, lip_blocks, joint_blocks)
        self.phase = PhaseNet(freq, phase_width, kernel, phase_blocks)
        self.contract = Contract(sample_rate, cues=("lips",), sources=None, order="cue", stride=hop)

    def compiled_modules(self) -> list[nn.Module]:
        """Without what is complex: inductor makes no code for it."""
        return [self.lips, self.magnitude]

    def transform(self, waveform: Tensor) -> Tensor:
        """(..., time) -> complex (..., freq, frames)."""
        return stft(waveform, self.window, self.hop)

    def forward(self, mixture: Tensor, **cues: Tensor) -> Output:
        """mixture (batch, 1, time), lips (batch, faces, pictures, height, width) -> estimates (batch, faces, 1, time),
        complex masks (batch, faces, freq, frames)."""
        self.check(mixture)
        lips = cues["lips"]
        faces = lips.shape[1]
        spectrum = self.transform(mixture[:, 0])
        level = full_precision(mixture[:, 0]).square().mean(1).sqrt().clamp_min(1e-5)
        size = spectrum.abs() / level[:, None, None]
        # The root's slope at 0 is infinite.
        compressed = size.clamp_min(1e-4) ** self.power
        mask = full_precision(self.magnitude(compressed, self.lips(lips.flatten(0, 1)).mT, faces))
        noisy = phases(spectrum).repeat_interleave(faces, 0)
        estimated = (mask * size.repeat_interleave(faces, 0)).clamp_min(1e-4) ** self.power
        turn = self.phase(noisy, estimated) * noisy.conj()
        masks = (mask * turn).unflatten(0, (-1, faces))
        estimates = istft(masks * spectrum.unsqueeze(1), mixture.shape[-1], self.window, self.hop)
        return Output(estimates.unsqueeze(2), spectrum=spectrum, masks=masks, transform=self.transform)
