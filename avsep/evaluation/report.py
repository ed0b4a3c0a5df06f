"""What an evaluation leaves behind: results.csv, summary.json and, on a terminal, a small table."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from avsep.evaluation.figures import FIGURES, columns
from avsep.evaluation.run import counted
from avsep.evaluation.score import ESTIMATE, Row

CSV, JSON = "results.csv", "summary.json"

NOT_SHOWN = ("input_snr", "input_sdr")
"""Left out of the table: they follow from the others."""


def write_csv(path: Path, rows: Sequence[Row], groups: Sequence[str]) -> None:
    """A row for each source and system; a figure there is none of is empty, figures have 4 decimals."""
    shown = columns(groups)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(
            [
                "mixture",
                "source",
                "system",
                "estimate",
                "status",
                "own",
                "seconds",
                "sample_rate",
                "label",
                "estimate_label",
                *shown,
            ]
        )
        for row in rows:
            values = (row.figures.get(column, math.nan) for column in shown)
            writer.writerow(
                [
                    row.mixture,
                    row.source,
                    row.system,
                    row.estimate,
                    row.status,
                    "" if row.own is None else int(row.own),
                    f"{row.seconds:.3f}",
                    row.sample_rate,
                    row.label,
                    row.estimate_label,
                    *("" if math.isnan(value) else f"{value:.4f}" for value in values),
                ]
            )


def write_json(path: Path, summary: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(summary, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def table(summary: Mapping[str, Any]) -> str:
    """The figures of the estimates, a line each, and beside them the means of the oracles."""
    systems = summary["systems"]
    mine = systems.get(ESTIMATE, {})
    others = [name for name in systems if name != ESTIMATE]
    head = ["", "mean", "95 % interval", "median", "n", *others]
    lines = [head]
    for key, figure in FIGURES.items():
        if key in NOT_SHOWN or not any(key in systems[name] for name in systems):
            continue
        places = 2 if figure.unit or key == "pesq" else 3
        lines.append(
            [
                f"{figure.name} ({figure.unit})" if figure.unit else figure.name,
                *_cells(mine.get(key), places),
                *(f"{s[key]['mean']:.{places}f}" if key in (s := systems[name]) else "-" for name in others),
            ]
        )
    return "\n".join([headline(summary), *aligned(lines)])


def aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    """Rows of as many cells as lines of text: the first column to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]


def headline(summary: Mapping[str, Any]) -> str:
    counts = [counted(summary["mixtures"], "mixture"), counted(summary["sources"], "source")]
    counts += [f"{summary['missing']} without estimate"] * bool(summary["missing"])
    counts += [counted(summary["silent_references"], "silent reference")] * bool(summary["silent_references"])
    own = "" if summary["own"] is None else f"; {100 * summary['own']:.1f} % closest to their own reference"
    right = "" if summary["labels_right"] is None else f"; {100 * summary['labels_right']:.1f} % labelled right"
    return ", ".join(counts) + own + right


def _cells(found: Mapping[str, Any] | None, places: int) -> list[str]:
    if found is None:
        return ["-"] * 4
    interval = "-" if found["ci95"] is None else "{:.{p}f} .. {:.{p}f}".format(*found["ci95"], p=places)
    return [f"{found['mean']:.{places}f}", interval, f"{found['median']:.{places}f}", str(found["n"])]
