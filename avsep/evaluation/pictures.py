"""Pictures for a paper: how SI-SDRi is spread, how it depends on the input and on the classes, and spectrograms from
best to worst."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from avsep.evaluation.channels import Channels, compared
from avsep.evaluation.masks import UNPROCESSED, spectrogram_db
from avsep.evaluation.pairs import Pair, pairs
from avsep.evaluation.score import ESTIMATE, Row
from avsep.evaluation.summary import bootstrap
from avsep.evaluation.trial import TrialSource

SPREAD, BY_INPUT, SPECTROGRAMS = "si_sdri.png", "si_sdri_by_input.png", "spectrograms.png"
BY_PAIR = "si_sdri_by_pair.png"

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#6E6E6E"
"""Told apart by every eye, and in grey (Okabe and Ito, 2008)."""
RANGE_DB = 60
"""What the spectrograms show below the loud bins of the mixture."""
LOUD_PERCENT = 99.9
"""Where 0 dB lies among the mixture's bins: its very loudest may be a hum or a click."""
MOST_CLASSES = 30
"""In the picture of pairs; of more, those with the most sources."""
STYLE: dict[Any, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "legend.frameon": False,
    "savefig.dpi": 300,
    "figure.constrained_layout.use": True,
}


def draw(
    folder: Path, rows: Sequence[Row], trials: Sequence[TrialSource], seed: int = 0, channels: Channels = "auto"
) -> list[str]:
    """Write the pictures into `folder` and return their names; none where no source has an SI-SDRi, that of the pairs
    where sources have classes. trials: of the same evaluation, to read those that are shown again; channels: those that
    were compared."""
    import matplotlib

    shown = [row for row in rows if row.system == ESTIMATE and math.isfinite(row.figures.get("si_sdri", math.nan))]
    if not shown:
        return []
    found = pairs(shown)
    with matplotlib.rc_context(STYLE):
        _save(_spread(rows, shown, seed), folder / SPREAD)
        _save(_by_input(shown), folder / BY_INPUT)
        _save(_spectrograms(shown, {trial.id: trial for trial in trials}, channels), folder / SPECTROGRAMS)
        if found:
            _save(_by_pair(found), folder / BY_PAIR)
    return [SPREAD, BY_INPUT, SPECTROGRAMS, *([BY_PAIR] if found else [])]


def _figure(width: float, height: float) -> Any:
    """Inches. A canvas of its own: no window system, no state shared with the caller's figures."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Any, path: Path) -> None:
    figure.savefig(path)


def _spread(rows: Sequence[Row], shown: Sequence[Row], seed: int) -> Any:
    """A histogram of the estimates over a box for each system: median, quartiles, whiskers to 5 and 95 %."""
    values = _column(shown, "si_sdri")
    systems = [name for name in dict.fromkeys(row.system for row in rows) if name not in (ESTIMATE, UNPROCESSED)]
    boxes = [(ESTIMATE, values)]
    boxes += [(name, _column([row for row in rows if row.system == name], "si_sdri")) for name in systems]

    figure = _figure(3.5, 2.5 + 0.17 * len(boxes))
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[1.9, 0.35 + 0.17 * len(boxes)])
    width = _bin_width(values)
    edges = np.arange(math.floor(values.min() / width), math.floor(values.max() / width) + 2) * width
    upper.hist(values, edges, color=BLUE, edgecolor="white", linewidth=0.4)
    mean, interval = values.mean(), bootstrap(values, [row.mixture for row in shown], seed)
    if interval:
        upper.axvspan(*interval, color=ORANGE, alpha=0.2, linewidth=0, zorder=0)
    text = f"mean {mean:.1f} dB" + (f"\n95 %: {interval[0]:.1f} to {interval[1]:.1f} dB" if interval else "")
    upper.axvline(mean, color=ORANGE, linewidth=1.2, label=text)
    upper.set_ylabel("number of sources")
    upper.yaxis.get_major_locator().set_params(integer=True)
    upper.legend(loc="upper left" if not systems and mean > np.mean(edges[[0, -1]]) else "upper right", handlelength=1)
    lower.boxplot(
        [found for _, found in boxes],
        orientation="horizontal",
        whis=(5, 95),
        widths=0.55,
        showfliers=False,
        patch_artist=True,
        boxprops={"facecolor": "#DCE9F2", "linewidth": 0.6},
        medianprops={"color": BLUE, "linewidth": 1.2},
        whiskerprops={"linewidth": 0.6},
        capprops={"linewidth": 0.6},
    )
    lower.set_yticks(range(1, len(boxes) + 1), [name if name == ESTIMATE else f"oracle {name}" for name, _ in boxes])
    lower.invert_yaxis()
    lower.set_xlabel("SI-SDR improvement (dB)")
    return figure


def _by_input(shown: Sequence[Row]) -> Any:
    """A point a source, and the mean in bins of the input that hold a tenth of the sources or more."""
    x, y = _column(shown, "input_si_sdr"), _column(shown, "si_sdri")
    missing = np.array([row.status == "missing" for row in shown])
    figure = _figure(3.5, 2.6)
    axes = figure.subplots()
    axes.axhline(0, color=GREY, linewidth=0.6, linestyle=":")
    size, alpha = (14, 0.7) if len(x) < 300 else (5, 0.35)
    axes.scatter(x[~missing], y[~missing], s=size, color=BLUE, alpha=alpha, linewidth=0, label="source")
    if missing.any():
        axes.scatter(x[missing], y[missing], s=14, color=GREY, marker="x", linewidth=0.8, label="no estimate")
    centres, means = _bin_means(x, y)
    if len(centres) > 1:
        axes.plot(centres, means, color=ORANGE, linewidth=1.3, marker="s", markersize=3, label="mean of each fifth")
    axes.set_xlabel("input SI-SDR (dB)")
    axes.set_ylabel("SI-SDR improvement (dB)")
    axes.legend(loc="best", handletextpad=0.4)
    return figure


def _by_pair(found: Sequence[Pair]) -> Any:
    """A cell for each class of source and class beside it, the hardest classes first; white where there is no such
    mixture."""
    counts: dict[str, int] = {}
    sums: dict[str, float] = {}
    for pair in found:
        counts[pair.label] = counts.get(pair.label, 0) + pair.n
        sums[pair.label] = sums.get(pair.label, 0.0) + pair.n * pair.si_sdri
    most = sorted(counts, key=lambda label: -counts[label])[:MOST_CLASSES]
    classes = sorted(most, key=lambda label: sums[label] / counts[label])
    cells = np.full((len(classes), len(classes)), np.nan)
    for pair in found:
        if pair.label in classes and pair.beside in classes:
            cells[classes.index(pair.label), classes.index(pair.beside)] = pair.si_sdri
    side = 1.6 + 0.36 * len(classes)
    figure = _figure(side + 0.7, side)
    axes = figure.subplots()
    image = axes.imshow(cells, cmap="viridis")
    middle = (np.nanmin(cells) + np.nanmax(cells)) / 2
    for (line, column), value in np.ndenumerate(cells):
        if np.isfinite(value):
            colour = "white" if value <= middle else "black"
            text = f"{value:.1f}".replace("-", "\N{MINUS SIGN}")
            axes.text(column, line, text, ha="center", va="center", fontsize=6, color=colour)
    axes.set_xticks(range(len(classes)), classes, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(classes)), classes)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("mixed with")
    axes.set_ylabel("class of the source")
    figure.colorbar(image, ax=axes, label="mean SI-SDR improvement (dB)", shrink=0.8, pad=0.02)
    return figure


def _spectrograms(shown: Sequence[Row], trials: Mapping[str, TrialSource], channels: Channels) -> Any:
    """Mixture, reference and estimate of the best, the median and the worst source."""
    ranked = sorted(shown, key=lambda row: -row.figures["si_sdri"])
    picks = {"best": ranked[0], "median": ranked[len(ranked) // 2], "worst": ranked[-1]}
    if len(ranked) < 3:
        picks = {"best": ranked[0]} if len(ranked) == 1 else {"best": ranked[0], "worst": ranked[-1]}
    figure = _figure(7.0, 0.6 + 1.75 * len(picks))
    grid = figure.subplots(len(picks), 3, squeeze=False, sharey="row")
    image = None
    for line, (what, row) in zip(grid, picks.items(), strict=True):
        trial = trials[row.mixture].load()
        mixture, references, estimates = compared(trial, channels)
        reference = references[trial.reference_names.index(row.source)]
        got = mixture
        if row.status == "separated":
            got = estimates[trial.estimate_names.index(row.estimate)]
            got = got * np.linalg.norm(reference) / np.linalg.norm(got)  # SI-SDR leaves the level open
        top = np.percentile(spectrogram_db(mixture, trial.sample_rate), LOUD_PERCENT)
        gain = "SI-SDRi " + f"{row.figures['si_sdri']:.1f} dB".replace("-", "\N{MINUS SIGN}")
        titles = [f"{what}: mixture {row.mixture}", f"reference {row.source}", f"estimate, {gain}"]
        if row.status != "separated":
            titles[2] = f"no estimate (mixture), {gain}"
        for axes, signal, title in zip(line, (mixture, reference, got), titles, strict=True):
            image = axes.imshow(
                spectrogram_db(signal, trial.sample_rate) - top,
                origin="lower",
                aspect="auto",
                extent=(0, trial.seconds, 0, trial.sample_rate / 2000),
                vmin=-RANGE_DB,
                vmax=0,
                cmap="magma",
            )
            axes.set_title(_short(title))
        line[0].set_ylabel("frequency (kHz)")
    for axes in grid[-1]:
        axes.set_xlabel("time (s)")
    figure.colorbar(image, ax=grid, label="level (dB re loud bins of the mixture)", shrink=0.8, pad=0.01)
    return figure


def _column(rows: Sequence[Row], column: str) -> np.ndarray:
    values = np.array([row.figures.get(column, math.nan) for row in rows], float)
    return values[np.isfinite(values)]


def _bin_width(values: np.ndarray) -> float:
    """A round number of dB that gives about ten to twenty bars."""
    spread = float(values.max() - values.min())
    return next((width for width in (0.25, 0.5, 1.0, 2.0, 5.0) if spread / width <= 20), 10.0)


def _bin_means(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means of five groups of equal size along x; none for fewer than five points each."""
    if len(x) < 25:
        return np.empty(0), np.empty(0)
    groups = np.array_split(np.argsort(x, kind="stable"), 5)
    return np.array([x[g].mean() for g in groups]), np.array([y[g].mean() for g in groups])


def _short(title: str, most: int = 34) -> str:
    return title if len(title) <= most else f"{title[: most - 1]}…"
