"""The network that tells a mouth from what hides it, with folds over speakers.

    python -m avsep.training.visibility FACES [FACES ...] [-o mouth.safetensors --lineage mouth.json]

FACES are folders of preprocessing.grid or preprocessing.extract_lips. Every speaker is held out once, a third of them
at a time: the log odds of the crops held out give the figures that are printed (JSON), and slope and bias of a logistic
fit, which the network of all speakers is given.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from avsep.checkpoint import save_model
from avsep.data.hidden_mouths import batch
from avsep.data.talking import read_faces
from avsep.export.weights import About, read_about
from avsep.models.mouth_visibility import MouthVisibility
from avsep.training.calibrate import fit_logistic
from avsep.training.program import program_parser, run_program

SIZE = 64
EVERY = 3
"""Of the pictures of a clip one in so many is used: neighbours show the same."""

Crops = Mapping[str, Sequence[np.ndarray]]
"""Crops (LIP_SIZE, LIP_SIZE) uint8 by speaker."""


def even(crops: Crops, speakers: Sequence[str]) -> list[np.ndarray]:
    """As many crops of each speaker, those of few more than once."""
    most = max(len(crops[speaker]) for speaker in speakers)
    return [crops[speaker][n % len(crops[speaker])] for speaker in speakers for n in range(min(most, 100))]


def train(crops: Sequence[np.ndarray], steps: int, seed: int) -> MouthVisibility:
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = MouthVisibility().train()
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, steps)
    for _ in range(steps):
        pictures, visible = batch(crops, SIZE, rng)
        optimizer.zero_grad()
        F.binary_cross_entropy_with_logits(model(pictures), visible).backward()
        optimizer.step()
        schedule.step()
    return model.eval()


@torch.inference_mode()
def held_out_odds(model: MouthVisibility, crops: Sequence[np.ndarray], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Log odds of crops whose mouth is to be seen, and of such whose mouth is not."""
    rng = np.random.default_rng(seed)
    made = [batch(crops, SIZE, rng) for _ in range(12)]
    odds = torch.cat([model(pictures) for pictures, _ in made]).numpy()
    visible = torch.cat([v for _, v in made]).numpy() > 0.5
    return odds[visible], odds[~visible]


def cross_validate(crops: Crops, steps: int, folds: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Log odds of held-out speakers' crops: with the mouth to be seen, and not."""
    speakers = sorted(crops)
    found = []
    for fold in range(folds):
        out = speakers[fold::folds]
        model = train(even(crops, [s for s in speakers if s not in out]), steps, fold)
        found.append(held_out_odds(model, even(crops, out), 100 + fold))
    seen, hidden = zip(*found, strict=True)
    return np.concatenate(seen), np.concatenate(hidden)


def scale_odds(model: MouthVisibility, slope: float, bias: float) -> None:
    """Make the network's log odds slope * odds + bias."""
    with torch.no_grad():
        model.head.weight.mul_(slope)
        model.head.bias.mul_(slope).add_(bias)


def run(options: argparse.Namespace) -> None:
    about = read_about(options.lineage) if options.lineage else About()
    crops: dict[str, list[np.ndarray]] = {}
    for corpus in read_faces(options.faces, ()):
        for speaker, lips, _ in corpus.clips:
            crops.setdefault(speaker, []).extend(lips[::EVERY])
    seen, hidden = cross_validate(crops, options.steps)
    slope, bias = fit_logistic(seen, hidden)
    ranks = np.searchsorted(np.sort(hidden), seen) / len(hidden)
    right = [float((slope * seen + bias > 0).mean()), float((slope * hidden + bias < 0).mean())]
    print(json.dumps({"auc": round(float(ranks.mean()), 4), "right": right, "slope": slope, "bias": bias}))
    if options.output:
        model = train(even(crops, sorted(crops)), options.steps, 0)
        scale_odds(model, slope, bias)
        save_model(options.output, model, options.output.stem, about.licence, about.lineage, about.scores)


def main(arguments: list[str] | None = None) -> int:
    parser = program_parser("visibility", __doc__)
    parser.add_argument("faces", nargs="+", metavar="FACES")
    parser.add_argument("--steps", type=int, default=1500, metavar="N", help="of each training (default: 1500)")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="weights file to write")
    parser.add_argument("--lineage", type=Path, metavar="JSON", help="licence, lineage and scores of that file")
    return run_program(parser, run, arguments)


if __name__ == "__main__":
    sys.exit(main())
