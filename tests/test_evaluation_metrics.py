"""SI-SDR, SNR and masks: known values, invariances, silence, the same figures as others have."""

import numpy as np
import pytest
import torch

from avsep.evaluation.metrics import BOUND_DB, attenuation, precision_recall, si_sdr, snr

rng = np.random.default_rng(0)
VOICE, NOISE = rng.standard_normal((2, 16000))
VOICE -= VOICE.mean()
NOISE -= NOISE.mean()
NOISE -= (NOISE @ VOICE) / (VOICE @ VOICE) * VOICE  # orthogonal, so that the ratio is exact
NOISE *= np.sqrt(VOICE @ VOICE / (NOISE @ NOISE))


@pytest.mark.parametrize("db", [-10.0, 0.0, 25.0])
def test_known_ratio(db: float) -> None:
    assert si_sdr(VOICE + 10 ** (-db / 20) * NOISE, VOICE) == pytest.approx(db, abs=1e-6)


def test_gain_and_offset_change_nothing() -> None:
    mixture = VOICE + NOISE
    assert si_sdr(-0.01 * mixture + 3.0, VOICE) == pytest.approx(si_sdr(mixture, VOICE), abs=1e-6)


def test_batches() -> None:
    estimates = np.stack([VOICE + NOISE, VOICE + 0.1 * NOISE])
    assert si_sdr(estimates, np.stack([VOICE, VOICE])) == pytest.approx([0.0, 20.0], abs=1e-6)


def test_silence_is_a_number() -> None:
    assert np.isfinite(si_sdr(np.zeros(100), np.zeros(100)))
    assert np.isfinite(si_sdr(VOICE, np.zeros(16000)))
    assert si_sdr(np.zeros(16000), VOICE) < 10


def test_lengths_must_agree() -> None:
    with pytest.raises(ValueError, match="100 and 16000 samples"):
        si_sdr(np.zeros(100), VOICE)


@pytest.mark.parametrize("offset", [0.0, 0.3])
def test_si_sdr_is_that_of_torchmetrics(offset: float) -> None:
    functional = pytest.importorskip("torchmetrics.functional.audio")
    estimates = np.stack([VOICE + 0.5 * NOISE, 0.1 * VOICE - NOISE]) + offset
    references = np.stack([VOICE, VOICE + offset])
    theirs = functional.scale_invariant_signal_distortion_ratio(
        torch.from_numpy(estimates), torch.from_numpy(references), zero_mean=True
    )
    assert si_sdr(estimates, references) == pytest.approx(theirs.numpy(), abs=1e-3)


def test_snr_counts_the_level() -> None:
    assert snr(VOICE + 0.1 * NOISE, VOICE) == pytest.approx(20, abs=1e-6)
    assert snr(0.5 * VOICE, VOICE) == pytest.approx(20 * np.log10(2), abs=1e-6)
    assert snr(np.zeros_like(VOICE), VOICE) == pytest.approx(0, abs=1e-6)


def test_attenuation() -> None:
    assert attenuation(0.1 * VOICE, VOICE) == pytest.approx(20, abs=1e-6)
    assert attenuation(np.zeros_like(VOICE), VOICE) == BOUND_DB
    assert np.isnan(attenuation(VOICE, np.zeros_like(VOICE)))


def test_precision_and_recall() -> None:
    ideal = np.array([True, True, True, False, False])
    marked = np.array([True, False, False, True, False])
    assert precision_recall(marked, ideal) == pytest.approx((1 / 2, 1 / 3))
    precision, recall = precision_recall(np.zeros(5, bool), ideal)
    assert np.isnan(precision)
    assert recall == 0
    with pytest.raises(ValueError, match="differ in shape"):
        precision_recall(marked[:4], ideal)
