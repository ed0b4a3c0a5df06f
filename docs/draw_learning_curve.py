"""Draws SI-SNRi in validation over training steps from the metrics.csv of one run, however often it was resumed.

    python docs/draw_learning_curve.py OUT.png RUN/logs/*/metrics.csv

Needs matplotlib (pip install "avsep[train]").
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

COLUMNS = ("si_snri", "si_sdr_i")
"""Today's name and the one of the first runs."""


def main(target: Path, tables: list[Path]) -> None:
    points: dict[int, float] = {}
    for table in tables:
        with table.open() as file:
            for row in csv.DictReader(file):
                value = next((row[name] for name in COLUMNS if row.get(name)), "")
                if value:
                    points[int(row["step"]) + 1] = float(value)
    steps = sorted(points)
    figure, axes = plt.subplots(figsize=(6, 3.2), layout="constrained")
    axes.plot(steps, [points[step] for step in steps], marker="o", color="#1b9e77")
    axes.set(xlabel="step", ylabel="SI-SNRi of held-out speakers (dB)")
    axes.grid(alpha=0.3)
    figure.savefig(target, dpi=130)


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
