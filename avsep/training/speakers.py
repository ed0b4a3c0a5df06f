"""Fits the weights of `VoiceStatistics`, which tells whose voice it is, to the speakers of a corpus.

    python -m avsep.training.speakers data/speech/manifest.tsv -o voice.safetensors [--noise data/sounds/manifest.tsv]

Each item is a speaker of the split train, in a room, through a filter, under noise or as he was recorded: what differs
between the items of one speaker is to count little, what differs between speakers much. Prints how often two items of
speakers of the split dev are told apart: the equal error rate, and the cosine at which it is reached.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import scipy.linalg
import torch

from avsep.checkpoint import save_model
from avsep.data.casts import Speakers
from avsep.data.degradation import Degradation, Noise
from avsep.data.filters import BandLimit, Equaliser
from avsep.data.mixtures import Mixtures
from avsep.data.recipe import Recipe
from avsep.data.rooms import DecayRooms
from avsep.data.scene import SimulatedScene
from avsep.export.weights import About, read_about
from avsep.models.voice_statistics import VoiceStatistics
from avsep.training.program import program_parser, run_program

SHRINK = 0.1
"""Part of a statistic's own variance that is added to what one speaker varies, so that few items do not mislead."""


def items(voices: str, split: str, noise: str | None, seconds: float, seed: int) -> Mixtures:
    """One speaker at a time, changed as a recording may be."""
    scene = SimulatedScene(filters=[Equaliser(0.7), BandLimit(0.3)], room=DecayRooms(0.4))
    changes: list[Degradation] = [Noise(noise, 0.4, (5.0, 30.0), split)] if noise else []
    recipe = Recipe(Speakers(voices, (1, 1), split), seconds, scene, degradation=changes)
    return Mixtures(recipe, seed=seed)


@torch.inference_mode()
def measured(model: VoiceStatistics, data: Mixtures, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Statistics (items, n) and the number of each one's speaker (items,)."""
    found, speakers = [], []
    for number in range(count):
        item = data[number]
        found.append(model.statistics(torch.as_tensor(item["mixture"])[:1])[0].double().numpy())
        speakers.append(int(item["labels"][0]))
    return np.stack(found), np.array(speakers)


def fit(model: VoiceStatistics, statistics: np.ndarray, speakers: np.ndarray) -> None:
    """Linear discriminant analysis of (items, n) with the speaker of each; speakers with one item tell nothing of how
    one varies."""
    mean, scale = statistics.mean(0), statistics.std(0) + 1e-6
    x = (statistics - mean) / scale
    names, owner = np.unique(speakers, return_inverse=True)
    centres = np.stack([x[owner == n].mean(0) for n in range(len(names))])
    counts = np.bincount(owner)
    own = x - centres[owner]
    within = own.T @ own / max(1, len(x) - len(names))
    between = np.cov(centres[counts > 1].T)
    _, vectors = scipy.linalg.eigh(between, within + SHRINK * np.eye(len(within)))
    best = vectors[:, ::-1][:, : model.projection.shape[1]]
    for name, value in (("mean", mean), ("scale", scale), ("projection", best)):
        getattr(model, name).copy_(torch.from_numpy(value.copy()))


def equal_error(embeddings: np.ndarray, speakers: np.ndarray) -> tuple[float, float]:
    """The rate at which as many pairs of one speaker are refused as pairs of two are taken for one, and the cosine at
    which that is: embeddings (items, dims) of length 1, speakers (items,)."""
    first, second = np.triu_indices(len(speakers), 1)
    cosines = (embeddings @ embeddings.T)[first, second]
    same = speakers[first] == speakers[second]
    own, others = np.sort(cosines[same]), np.sort(cosines[~same])
    at = np.concatenate([own, others])
    refused = np.searchsorted(own, at) / len(own)
    taken = 1 - np.searchsorted(others, at) / len(others)
    best = int(np.abs(refused - taken).argmin())
    return float(refused[best] + taken[best]) / 2, float(at[best])


def run(options: argparse.Namespace) -> None:
    about = read_about(options.lineage) if options.lineage else About()
    model = VoiceStatistics(dims=options.dims).eval()
    train = items(options.voices, "train", options.noise, options.seconds, 0)
    fit(model, *measured(model, train, options.items))
    found, speakers = measured(model, items(options.voices, "dev", options.noise, options.seconds, 1), 400)
    with torch.inference_mode():
        made = ((torch.from_numpy(found).float() - model.mean) / model.scale) @ model.projection
    rate, cosine = equal_error(torch.nn.functional.normalize(made, dim=1).numpy(), speakers)
    print(json.dumps({"equal_error_rate": round(rate, 4), "cosine": round(cosine, 3)}))
    if options.output:
        save_model(options.output, model, options.output.stem, about.licence, about.lineage, about.scores)


def main(arguments: list[str] | None = None) -> int:
    parser = program_parser("speakers", __doc__)
    parser.add_argument("voices", metavar="MANIFEST", help="manifest.tsv or packed folder, with the splits train, dev")
    parser.add_argument("--noise", metavar="MANIFEST", help="sounds that are added to some items (default: none)")
    parser.add_argument("--items", type=int, default=8000, metavar="N", help="to fit to (default: 8000)")
    parser.add_argument("--seconds", type=float, default=4.0, metavar="S", help="of an item (default: 4)")
    parser.add_argument("--dims", type=int, default=96, metavar="N", help="of an embedding (default: 96)")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="weights file to write")
    parser.add_argument("--lineage", type=Path, metavar="JSON", help="licence, lineage and scores of that file")
    return run_program(parser, run, arguments)


if __name__ == "__main__":
    sys.exit(main())
