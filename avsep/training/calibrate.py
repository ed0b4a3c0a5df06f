"""How much a correlation of lips and voice tells: fits slope and bias of `Synchrony` on held-out faces.

    python -m avsep.training.calibrate CHECKPOINT CONFIG

Windows of the configuration's held-out groups, augmented as in training, give correlations of faces with their own
voice and with the same voice at another time; a logistic regression turns them into log odds. Prints JSON.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize

from avsep.errors import AvsepError
from avsep.export.trained import read_trained
from avsep.models.synchrony import Synchrony


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


def main() -> None:
    from avsep.data.corpus import Corpus
    from avsep.data.talking import TalkingFaces, TalkingWindows

    if len(sys.argv) != 3:
        sys.exit(__doc__)
    try:
        trained = read_trained(Path(sys.argv[1]), Path(sys.argv[2]))
    except AvsepError as error:
        sys.exit(f"calibrate: error: {error}")
    model, options = trained.model, trained.config["data"]["init_args"]
    speech = Corpus(options["speech"], "dev")
    held, paths = options["held_out"], options["faces"]
    corpora = [TalkingFaces(path, held) for path in ([paths] if isinstance(paths, str) else paths)]
    windows = TalkingWindows(corpora, speech, 10_000, held, seed=7)
    assert isinstance(model, Synchrony)
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


if __name__ == "__main__":
    main()
