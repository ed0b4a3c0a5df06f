"""Chimera: one network, two heads, their objectives, and learning with both."""

from __future__ import annotations

import pytest
import torch
from two_talkers import si_sdr, steps_to, two_mixtures

from avsep.losses import DeepClustering as ClusterLoss
from avsep.losses import OnEmbeddings, OnMasks, SpectrumApproximation, WeightedSum
from avsep.models.chimera import Chimera
from avsep.models.deep_clustering import DeepClustering

TINY = {"layers": 1, "hidden": 8, "dims": 6, "dropout": 0.0, "window": 64, "hop": 16, "sample_rate": 8000}


@pytest.fixture(autouse=True)
def _seed(one_thread):
    torch.manual_seed(0)


def objective() -> WeightedSum:
    clusters = OnEmbeddings(ClusterLoss(kind="whitened", weights="magnitude"))
    return WeightedSum([clusters, OnMasks(SpectrumApproximation(truncate=1.0, absolute=True))], [0.975, 0.025])


@pytest.mark.parametrize("head", ["masks", "embeddings"])
@pytest.mark.parametrize("time", [1, 63, 1003])
def test_length_in_is_length_out(head, time):
    output = Chimera(**TINY, sources=3, head=head).eval().separate(torch.randn(2, 1, time))
    assert output.estimates.shape == (2, 3, 1, time)
    assert output.masks.shape == (2, 3, 33, 1 + -(-time // 16))


def test_both_heads_hang_on_one_network():
    """The embeddings are those of deep clustering with the same weights, the masks one layer more."""
    model, alone = Chimera(**TINY).eval(), DeepClustering(**TINY).eval()
    missing = alone.load_state_dict(model.state_dict(), strict=False)
    assert missing.missing_keys == []
    assert missing.unexpected_keys == ["to_masks.weight", "to_masks.bias"]
    mixture = torch.randn(2, 1, 1000)
    output = model(mixture)
    assert torch.equal(output.embeddings, alone(mixture).embeddings)
    model.head = "embeddings"
    assert torch.equal(model.separate(mixture).estimates, alone.separate(mixture).estimates)


@pytest.mark.parametrize(("part", "trained"), [(0, "embed"), (1, "to_masks")])
def test_each_objective_trains_its_head_and_the_network(part, trained):
    model = Chimera(**TINY)
    sources = torch.randn(2, 2, 1, 800)
    batch = {"sources": sources, "mixture": sources.sum(1)}
    objective().objectives[part](model(batch["mixture"]), batch).sum().backward()
    heads = {name for name in ("embed", "to_masks") if getattr(model, name).weight.grad is not None}
    assert heads == {trained}
    assert all(p.grad.abs().sum() > 0 for name, p in model.lstm.named_parameters() if "weight" in name)


def test_softmax_masks_sum_to_one_and_the_estimates_to_the_mixture():
    mixture = torch.randn(2, 1, 1003)
    output = Chimera(**TINY, activation="softmax").eval()(mixture)
    torch.testing.assert_close(output.masks.sum(1), torch.ones(2, 33, 64))
    torch.testing.assert_close(output.estimates.sum(1), mixture, atol=1e-5, rtol=1e-5)


def test_size_of_the_paper():
    # 4 layers of 600 cells each way, 129 bins, 20 dimensions and two masks.
    with torch.device("meta"):
        assert Chimera(**Chimera.paper_args).parameter_count == pytest.approx(32.9e6, rel=0.01)


def test_what_cannot_be_done_is_named():
    with pytest.raises(ValueError, match="head is 'both'; it must be one of masks, embeddings"):
        Chimera(**TINY, head="both")
    model = Chimera(**TINY)
    with pytest.raises(ValueError, match="sources is 3; the mask head has 2, for another number train it anew"):
        model.sources = 3
    assert model.sources == 2


@pytest.mark.slow
def test_it_learns_a_batch_with_either_head():
    model = Chimera(layers=1, hidden=128, dims=20, dropout=0.0, window=512, hop=128, sample_rate=8000)
    sources = two_mixtures(seconds=1.0)
    steps_to(12, model, objective(), sources, 3e-3)
    model.head = "embeddings"
    with torch.no_grad():
        estimates = model.separate(sources.sum(1, keepdim=True)).estimates
    assert (si_sdr(estimates[:, :, 0], sources) > 8).all()
