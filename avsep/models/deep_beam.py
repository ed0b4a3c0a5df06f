"""A beamformer that is estimated from a separator's own output, again and again: DeepBeam (Qian et al., 2018)."""

from __future__ import annotations

import torch
from torch import Tensor

from avsep.models.base import Output, SeparationModel
from avsep.models.limits import check_spectra, check_whole
from avsep.models.parts.source_images import (
    Beam,
    Images,
    array_contract,
    beams,
    check_beam,
    check_images,
    source_images,
)

TINY = 1e-12
"""Energy that counts as nothing."""


class DeepBeam(SeparationModel):
    """Around any separator: a beam for each source, from its estimate; the separator on the beam, which holds less of
    the others than the mixture does; a beam from what it keeps of that, and so on.

    It adds nothing that is trained: the training is the separator's. The estimates are the beams at the first
    microphone.

    separator: of one microphone or several. iterations: how often a beam is estimated; 1 is a beamformer from the
    separator's first estimates. images: see `source_images`. beamformer: "wiener", which fits the beam to the estimate
    as the paper does, "rtf", "souden" or "gev". window and hop: of the beamformer, in samples. most_channels: where the
    separator takes one.
    """

    paper = "Qian et al., Deep learning based speech beamforming"
    year = 2018

    def __init__(
        self,
        separator: SeparationModel,
        iterations: int = 2,
        images: Images = "masked",
        beamformer: Beam = "wiener",
        window: int = 4096,
        hop: int = 1024,
        most_channels: int = 8,
    ) -> None:
        super().__init__()
        check_spectra(window, hop)
        check_beam(beamformer)
        check_images(images)
        check_whole(1, 16, iterations=iterations)
        self.contract = array_contract(separator.contract, most_channels)
        self.separator, self.iterations, self.images = separator, iterations, images
        self.beamformer, self.window, self.hop = beamformer, window, hop

    def forward(self, mixture: Tensor, **cues: Tensor) -> Output:
        """mixture (batch, channels, time) -> what the separator gives of it, or of its first channel where it takes
        one."""
        self.check(mixture)
        return self.separator(mixture[:, :1] if self.separator.contract.channels[1] == 1 else mixture, **cues)

    def separate(self, mixture: Tensor, **cues: Tensor) -> Output:
        """mixture (batch, channels, time) -> the last beams (batch, sources, 1, time); the earlier ones are stages."""
        self.check(mixture)
        images = source_images(self.separator, mixture, self.images, **cues)
        stages = []
        for iteration in range(self.iterations):
            last = iteration + 1 == self.iterations
            references = [0] if last else range(mixture.shape[1])
            found = beams(images, mixture, self.beamformer, self.window, self.hop, references)
            stages.append(found[:, :, :1])
            if not last:
                images = self._kept(found, cues)
        *earlier, estimates = stages
        return Output(estimates, stages=tuple(earlier))

    def _kept(self, found: Tensor, cues: dict[str, Tensor]) -> Tensor:
        """What the separator keeps of each beam, at the beam's level: (batch, sources, channels, time) in and out."""
        kept: list[Tensor] = []
        for beam in found.unbind(1):
            images = source_images(self.separator, beam, self.images, **cues)
            kept.append(closest(images, beam) if self.contract.order == "any" else images[:, len(kept)])
        images = torch.stack(kept, 1)
        # Whatever the separator takes off the source too would be lost in every iteration once more.
        level = (images * found).sum((2, 3), keepdim=True) / (images.square().sum((2, 3), keepdim=True) + TINY)
        return level * images


def closest(images: Tensor, beam: Tensor) -> Tensor:
    """Of estimates (batch, sources, channels, time) the one that has most of a beam (batch, channels, time)."""
    chosen = (images * beam.unsqueeze(1)).sum((2, 3)).argmax(1)
    return images[torch.arange(len(images), device=images.device), chosen]
