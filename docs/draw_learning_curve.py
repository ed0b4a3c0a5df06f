"""Draws SI-SNRi in validation over training steps, a line for each run, however often it was resumed.

    python docs/draw_learning_curve.py OUT.png LABEL=RUN [LABEL=RUN ...]

Needs matplotlib (pip install "avsep[train]").
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt


def main(target: Path, runs: dict[str, Path]) -> None:
    figure, axes = plt.subplots(figsize=(8, 3.2), layout="constrained")
    axes.set_prop_cycle(color=plt.colormaps["tab20"].colors)
    for label, run in runs.items():
        points = validations(run)
        axes.plot(points.keys(), points.values(), marker="o", markersize=3, label=label)
    axes.set(xlabel="step", ylabel="SI-SNRi in validation (dB)")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", fontsize="small")
    figure.savefig(target, dpi=130)


def validations(run: Path) -> dict[int, float]:
    """Steps and SI-SNRi of a run's folder; what a restart did again counts as it came out last."""
    points: dict[int, float] = {}
    for table in sorted(run.glob("logs/version_*/metrics.csv"), key=lambda path: path.stat().st_mtime):
        with table.open() as file:
            points |= {
                int(row["step"]) + 1: float(row["si_snri"]) for row in csv.DictReader(file) if row.get("si_snri")
            }
    return dict(sorted(points.items()))


if __name__ == "__main__":
    main(Path(sys.argv[1]), {label: Path(run) for label, run in (part.split("=", 1) for part in sys.argv[2:])})
