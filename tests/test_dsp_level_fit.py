"""Estimates of any gain and sign get the level that they have in the mixture."""

from __future__ import annotations

import numpy as np
import pytest

from avsep.dsp.level_fit import fitted_to

rng = np.random.default_rng(0)
SOURCES = rng.standard_normal((2, 1, 16_000)).astype(np.float32) * np.array([0.1, 0.02], np.float32)[:, None, None]
MIXTURE = SOURCES.sum(0)


@pytest.mark.parametrize("gains", [(1, 1), (-3, 0.01), (1e4, -1e-4)])
def test_gain_and_sign_are_found(gains):
    found = fitted_to(MIXTURE, SOURCES * np.array(gains, np.float32)[:, None, None])
    np.testing.assert_allclose(found, SOURCES, atol=2e-3)


def test_leaks_of_the_other_source_are_allowed_for():
    leaky = np.stack([SOURCES[0] + 0.5 * SOURCES[1], SOURCES[1] - 0.1 * SOURCES[0]])
    # The sum is the mixture, which gains of 1 do not give.
    np.testing.assert_allclose(fitted_to(MIXTURE, -2 * leaky).sum(0), MIXTURE, atol=2e-3)


def test_one_of_two_talkers_gets_his_own_level():
    # But for what the other one happens to have in common with him.
    np.testing.assert_allclose(fitted_to(MIXTURE, -5 * SOURCES[1:]), SOURCES[1:], atol=5e-3)


def test_twice_the_same_estimate_is_shared():
    found = fitted_to(MIXTURE, np.stack([MIXTURE, MIXTURE]))
    np.testing.assert_allclose(found, np.stack([MIXTURE, MIXTURE]) / 2, rtol=2e-3, atol=1e-6)


def test_silence_stays_silence():
    assert not fitted_to(MIXTURE, np.zeros_like(SOURCES)).any()
    assert np.isfinite(fitted_to(np.zeros_like(MIXTURE), SOURCES)).all()
    assert fitted_to(MIXTURE[:, :0], SOURCES[:, :, :0]).shape == (2, 1, 0)
    half = fitted_to(MIXTURE, np.stack([SOURCES[0], 0 * SOURCES[0]]))
    assert not half[1].any()


def test_fewer_channels_than_the_mixture():
    mixture = np.concatenate([MIXTURE, np.ones_like(MIXTURE)])
    np.testing.assert_allclose(fitted_to(mixture, 2 * SOURCES), SOURCES, atol=2e-3)
