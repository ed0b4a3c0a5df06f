"""Lips and voices found together at their offset, with stand-in embeddings that are easy to reason about."""

import numpy as np
import pytest

from avsep.matching.synchrony import LAGS, TRUSTED, evidence, lag_belief, score_people, track_correlation, trust
from avsep.signals import DECISION_FRAMES, LIP_SIZE, FaceTrack, LipClip, Person
from avsep.storage.spool import Spool

PICTURES = 500


def signal(seed: int, pictures: int = PICTURES) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((pictures, 16))


def track(first: int, pictures: int, quality: float = 1.0) -> FaceTrack:
    crops = Spool(None, (LIP_SIZE, LIP_SIZE), np.uint8)
    crops.append(np.zeros((pictures, LIP_SIZE, LIP_SIZE), np.uint8))
    lips = LipClip(crops, np.full(pictures, quality, np.float32), first)
    boxes, landmarks, portraits = np.zeros((pictures, 4)), np.zeros((pictures, 5, 2)), np.zeros((0, 160, 160, 3))
    return FaceTrack(first, boxes, landmarks, np.ones(pictures), portraits, 0, lips)


def test_correlation_equals_the_plain_formula_over_each_window():
    lips, voices = signal(0), np.stack([signal(1), signal(0)], axis=1)
    decisions, values = track_correlation(lips, voices, 0, 0)
    assert decisions.tolist() == list(range(50))
    decision = 20
    window = slice(decision * DECISION_FRAMES + 5 - 25, decision * DECISION_FRAMES + 5 + 25)
    a, b = lips[window], voices[window, 0]
    a, b = a - a.mean(0), b - b.mean(0)
    assert values[decision, 0] == pytest.approx((a * b).sum() / np.sqrt((a**2).sum() * (b**2).sum()))
    np.testing.assert_allclose(values[:, 1], 1, atol=1e-6)


@pytest.mark.parametrize("lag", [-6, -1, 0, 3, 7])
@pytest.mark.parametrize("first", [-30, 0, 120])
def test_the_offset_is_found(lag, first):
    sound = signal(3)
    # Picture k shows what is heard at k + lag.
    lips = np.stack([sound[(first + k + lag) % PICTURES] for k in range(300)])
    person = Person((track(first, 300),))
    voices = np.stack([signal(9), sound], axis=1)
    scores = score_people([person], {id(person.tracks[0]): lips}, voices, np.ones((50, 2)), None)
    assert scores.offsets.tolist() == [lag]
    seen = ~np.isnan(scores.correlation[:, 0, 0])
    assert (scores.correlation[seen, 0, 1] > scores.correlation[seen, 0, 0]).all()


def test_a_given_offset_is_used():
    sound = signal(3)
    person = Person((track(0, PICTURES),))
    voices = sound[:, None]
    at = score_people([person], {id(person.tracks[0]): np.roll(sound, -5, 0)}, voices, np.ones((50, 1)), 0.2)
    assert at.offsets.tolist() == [5]
    assert np.nanmin(at.correlation[1:-2]) > 0.9


def test_lips_out_of_the_picture_or_of_poor_quality_tell_nothing():
    sound = signal(3)
    good, poor = track(100, 100), track(300, 100, quality=0.05)
    person = Person((good, poor))
    lips = {id(t): sound[t.first : t.first + 100] for t in person.tracks}
    known = ~np.isnan(score_people([person], lips, sound[:, None], np.ones((50, 1)), 0.0).correlation[:, 0, 0])
    assert np.flatnonzero(known).tolist() == list(range(10, 20))


def test_unrelated_lips_correlate_little_at_any_offset():
    person = Person((track(0, PICTURES),))
    scores = score_people([person], {id(person.tracks[0]): signal(5)}, signal(6)[:, None], np.ones((50, 1)), None)
    assert np.nanmax(scores.correlation) < 0.2


def test_trust_is_the_mean_over_what_a_person_says():
    correlation = np.full((40, 3, 2), -0.3)
    correlation[:, 0, 1] = np.tile([TRUSTED - 0.2, TRUSTED + 0.2], 20)
    correlation[:20, 1, 0] = 0.5
    correlation[20:, 1, 0] = np.nan
    weight = np.zeros((40, 3, 2))
    weight[:, 0, 1] = weight[:, 1, 0] = 1
    sure = trust(correlation, weight)
    assert sure[0] == pytest.approx(0.5)
    assert sure[1] > 0.99
    assert np.isnan(sure[2])
    assert trust(correlation, weight[:, [1, 2, 0]])[2] < 0.01


def likeliest(evidence: np.ndarray) -> list[int]:
    belief = lag_belief(evidence, LAGS)
    np.testing.assert_allclose(belief.sum(axis=1), 1)
    return LAGS[belief.argmax(axis=1)].tolist()


def test_without_evidence_the_offset_stays_zero():
    assert likeliest(np.zeros((3, len(LAGS)))) == [0, 0, 0]


def test_people_of_one_recording_share_a_doubtful_offset():
    sure, doubtful = np.zeros(len(LAGS)), np.zeros(len(LAGS))
    sure[LAGS == -5] = 10
    doubtful[LAGS == -5] = doubtful[LAGS == 6] = 1.5
    assert likeliest(np.stack([sure, sure, doubtful])) == [-5, -5, -5]


def test_a_sure_offset_of_its_own_is_kept():
    left, right = np.zeros(len(LAGS)), np.zeros(len(LAGS))
    left[LAGS == 6] = right[LAGS == -1] = 6
    assert likeliest(np.stack([left, right])) == [6, -1]


def test_silence_is_no_evidence():
    assert not evidence(np.ones((len(LAGS), 50, 2)), np.zeros((50, 2))).any()


def test_an_offset_that_is_hardly_known_promises_little():
    sound = signal(3)
    person = Person((track(0, 30),))
    lips = {id(person.tracks[0]): sound[:30] + 2 * signal(8)[:30]}
    voices = sound[:, None]
    known = score_people([person], lips, voices, np.ones((50, 1)), 0.0).correlation
    unknown = score_people([person], lips, voices, np.ones((50, 1)), None).correlation
    assert 0 < np.nanmax(unknown) < np.nanmax(known)


def test_an_embedding_that_does_not_move_correlates_with_nothing():
    lips, silence = signal(0), np.full((PICTURES, 1, signal(0).shape[1]), 7.3, np.float16)
    silence[0] += np.float16(0.01)
    voices = np.concatenate([signal(0)[:, None].astype(np.float16), silence], axis=1)
    with np.errstate(all="raise"):
        _, found = track_correlation(lips, voices, 0, 0)
    assert found[:, 0].min() > 0.99
    assert (found[:, 1] == 0).all()
    _, still = track_correlation(silence[:, 0], voices, 0, 0)
    assert (still == 0).all()
