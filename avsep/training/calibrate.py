"""One synchrony network of one or several trainings, with log odds that fit: slope and bias of `Synchrony`.

    python -m avsep.training.calibrate CHECKPOINT [CHECKPOINT ...] [-o sync.safetensors --lineage sync.json]

Several are joined (avsep/models/synchrony_ensemble.py). Windows of the speakers that each training held out, augmented
as in training, give that network's correlations of faces with their own voice and with the same voice at another time;
a logistic regression over all of them turns correlations into log odds. Prints JSON. With -o the model is written, with
the slope and bias that the lineage's "values" set, else with those found here.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from scipy.optimize import minimize

from avsep.checkpoint import save_model
from avsep.data.corpus import Corpus
from avsep.data.talking import TalkingWindows, read_faces
from avsep.errors import WeightsError
from avsep.export.trained import read_trained
from avsep.export.weights import About, read_about
from avsep.models.synchrony import Synchrony
from avsep.models.synchrony_ensemble import join
from avsep.training.program import program_parser, run_program
from avsep.training.synchrony import centred


def fit_logistic(own: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """Slope and bias of the log odds that a correlation is of a face with its own voice; both kinds weigh the same."""

    def loss(parameters: np.ndarray) -> float:
        slope, bias = parameters
        return float(np.logaddexp(0, -(slope * own + bias)).mean() + np.logaddexp(0, slope * other + bias).mean())

    slope, bias = minimize(loss, np.array([10.0, -2.0]), method="Nelder-Mead").x
    return float(slope), float(bias)


@torch.inference_mode()
def correlations(model: Synchrony, windows: TalkingWindows, batches: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Correlations with the own voice and with the own voice at another time: (windows,) each."""
    own, other = [], []
    size = 24
    for start in range(0, batches * size, size):
        items = [windows[i] for i in range(start, start + size)]
        face = centred(model.lips(torch.stack([i["lips"] for i in items])))
        voice = centred(model.voice(torch.stack([i["audio"] for i in items])))
        moved = centred(model.voice(torch.stack([i["shifted"] for i in items])))
        own.append((face * voice).sum(1))
        other.append((face * moved).sum(1))
    return torch.cat(own).numpy(), torch.cat(other).numpy()


def read_members(checkpoints: Sequence[Path], config: Path | None) -> list[tuple[Synchrony, TalkingWindows]]:
    """The networks, each with windows of the speakers it was not trained with. Raises WeightsError for other models."""
    members = []
    for checkpoint in checkpoints:
        trained = read_trained(checkpoint, config)
        if not isinstance(trained.model, Synchrony):
            name = type(trained.model).__name__
            raise WeightsError(f"{checkpoint} holds a {name}; only a Synchrony can be calibrated.")
        if not trained.config:
            raise WeightsError(
                f"{checkpoint}: no config.yaml beside it; give the YAML it was trained with as --config."
            )
        data = trained.config["data"]["init_args"]
        corpora = read_faces(data["faces"], data["held_out"])
        windows = TalkingWindows(corpora, Corpus(data["speech"], "dev"), 10_000, data["held_out"], seed=7)
        members.append((trained.model, windows))
    return members


def run(options: argparse.Namespace) -> None:
    about = read_about(options.lineage) if options.lineage else About()
    members = read_members(options.checkpoints, options.config)
    found = [correlations(model, windows) for model, windows in members]
    own, other = (np.concatenate(parts) for parts in zip(*found, strict=True))
    slope, bias = fit_logistic(own, other)
    percent = [5, 50, 95]
    print(
        json.dumps(
            {
                "slope": round(slope, 2),
                "bias": round(bias, 2),
                "windows": len(own),
                "own_percentiles": np.percentile(own, percent).round(3).tolist(),
                "other_percentiles": np.percentile(other, percent).round(3).tolist(),
                "own_above_other": [round(float((a > b).mean()), 3) for a, b in found],
            }
        )
    )
    if options.output:
        model, windows = members[0]
        if len(members) > 1:
            examples = [windows[number] for number in range(48)]
            lips, audio = (torch.stack([item[key] for item in examples]) for key in ("lips", "audio"))
            model = join([member for member, _ in members], lips, audio)
        model.slope.data.fill_(about.values.get("slope", slope))
        model.bias.data.fill_(about.values.get("bias", bias))
        save_model(options.output, model, options.output.stem, about.licence, about.lineage, about.scores)


def main(arguments: list[str] | None = None) -> int:
    parser = program_parser("calibrate", __doc__)
    parser.add_argument("checkpoints", type=Path, nargs="+", metavar="CHECKPOINT")
    parser.add_argument("--config", type=Path, metavar="YAML", help="of the trainings (default: the one beside each)")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="weights file to write")
    parser.add_argument("--lineage", type=Path, metavar="JSON", help="licence, lineage, scores and values of that file")
    return run_program(parser, run, arguments)


if __name__ == "__main__":
    sys.exit(main())
