"""Talkers told apart by their voices, wherever the separation put them."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
import torch
from made_voices import embedding
from scipy.optimize import linear_sum_assignment
from torch import nn

from avsep import Separator
from avsep.evaluation.metrics import si_sdr
from avsep.matching import voice_clusters
from avsep.matching.talkers import alone_part, own_speech, talker_gains
from avsep.matching.voice_clusters import clustered, settled
from avsep.signals import HOP
from avsep.signals import SAMPLE_RATE as RATE
from avsep.storage.recording import Estimates

ANN, BOB, CAT = np.eye(3)


def noisy(directions, scale: float, seed: int = 0) -> np.ndarray:
    """Directions with noise, of length 1 again."""
    made = np.asarray(directions) + np.random.default_rng(seed).normal(0, scale, np.shape(directions))
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def embedder(directions: np.ndarray):
    """A cluster's embedding: that of the mean of its stretches."""

    def embed(some):
        mean = directions[list(some)].mean(0)
        return embedding(mean / np.linalg.norm(mean))

    return embed


@pytest.mark.parametrize("most", [400, 5])
def test_stretches_of_one_voice_are_one_cluster(monkeypatch, most):
    monkeypatch.setattr(voice_clusters, "MOST_AT_ONCE", most)
    who = np.arange(24) * 7 % 3
    directions = noisy(np.eye(3)[who], 0.05)
    found = clustered(embedder(directions), np.zeros((24, 24), bool))
    assert sorted(found) == [np.flatnonzero(who == voice).tolist() for voice in range(3)]


def test_who_speaks_at_the_same_time_is_two():
    directions = noisy([ANN] * 4, 0.1)
    clashes = np.zeros((4, 4), bool)
    clashes[0, 1] = clashes[1, 0] = True
    found = clustered(embedder(directions), clashes)
    assert len(found) == 2
    assert {0, 1} not in [set(group) for group in found]
    assert len(clustered(embedder(directions), clashes, count=1)) == 2, "not one, whatever is asked for"


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_as_many_clusters_as_are_asked_for(count):
    directions = noisy([ANN, BOB, CAT] * 3, 0.15)
    assert len(clustered(embedder(directions), np.zeros((9, 9), bool), count)) == count


def test_nothing_to_cluster():
    assert clustered(embedder(np.zeros((0, 3))), np.zeros((0, 0), bool)) == []
    assert clustered(embedder(np.eye(3)), np.zeros((1, 1), bool)) == [[0]]


def test_moments_settle_with_their_neighbours_and_superfluous_voices_go():
    rng = np.random.default_rng(0)
    who = np.repeat([0, 1, 0, 1], 10)
    between = np.full(60, 2.0)
    voices = rng.normal(0, between**0.5, (2, 60))
    places = voices[who] + rng.normal(0, 1, (40, 60))
    places[5] = voices[1] * 0.6 + rng.normal(0, 1, 60)  # one moment that looks like the other voice
    first = np.full((40, 3), 0.05)
    first[np.arange(40), np.where(np.arange(40) < 6, 2, who)] = 0.9  # a third voice of the first few moments
    chains = [np.arange(20), np.arange(20, 40)]
    found = settled(places, between, chains, first)
    np.testing.assert_allclose(found.sum(1), 1)
    told = found.argmax(1)
    names = {told[15]: 1, told[25]: 0}
    assert set(told) == set(names), "two voices are left"
    assert np.mean([names[number] == voice for number, voice in zip(told, who, strict=True)]) > 0.95


class Levels(nn.Module):
    """Tells voices by the mean of their samples: 0.1 is Ann, 0.2 Bob, 0.3 Cat."""

    size = 7

    def __init__(self) -> None:
        super().__init__()
        self.between = nn.Parameter(torch.full((3,), 30.0))

    def statistics(self, wave):
        number = (wave.mean(1) * 10).round().long().clamp(1, 3) - 1
        return torch.eye(3)[number] * 30**0.5

    def project(self, statistics):
        return statistics

    place = project

    def forward(self, wave):
        direction = self.statistics(wave).numpy()
        return torch.from_numpy(embedding(direction / 30**0.5))


def sources_of(*rows) -> tuple[Estimates, np.ndarray]:
    """Sources in which numbers speak for two seconds each, 0 being nobody, and where they speak."""
    pictures = np.repeat(np.array(rows), 50, axis=1)
    samples = np.repeat(pictures, HOP, axis=1).astype(np.float32) / 10
    return Estimates.of(samples, 16_000), pictures > 0


def test_talkers_are_followed_from_source_to_source():
    sources, own = sources_of([1, 0, 2, 0, 3, 0, 1], [0, 2, 0, 1, 0, 3, 0])
    gains = talker_gains(Levels(), sources, own)
    assert gains.shape == (3, 2, 350)
    np.testing.assert_array_equal(gains.sum(0), 1)
    heard = np.einsum("kst,st->kt", gains, sources.mono(0, len(sources))[:, HOP // 2 :: HOP])
    for track, number in zip(heard, (1, 2, 3), strict=True):  # Ann speaks most
        assert set(np.round(track[np.abs(track) > 0] * 10).astype(int)) == {number}


def test_two_at_a_time_are_two_talkers():
    sources, own = sources_of([1, 2, 1, 0], [0, 1, 2, 2])
    gains = talker_gains(Levels(), sources, own)
    assert len(gains) == 2
    assert gains[:, 0, 25].tolist() == gains[:, 1, 75].tolist() == gains[:, 0, 125].tolist()


@pytest.mark.parametrize(("count", "found"), [(None, 3), (1, 1), (2, 2), (3, 3), (5, 5), (7, 6)])
def test_a_number_that_is_known(count, found):
    sources, own = sources_of([1, 2, 3, 1, 2, 1])
    gains = talker_gains(Levels(), sources, own, count)
    assert len(gains) == found
    np.testing.assert_array_equal(gains.sum(0), 1)


def test_a_lone_voice_is_split_by_strong_evidence_only(monkeypatch):
    sources, own = sources_of([1, 2, 1, 2])
    # One voice nearly as probable as two: evidence of -3.
    monkeypatch.setattr("made_voices.NEITHER", 0.1)
    assert len(talker_gains(Levels(), sources, own)) == 1
    twice = Estimates.joined(sources, Estimates.of(np.zeros((1, len(sources)), np.float32), 16_000))
    assert len(talker_gains(Levels(), twice, np.concatenate([own, own & False]))) == 2


def test_nobody_who_speaks_long_enough_is_no_talker():
    sources, own = sources_of([1, 0, 0])
    own[:, 20:] = False
    assert talker_gains(Levels(), sources, own).shape == (0, 1, 150)
    assert talker_gains(Levels(), sources, np.zeros_like(own)).shape == (0, 1, 150)


def test_own_speech_is_no_leak():
    speech = np.full((2, 20), 0.9, np.float32)
    level = np.stack([np.full(20, -20.0), np.full(20, -50.0)])
    assert own_speech(speech, level).tolist() == [[True] * 20, [False] * 20]
    assert alone_part(own_speech(speech, level)) == 1.0
    assert alone_part(own_speech(speech, level.mean(1, keepdims=True).max() + np.zeros((2, 20)))) == 0.0
    assert alone_part(np.zeros((2, 0), bool)) == 0.0


@pytest.mark.slow
def test_real_talkers_in_turns_have_a_track_each(shared, tmp_path):
    names = ("so3007", "ls3235")
    speech = shared / "speech"
    rows = [line.split("\t") for line in (speech / "manifest.tsv").read_text().splitlines()[1:]]
    said = {name: np.concatenate([read(speech / row[0]) for row in rows if row[1] == name]) for name in names}
    turn, turns = 4 * RATE, 3 * len(names)
    voices = np.zeros((len(names), turns * turn), np.float32)
    for number in range(turns):
        who, start = number % len(names), number // len(names) * turn
        voices[who, number * turn : (number + 1) * turn - RATE // 2] = said[names[who]][
            start : start + turn - RATE // 2
        ]
    soundfile.write(tmp_path / "talk.wav", voices.sum(0), RATE, subtype="FLOAT")
    manifest = Separator(device="cpu", threads=1).separate(tmp_path / "talk.wav", tmp_path)
    assert len(manifest["tracks"]) == len(names)
    tracks = np.stack([read(tmp_path / "talk" / track["audio"]) for track in manifest["tracks"]])
    found = si_sdr(tracks[:, None], voices[None])
    rows, columns = linear_sum_assignment(-found)
    assert sorted(columns) == list(range(len(names)))
    assert found[rows, columns].min() > 6


def read(file) -> np.ndarray:
    return soundfile.read(file, dtype="float32")[0]
