"""A separator whose estimates steer a beamformer: Beam-TasNet (Ochiai et al., 2020)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from avsep.models.base import Contract, Output, SeparationModel
from avsep.models.limits import check_spectra
from avsep.models.parts.source_images import (
    Beam,
    Images,
    array_contract,
    beams,
    channels_for,
    check_beam,
    check_images,
    estimates_of,
    in_order_of_first,
    source_images,
)


class BeamTasNet(SeparationModel):
    """The estimates of a separator, their covariances and those of what they leave of the mixture, and a beamformer
    from these (MVDR): one estimate for each source at the first microphone, without what a network distorts.

    separator: any, of one microphone or several. It is trained by itself, on its own estimates; the beamformer is for
    use. images: how a separator that gives a single channel is brought to all microphones, "masked" or, as the paper
    has it, "each", see `source_images`. second: a separator for a second pass (Chen et al., 2022). It gets all
    microphones and then the beams of the first pass, as at the microphone in the first place; its estimates steer the
    beamformer again. The estimates of the first pass are then a stage.

    beamformer: "souden" and "rtf", which are MVDR, "gev" or "wiener". window and hop: of the beamformer, in samples.
    most_channels: where the separator takes one.
    """

    paper = "Ochiai et al., Beam-TasNet: Time-domain audio separation network meets frequency-domain beamformer"
    year = 2020
    published = "17.4 dB SDR, spatialised WSJ0-2mix"

    def __init__(
        self,
        separator: SeparationModel,
        second: SeparationModel | None = None,
        images: Images = "masked",
        beamformer: Beam = "souden",
        window: int = 4096,
        hop: int = 1024,
        most_channels: int = 8,
    ) -> None:
        super().__init__()
        check_spectra(window, hop)
        check_beam(beamformer)
        check_images(images)
        contract = array_contract(separator.contract, most_channels)
        self.contract = contract if second is None else with_second(contract, second.contract)
        self.separator, self.second, self.images = separator, second, images
        self.beamformer, self.window, self.hop = beamformer, window, hop

    def forward(self, mixture: Tensor, **cues: Tensor) -> Output:
        """mixture (batch, channels, time) -> what the separator gives of it, or of its first channel where it takes
        one. With a second pass the estimates of that one (batch, sources, 1, time), and those of the first a stage."""
        self.check(mixture)
        output = self.separator(channels_for(self.separator, mixture), **cues)
        if self.second is None:
            return output
        if output.estimates is None:
            raise ValueError(
                f"{type(self.separator).__name__} gives no estimates in training; a second pass needs some"
            )
        first = output.estimates[:, :, :1]
        with torch.no_grad():
            images = source_images(self.separator, mixture, self.images, **cues)
        beam = self._beams(images, mixture, [0])[:, :, 0]
        output = self.second(torch.cat([mixture, beam], 1), **cues)
        if output.estimates is None:
            raise ValueError(f"{type(self.second).__name__} gives no estimates in training; the second pass needs some")
        output.estimates, output.stages = output.estimates[:, :, :1], (first,)
        return output

    def separate(self, mixture: Tensor, **cues: Tensor) -> Output:
        """mixture (batch, channels, time) -> the beams at the first microphone (batch, sources, 1, time); with a second
        pass, those of the first are a stage."""
        self.check(mixture)
        images = source_images(self.separator, mixture, self.images, **cues)
        if self.second is None:
            return Output(self._beams(images, mixture, [0]))
        first = self._beams(images, mixture, range(mixture.shape[1]))
        again = []
        for channel in range(mixture.shape[1]):
            given = torch.cat([mixture.roll(-channel, 1), first[:, :, channel]], 1)
            again.append(estimates_of(self.second, given, cues)[:, :, :1])
        images = torch.cat(again, 2)
        images = in_order_of_first(images) if self.contract.order == "any" else images
        return Output(self._beams(images, mixture, [0]), stages=(first[:, :, :1],))

    def _beams(self, images: Tensor, mixture: Tensor, references: Sequence[int]) -> Tensor:
        return beams(images, mixture, self.beamformer, self.window, self.hop, references)


def with_second(first: Contract, second: Contract) -> Contract:
    """The contract of both passes: with as many microphones as both take. ValueError where they do not go together."""
    alike = ("sample_rate", "cues", "sources", "order", "names")
    for name in alike:
        if getattr(first, name) != getattr(second, name):
            raise ValueError(
                f"{name} of the separator is {getattr(first, name)!r}, of the second {getattr(second, name)!r}; both "
                "passes must have the same"
            )
    if first.sources is None:
        raise ValueError("the number of sources follows from the cues; a second pass needs a fixed one")
    fewest, most = (count - first.sources for count in second.channels)
    channels = max(first.channels[0], fewest), min(first.channels[1], most)
    if channels[0] > channels[1]:
        raise ValueError(
            f"the second takes {second.channel_counts} channels; it gets {first.channel_counts} microphones and "
            f"{first.sources} beams"
        )
    return replace(first, channels=channels)
