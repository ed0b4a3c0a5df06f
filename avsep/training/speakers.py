"""Fits the weights of `VoiceStatistics`, which tells whose voice it is, to the speakers of a corpus.

    python -m avsep.training.speakers data/speech/manifest.tsv -o voice.safetensors [--noise data/sounds/manifest.tsv]

Each item is a speaker of the split train, in a room, through a filter, under noise or as he was recorded: what differs
between the items of one speaker is to count little, what differs between speakers much. What evidence is worth is
fitted to 0.6 to 24 s of speech, as it was recorded, of thirds of the speakers, each compared by what the other two
thirds gave. Prints how often two items of speakers of the split dev are told apart: the equal error rate, and the
evidence at which it is reached.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
from pathlib import Path

import numpy as np
import scipy.linalg
import scipy.optimize
import torch
from torch import Tensor

from avsep.checkpoint import save_model
from avsep.data.casts import Speakers
from avsep.data.degradation import Degradation, Noise
from avsep.data.filters import BandLimit, Equaliser
from avsep.data.mixtures import Mixtures
from avsep.data.recipe import Recipe
from avsep.data.rooms import DecayRooms
from avsep.data.scene import SimulatedScene
from avsep.embeddings.speaker import evidence
from avsep.export.weights import About, read_about
from avsep.models.voice_statistics import LEAST_WEIGHT, VoiceStatistics
from avsep.signals import SAMPLE_RATE
from avsep.training.program import program_parser, run_program

SHRINK = 0.03
"""Part of a statistic's own variance that is added to what one speaker varies, so that few items do not mislead."""
LEAST_WITHIN = 0.01
"""The same after the projection, as part of the mean variance there."""
BETWEEN = 1e-3, 1e4
"""Bounds of the variance of speakers along an axis."""
SHORTEST, LONGEST = 0.6, 24.0
"""Seconds of speech that the calibration is fitted to."""
FOLDS = 3
PRIOR = 0.02
"""Probability of one speaker for which the calibration is best: who is looked for is one of many."""
TESTED, TESTED_SECONDS = 400, 4.0
"""Items of the split dev."""


def items(voices: str, split: str, noise: str | None, seconds: float, seed: int) -> Mixtures:
    """One speaker at a time, changed as a recording may be."""
    scene = SimulatedScene(filters=[Equaliser(0.7), BandLimit(0.3)], room=DecayRooms(0.4))
    changes: list[Degradation] = [Noise(noise, 0.4, (5.0, 30.0), split)] if noise else []
    recipe = Recipe(Speakers(voices, (1, 1), split), seconds, scene, degradation=changes)
    return Mixtures(recipe, seed=seed)


@torch.inference_mode()
def measured(
    model: VoiceStatistics, data: Mixtures, count: int, seconds: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Statistics (items, n) and the number of each one's speaker (items,). seconds: of the beginning of each that is
    taken; all of it where None."""
    found, speakers = [], []
    for number in range(count):
        item = data[number]
        mixture, labels = item["mixture"], item["labels"]
        assert isinstance(mixture, Tensor)
        stop = None if seconds is None else round(seconds[number] * SAMPLE_RATE)
        found.append(model.statistics(mixture[:1, :stop])[0].double().numpy())
        speakers.append(int(labels[0]))
    return np.stack(found), np.array(speakers)


def fit(model: VoiceStatistics, statistics: np.ndarray, speakers: np.ndarray) -> None:
    """All but the calibration, to (items, n) with the speaker of each."""
    mean, scale = statistics.mean(0), statistics.std(0) + 1e-6
    x = (statistics - mean) / scale
    own, between, _ = _scatter(x, speakers)
    _, vectors = scipy.linalg.eigh(between, own + SHRINK * np.eye(len(own)))
    best = vectors[:, ::-1][:, : model.projection.shape[1]]
    _set(model, mean=mean, scale=scale, projection=best)
    place = x @ best
    place *= (place.shape[1] / np.square(place).sum(1, keepdims=True)) ** 0.5
    own, between, centre = _scatter(place, speakers)
    count = np.bincount(np.unique(speakers, return_inverse=True)[1])
    # The means of few items differ also by what one speaker varies.
    between = between - own * (1 / count).mean()
    variance, axes = scipy.linalg.eigh(between, own + LEAST_WITHIN * np.trace(own) / len(own) * np.eye(len(own)))
    _set(model, centre=centre, axes=axes, between=np.clip(variance, *BETWEEN))


def _scatter(x: np.ndarray, speakers: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Covariances (n, n) of the items of a speaker and of the speakers' means, and the mean of these (n,)."""
    names, owner = np.unique(speakers, return_inverse=True)
    means = np.stack([x[owner == n].mean(0) for n in range(len(names))])
    own = x - means[owner]
    # Speakers with one item tell nothing of how one varies.
    several = np.bincount(owner) > 1
    return own.T @ own / max(1, len(x) - len(names)), np.cov(means[several].T), means.mean(0)


def _set(model: VoiceStatistics, **values: np.ndarray) -> None:
    for name, value in values.items():
        getattr(model, name).copy_(torch.from_numpy(np.array(value)))


def calibrate(
    model: VoiceStatistics,
    statistics: np.ndarray,
    speakers: np.ndarray,
    pieces: np.ndarray,
    seconds: np.ndarray,
    owners: np.ndarray,
) -> None:
    """By all pairs of pieces (m, n) of `seconds` (m,) of thirds of the speakers, compared by models that are fitted to
    the statistics (items, n) of the others."""
    raw, lengths, same = [], [], []
    for fold in range(FOLDS):
        other, here = speakers % FOLDS != fold, owners % FOLDS == fold
        fitted = copy.deepcopy(model)
        fit(fitted, statistics[other], speakers[other])
        made = _embedded(fitted, pieces[here], seconds[here])
        first, second = np.triu_indices(len(made), 1)
        raw.append(evidence(made[:, None], made)[first, second])
        lengths.append(np.log([seconds[here][first], seconds[here][second]]))
        same.append(owners[here][first] == owners[here][second])
    _set(model, calibration=_logistic(np.concatenate(raw), np.concatenate(lengths, axis=1), np.concatenate(same)))


def _logistic(raw: np.ndarray, lengths: np.ndarray, same: np.ndarray) -> np.ndarray:
    """raw (pairs,) evidence, lengths (2, pairs) logarithms of seconds -> `calibration` of `VoiceStatistics`, by
    logistic regression in which pairs of one speaker and of two have the weights of PRIOR."""
    sign = np.where(same, 1, -1)
    share = np.where(same, PRIOR / max(1, same.sum()), (1 - PRIOR) / max(1, (~same).sum()))
    before = np.log(PRIOR / (1 - PRIOR))
    unit, unequal = raw.std() + 1e-9, np.abs(lengths[0] - lengths[1])

    def loss(values: np.ndarray) -> float:
        slope, slope_long, offset, offset_long, offset_unequal = values
        weight = np.maximum(LEAST_WEIGHT, 1 + slope_long * lengths).prod(axis=0)
        made = np.exp(slope) * weight * raw / unit + offset + offset_long * lengths.sum(axis=0)
        made += np.abs(offset_unequal) * unequal
        return float((share * np.logaddexp(0, -sign * (made + before))).sum())

    found = scipy.optimize.minimize(loss, np.zeros(5), method="Nelder-Mead", options={"maxiter": 1000}).x
    return np.array([np.exp(found[0]) / unit, *found[1:4], np.abs(found[4])])


@torch.inference_mode()
def _embedded(model: VoiceStatistics, statistics: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    projected = model.project(torch.from_numpy(statistics).float())
    return model.embed(projected, torch.from_numpy(seconds).float()).numpy()


def equal_error(told: np.ndarray, speakers: np.ndarray) -> tuple[float, float]:
    """The rate at which as many pairs of one speaker are refused as pairs of two are taken for one, and the evidence at
    which that is: evidence (items, items), speakers (items,)."""
    first, second = np.triu_indices(len(speakers), 1)
    pairs = told[first, second]
    same = speakers[first] == speakers[second]
    own, others = np.sort(pairs[same]), np.sort(pairs[~same])
    at = np.concatenate([own, others])
    refused = np.searchsorted(own, at) / len(own)
    taken = 1 - np.searchsorted(others, at) / len(others)
    best = int(np.abs(refused - taken).argmin())
    return float(refused[best] + taken[best]) / 2, float(at[best])


def run(options: argparse.Namespace) -> None:
    about = read_about(options.lineage) if options.lineage else About()
    model = VoiceStatistics(dims=options.dims).eval()
    statistics, speakers = measured(
        model, items(options.voices, "train", options.noise, options.seconds, 0), options.items
    )
    pieces = max(FOLDS, options.items // 6)
    seconds = np.exp(np.random.default_rng(0).uniform(np.log(SHORTEST), np.log(LONGEST), pieces))
    recorded = Mixtures(Recipe(Speakers(options.voices, (1, 1), "train"), LONGEST, SimulatedScene()), seed=2)
    said, owners = measured(model, recorded, pieces, seconds)
    calibrate(model, statistics, speakers, said, seconds, owners)
    fit(model, statistics, speakers)
    tested, whose = measured(model, items(options.voices, "dev", options.noise, TESTED_SECONDS, 1), TESTED)
    made = _embedded(model, tested, np.full(TESTED, TESTED_SECONDS))
    rate, at = equal_error(evidence(made[:, None], made), whose)
    print(json.dumps({"equal_error_rate": round(rate, 4), "evidence": round(at, 3)}))
    if options.output:
        save_model(options.output, model, options.output.stem, about.licence, about.lineage, about.scores)


def main(arguments: list[str] | None = None) -> int:
    parser = program_parser("speakers", __doc__)
    parser.add_argument("voices", metavar="MANIFEST", help="manifest.tsv or packed folder, with the splits train, dev")
    parser.add_argument("--noise", metavar="MANIFEST", help="sounds that are added to some items (default: none)")
    parser.add_argument("--items", type=int, default=12000, metavar="N", help="to fit to (default: 12000)")
    parser.add_argument("--seconds", type=float, default=6.0, metavar="S", help="of an item (default: 6)")
    parser.add_argument("--dims", type=int, default=250, metavar="N", help="of the projection (default: 250)")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="weights file to write")
    parser.add_argument("--lineage", type=Path, metavar="JSON", help="licence, lineage and scores of that file")
    return run_program(parser, run, arguments)


if __name__ == "__main__":
    sys.exit(main())
