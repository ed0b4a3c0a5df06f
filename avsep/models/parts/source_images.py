"""What a separator estimates of each source at every microphone, and the beams that follow from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, get_args

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from avsep.dsp.beamforming import Beamformer, beamform, beamformer_weights, multichannel_wiener
from avsep.dsp.cacgmm import fit_cacgmm
from avsep.dsp.spatial import spatial_covariance
from avsep.dsp.stft import HOP, WINDOW, full_precision, istft, stft
from avsep.models.base import Contract, SeparationModel

Beam = Literal["wiener", Beamformer]
Images = Literal["masked", "each", "clustered"]
TINY = 1e-12
"""Added to the powers of bins."""
CLUSTER_WINDOW, CLUSTER_HOP, CLUSTER_ITERATIONS = 1024, 256, 12
"""Of the mixture model, in samples."""
NOISE = 1e-3
"""Of the power of a bin, that is noise whatever the estimates say."""


def check_beam(beamformer: str) -> None:
    """ValueError for a name that `beams` does not know."""
    if beamformer not in get_args(Beam):
        raise ValueError(f"beamformer is {beamformer!r}; it must be one of {', '.join(get_args(Beam))}")


def check_images(images: str) -> None:
    """ValueError for a name that `source_images` does not know."""
    if images not in get_args(Images):
        raise ValueError(f"images is {images!r}; it must be one of {', '.join(get_args(Images))}")


def array_contract(separator: Contract, most_channels: int) -> Contract:
    """What a beamformer around a separator takes and gives: as the separator, of two microphones or more, with up to
    `most_channels` where the separator itself takes one. ValueError where it takes one and most_channels is below 2."""
    fewest, most = separator.channels
    if most == 1 and most_channels < 2:
        raise ValueError(f"most_channels is {most_channels}; a beamformer needs 2 or more")
    channels = (2, most_channels) if most == 1 else (max(2, fewest), most)
    return replace(separator, channels=channels, refine=False, stride=1, rounds=1)


def source_images(separator: SeparationModel, mixture: Tensor, how: Images = "masked", **cues: Tensor) -> Tensor:
    """What a separator estimates of each source at every microphone: (batch, channels, time) -> (batch, sources,
    channels, time).

    One that gives all channels runs once. Of one that gives a single channel, the first,

    - "masked" runs it once: the ratio masks of its estimates are laid on every microphone, so that a bin keeps its
      differences between microphones, which is what a beamformer goes by.
    - "each" runs it for each microphone, on that one alone or, of a separator that takes several, with it in the first
      place and the others following in their order round the array (Ochiai et al., Beam-TasNet, 2020). Where its
      sources may come in any order, they are brought into that of the first microphone.
    - "clustered" is "masked" with masks that are made better before: as what is likely beforehand in each bin they
      guide a mixture model of the directions from which the bins come (`avsep.dsp.cacgmm`; Nakatani et al., Integrating
      DNN-based and spatial clustering-based mask estimation for robust MVDR beamforming, 2017).
    """
    channels = mixture.shape[1]
    first = estimates_of(separator, channels_for(separator, mixture), cues)
    if first.shape[2] == channels:
        return first
    if how != "each":
        return (masked_images if how == "masked" else clustered_images)(first, mixture)
    turned = (channels_for(separator, mixture.roll(-channel, 1)) for channel in range(1, channels))
    made = [first, *(estimates_of(separator, one, cues) for one in turned)]
    images = torch.cat([one[:, :, :1] for one in made], 2)
    return in_order_of_first(images) if separator.contract.order == "any" else images


def channels_for(separator: SeparationModel, mixture: Tensor) -> Tensor:
    """(batch, channels, time): all of it, or the first channel for a separator that takes one."""
    return mixture[:, :1] if separator.contract.channels[1] == 1 else mixture


def masked_images(estimates: Tensor, mixture: Tensor) -> Tensor:
    """Estimates at the first microphone (batch, sources, 1, time) -> (batch, sources, channels, time), the mixture
    (batch, channels, time) through their ratio masks. What they leave of the first microphone is one more source."""
    masks = ratio_masks(estimates, mixture)[:, :-1]
    return istft(masks.unsqueeze(2) * stft(mixture).unsqueeze(1), mixture.shape[-1])


@torch.no_grad()
def clustered_images(estimates: Tensor, mixture: Tensor) -> Tensor:
    """As `masked_images`, through the posteriors of a mixture model that ratio masks guide."""
    masks = ratio_masks(estimates, mixture, CLUSTER_WINDOW, CLUSTER_HOP, NOISE)
    images = []
    for bins, mask in zip(stft(mixture, CLUSTER_WINDOW, CLUSTER_HOP), masks, strict=True):
        found = fit_cacgmm(bins, mask[:-1], CLUSTER_ITERATIONS, "given", mask[-1])
        images.append(found.posteriors[:, :-1].transpose(0, 1).unsqueeze(1) * bins)
    return istft(torch.stack(images), mixture.shape[-1], CLUSTER_WINDOW, CLUSTER_HOP)


def ratio_masks(estimates: Tensor, mixture: Tensor, window: int = WINDOW, hop: int = HOP, noise: float = 0.0) -> Tensor:
    """Of estimates at the first microphone, and behind them of what they leave of it and of a part of its power, in
    each bin, that is `noise`: (batch, sources + 1, freq, frames), adding up to 1."""
    first = mixture[:, :1]
    sources = full_precision(estimates[:, :, 0])
    spectrum = stft(torch.cat([sources, first - sources.sum(1, keepdim=True), first], 1), window, hop)
    powers = spectrum.real.square() + spectrum.imag.square()
    powers = torch.cat([powers[:, :-2], powers[:, -2:-1] + noise * powers[:, -1:]], 1)
    # The root's slope at 0 is infinite.
    sizes = (powers + TINY).sqrt()
    return sizes / sizes.sum(1, keepdim=True)


def estimates_of(separator: SeparationModel, mixture: Tensor, cues: dict[str, Tensor]) -> Tensor:
    """What a separator gives in use: (batch, sources, channels, time)."""
    estimates = separator.separate(mixture, **cues).estimates
    assert estimates is not None
    return estimates


def in_order_of_first(images: Tensor) -> Tensor:
    """(batch, sources, channels, time) with the sources of every channel in the order of the first channel, by the
    correlation of magnitudes, which a delay between microphones leaves alone."""
    with torch.no_grad():
        sizes = stft(images).abs().flatten(3)
        sizes = sizes - sizes.mean(3, keepdim=True)
        sizes = sizes / (sizes.norm(dim=3, keepdim=True) + 1e-9)
        alike = torch.einsum("bin,bjcn->bcij", sizes[:, :, 0], sizes).cpu().numpy()
        order = [[linear_sum_assignment(-one)[1] for one in item] for item in alike]
        index = torch.tensor([[list(one) for one in item] for item in order], device=images.device).transpose(1, 2)
    return images.gather(1, index.unsqueeze(3).expand_as(images))


def beams(
    images: Tensor, mixture: Tensor, beamformer: Beam, window: int, hop: int, references: Sequence[int] = (0,)
) -> Tensor:
    """The mixture through the beamformers that estimated images of the sources ask for: (batch, sources, channels,
    time), (batch, channels, time) -> (batch, sources, references, time), as at those microphones.

    "wiener" gives what is closest to the images (least squares); the others take their covariances as the target's and
    those of the rest of the mixture as the noise's (see `avsep.dsp.beamforming`). window and hop in samples.
    """
    check_beam(beamformer)
    spectrum, sources = stft(mixture, window, hop).unsqueeze(1), stft(images, window, hop)
    if beamformer == "wiener":
        whole = spatial_covariance(spectrum)
        each = [multichannel_wiener(spectrum, sources[:, :, channel], whole) for channel in references]
    else:
        target, noise = spatial_covariance(sources), spatial_covariance(spectrum - sources)
        each = [beamformer_weights(beamformer, target, noise, channel) for channel in references]
    made = torch.stack([beamform(weights, spectrum) for weights in each], 2)
    return istft(made, mixture.shape[-1], window, hop)
