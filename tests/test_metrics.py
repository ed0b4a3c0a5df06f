"""SI-SDR: known values, invariances, silence."""

import numpy as np
import pytest

from avsep.metrics import si_sdr

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
