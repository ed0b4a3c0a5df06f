"""One synchrony network of one or several trainings, with log odds that fit: slope and bias of `Synchrony`.

    python -m avsep.training.calibrate CONFIG CHECKPOINT [CHECKPOINT ...] [-o sync.safetensors --lineage sync.json]

Several are joined (avsep/models/synchrony_ensemble.py). Windows of the speakers that CONFIG holds out, augmented as in
training, give correlations of faces with their own voice and with the same voice at another time; a logistic
regression turns them into log odds. Prints JSON. With -o the model is written, with the slope and bias that the
lineage's "values" set, else with those found here.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize

from avsep.checkpoint import save_model
from avsep.errors import AvsepError, WeightsError
from avsep.export.trained import read_trained
from avsep.models.synchrony import Synchrony
from avsep.models.synchrony_ensemble import join


def fit_logistic(own: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """Slope and bias of the log odds that a correlation is of a face with its own voice; both kinds weigh the same."""

    def loss(parameters: np.ndarray) -> float:
        slope, bias = parameters
        return float(np.logaddexp(0, -(slope * own + bias)).mean() + np.logaddexp(0, slope * other + bias).mean())

    slope, bias = minimize(loss, np.array([10.0, -2.0]), method="Nelder-Mead").x
    return float(slope), float(bias)


@torch.inference_mode()
def correlations(model: Synchrony, data: Any, batches: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """Correlations with the own voice and with the own voice at another time: (windows,) each."""
    from avsep.training.synchrony import centred

    own, other = [], []
    size = 24
    for start in range(0, batches * size, size):
        items = [data[i] for i in range(start, start + size)]
        seen = centred(model.lips(torch.stack([i["lips"] for i in items])))
        heard = centred(model.voice(torch.stack([i["audio"] for i in items])))
        moved = centred(model.voice(torch.stack([i["shifted"] for i in items])))
        own.append((seen * heard).sum(1))
        other.append((seen * moved).sum(1))
    return torch.cat(own).numpy(), torch.cat(other).numpy()


def read_models(checkpoints: Sequence[Path], config: Path) -> tuple[list[Synchrony], dict[str, Any]]:
    """The networks and the arguments of their data. Raises WeightsError for other models."""
    trained = [read_trained(checkpoint, config) for checkpoint in checkpoints]
    for one, checkpoint in zip(trained, checkpoints, strict=True):
        if not isinstance(one.model, Synchrony):
            raise WeightsError(f"{checkpoint} holds a {type(one.model).__name__}; only a Synchrony can be calibrated.")
    return [one.model for one in trained if isinstance(one.model, Synchrony)], trained[0].config["data"]["init_args"]


def run(options: argparse.Namespace) -> None:
    from avsep.data.corpus import Corpus
    from avsep.data.talking import TalkingWindows, read_faces
    from avsep.export.weights import About, read_about

    about = read_about(options.lineage) if options.lineage else About()
    models, data = read_models(options.checkpoints, options.config)
    corpora = read_faces(data["faces"], data["held_out"])
    windows = TalkingWindows(corpora, Corpus(data["speech"], "dev"), 10_000, data["held_out"], seed=7)
    model = models[0]
    if len(models) > 1:
        examples = [windows[number] for number in range(48)]
        model = join(models, *(torch.stack([item[key] for item in examples]) for key in ("lips", "audio")))
    own, other = correlations(model, windows)
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
                "own_above_other": round(float((own > other).mean()), 3),
            }
        )
    )
    if options.output:
        model.slope.data.fill_(about.values.get("slope", slope))
        model.bias.data.fill_(about.values.get("bias", bias))
        save_model(options.output, model, options.output.stem, about.licence, about.lineage, about.scores)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m avsep.training.calibrate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("config", type=Path, metavar="CONFIG", help="the YAML they were trained with")
    parser.add_argument("checkpoints", type=Path, nargs="+", metavar="CHECKPOINT")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="weights file to write")
    parser.add_argument("--lineage", type=Path, metavar="JSON", help="licence, lineage, scores and values of that file")
    try:
        run(parser.parse_args(arguments))
    except AvsepError as error:
        print(f"calibrate: error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
