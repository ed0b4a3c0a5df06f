"""Speech probabilities to spans, activity and the number of voices."""

import numpy as np
import pytest

from avsep.speech.activity import (
    activity,
    count_voices,
    gate,
    per_decision,
    spans,
    takes_turns,
    too_little,
    voices_at_once,
)


def pulses(*edges: tuple[float, float], seconds: float = 10.0, height: float = 0.9) -> np.ndarray:
    p = np.zeros(round(seconds * 25))
    for start, end in edges:
        p[round(start * 25) : round(end * 25)] = height
    return p


def test_spans_are_found():
    assert spans(pulses((1, 2), (4, 6))) == [(1.0, 2.0), (4.0, 6.0)]


def test_short_pauses_are_bridged_and_short_noises_dropped():
    assert spans(pulses((1, 2), (2.2, 3), (7, 7.08))) == [(1.0, 3.0)]


def test_what_never_passes_the_upper_threshold_is_no_speech():
    assert spans(pulses((1, 3), height=0.4)) == []


def test_speech_to_the_very_end_is_closed():
    assert spans(pulses((9, 10))) == [(9.0, 10.0)]
    assert spans(np.zeros(0)) == []


def test_decisions_average_their_pictures():
    np.testing.assert_allclose(per_decision(np.arange(25.0)), [4.5, 14.5, 22.0])


def test_a_leak_far_below_is_no_voice():
    speech = np.ones((2, 50))
    level = np.stack([np.full(50, -20.0), np.full(50, -50.0)])
    active = activity(speech, level)
    np.testing.assert_allclose(active[:, 0], 1)
    np.testing.assert_allclose(active[:, 1], 0)


@pytest.mark.parametrize(("second", "count"), [(0.0, 1), (0.1, 1), (0.5, 2), (1.0, 2)])
def test_voices_are_counted_by_their_share_of_time(second, count):
    active = np.zeros((100, 2))
    active[:80, 0] = 1
    active[: round(80 * second), 1] = 1
    assert count_voices(active) == count


def test_a_moment_of_noise_is_no_speech_but_a_short_answer_in_a_short_clip_is():
    long = np.stack([pulses((4, 4.5), seconds=20), pulses((4, 6), seconds=20)])
    assert too_little(long).tolist() == [True, False]
    assert too_little(pulses((0.2, 0.6), seconds=2)[None]).tolist() == [False]


def test_the_gate_keeps_speech_and_its_edges_and_closes_softly():
    open_ = gate(pulses((4, 6)))
    np.testing.assert_array_equal(open_[round(3.8 * 25) : round(6.2 * 25)], 1)
    assert not open_[: 3 * 25].any()
    assert not open_[7 * 25 :].any()
    assert abs(np.diff(open_)).max() < 0.2


@pytest.mark.parametrize(
    ("together", "expected"),
    [
        ([0] * 50, 0),
        ([1] * 50, 1),
        ([1] * 99 + [2], 1),
        ([1] * 90 + [2] * 10, 2),
        ([2] * 9 + [3], 2),
        ([3] * 8 + [0], 3),
    ],
)
def test_voices_that_speak_together_are_counted(together, expected):
    active = (np.arange(3) < np.array(together)[:, None]).astype(float)
    assert voices_at_once(active) == expected
    # Who takes turns does not speak together.
    turns = np.eye(3)[np.arange(len(together)) % 3] * (np.array(together) > 0)[:, None]
    assert voices_at_once(turns) == min(expected, 1)


@pytest.mark.parametrize(
    ("leaders", "expected"),
    [([], False), ([0] * 50, False), ([0] * 48 + [1] * 2, False), ([0] * 40 + [1] * 10, True), ([1, 2, 1, 2], True)],
)
def test_turns_are_told_by_who_leads(leaders, expected):
    active = 0.1 + 0.8 * np.eye(3)[leaders]
    assert takes_turns(active.reshape(-1, 3)) is expected
    # What went to another source at the same time is no turn, nor is what nobody says.
    both = np.concatenate([active.reshape(-1, 3), np.tile([0.0, 0.2, 0.3], (100, 1))])
    leads = both[:, 0] > 0.5
    both[leads, 1] = 0.8
    assert takes_turns(both) is expected
