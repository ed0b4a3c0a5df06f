"""Two-step training: the transform, ideal masks, the loss in its space, what is frozen, and learning in both steps."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from two_talkers import si_sdr, steps_to, two_mixtures

from avsep.checkpoint import save_model
from avsep.losses import LatentSiSnr, NegativeSiSnr, OnEstimates, OnMasks, si_snr_loss
from avsep.models.parts.latent import LatentDecoder, LatentEncoder, ideal_latent_masks
from avsep.models.two_step import TwoStepAutoencoder, TwoStepTDCN
from avsep.training.warm_start import StartFrom

TINY = {"filters": 8, "kernel": 9, "stride": 4}
NET = {"bottleneck": 6, "hidden": 8, "blocks": 2, "repeats": 2}


@pytest.fixture(autouse=True)
def _seed(one_thread):
    torch.manual_seed(0)


@pytest.mark.parametrize(("kernel", "stride"), [(21, 10), (9, 4), (5, 5), (7, 3)])
@pytest.mark.parametrize("time", [1, 10, 203])
def test_frames_lie_around_every_stride_and_cover_all_samples(kernel, stride, time):
    encoder, decoder = LatentEncoder(3, kernel, stride), LatentDecoder(3, kernel, stride)
    waveform = torch.randn(2, 1, time, requires_grad=True)
    frames, masked = encoder(waveform)
    assert masked is frames
    assert frames.shape == (2, -(-time // stride) + 1, 3)
    with torch.no_grad():
        encoder.conv.weight.fill_(1.0)
        encoder.conv.bias.fill_(100.0)
    encoder(waveform)[0].sum().backward()
    assert (waveform.grad >= 3).all()  # of three filters, in one frame or more
    assert decoder(torch.rand(2, 4, frames.shape[1], 3), time).shape == (2, 4, time)
    # Frame 1 has sample `stride` in its middle.
    with torch.no_grad():
        encoder.conv.weight.zero_()[0, 0, kernel // 2] = 1.0
        encoder.conv.bias.zero_()
        if time > stride:
            assert torch.equal(encoder(waveform)[0][:, 1, 0], waveform[:, 0, stride].relu())


def test_the_transform_takes_any_leading_dimensions():
    encoder = LatentEncoder(**TINY)
    sources = torch.randn(2, 3, 50)
    together = encoder.transform(sources)
    assert together.shape == (2, 3, 8, 14)
    torch.testing.assert_close(together[1, 2], encoder.transform(sources[1, 2]))
    torch.testing.assert_close(together[:, 1].mT, encoder(sources[:, 1:2])[0])


def test_ideal_masks_sum_to_1_and_follow_the_sources():
    frames = torch.rand(2, 3, 4, 5)
    masks = ideal_latent_masks(frames)
    torch.testing.assert_close(masks.sum(1), torch.ones(2, 4, 5))
    assert torch.equal(masks.argmax(1), frames.argmax(1))
    torch.testing.assert_close(ideal_latent_masks(frames.flip(1)), masks.flip(1))


def test_the_first_step_gives_each_source_in_its_place():
    model = TwoStepAutoencoder(**TINY).eval()
    sources = torch.randn(2, 3, 2, 50)  # of two channels, of which the first counts
    mixture = sources[:, :, :1].sum(1)
    estimates = model(mixture, sources=sources).estimates
    assert estimates.shape == (2, 3, 1, 50)
    torch.testing.assert_close(model(mixture, sources=sources.flip(1)).estimates, estimates.flip(1))
    # The masks sum to 1, so the estimates sum to what the mixture itself becomes, but for the bias of each.
    level = mixture.square().mean((1, 2), keepdim=True).sqrt()
    whole = model.decoder(model.encoder(mixture / level)[0].unsqueeze(1), 50)
    torch.testing.assert_close(estimates[:, :, 0].sum(1), (whole[:, 0] + 2 * model.decoder.conv.bias) * level[:, 0])


def test_masks_of_the_second_step_sum_to_1_and_are_there_for_objectives():
    model = TwoStepTDCN(3, **TINY, **NET).eval()
    mixture = 0.1 * torch.randn(2, 1, 50)
    output = model(mixture)
    assert output.masks.shape == (2, 3, 8, 14)
    torch.testing.assert_close(output.masks.sum(1), torch.ones(2, 8, 14))
    assert output.spectrum.shape == (2, 8, 14)
    # A loss sees the sources over the level of the mixture, as the model sees that.
    torch.testing.assert_close(output.transform(mixture)[:, 0], output.spectrum)


@pytest.mark.parametrize("time", [1, 4, 203])
def test_length_in_is_length_out(time):
    assert TwoStepTDCN(**TINY, **NET).eval()(torch.randn(2, 1, time)).estimates.shape == (2, 2, 1, time)


def test_the_loss_is_least_under_ideal_masks_in_any_order():
    sources, mixture = torch.rand(2, 2, 4, 30), torch.rand(2, 4, 30)
    ideal = ideal_latent_masks(sources)
    masks = torch.rand_like(ideal)
    loss = LatentSiSnr()
    torch.testing.assert_close(loss(ideal.flip(1), sources, mixture), torch.full((2,), -80.0), atol=1e-3, rtol=0)
    assert (loss(masks, sources, mixture) > -40).all()
    torch.testing.assert_close(loss(masks.flip(1), sources, mixture), loss(masks, sources, mixture))
    in_order = LatentSiSnr(in_any_order=False)
    assert (in_order(ideal.flip(1), sources, mixture) > in_order(ideal, sources, mixture) + 40).all()


def test_the_loss_by_hand():
    """One filter, two frames: the target is (1, 1), the estimate (1, 0), half of its energy along the target."""
    sources, mixture = torch.zeros(1, 2, 1, 2), torch.full((1, 1, 2), 2.0)
    masks = torch.tensor([[[0.5, 0.0]], [[0.5, 0.0]]]).unsqueeze(0)
    assert LatentSiSnr()(masks, sources, mixture).item() == pytest.approx(0.0, abs=1e-4)


def test_means_count_where_they_are_not_removed():
    source = torch.tensor([1.0, 1, 1, -1])
    shifted = source + 1
    assert si_snr_loss(shifted, source, source).item() == pytest.approx(-80, abs=1e-3)
    # By hand: 3/4 of the energy of (2, 2, 2, 0) lie along (1, 1, 1, -1).
    expected = 10 * torch.log10(torch.tensor(1 / 3))
    torch.testing.assert_close(si_snr_loss(shifted, source, source, zero_mean=False), expected, atol=1e-4, rtol=0)


def test_sizes_are_those_of_the_paper():
    """1.5 % above 8.6 million: a linear layer before the masks in place of one filter along the channels."""
    with torch.device("meta"):
        model = TwoStepTDCN(**TwoStepTDCN.paper_args)
        first = TwoStepAutoencoder(**TwoStepAutoencoder.paper_args)
    assert model.parameter_count == pytest.approx(8.6e6, rel=0.02)
    assert first.parameter_count == 256 * 21 * 2 + 256 + 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kernel": 20}, "kernel 20 and stride 4; the kernel must be odd, at least as long as the stride"),
        ({"kernel": 3}, "kernel 3 and stride 4"),
        ({"kernel": 261}, "kernel 261 and stride 4; .* at most 64 times as long"),
        ({"filters": 0}, "filters is 0; it must be a whole number from 1 to"),
    ],
)
def test_what_cannot_be_built_is_named(changes, message):
    for kind in (TwoStepAutoencoder, TwoStepTDCN):
        with pytest.raises(ValueError, match=message):
            kind(**TINY | changes)


def test_masks_of_another_kind_are_named():
    from avsep.models.separators.conv_tasnet import TemporalConvNet

    with pytest.raises(ValueError, match="masks is 'tanh'; it must be one of sigmoid, softmax, relu"):
        TemporalConvNet(8, 6, 8, 0, 3, 2, 2, 2, masks="tanh")


def test_the_second_step_begins_with_the_first_and_leaves_it_as_it_is(tmp_path: Path):
    pytest.importorskip("lightning")
    from avsep.training.separation import SeparationTask

    first = TwoStepAutoencoder(**TINY)
    save_model(tmp_path / "latent.safetensors", first, "latent", "MIT", {}, half=False)
    model = TwoStepTDCN(**TINY, **NET)
    parts = {"encoder": "encoder", "decoder": "decoder"}
    start = StartFrom(str(tmp_path / "latent.safetensors"), parts)
    task = SeparationTask(model, OnMasks(LatentSiSnr()), warm_start=[start], freeze=list(parts))
    for part in parts:
        for name, tensor in getattr(first, part).state_dict().items():
            assert torch.equal(getattr(model, part).state_dict()[name], tensor)
    sources = torch.randn(2, 2, 1, 80)
    output = model(sources.sum(1))
    task.objective(output, {"mixture": sources.sum(1), "sources": sources}).mean().backward()
    trained = {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None}
    assert trained == {"separator"}


def best_transform(sources: torch.Tensor, sizes: dict[str, int], goal: float) -> TwoStepAutoencoder:
    """The first step on one batch (batch, n, time), until ideal masks separate it to more than `goal` dB."""
    model = TwoStepAutoencoder(**sizes, sample_rate=8000)
    batch = {"mixture": sources.sum(1, keepdim=True), "sources": sources.unsqueeze(2)}
    objective = OnEstimates(NegativeSiSnr())
    objective.adapt(model.contract)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(1500):
        output = model(batch["mixture"], sources=batch["sources"])
        if (si_sdr(output.estimates[:, :, 0].detach(), sources) > goal).all():
            return model
        optimizer.zero_grad()
        objective(output, batch).mean().backward()
        optimizer.step()
    raise AssertionError(f"{si_sdr(output.estimates[:, :, 0].detach(), sources).tolist()} dB after 1500 steps")


@pytest.mark.slow
def test_it_learns_a_batch_in_two_steps():
    sources = two_mixtures(seconds=0.25)
    sizes = {"filters": 128, "kernel": 21, "stride": 10}
    first = best_transform(sources, sizes, goal=20)
    model = TwoStepTDCN(**sizes, bottleneck=32, hidden=64, blocks=4, repeats=2, sample_rate=8000)
    model.encoder, model.decoder = first.encoder.requires_grad_(False), first.decoder.requires_grad_(False)
    # Ideal masks themselves come up to 20 dB.
    steps_to(15, model, OnMasks(LatentSiSnr()), sources)
