"""Ideal masks and the transform they live in."""

import pytest
import torch

from avsep.dsp.masks import MaskKind, ideal_masks, oracle_estimates
from avsep.dsp.stft import istft, stft
from avsep.errors import UsageError
from avsep.evaluation.metrics import si_sdr

KINDS: list[MaskKind] = ["IBM", "IRM", "WFM", "PSM", "binary"]


@pytest.fixture
def voices():
    """(batch, sources, time): noise that comes and goes, so that bins have owners."""
    torch.manual_seed(0)
    return torch.randn(2, 3, 4000) * torch.randn(2, 3, 8).square().repeat_interleave(500, -1)


@pytest.mark.parametrize("time", [1, 127, 128, 600, 4001])
@pytest.mark.parametrize(("window", "hop"), [(512, 128), (4096, 2048), (250, 100)])
def test_a_signal_comes_back_with_its_length(time, window, hop):
    x = torch.randn(2, 3, time, dtype=torch.float64)
    bins = stft(x, window, hop)
    assert bins.shape == (2, 3, window // 2 + 1, 1 + -(-time // hop))
    torch.testing.assert_close(istft(bins, time, window, hop), x)


def test_halves_are_transformed_in_float32(voices):
    assert stft(voices.bfloat16()).dtype == torch.complex64
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(istft(stft(voices), 4000), voices)


def test_sizes_that_cannot_be_inverted():
    for window, hop in [(512, 300), (255, 100), (512, 0)]:
        with pytest.raises(ValueError, match=f"window {window} and hop {hop}, expected an even window and a hop of 1"):
            stft(torch.zeros(800), window, hop)
    with pytest.raises(ValueError, match=r"\(257, 8\) bins and frames, expected \(257, 10\) for 1100 samples"):
        istft(stft(torch.zeros(800)), 1100)


@pytest.mark.parametrize("kind", KINDS)
def test_masks_are_in_0_to_1_and_silence_gets_0(voices, kind):
    voices[0, 1] = 0
    masks = ideal_masks(kind, stft(voices), stft(voices.sum(1)))
    assert masks.shape == (2, 3, 257, 33)
    assert masks.min() >= 0
    assert masks.max() <= 1
    assert (masks[0, 1] == 0).all()
    silence = torch.zeros_like(voices)
    assert (ideal_masks(kind, stft(silence), stft(silence.sum(1))) == 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_level_and_order_of_the_sources_change_nothing(voices, kind):
    masks = ideal_masks(kind, stft(voices), stft(voices.sum(1)))
    quiet = 2.0**-10 * voices.flip(1)
    torch.testing.assert_close(ideal_masks(kind, stft(quiet), stft(quiet.sum(1))).flip(1), masks, atol=1e-3, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_source_alone_keeps_all_of_itself(voices, kind):
    estimates = oracle_estimates(kind, voices[:, :1], voices[:, 0])
    assert (si_sdr(estimates.numpy(), voices[:, :1].numpy()) > 60).all()


def test_a_bin_by_hand():
    sources = torch.tensor([3 + 0j, 2 + 0j, -2j]).reshape(3, 1, 1)
    mixture = sources.sum(0)
    masks = {kind: ideal_masks(kind, sources, mixture).flatten() for kind in KINDS}
    torch.testing.assert_close(masks["IBM"], torch.tensor([1.0, 0, 0]))
    torch.testing.assert_close(masks["binary"], torch.tensor([1.0, 0, 0]))
    torch.testing.assert_close(masks["IRM"], torch.tensor([3, 2, 2]) / 7)
    torch.testing.assert_close(masks["WFM"], torch.tensor([9, 4, 4]) / 17)
    torch.testing.assert_close(masks["PSM"], torch.tensor([15, 10, 4]) / 29)


def test_noise_competes_with_the_sources(voices):
    spectra, mixture = stft(voices), stft(voices.sum(1))
    for kind in KINDS:
        torch.testing.assert_close(
            ideal_masks(kind, spectra[:, :2], mixture), ideal_masks(kind, spectra, mixture)[:, :2], atol=1e-4, rtol=0
        )


def test_one_owner_a_bin_and_shares_add_up(voices):
    spectra, mixture = stft(voices), stft(voices.sum(1))
    torch.testing.assert_close(ideal_masks("IBM", spectra, mixture).sum(1), torch.ones(2, 257, 33))
    assert (ideal_masks("binary", spectra, mixture).sum(1) <= 1).float().mean() > 0.9
    for kind in ("IRM", "WFM"):
        torch.testing.assert_close(
            ideal_masks(kind, spectra, mixture).sum(1), torch.ones(2, 257, 33), atol=1e-4, rtol=0
        )


def test_the_phase_sensitive_mask_is_the_best_of_the_oracles(voices):
    mixture = voices.sum(1)
    mean = {kind: si_sdr(oracle_estimates(kind, voices, mixture).numpy(), voices.numpy()).mean() for kind in KINDS}
    before = si_sdr(mixture.unsqueeze(1).numpy(), voices.numpy()).mean()
    assert max(mean, key=mean.__getitem__) == "PSM"
    assert all(value > before + 3 for value in mean.values())


def test_an_unknown_kind_names_the_known_ones(voices):
    with pytest.raises(UsageError, match="mask kind is 'ibm', expected one of IBM, IRM, WFM, PSM, binary"):
        ideal_masks("ibm", stft(voices), stft(voices.sum(1)))  # type: ignore[arg-type]
