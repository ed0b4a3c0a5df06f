"""Which source is whose: the lips decide, steadily."""

import itertools

import numpy as np
import pytest

from avsep.matching.assignment import SWITCH_COST, assign, best_path, joint_scores
from avsep.matching.lips import HIDDEN, UNSEEN, odds_of_visible


def change_cost(before: tuple[int, ...], after: tuple[int, ...], switch_cost: float, exchange_cost: float) -> float:
    switched = switch_cost * sum(a != b for a, b in zip(before, after, strict=True))
    return min(switched, exchange_cost) if before != after and before[::-1] == after else switched


def value_of(scores: np.ndarray, path: list[tuple[int, ...]], *costs: float) -> float:
    gained = sum(scores[i][s] for i, s in enumerate(path))
    return gained - sum(change_cost(p, q, *costs) for p, q in itertools.pairwise(path))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("costs", [(1.5, 1.5), (1.5, 9.0), (2.0, 0.5)])
def test_best_path_is_the_best_of_all_paths(seed, costs):
    scores = np.random.default_rng(seed).normal(scale=2, size=(4, 3, 3))
    path = [tuple(int(owner) for owner in state) for state in best_path(scores, *costs)]
    best = max(value_of(scores, list(p), *costs) for p in itertools.product(np.ndindex(3, 3), repeat=4))
    assert value_of(scores, path, *costs) == pytest.approx(best)


def odds_of(owner_of_source: list[list[int]], people: int, strength: float = 3.0) -> np.ndarray:
    """(decisions, people, sources) log odds that favour the given owner; -1 is nobody."""
    out = np.full((len(owner_of_source), people, len(owner_of_source[0])), -strength)
    for decision, owners in enumerate(owner_of_source):
        for source, owner in enumerate(owners):
            if owner >= 0:
                out[decision, owner, source] = strength
    return out


def test_each_face_gets_its_voice():
    owned = assign(odds_of([[1, 0]] * 10, 2), np.ones((10, 2)), 100)
    np.testing.assert_array_equal(owned.gains[0, 1], 1)
    np.testing.assert_array_equal(owned.gains[1, 0], 1)
    assert owned.gains[0, 0].max() == owned.gains[1, 1].max() == 0
    assert owned.owned.tolist() == [[[0, 1], [1, 0]]] * 10


def test_a_single_contrary_decision_does_not_swap():
    truth = [[0, 1]] * 10
    truth[5] = [1, 0]
    owned = assign(odds_of(truth, 2, strength=SWITCH_COST), np.ones((10, 2)), 100)
    np.testing.assert_array_equal(owned.gains[0, 0], 1)


def test_sources_that_change_places_are_followed():
    owned = assign(odds_of([[0, 1]] * 10 + [[1, 0]] * 10, 2), np.ones((20, 2)), 200)
    assert owned.gains[0, 0, 40] == owned.gains[0, 1, 160] == 1
    assert owned.gains[0, 0, 160] == owned.gains[0, 1, 40] == 0


def test_voices_nobody_moves_lips_to_are_tracks_of_their_own():
    owned = assign(odds_of([[-1, -1]] * 10, 2), np.ones((10, 2)), 100)
    assert owned.gains[:2].max() == 0
    assert not owned.owned.any()
    np.testing.assert_array_equal(owned.gains[2:, :, 50], np.eye(2))


def test_what_is_left_over_for_a_moment_beside_faces_is_no_voice():
    activity = np.ones((20, 2))
    activity[:, 1] = 0
    activity[8:12, 1] = 1  # 1.6 s
    owned = assign(odds_of([[0, -1]] * 20, 1), activity, 200)
    assert len(owned.gains) == 1
    activity[8:13, 1] = 1
    assert len(assign(odds_of([[0, -1]] * 20, 1), activity, 200).gains) == 2


def test_what_is_given_is_never_more_than_the_source():
    rng = np.random.default_rng(1)
    owned = assign(rng.normal(scale=4, size=(30, 4, 2)), rng.random((30, 2)), 297)
    assert owned.gains.min() >= 0
    assert owned.gains.sum(axis=0).max() <= 1 + 1e-6


def test_two_active_sources_of_one_face_cost():
    scores = joint_scores(np.zeros((1, 1, 2)), np.ones((1, 2)))
    assert scores[0, 0, 0] < scores[0, 0, 1] == scores[0, 1, 1]


def test_nothing_heard_gives_no_nan():
    owned = assign(np.full((3, 1, 2), np.nan), np.zeros((3, 2)), 25)
    assert np.isfinite(owned.gains).all()


def test_a_voice_while_no_face_is_to_be_seen_gets_a_track():
    odds = odds_of([[0, -1]] * 10 + [[-1, -1]] * 20, 1)
    odds[10:] = np.nan
    activity = np.ones((30, 2))
    activity[:, 1] = 0
    activity[10:, 0] = 0
    activity[15:, 1] = 1
    owned = assign(odds, activity, 300)
    assert owned.gains.shape == (2, 2, 300)
    np.testing.assert_array_equal(owned.gains[1, 1, 160:], 1)
    assert owned.gains[0, 1].max() == owned.gains[1, 0].max() == 0


def test_a_voice_goes_on_with_its_person_through_a_short_absence():
    odds = odds_of([[0, -1]] * 30, 1)
    odds[12:16] = np.nan
    activity = np.ones((30, 2))
    activity[:, 1] = 0
    owned = assign(odds, activity, 300)
    np.testing.assert_array_equal(owned.gains[0, 0], 1)
    assert len(owned.gains) == 1


def test_a_voice_without_a_face_goes_on_where_a_silent_face_comes():
    odds = np.full((60, 1, 1), np.nan)
    odds[10:30], odds[32:50] = -9.0, -9.0  # a face that does not speak; dark before, for a moment between, and after
    owned = assign(odds, np.ones((60, 1)), 600)
    assert len(owned.gains) == 2
    assert owned.gains[1].min() == 1


@pytest.mark.parametrize(("part", "tracks"), [(0.2, 2), (0.05, 1)])
def test_what_is_left_of_the_voices_is_none(part, tracks):
    """Beside a face that speaks, a source that speaks all the time, with a part of the energy."""
    energy = np.full((30, 2), [1 - part, part])
    assert len(assign(odds_of([[0, -1]] * 30, 1), np.ones((30, 2)), 300, energy).gains) == tracks


def test_a_moment_in_the_dark_gives_no_track():
    odds = np.full((20, 1, 1), 5.0)
    odds[10:12] = np.nan  # 0.8 s
    activity = np.zeros((20, 1))
    activity[10:12] = 1
    assert len(assign(odds, activity, 200).gains) == 1


def test_a_voice_that_the_others_cannot_have_goes_to_the_hidden_mouth():
    # The first person moves his lips with source 1; of the second no more is known than that the mouth is hidden.
    odds = odds_of([[-1, 0]] * 12, 2)
    visible = np.ones((12, 2))
    visible[:, 1] = 0
    odds[:, 1] = -6.0  # what the microphone before the mouth says
    owned = assign(odds_of_visible(odds, visible), np.ones((12, 2)), 120)
    np.testing.assert_array_equal(owned.gains[:, :, 60], [[0, 1], [1, 0]])
    assert assign(odds, np.ones((12, 2)), 120).gains[1].max() == 0


def test_a_hidden_mouth_gets_no_voice_that_another_has():
    odds = odds_of([[0, -1]] * 12, 2)
    visible = np.ones((12, 2))
    visible[:, 1] = 0
    activity = np.ones((12, 2))
    activity[:, 1] = 0
    owned = assign(odds_of_visible(odds, visible), activity, 120)
    np.testing.assert_array_equal(owned.gains[:, 0, 60], [1, 0])


def test_a_mouth_at_rest_is_not_hidden():
    odds = np.full((12, 1, 1), -6.0)
    assert assign(odds_of_visible(odds, np.full((12, 1), 0.95)), np.ones((12, 1)), 120).gains[0].max() == 0
    assert assign(odds_of_visible(odds, np.full((12, 1), 0.05)), np.ones((12, 1)), 120).gains[0].min() == 1


def test_odds_of_a_face_out_of_the_picture_are_unknown_and_of_a_turned_one_those_of_a_hidden_mouth():
    odds = np.array([[np.nan, np.nan], [np.nan, 2.0], [2.0, np.nan]]).reshape(3, 2, 1)
    found = odds_of_visible(odds, np.array([[np.nan, 0.9], [0.9, 1.0], [1.0, 0.0]]))
    assert np.isnan(found[0, 0])
    # Whoever is out of the picture may be the one who speaks.
    assert found[0, 1] == pytest.approx(UNSEEN)
    assert found[1:].ravel().tolist() == pytest.approx([HIDDEN, 2.0, 2.0, HIDDEN])
