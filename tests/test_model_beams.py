"""Beamformers around a separator (Beam-TasNet, DeepBeam) and a mask network before one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from two_talkers import in_a_room, voices

from avsep.dsp.masks import ideal_masks
from avsep.dsp.stft import istft, stft
from avsep.evaluation.metrics import si_sdr
from avsep.models.base import Contract, Output, SeparationModel
from avsep.models.beam_tasnet import BeamTasNet
from avsep.models.conv_tasnet import ConvTasNet
from avsep.models.deep_beam import DeepBeam
from avsep.models.mask_beamformer import MaskBeamformer
from avsep.models.parts.source_images import source_images

pytest.importorskip("pyroomacoustics")

SMALL = {"filters": 8, "kernel": 16, "stride": 8, "bottleneck": 8, "hidden": 8, "blocks": 2, "repeats": 1}
TINY = {"layers": 1, "hidden": 8, "pair_hidden": 8, "window": 128, "hop": 32, "beam_window": 256}


class Masked(SeparationModel):
    """Separates the one room that it knows by ideal masks of the channel that comes first; from odd channels the other
    source comes first."""

    def __init__(self, images: Tensor, channels: tuple[int, int] = (1, 1), all_channels: bool = False) -> None:
        super().__init__()
        self.contract = Contract(16_000, channels)
        self.images, self.all_channels = images, all_channels
        self.calls = 0

    def forward(self, mixture: Tensor, **cues: Tensor) -> Output:
        self.check(mixture)
        self.calls += 1
        rows = []
        for number, given in enumerate(mixture):
            known = self.images.sum(0)
            first = number % len(known) if len(given) == 1 else int((known - given[:1]).square().sum(1).argmin())
            masks = ideal_masks("IRM", stft(self.images[:, first]), stft(known[first]))
            taken = given if self.all_channels else given[:1]
            made = istft(masks.unsqueeze(1) * stft(taken), given.shape[-1])
            rows.append(made.flip(0) if first % 2 else made)
        return Output(torch.stack(rows))


@pytest.fixture(scope="module")
def room() -> Tensor:
    """What each of two talkers is at each of 4 microphones: (2, 4, time)."""
    return torch.from_numpy(in_a_room(voices(2.0, 4.0), 4))


def quality(estimates: Tensor, room: Tensor) -> np.ndarray:
    """SI-SDR of each estimate (1, sources, 1, time) at the first microphone, in dB."""
    assert estimates.shape == (1, 2, 1, room.shape[-1])
    return si_sdr(estimates[0, :, 0].numpy(), room[:, 0].numpy())


def level(estimates: Tensor, room: Tensor) -> Tensor:
    """What each estimate has of its source: 1 where sign and level are those of the first microphone."""
    return (estimates[0, :, 0] * room[:, 0]).sum(1) / room[:, 0].square().sum(1)


SEPARATORS = {
    "one microphone": {},
    "the first of four": {"channels": (4, 4)},
    "all of four": {"channels": (4, 4), "all_channels": True},
}


@pytest.mark.parametrize("how", ["masked", "each"])
@pytest.mark.parametrize("kind", SEPARATORS)
def test_images_have_the_order_of_the_first_microphone(room, kind, how):
    separator = Masked(room, **SEPARATORS[kind])
    images = source_images(separator, room.sum(0)[None], how)
    assert images.shape == (1, *room.shape)
    assert (si_sdr(images[0].numpy(), room.numpy()) > si_sdr(room.sum(0)[None].numpy(), room.numpy()) + 5).all()
    assert separator.calls == (4 if how == "each" and kind != "all of four" else 1)


@pytest.mark.parametrize("beamformer", ["wiener", "souden", "rtf", "gev"])
def test_a_beam_is_better_than_the_estimates_it_follows_from(room, beamformer):
    separator, mixture = Masked(room), room.sum(0)[None]
    masked = separator(mixture[:, :1]).estimates
    estimates = BeamTasNet(separator, beamformer=beamformer).separate(mixture).estimates
    assert (quality(estimates, room) > quality(masked, room) + 1).all()
    assert (level(estimates, room) > 0).all()
    if beamformer == "rtf":
        torch.testing.assert_close(level(estimates, room), torch.ones(2), atol=0.1, rtol=0)


class Leaky(Masked):
    """Leaves a third of the other source in each estimate."""

    def forward(self, mixture: Tensor, **cues: Tensor) -> Output:
        made = super().forward(mixture).estimates
        return Output(made + 0.3 * (mixture.unsqueeze(1) - made))


def test_iterations_take_out_more(room):
    mixture = room.sum(0)[None]
    found = [DeepBeam(Leaky(room), iterations).separate(mixture) for iterations in (1, 3)]
    assert torch.allclose(found[0].estimates, BeamTasNet(Leaky(room), beamformer="wiener").separate(mixture).estimates)
    assert [len(output.stages) for output in found] == [0, 2]
    assert torch.allclose(found[1].stages[0], found[0].estimates)
    first, third = (quality(output.estimates, room).mean() for output in found)
    assert third > first + 1


def test_a_second_pass_gets_the_microphones_and_the_beams(room):
    mixture = room.sum(0)[None, :, :16_000]
    given = []

    class Second(Masked):
        def forward(self, mixture: Tensor, **cues: Tensor) -> Output:
            given.append(mixture)
            return super().forward(mixture)

    known = room[..., :16_000]
    model = BeamTasNet(Masked(known), Second(known, (5, 8)), images="each")
    assert model.contract.channels == (3, 6)
    output = model.separate(mixture)
    assert [x.shape for x in given] == [(1, 6, 16_000)] * 4
    for channel, x in enumerate(given):
        torch.testing.assert_close(x[:, :4], mixture.roll(-channel, 1))
    torch.testing.assert_close(given[0][:, 4:], output.stages[0][:, :, 0])
    assert (
        quality(output.estimates, known) > quality(known.sum(0)[None, None, :1].expand(1, 2, 1, -1), known) + 5
    ).all()
    # In training both passes are judged.
    output = model(mixture)
    assert output.estimates.shape == output.stages[0].shape == (1, 2, 1, 16_000)


def test_passes_that_do_not_go_together(room):
    first = ConvTasNet(**SMALL)
    with pytest.raises(ValueError, match="sample_rate of the separator is 16000, of the second 8000; both passes must"):
        BeamTasNet(first, MaskBeamformer(**TINY, sample_rate=8000))
    with pytest.raises(ValueError, match="sources of the separator is 2, of the second 3"):
        BeamTasNet(first, MaskBeamformer(sources=3, **TINY))
    with pytest.raises(ValueError, match=r"the second takes 2 to 3 channels; it gets 2 to 8 microphones and 2 beams"):
        BeamTasNet(first, MaskBeamformer(**TINY, most_channels=3))


@pytest.mark.parametrize("around", [BeamTasNet, DeepBeam])
def test_arguments_of_beams(around):
    first = ConvTasNet(**SMALL)
    with pytest.raises(ValueError, match="beamformer is 'mpdr'; it must be one of wiener, souden, rtf, gev"):
        around(first, beamformer="mpdr")
    with pytest.raises(ValueError, match="images is 'all'; it must be one of masked, each"):
        around(first, images="all")
    with pytest.raises(ValueError, match="most_channels is 1; a beamformer needs 2 or more"):
        around(first, most_channels=1)
    with pytest.raises(ValueError, match=r"mixture \(1, 1, 800\); expected \(batch, channels, time\) with 2 to 8"):
        around(first).separate(torch.zeros(1, 1, 800))
    # The training is the separator's.
    mixture = torch.randn(1, 3, 800)
    torch.testing.assert_close(around(first)(mixture).estimates, first(mixture[:, :1]).estimates)


DAMAGES = ["silence", "one sample", "short", "the same", "one is silent", "a gap"]


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("kind", ["beam", "deep", "masks", "masks in one window"])
def test_any_sound_gives_finite_estimates_and_gradients(kind, damage):
    torch.manual_seed(0)
    separator = ConvTasNet(**SMALL)
    model = {
        "beam": lambda: BeamTasNet(separator, MaskBeamformer(**TINY), window=256, hop=64),
        "deep": lambda: DeepBeam(separator, window=256, hop=64),
        "masks": lambda: MaskBeamformer(**TINY),
        "masks in one window": lambda: MaskBeamformer(**TINY | {"beam_window": None}, beamformer="gev"),
    }[kind]()
    mixture = torch.randn(1, 4, {"one sample": 1, "short": 100}.get(damage, 2000))
    if damage == "silence":
        mixture.zero_()
    elif damage == "the same":
        mixture = mixture[:, :1].repeat(1, 4, 1)
    elif damage == "one is silent":
        mixture[:, 2] = 0
    elif damage == "a gap":
        mixture[..., 500:1500] = 0
    output = model(mixture)
    output.estimates.square().sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    with torch.no_grad():
        estimates = model.separate(mixture).estimates
    assert estimates.shape == (1, 2, 1, mixture.shape[-1])
    assert estimates.isfinite().all()


@pytest.mark.parametrize("beam_window", [None, 4096])
@pytest.mark.parametrize("beamformer", ["souden", "rtf", "gev"])
def test_masks_steer_the_beamformer(room, monkeypatch, beam_window, beamformer):
    mixture = room.sum(0)[None]
    model = MaskBeamformer(beamformer=beamformer, beam_window=beam_window, hidden=8, pair_hidden=8, layers=1)
    ideal = ideal_masks("IRM", stft(room[:, 0]), stft(mixture[0, 0]))[None]
    monkeypatch.setattr(model, "masks", lambda spectrum: ideal)
    estimates = model(mixture).estimates
    gain = quality(estimates, room) - si_sdr(mixture[0, :1].numpy(), room[:, 0].numpy())
    assert (gain > 10).all(), gain
    assert (level(estimates, room) > 0).all()
    if beamformer == "rtf":
        torch.testing.assert_close(level(estimates, room), torch.ones(2), atol=0.1, rtol=0)


def test_masks_do_not_depend_on_the_order_of_microphones_or_on_dead_ones():
    torch.manual_seed(0)
    model = MaskBeamformer(**TINY)
    mixture = torch.randn(2, 4, 2000)
    output = model(mixture)
    assert output.masks.min() >= 0
    assert output.masks.sum(1).max() <= 1 + 1e-6
    turned = model(mixture[:, [0, 3, 1, 2]])
    torch.testing.assert_close(turned.masks, output.masks, atol=1e-5, rtol=0)
    torch.testing.assert_close(turned.estimates, output.estimates, atol=1e-4, rtol=0)
    dead = model(torch.cat([mixture, torch.zeros(2, 1, 2000)], 1))
    torch.testing.assert_close(dead.masks, output.masks, atol=1e-5, rtol=0)


def test_arguments_of_the_mask_beamformer():
    with pytest.raises(ValueError, match="beamformer is 'wiener'; it must be one of souden, rtf, gev"):
        MaskBeamformer(**TINY, beamformer="wiener")
    with pytest.raises(ValueError, match="most_channels is 1; it must be a whole number from 2 to 128"):
        MaskBeamformer(**TINY, most_channels=1)
    with pytest.raises(ValueError, match="window 255 and hop 63, expected an even window"):
        MaskBeamformer(**TINY | {"beam_window": 255})
