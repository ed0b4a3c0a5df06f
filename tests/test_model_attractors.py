"""Attractor networks: ideal attractors in training; k-means, fixed and anchored ones in use; either trunk."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml
from two_talkers import steps_to, two_mixtures

from avsep.checkpoint import load_model, save_model
from avsep.errors import UsageError
from avsep.losses import MaskMse, OnAttractors, OnEstimates, OnMasks, SpectrumApproximation
from avsep.models.attractor_network import AttractorNetwork
from avsep.models.base import Output
from avsep.models.build import build_model
from avsep.models.danet import ADANet, DANet
from avsep.models.parts.attractors import anchored, centroids, loudest_bins, masks_by
from avsep.models.parts.convolutional_trunk import ConvolutionalTrunk
from avsep.models.parts.embeddings import RecurrentTrunk

CONFIGS = Path(__file__).parents[1] / "configs"
SPECTRA = {"window": 256, "hop": 64, "sample_rate": 8000}
TINY = {"layers": 1, "hidden": 8, "dims": 6, **SPECTRA}
SMALL = {"window": 512, "hop": 128, "sample_rate": 8000}


def convolutional(**changes: object) -> AttractorNetwork:
    return AttractorNetwork(ConvolutionalTrunk(4, 6, (1, 2, 1)), **SPECTRA | changes)


KINDS = {
    "k-means": lambda **changes: DANet(**TINY | changes),
    "fixed": lambda **changes: DANet(**TINY | {"attractors": "fixed"} | changes),
    "anchored": lambda **changes: ADANet(**TINY | changes),
    "convolutional": convolutional,
}


@pytest.fixture(autouse=True)
def _seed(one_thread):
    torch.manual_seed(0)


# ---- attractors ----


def test_the_loudest_bins_are_a_share_of_each_mixture():
    spectrum = torch.randn(2, 10, 20, dtype=torch.complex64)
    for share, count in ((0.9, 180), (0.25, 50), (1.0, 200), (1e-6, 1)):
        chosen = loudest_bins(spectrum, share)
        assert chosen.flatten(1).sum(1).tolist() == [count] * 2
        assert all(x.abs()[c].min() >= x.abs()[~c].amax() for x, c in zip(spectrum, chosen, strict=True) if not c.all())
    spectrum[0, :, 5:] = 0
    assert loudest_bins(spectrum, 0.9)[0].sum() == 50
    assert not loudest_bins(torch.zeros_like(spectrum), 0.9).any()


def test_centroids_are_means_of_what_belongs_to_each():
    embeddings = torch.randn(1, 3, 4, 5)
    owned = torch.zeros(1, 3, 3, 4)
    owned[0, 0, 0], owned[0, 1, 1, :2] = 1, 1
    found = centroids(embeddings, owned)
    assert torch.allclose(found[0, 0], embeddings[0, 0].mean(0))
    assert torch.allclose(found[0, 1], embeddings[0, 1, :2].mean(0))
    assert not found[0, 2].any()


def test_masks_sum_to_one_and_leave_out_who_is_not_there():
    embeddings, attractors = torch.randn(2, 3, 4, 5), torch.randn(2, 3, 5)
    masks = masks_by(embeddings, attractors)
    assert masks.shape == (2, 3, 3, 4)
    assert torch.allclose(masks.sum(1), torch.ones(2, 3, 4))
    expected = torch.einsum("bftd,bsd->bsft", embeddings, attractors).softmax(1)
    assert torch.allclose(masks, expected, atol=1e-6)
    present = torch.tensor([[True, False, True], [False, False, False]])
    masks = masks_by(embeddings, attractors, present)
    assert not masks[0, 1].any()
    assert torch.allclose(masks[0, [0, 2]], expected[0, [0, 2]] / expected[0, [0, 2]].sum(0), atol=1e-6)
    assert torch.allclose(masks[1], torch.full((3, 3, 4), 1 / 3))


def test_anchors_that_lie_farthest_apart_in_the_mixture_are_taken():
    """Two crowds of bins, along the first and the second axis; the third axis, and the middle, are nobody's."""
    axes = 4 * torch.eye(3)
    embeddings = axes[:2].repeat_interleave(20, 0).view(1, 8, 5, 3)
    anchors = torch.stack([axes[0] + axes[1], axes[2], axes[1], axes[0]])
    found = anchored(embeddings, anchors, 2, torch.ones(1, 8, 5))
    order = found[0, :, 0].argsort(descending=True)
    assert torch.allclose(found[0, order], axes[:2], atol=1e-3)
    # Bins without weight have no say.
    weights = torch.ones(1, 40)
    weights[0, 25:] = 0
    weights[0, 3] = 0
    moved = embeddings.clone().view(40, 3)
    moved[25:], moved[3] = 100.0, 100.0
    again = anchored(moved.view(1, 8, 5, 3), anchors, 2, weights.view(1, 8, 5))
    assert torch.allclose(again[0, again[0, :, 0].argsort(descending=True)], axes[:2], atol=1e-3)


@pytest.mark.parametrize("sources", [1, 2, 3, 4])
def test_any_number_of_sources_up_to_the_anchors(sources):
    embeddings, anchors = torch.randn(3, 5, 6, 4), torch.randn(4, 4, requires_grad=True)
    found = anchored(embeddings, anchors, sources, torch.rand(3, 5, 6))
    assert found.shape == (3, sources, 4)
    assert found.isfinite().all()
    if sources > 1:
        found.square().sum().backward()
        assert anchors.grad.isfinite().all()
        assert anchors.grad.any()


# ---- the objective ----


def ideal(dims: int = 3) -> tuple[Output, dict[str, torch.Tensor]]:
    """Embeddings far out on an axis for each source, and a batch of two sources that share no bin."""
    time = torch.arange(2000) / 8000
    sources = torch.stack([torch.sin(2 * torch.pi * f * time) for f in (500, 2500)]).expand(2, 2, -1).unsqueeze(2)
    model = DANet(**TINY)
    spectrum = model.transform(sources.sum(1)[:, 0])
    owners = model.transform(sources[:, :, 0]).abs().argmax(1)
    embeddings = 8 * torch.nn.functional.one_hot(owners, dims).float()
    batch = {"mixture": sources.sum(1), "sources": sources}
    return Output(embeddings=embeddings, spectrum=spectrum, transform=model.transform), batch


def test_embeddings_that_go_by_the_source_have_no_loss():
    output, batch = ideal()
    loss = OnAttractors()(output, batch)
    assert loss.shape == (2,)
    assert (loss < 0.01).all()
    output.embeddings = torch.randn_like(output.embeddings)
    assert (OnAttractors()(output, batch) > 0.1).all()


def test_the_order_of_the_sources_and_a_rotation_change_nothing():
    output, batch = ideal()
    output.embeddings = output.embeddings + torch.randn_like(output.embeddings)
    expected = OnAttractors()(output, batch)
    turned = batch | {"sources": batch["sources"].flip(1)}
    torch.testing.assert_close(OnAttractors()(output, turned), expected)
    output.embeddings = output.embeddings @ torch.linalg.qr(torch.randn(3, 3))[0]
    torch.testing.assert_close(OnAttractors()(output, batch), expected)


def test_a_source_that_is_silent_gets_no_mask():
    output, batch = ideal()
    sources = torch.cat([batch["sources"], torch.zeros(2, 1, 1, 2000)], 1)
    torch.testing.assert_close(
        2 / 3 * OnAttractors()(output, batch), OnAttractors()(output, batch | {"sources": sources})
    )
    silent = {"mixture": 0 * batch["mixture"], "sources": 0 * batch["sources"]}
    output.spectrum = 0 * output.spectrum
    assert OnAttractors()(output, silent).isfinite().all()


def test_fixed_attractors_follow_the_ideal_ones_and_nothing_else_does():
    output, batch = ideal()
    embeddings, places = output.embeddings.requires_grad_(), torch.randn(2, 3, requires_grad=True)
    free = OnAttractors()(output, batch).mean()
    output.attractors = places.expand(2, -1, -1)
    both = OnAttractors()(output, batch).mean()
    assert torch.equal(*(torch.autograd.grad(loss, embeddings, retain_graph=True)[0] for loss in (free, both)))
    optimizer = torch.optim.SGD([places], 0.5)
    for _ in range(100):
        optimizer.zero_grad()
        OnAttractors()(output, batch).mean().backward()
        optimizer.step()
    found = places.detach()[places.detach()[:, 0].argsort(descending=True)]
    assert torch.allclose(found, torch.tensor([[8.0, 0, 0], [0, 8.0, 0]]), atol=1e-3)
    output.attractors = torch.zeros(2, 3, 3)
    with pytest.raises(UsageError, match="the model has fixed attractors for 3 sources, and the batch has 2"):
        OnAttractors()(output, batch)


def test_weights_of_a_mask_loss_are_the_mixtures_powers():
    masks, sources = torch.rand(1, 2, 3, 4), torch.randn(1, 2, 3, 4, dtype=torch.complex64)
    mixture = sources.sum(1)
    ones = mixture / mixture.abs()
    flat = MaskMse("WFM", in_any_order=False)(masks, sources, ones)
    torch.testing.assert_close(MaskMse("WFM", in_any_order=False, weighted=True)(masks, sources, ones), flat)
    one = torch.zeros_like(mixture)
    one[0, 1, 2] = 5.0
    loss = MaskMse("IRM", in_any_order=False, weighted=True)(masks, 0.5 * torch.stack([one, one], 1), one)
    expected = (masks[0, :, 1, 2] - 0.5).square()  # the rest of the mixture is as loud
    torch.testing.assert_close(loss, expected.mean()[None])


def test_what_does_not_go_together_is_named():
    with pytest.raises(UsageError, match=r"SpectrumApproximation takes the masks in any order.*set in_any_order to f"):
        OnAttractors(SpectrumApproximation())
    with pytest.raises(UsageError, match="loudest is 0; it must be above 0 and at most 1"):
        OnAttractors(loudest=0)
    output, batch = ideal()
    output.masks = torch.rand(2, 2, *output.spectrum.shape[1:])
    with pytest.raises(UsageError, match=r"makes its masks without the ideal attractors .*take OnMasks or OnEstimates"):
        OnAttractors()(output, batch)
    with pytest.raises(UsageError, match="OnAttractors needs embeddings, but the model gives estimates"):
        OnAttractors()(Output(batch["sources"]), batch)


# ---- models ----


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("time", [1, 64, 1234])
def test_estimates_sum_to_the_mixture(kind, time):
    model = KINDS[kind]().eval()
    mixture = torch.randn(2, 1, time)
    output = model.separate(mixture)
    assert output.estimates.shape == (2, 2, 1, time)
    assert output.embeddings.shape == (*output.spectrum.shape, 6)
    assert output.attractors.shape == (2, 2, 6)
    assert torch.allclose(output.masks.sum(1), torch.ones(()), atol=1e-5)
    assert torch.allclose(output.estimates.sum(1), mixture, atol=1e-4)
    # The same in every run, and at every level.
    assert torch.equal(model.separate(mixture).estimates, output.estimates)
    assert torch.allclose(model(0.01 * mixture).embeddings, output.embeddings, atol=1e-3)
    assert not model.separate(0 * mixture).estimates.any()


@pytest.mark.parametrize("kind", ["k-means", "anchored", "convolutional"])
@pytest.mark.parametrize("sources", [1, 3])
def test_another_number_of_sources_than_in_training(kind, sources, tmp_path):
    model = KINDS[kind]().eval()
    model.sources = sources
    mixture = torch.randn(1, 1, 1000)
    estimates = model.separate(mixture).estimates
    assert estimates.shape == (1, sources, 1, 1000)
    save_model(tmp_path / "one.safetensors", model, "one", "MIT", {}, half=False)
    loaded = load_model(tmp_path / "one.safetensors")[0]
    assert loaded.contract.sources == sources
    assert torch.equal(loaded.separate(mixture).estimates, estimates)


def test_fixed_attractors_are_for_so_many_sources():
    model = KINDS["fixed"]().eval()
    model.sources = 3
    with pytest.raises(ValueError, match="sources is 3, but the model has fixed attractors for 2"):
        model.separate(torch.randn(1, 1, 1000))


def test_only_models_with_places_of_their_own_have_weights_for_them():
    names = {kind: set(dict(KINDS[kind]().named_parameters())) for kind in KINDS}
    assert names["fixed"] == names["anchored"] == names["k-means"] | {"places"}
    assert KINDS["fixed"]().places.shape == (2, 6)
    assert KINDS["anchored"](anchors=5).places.shape == (5, 6)


def test_training_takes_ideal_attractors_or_finds_them():
    mixture = torch.randn(1, 1, 1000)
    assert KINDS["k-means"]()(mixture).attractors is None
    assert KINDS["fixed"]()(mixture).masks is None
    output = KINDS["anchored"]()(mixture)
    assert output.masks.shape == (1, 2, 129, 17)
    assert output.estimates.shape == (1, 2, 1, 1000)
    sources = torch.randn(1, 2, 1, 1000)
    batch = {"mixture": sources.sum(1), "sources": sources}
    model = KINDS["anchored"]()
    for objective in (OnMasks(MaskMse("WFM", weighted=True)), OnEstimates()):
        model.zero_grad()
        objective(model(batch["mixture"]), batch).mean().backward()
        assert model.places.grad.any()
        assert model.trunk.embed.weight.grad.any()


def test_a_trunk_of_convolutions_reaches_as_far_as_its_dilations():
    for dilate_freq, reach in ((True, (5, 5)), (False, (5, 4))):
        trunk = ConvolutionalTrunk(2, 3, (1, 2, 1, 1), dilate_freq, length=None).eval()
        for layer in trunk.layers:
            layer[1].running_mean.fill_(-5.0)  # no ReLU is closed
        x = torch.randn(1, 21, 21, requires_grad=True)
        trunk(x)[0, 10, 10].sum().backward()
        frames, bins = (x.grad[0].abs().sum(axis).nonzero().flatten() for axis in (1, 0))
        assert [frames.min(), frames.max()] == [10 - reach[0], 10 + reach[0]]
        assert [bins.min(), bins.max()] == [10 - reach[1], 10 + reach[1]]


def test_every_second_convolution_adds_the_one_two_before():
    trunk = ConvolutionalTrunk(4, 3, (1,) * 5).eval()
    x = torch.randn(1, 6, 7)
    one, two, three, four = trunk.layers
    first = two(one(x.unsqueeze(1)).relu()).relu()
    second = (four(three(first).relu()) + first).relu()
    expected = 2.2 * torch.nn.functional.normalize(trunk.embed(second).permute(0, 2, 3, 1), dim=3)
    assert torch.allclose(trunk(x), expected, atol=1e-6)


@pytest.mark.parametrize(
    "trunk", [RecurrentTrunk(5, 1, 4, 3, length=2.0), ConvolutionalTrunk(4, 3, (1, 1), length=2.0)]
)
def test_embeddings_of_one_length(trunk):
    assert torch.allclose(trunk(torch.randn(2, 6, 5)).norm(dim=3), torch.full((2, 6, 5), 2.0), atol=1e-5)


def test_sizes_are_those_of_the_papers():
    for kind in (DANet, ADANet):
        assert kind(**kind.paper_args).parameter_count == pytest.approx(9.1e6, rel=0.01)
    found = {}
    for name in ("attractor_conv", "attractor_blstm"):
        node = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())["model"]["init_args"]["model"]
        found[name] = build_model(**node).parameter_count
    # Convolutions of 3 x 3 taps: from 1 to 128 channels, 11 times from 128 to 128, to 20; norms of all but the last.
    expected = (9 + 1) * 128 + 11 * (9 * 128 + 1) * 128 + (9 * 128 + 1) * 20 + 12 * 2 * 128
    assert found["attractor_conv"] == expected == 1_650_836
    # "An order of magnitude fewer parameters."
    assert found["attractor_blstm"] > 10 * found["attractor_conv"]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda: KINDS["convolutional"](attractors="learnt"),
            "attractors is 'learnt'; it must be one of k-means, fixed",
        ),
        (lambda: DANet(**TINY, attractors="anchored"), "attractors is 'anchored'; it must be k-means or fixed. ADANet"),
        (lambda: DANet(**TINY, loudest=0.0), "loudest is 0.0; it must be above 0 and at most 1"),
        (lambda: DANet(**TINY | {"window": 255}), "expected an even window"),
        (lambda: DANet(**TINY | {"dims": 0}), "dims is 0"),
        (lambda: DANet(**TINY, sources=0), "sources is 0; it must be a whole number from 1 to 64"),
        (lambda: ADANet(**TINY, sources=3, anchors=2), "sources is 3 and anchors 2; expected as many anchors or more"),
        (lambda: ADANet(**TINY, sources=5, anchors=40), "at most 500 ways to choose"),
        (lambda: AttractorNetwork(RecurrentTrunk(257), **SPECTRA), "takes 257 bins of frequency, but .*256 gives 129"),
        (lambda: RecurrentTrunk(5, length=0.0), "length is 0.0; it must be above 0 and at most 100"),
        (lambda: ConvolutionalTrunk(dilations=[1]), "layers is 1; it must be a whole number from 2 to 100"),
        (lambda: ConvolutionalTrunk(dilations=[1, 0]), r"dilations\[1\] is 0"),
    ],
)
def test_what_cannot_be_built_is_named(build, message):
    with pytest.raises(ValueError, match=message):
        build()


# ---- learning ----


def small(kind: str) -> AttractorNetwork:
    if kind == "convolutional":
        return AttractorNetwork(ConvolutionalTrunk(16, 20, (1, 2, 4, 8, 16, 1)), **SMALL)
    sizes = {"layers": 2, "hidden": 64, "dims": 20, **SMALL}
    return ADANet(**sizes) if kind == "anchored" else DANet(**sizes, attractors=kind)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_it_learns_a_batch(kind):
    objective = OnMasks(MaskMse("WFM", weighted=True)) if kind == "anchored" else OnAttractors()
    steps_to(12, small(kind), objective, two_mixtures(seconds=1.0), 3e-3)


@pytest.mark.slow
def test_fixed_attractors_are_where_the_ideal_ones_are():
    model, sources = small("fixed"), two_mixtures(seconds=1.0)
    steps_to(12, model, OnAttractors(), sources, 3e-3)
    by_means = DANet(**{**model.init_args, "attractors": "k-means"}).eval()
    by_means.load_state_dict({k: v for k, v in model.state_dict().items() if k != "places"})
    with torch.no_grad():
        centres = by_means.separate(sources.sum(1, keepdim=True)).attractors.mean(0)
    distances = torch.cdist(model.places.detach(), centres)
    nearest = min(distances.diagonal().max(), distances.flip(1).diagonal().max())
    assert nearest < 0.5 * (centres[0] - centres[1]).norm()
