"""Invariants of the losses of masks and embeddings."""

import pytest
import torch

from avsep.dsp.masks import ideal_masks
from avsep.dsp.stft import stft
from avsep.errors import UsageError
from avsep.losses import (
    DeepClustering,
    MaskMse,
    OnWaveforms,
    SpectrumApproximation,
    affinity_loss,
    si_snr_loss,
    whitened_loss,
)

KINDS = ["IBM", "IRM", "WFM", "PSM", "binary"]
MASK_LOSSES = [*(MaskMse(kind) for kind in KINDS), SpectrumApproximation(), SpectrumApproximation(False)]


@pytest.fixture
def voices():
    """(batch, sources, time): noise that comes and goes."""
    torch.manual_seed(0)
    return torch.randn(2, 2, 2000) * torch.randn(2, 2, 5).square().repeat_interleave(400, -1)


@pytest.fixture
def spectra(voices):
    """Sources (batch, sources, freq, frames) and mixture (batch, freq, frames)."""
    return stft(voices, 128, 32), stft(voices.sum(1), 128, 32)


@pytest.fixture
def masks(spectra):
    return torch.rand(spectra[0].shape)


@pytest.mark.parametrize("loss", MASK_LOSSES)
def test_any_permutation_and_any_level_give_the_same_loss(spectra, masks, loss):
    sources, mixture = spectra
    expected = loss(masks, sources, mixture)
    torch.testing.assert_close(loss(masks.flip(1), sources, mixture), expected)
    torch.testing.assert_close(loss(masks, 0.01 * sources, 0.01 * mixture), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_the_ideal_mask_gives_0(spectra, masks, kind):
    ideal = ideal_masks(kind, *spectra)
    for loss in (MaskMse(kind), MaskMse(kind, in_any_order=False)):
        assert (loss(ideal, *spectra) == 0).all()
        half = loss(0.5 * (ideal + masks), *spectra)
        assert (half > 0).all()
        assert (half < loss(masks, *spectra)).all()
    assert (MaskMse(kind, in_any_order=False)(ideal.flip(1), *spectra) > 0.05).all()


def test_mask_mse_by_hand():
    sources = torch.tensor([3 + 0j, 1 + 0j]).reshape(1, 2, 1, 1)
    masks = torch.tensor([0.5, 0.5]).reshape(1, 2, 1, 1)
    assert MaskMse("IRM")(masks, sources, sources.sum(1)).item() == pytest.approx(0.25**2)
    assert MaskMse("IBM")(masks, sources, sources.sum(1)).item() == pytest.approx(0.25)


def test_spectrum_approximation_by_hand():
    sources, mixture = torch.tensor([2 + 2j]).reshape(1, 1, 1, 1), torch.tensor([4 + 0j]).reshape(1, 1, 1)
    mask = torch.full((1, 1, 1, 1), 0.75)
    # Masked magnitude 3; the part in phase is 2, the magnitude the root of 8; all over 4².
    assert SpectrumApproximation()(mask, sources, mixture).item() == pytest.approx(1 / 16)
    assert SpectrumApproximation(False)(mask, sources, mixture).item() == pytest.approx((3 - 8**0.5) ** 2 / 16)


def test_spectrum_approximation_in_units_of_magnitudes(spectra, masks):
    sources, mixture = spectra
    relative = SpectrumApproximation(in_any_order=False)(masks, sources, mixture)
    plain = SpectrumApproximation(in_any_order=False, relative=False)(masks, sources, mixture)
    torch.testing.assert_close(plain, relative * mixture.abs().square().mean((1, 2)))
    louder = SpectrumApproximation(in_any_order=False, relative=False)(masks, 3 * sources, 3 * mixture)
    torch.testing.assert_close(louder, 9 * plain)


def test_the_best_real_mask_gives_0_to_the_spectrum_approximation(spectra):
    sources, mixture = spectra
    ratio = sources / mixture.unsqueeze(1)
    assert (SpectrumApproximation()(ratio.real, sources, mixture) < 1e-8).all()
    assert (SpectrumApproximation(False)(ratio.abs(), sources, mixture) < 1e-8).all()
    assert (SpectrumApproximation()(ratio.abs(), sources, mixture) > 1e-3).all()


@pytest.mark.parametrize("absolute", [False, True])
@pytest.mark.parametrize("truncate", [1.0, 0.5, float("inf")])
def test_masks_within_the_truncation_are_enough(spectra, truncate, absolute):
    sources, mixture = spectra
    best = (sources / mixture.unsqueeze(1)).real.clamp(0, truncate)
    loss = SpectrumApproximation(truncate=truncate, absolute=absolute)
    assert (loss(best, sources, mixture) < 1e-6).all()
    assert (SpectrumApproximation(absolute=absolute)(best, sources, mixture) > 1e-4).all()


def test_absolute_and_truncated_by_hand():
    sources, mixture = torch.tensor([2 + 2j]).reshape(1, 1, 1, 1), torch.tensor([-4 + 0j]).reshape(1, 1, 1)
    mask = torch.full((1, 1, 1, 1), 0.25)
    # Masked magnitude 1; the part in phase is -2, cut to 0; the magnitude is the root of 8, cut to half of 4.
    assert SpectrumApproximation(truncate=1.0, absolute=True)(mask, sources, mixture).item() == pytest.approx(1 / 4)
    assert SpectrumApproximation(False, truncate=0.5)(mask, sources, mixture).item() == pytest.approx(1 / 16)


@pytest.mark.parametrize("loss", [MaskMse, SpectrumApproximation])
@pytest.mark.parametrize("count", [2, 3])
def test_each_frame_in_its_own_order_is_the_mean_of_frames_alone(loss, count):
    torch.manual_seed(0)
    sources = torch.randn(2, count, 5, 7, dtype=torch.complex64)
    # As loud in every frame: the spectra are relative to the level of the whole.
    sources = sources / sources.sum(1, keepdim=True).abs()
    masks, mixture = torch.rand(2, count, 5, 7), sources.sum(1)
    found = loss(each_frame=True)(masks, sources, mixture)
    alone = [loss()(masks[..., n : n + 1], sources[..., n : n + 1], mixture[..., n : n + 1]) for n in range(7)]
    torch.testing.assert_close(found, torch.stack(alone).mean(0))
    assert (found <= loss()(masks, sources, mixture)).all()
    turned = masks.clone()
    turned[..., 3] = masks[..., 3].flip(1)
    torch.testing.assert_close(loss(each_frame=True)(turned, sources, mixture), found)


@pytest.mark.parametrize("loss", MASK_LOSSES)
def test_silence_gives_no_nan(spectra, masks, loss):
    sources, mixture = spectra
    sources[0], mixture[0] = 0, 0
    masks.requires_grad_()
    values = loss(masks, sources, mixture)
    values.sum().backward()
    assert values.isfinite().all()
    assert masks.grad.isfinite().all()


@pytest.mark.parametrize("loss", MASK_LOSSES)
def test_mask_losses_lead_waveforms_towards_the_sources(voices, loss):
    mixture = voices.sum(1)
    estimates = (0.5 * mixture.unsqueeze(1) + 0.1 * voices).requires_grad_()
    optimizer = torch.optim.Adam([estimates], 0.02)
    before = si_snr_loss(estimates, voices, mixture.unsqueeze(1)).mean()
    for _ in range(40):
        optimizer.zero_grad()
        OnWaveforms(loss, 128, 32)(estimates, voices, mixture).sum().backward()
        optimizer.step()
    assert si_snr_loss(estimates, voices, mixture.unsqueeze(1)).mean() < before - 2


def test_perfect_waveforms_give_almost_0_to_the_magnitudes(voices):
    assert (OnWaveforms()(voices, voices, voices.sum(1)) < 1e-3).all()
    assert (OnWaveforms()(voices.sum(1, keepdim=True).expand_as(voices), voices, voices.sum(1)) > 0.05).all()


def test_affinity_equals_the_formula_over_all_pairs():
    torch.manual_seed(0)
    embeddings = torch.nn.functional.normalize(torch.randn(3, 50, 8), dim=-1)
    labels = torch.nn.functional.one_hot(torch.randint(0, 3, (3, 50)), 3).float()
    pairs = (embeddings @ embeddings.mT - labels @ labels.mT).square()
    torch.testing.assert_close(affinity_loss(embeddings, labels), pairs.mean((1, 2)))
    weights = torch.rand(3, 50)
    product = weights.unsqueeze(2) * weights.unsqueeze(1)
    expected = (product * pairs).sum((1, 2)) / product.sum((1, 2))
    torch.testing.assert_close(affinity_loss(embeddings, labels, weights), expected)


def test_clustering_bound_order_and_rotation(spectra):
    sources, mixture = spectra
    loss = DeepClustering()
    owners = torch.nn.functional.one_hot(sources.abs().argmax(1), 2).float()
    assert loss(owners, sources, mixture) == pytest.approx([0, 0], abs=1e-6)
    embeddings = torch.nn.functional.normalize(torch.randn(*mixture.shape, 8), dim=-1)
    expected = loss(embeddings, sources, mixture)
    assert (expected > 0.1).all()
    torch.testing.assert_close(loss(embeddings, sources.flip(1), mixture), expected)
    torch.testing.assert_close(loss(embeddings, 0.01 * sources, 0.01 * mixture), expected)
    rotation = torch.linalg.qr(torch.randn(8, 8)).Q
    torch.testing.assert_close(loss(embeddings @ rotation, sources, mixture), expected)


def test_whitened_equals_the_formula_and_knows_no_stretching():
    torch.manual_seed(0)
    embeddings, weights = torch.randn(3, 60, 5), torch.rand(3, 60)
    labels = torch.nn.functional.one_hot(torch.randint(0, 3, (3, 60)), 3).float()
    v, y = (weights.sqrt().unsqueeze(2) * x for x in (embeddings, labels))
    inner = (v.mT @ v).inverse() @ v.mT @ y @ (y.mT @ y).inverse() @ y.mT @ v
    expected = 5 - inner.diagonal(dim1=1, dim2=2).sum(1)
    torch.testing.assert_close(whitened_loss(embeddings, labels, weights), expected, atol=1e-3, rtol=0)
    stretched = embeddings @ torch.randn(5, 5)
    torch.testing.assert_close(whitened_loss(stretched, labels, weights), expected, atol=1e-2, rtol=0)


def test_whitened_bound_order_and_empty_directions(spectra):
    """The bound is the dimensions less the sources, also where the embeddings leave the others empty."""
    sources, mixture = spectra
    loss = DeepClustering(kind="whitened", weights="magnitude")
    owners = torch.nn.functional.one_hot(sources.abs().argmax(1), 2).float()
    assert loss(owners, sources, mixture) == pytest.approx([0, 0], abs=1e-2)
    wide = torch.nn.functional.pad(owners, (0, 4)).requires_grad_()
    found = loss(wide, sources, mixture)
    found.sum().backward()
    assert found.tolist() == pytest.approx([4, 4], abs=1e-2)
    assert wide.grad.isfinite().all()
    embeddings = torch.nn.functional.normalize(torch.randn(*mixture.shape, 6), dim=-1)
    expected = loss(embeddings, sources, mixture)
    assert ((expected > 5) & (expected <= 6)).all()
    torch.testing.assert_close(loss(embeddings, sources.flip(1), mixture), expected)
    torch.testing.assert_close(loss(embeddings, 0.01 * sources, 0.01 * mixture), expected)
    # A source that is nowhere the loudest has no centre.
    assert loss(owners, torch.cat([sources, 0 * sources[:, :1]], 1), mixture) == pytest.approx([0, 0], abs=1e-2)


@pytest.mark.parametrize("kind", ["affinity", "whitened"])
@pytest.mark.parametrize("weights", ["threshold", "magnitude"])
def test_every_kind_leads_embeddings_to_clusters_and_passes_over_silence(spectra, kind, weights):
    sources, mixture = spectra
    sources[1], mixture[1] = 0, 0
    embeddings = torch.randn(*mixture.shape, 4).requires_grad_()
    loss = DeepClustering(kind=kind, weights=weights)
    optimizer = torch.optim.Adam([embeddings], 0.05)
    first = None
    for _ in range(30):
        optimizer.zero_grad()
        values = loss(torch.nn.functional.normalize(embeddings, dim=-1), sources, mixture)
        first = values if first is None else first
        values.sum().backward()
        optimizer.step()
    assert values[1] == 0
    assert embeddings.grad.isfinite().all()
    assert values[0] - (2 if kind == "whitened" else 0) < 0.5 * (first[0] - (2 if kind == "whitened" else 0))


def test_magnitudes_are_the_weights_of_the_bins(spectra):
    sources, mixture = spectra
    embeddings = torch.nn.functional.normalize(torch.randn(*mixture.shape, 4), dim=-1)
    labels = torch.nn.functional.one_hot(sources.abs().argmax(1), 2).float().flatten(1, 2)
    size = mixture.abs().flatten(1)
    expected = affinity_loss(embeddings.flatten(1, 2), labels, size / size.mean(1, keepdim=True))
    torch.testing.assert_close(DeepClustering(weights="magnitude")(embeddings, sources, mixture), expected)


def test_quiet_bins_do_not_cluster(spectra):
    sources, mixture = spectra
    size = mixture.abs()
    quiet = size < 10 ** (-20 / 20) * size.amax((1, 2), keepdim=True)
    embeddings = torch.nn.functional.normalize(torch.randn(*mixture.shape, 8), dim=-1)
    moved = torch.where(quiet.unsqueeze(-1), -embeddings.flip(-1), embeddings)
    loss = DeepClustering(threshold_db=20)
    torch.testing.assert_close(loss(moved, sources, mixture), loss(embeddings, sources, mixture))
    assert not torch.allclose(DeepClustering(60)(moved, sources, mixture), DeepClustering(60)(embeddings, *spectra))


def test_clustering_of_silence_and_in_halves(spectra):
    sources, mixture = spectra
    embeddings = torch.nn.functional.normalize(torch.randn(*mixture.shape, 8), dim=-1).requires_grad_()
    expected = DeepClustering()(embeddings, sources, mixture)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(DeepClustering()(embeddings, sources, mixture), expected)
    silent = DeepClustering()(embeddings, 0 * sources, 0 * mixture)
    silent.sum().backward()
    assert (silent == 0).all()
    assert embeddings.grad.isfinite().all()


def test_wrong_shapes_and_kinds(spectra):
    sources, mixture = spectra
    with pytest.raises(ValueError, match=r"masks \(2, 1, 65, 64\); expected \(batch, sources, freq, frames\)"):
        MaskMse()(torch.zeros(2, 1, 65, 64), sources, mixture)
    with pytest.raises(ValueError, match=r"embeddings \(2, 64, 65, 8\); expected \(batch, freq, frames, dims\)"):
        DeepClustering()(torch.zeros(2, 64, 65, 8), sources, mixture)
    with pytest.raises(UsageError, match="mask kind is 'IPM', expected one of IBM, IRM, WFM, PSM, binary"):
        MaskMse("IPM")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="each_frame is true and in_any_order false"):
        SpectrumApproximation(in_any_order=False, each_frame=True)
    with pytest.raises(UsageError, match="truncate is 0; it must be above 0, or null"):
        SpectrumApproximation(truncate=0)
    with pytest.raises(UsageError, match="kind is 'lda'; it must be one of affinity, whitened"):
        DeepClustering(kind="lda")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="weights is 'loud'; it must be one of threshold, magnitude"):
        DeepClustering(weights="loud")  # type: ignore[arg-type]
