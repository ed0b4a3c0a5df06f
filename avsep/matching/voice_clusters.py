"""Which stretches of speech are one voice's: clusters of them, then a hidden Markov model over time.

What is told apart are embeddings of `avsep.models.voice_statistics`: stretches of speech by their evidence, moments by
their places along the axes of its PLDA.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy.special import logsumexp

from avsep.embeddings.speaker import evidence

ONE_VOICE = -1.0
"""Evidence from which on two clusters are one voice. On 64 recordings of one to four talkers -2 to 0 were as good."""
LONE_VOICE = -4.0
"""The same where a separator found one voice. With -1, 2 of 24 lone talkers were two, with -4 none."""
MOST_AT_ONCE = 400
"""Stretches that are clustered at a time; of more, those of a while are clustered first."""
STAYS = 0.9
"""Probability that whoever speaks in a moment of a source speaks in the next one."""
FEWER, SPARSE = 0.3, 8.0
"""F_A and F_B of VBx: what a moment counts, less than 1 as it shares its sound with its neighbours, and how few voices
are expected."""
ROUNDS, SETTLED = 30, 1e-3
"""Of the model at most, and the gain of a round at which it ends."""

Embed = Callable[[Sequence[int]], np.ndarray]
"""The embedding (size,) of some stretches together."""


def clustered(
    embed: Embed, clashes: np.ndarray, count: int | None = None, one_voice: float = ONE_VOICE
) -> list[list[int]]:
    """Stretches of speech by voice: agglomerative clustering, each cluster by the embedding of all its speech.

    clashes: (stretches, stretches) bool, which of them are at the same time and so of two voices. count: of voices,
    where that is known; there may be more where nothing else fits. The largest cluster is first. one_voice: evidence
    from which on two clusters are one, where it is not known.
    """
    groups = [[number] for number in range(len(clashes))]
    while len(groups) > MOST_AT_ONCE:
        blocks = [groups[start : start + MOST_AT_ONCE] for start in range(0, len(groups), MOST_AT_ONCE)]
        fewer = [group for block in blocks for group in _merged(block, embed, clashes, None, one_voice)]
        if len(fewer) == len(groups):
            break
        groups = fewer
    return sorted(_merged(groups, embed, clashes, count, one_voice), key=len, reverse=True)


def _merged(
    groups: list[list[int]], embed: Embed, clashes: np.ndarray, count: int | None, one_voice: float
) -> list[list[int]]:
    groups = list(groups)
    if len(groups) < 2:
        return groups
    made = np.stack([embed(group) for group in groups])
    apart = np.array([[clashes[np.ix_(one, other)].any() for other in groups] for one in groups])
    np.fill_diagonal(apart, True)
    odds = np.where(apart, -np.inf, np.nan_to_num(evidence(made[:, None], made[None]), nan=-np.inf))
    left = np.ones(len(groups), bool)
    while True:
        one, other = sorted(np.unravel_index(odds.argmax(), odds.shape))
        enough = odds[one, other] < one_voice if count is None else left.sum() <= count
        if enough or odds[one, other] == -np.inf:
            return [group for group, is_left in zip(groups, left, strict=True) if is_left]
        groups[one] = sorted(groups[one] + groups[other])
        left[other] = False
        made[one] = embed(groups[one])
        apart[one] |= apart[other]
        apart[:, one] = apart[one]
        odds[other] = odds[:, other] = -np.inf
        now = np.nan_to_num(evidence(made[one], made), nan=-np.inf)
        odds[one] = odds[:, one] = np.where(left & ~apart[one], now, -np.inf)


def settled(places: np.ndarray, between: np.ndarray, chains: Sequence[np.ndarray], first: np.ndarray) -> np.ndarray:
    """How probable each voice is in each moment, (moments, voices): VBx (Landini et al., Bayesian HMM clustering of
    x-vector sequences, 2022), with a chain for each source.

    places: (moments, dims), within a voice of variance 1; between: (dims,) variance between voices. chains: the numbers
    of each source's moments in their order. first: what to begin with, (moments, voices). Voices that explain nothing
    lose all of their moments.
    """
    probable = first
    prior = np.full(first.shape[1], 1 / first.shape[1])
    scaled = places * np.sqrt(between)
    before = -np.inf
    for _ in range(ROUNDS):
        # The posterior of each voice's place, equations 16 and 17, then what each moment says for it, 23.
        spread = 1 / (1 + FEWER / SPARSE * probable.sum(0)[:, None] * between)
        centre = FEWER / SPARSE * spread * (probable.T @ scaled)
        likely = FEWER * (scaled @ centre.T - 0.5 * (spread + centre**2) @ between)
        bound = SPARSE * 0.5 * (np.log(spread) - spread - centre**2 + 1).sum()
        probable = np.zeros_like(first)
        for chain in chains:
            probable[chain], told = _forward_backward(likely[chain], prior)
            bound += told
        prior = probable.sum(0) / probable.sum()
        if bound - before < SETTLED:
            break
        before = bound
    return probable


def _forward_backward(likely: np.ndarray, prior: np.ndarray) -> tuple[np.ndarray, float]:
    """Log-likelihoods (moments, voices) of one chain -> the posterior, and the log-likelihood of all."""
    change = np.log((1 - STAYS) * prior + STAYS * np.eye(len(prior)) + 1e-12)
    ahead, back = np.zeros_like(likely), np.zeros_like(likely)
    ahead[0] = np.log(prior + 1e-12) + likely[0]
    for now in range(1, len(likely)):
        ahead[now] = likely[now] + logsumexp(ahead[now - 1][:, None] + change, axis=0)
    for now in range(len(likely) - 2, -1, -1):
        back[now] = logsumexp(change + likely[now + 1] + back[now + 1], axis=1)
    total = float(logsumexp(ahead[-1]))
    return np.exp(ahead + back - total), total
