"""Who a track is, by face and voice together."""

from __future__ import annotations

import numpy as np
import pytest
from made_voices import embedding

from avsep.people.matching import MOST_FACE, MOST_VOICE, NAMED, likeness, match
from avsep.people.traits import Traits, mean_of

AXES = np.eye(8, dtype=np.float32)


def like(number: int, cosine: float = 1.0) -> np.ndarray:
    """As alike to an axis as that, and not at all to the next ones."""
    return cosine * AXES[number] + np.sqrt(1 - cosine**2) * AXES[7]


def somebody(face: int | None = None, voice: int | None = None, alike: float = 1.0) -> Traits:
    return Traits(
        None if face is None else like(face, alike),
        None if voice is None else embedding(like(voice, alike)),
        0.0 if voice is None else 12.0,
    )


ANN, BOB = somebody(0, 0), somebody(1, 1)


def test_everybody_is_known_by_face_and_voice():
    first, second = match([BOB, ANN], [ANN, BOB])
    assert (first.who, second.who) == (1, 0)
    assert first.probabilities[1] > 0.99
    assert first.likeness[1].by == ("face", "voice")
    assert first.order == [1, 0]


def test_one_of_both_is_enough_and_both_tell_more():
    face, voice, both = (
        match([one], [ANN])[0].probabilities[0] for one in (somebody(0), somebody(None, 0), somebody(0, 0))
    )
    assert min(voice, face) > NAMED
    assert max(voice, face) < both


def test_a_face_and_a_voice_that_disagree_make_nobody():
    (made,) = match([somebody(0, 1)], [ANN, BOB])
    assert made.likeness[0].evidence == pytest.approx(MOST_FACE - MOST_VOICE)
    assert made.who is None


def test_a_stranger_is_nobody():
    (made,) = match([somebody(2, 2)], [ANN, BOB])
    assert made.who is None
    assert made.stranger > 0.99


def test_an_empty_library_and_an_empty_clip():
    (made,) = match([ANN], [])
    assert (made.who, made.probabilities, made.stranger) == (None, (), 1.0)
    assert match([], [ANN]) == []


def test_a_face_and_a_voice_cannot_be_compared():
    assert likeness(somebody(0), somebody(None, 0)) is None
    (made,) = match([somebody(0)], [somebody(None, 0)])
    assert (made.who, made.probabilities, made.order, made.stranger) == (None, (0.0,), [], 1.0)


def test_nobody_is_two_tracks():
    """Who seems to be there twice may be either, so neither gets the name; nor is one of them somebody new."""
    made = match([ANN, ANN], [ANN, BOB])
    assert [one.who for one in made] == [None, None]
    assert all(0.4 < one.probabilities[0] <= 0.5 for one in made)
    assert all(one.stranger < 0.01 for one in made)
    weaker = Traits(like(0, 0.45), None)
    assert [one.who for one in match([weaker, ANN], [ANN])] == [None, 0]


def test_the_more_are_known_the_more_is_asked_for():
    faint = Traits(like(0, 0.54))
    assert match([faint], [ANN])[0].who == 0
    assert match([faint], [ANN, *[BOB] * 30])[0].who is None


def test_evidence_rises_with_the_cosine_up_to_its_bound():
    values = [likeness(somebody(0, 0, c), ANN).evidence for c in np.linspace(-1, 1, 21)]
    assert values == sorted(values)
    assert values[0] == -MOST_FACE - MOST_VOICE
    assert values[-1] == MOST_FACE + MOST_VOICE


def test_the_mean_of_faces_has_length_one():
    assert np.linalg.norm(mean_of(np.stack([AXES[0], AXES[1]]))) == pytest.approx(1)
