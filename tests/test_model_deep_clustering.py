"""Deep clustering: embeddings for training, k-means in use, more sources than it was trained with."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal import butter, sosfilt
from two_talkers import si_sdr, steps_to, two_mixtures

from avsep.checkpoint import load_model, save_model
from avsep.losses import OnEmbeddings
from avsep.models.deep_clustering import DeepClustering
from avsep.models.parts.clustering import cluster, cluster_masks

TINY = {"layers": 1, "hidden": 16, "dims": 6, "dropout": 0.0, "window": 256, "hop": 64, "sample_rate": 8000}


@pytest.fixture(autouse=True)
def _seed(one_thread):
    torch.manual_seed(0)


def test_embeddings_have_unit_length_and_know_nothing_of_the_level():
    model = DeepClustering(**TINY).eval()
    mixture = torch.randn(2, 1, 2000)
    output = model(mixture)
    assert output.estimates is None
    assert output.embeddings.shape == (2, 129, 33, 6)
    assert output.spectrum.shape == output.embeddings.shape[:3]
    assert torch.allclose(output.embeddings.norm(dim=3), torch.ones(2, 129, 33), atol=1e-5)
    assert torch.allclose(model(0.01 * mixture).embeddings, output.embeddings, atol=1e-3)
    # A loss sees the sources as the model sees the mixture.
    assert torch.equal(output.transform(mixture[:, 0]), output.spectrum)


@pytest.mark.parametrize("masks", ["binary", "soft"])
@pytest.mark.parametrize("sources", [1, 2, 3])
def test_estimates_sum_to_the_mixture(masks, sources):
    model = DeepClustering(**TINY, sources=sources, masks=masks).eval()
    mixture = torch.randn(2, 1, 1234)
    output = model.separate(mixture)
    assert output.estimates.shape == (2, sources, 1, 1234)
    assert torch.allclose(output.estimates.sum(1), mixture, atol=1e-5)
    assert torch.allclose(output.masks.sum(1), torch.ones(()), atol=1e-5)
    assert set(output.masks.unique().tolist()) <= {0.0, 1.0} or masks == "soft"
    # The same in every run.
    assert torch.equal(model.separate(mixture).estimates, output.estimates)


@pytest.mark.parametrize("time", [1, 63, 64, 65])
def test_short_signals(time):
    assert DeepClustering(**TINY).eval().separate(torch.randn(1, 1, time)).estimates.shape == (1, 2, 1, time)


def test_silence_stays_silent():
    assert not DeepClustering(**TINY).eval().separate(torch.zeros(1, 1, 2000)).estimates.any()


def test_centres_are_found_and_quiet_bins_have_no_say():
    rng = np.random.default_rng(0)
    centres = np.eye(4)[:3]
    points = np.repeat(centres, 50, axis=0) + 0.05 * rng.standard_normal((150, 4))
    found = cluster(points, 3)
    order = [int(np.square(found - centre).sum(1).argmin()) for centre in centres]
    np.testing.assert_allclose(found[order], centres, atol=0.05)
    assert cluster(points[:2], 3) is None
    # Loud bins lie at two points; the rest of the plane, which is quiet, is a crowd at a third.
    loud = torch.zeros(129, 8, dtype=torch.bool)
    loud[:4] = True
    embeddings = torch.tensor([-1.0, 0.0]).repeat(129, 8, 1)
    embeddings[:2], embeddings[2:4] = torch.tensor([0.0, 1.0]), torch.tensor([1.0, 0.0])
    masks = cluster_masks(embeddings, loud, 2)
    assert torch.equal(masks[:, 0, 0], 1 - masks[:, 2, 0])


def test_size_of_the_paper():
    # 4 layers of 300 cells each way, 129 bins, 40 dimensions; the network that enhances the estimates is left out.
    assert DeepClustering(**DeepClustering.paper_args).parameter_count == pytest.approx(10.6e6, rel=0.01)


def test_what_cannot_be_built_is_named():
    with pytest.raises(ValueError, match="masks is 'hard'; it must be one of binary, soft"):
        DeepClustering(**TINY, masks="hard")
    with pytest.raises(ValueError, match="sources is 0; it must be a whole number from 1 to 64"):
        DeepClustering(**TINY, sources=0)


@pytest.mark.slow
def test_it_learns_a_batch():
    model = DeepClustering(layers=2, hidden=64, dims=20, dropout=0.0, window=512, hop=128, sample_rate=8000)
    steps_to(12, model, OnEmbeddings(), two_mixtures(seconds=1.0), 3e-3)


def noises(rng: np.random.Generator) -> torch.Tensor:
    """Half a second of three kinds of sound: noise in a band of its own, now and then off: (3, time)."""
    bands = ((200, 900), (1100, 2000), (2300, 3600))
    made = [sosfilt(butter(6, band, "bandpass", fs=8000, output="sos"), rng.standard_normal(4000)) for band in bands]
    on = np.repeat(rng.random((3, 8)) < 0.7, 500, axis=1)
    return torch.from_numpy((made * on).astype(np.float32))


@pytest.mark.slow
def test_trained_with_two_sources_and_used_with_three(tmp_path):
    rng = np.random.default_rng(0)
    model = DeepClustering(**TINY | {"hidden": 32, "dims": 20})
    objective, optimizer = OnEmbeddings(), torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(80):
        kinds = noises(rng)
        sources = torch.stack([kinds[[0, 1]], kinds[[0, 2]], kinds[[1, 2]]]).unsqueeze(2)
        batch = {"mixture": sources.sum(1), "sources": sources}
        optimizer.zero_grad()
        objective(model(batch["mixture"]), batch).mean().backward()
        optimizer.step()
    kinds = noises(rng)
    mixture = kinds.sum(0)[None, None]
    model.eval().sources = 3
    estimates = model.separate(mixture).estimates
    assert model.contract.sources == 3
    # 14 to 19 dB, as the weights begin.
    assert si_sdr(estimates[:, :, 0].detach(), kinds[None]) > 10
    # The number goes with the weights.
    save_model(tmp_path / "three.safetensors", model, "three", "MIT", {}, half=False)
    loaded = load_model(tmp_path / "three.safetensors")[0]
    assert torch.equal(loaded.separate(mixture).estimates, estimates)
