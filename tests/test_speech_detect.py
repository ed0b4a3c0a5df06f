"""The speech detector takes any length."""

import numpy as np
import pytest

from avsep.signals import HOP, SAMPLE_RATE
from avsep.speech.activity import CHUNK as PIECE
from avsep.speech.activity import speech_and_level
from avsep.speech.detect import CHUNK, SpeechDetector
from avsep.storage.recording import Estimates


@pytest.fixture(scope="module")
def detector() -> SpeechDetector:
    return SpeechDetector()


@pytest.mark.parametrize("time", [1, HOP - 1, CHUNK - 1, CHUNK, CHUNK + 1])
def test_signals_shorter_than_a_chunk_are_judged(detector, time):
    noise = 0.1 * np.random.default_rng(0).standard_normal((2, time)).astype(np.float32)
    found = detector.probability(noise)
    assert found.shape == (2, -(-time // HOP))
    assert ((found >= 0) & (found <= 1)).all()


@pytest.mark.parametrize("rest", [1, round(0.008 * SAMPLE_RATE), CHUNK - 1])
@pytest.mark.slow
def test_a_clip_a_moment_longer_than_its_pieces_is_judged_to_its_end(rest):
    """A 20 s cut with AAC sound is 20.0156 s long."""
    noise = 0.1 * np.random.default_rng(0).standard_normal((1, PIECE + rest)).astype(np.float32)
    speech, level = speech_and_level(Estimates.of(noise, SAMPLE_RATE))
    assert speech.shape == level.shape == (1, -(-(PIECE + rest) // HOP))
    assert np.isfinite(speech).all()
