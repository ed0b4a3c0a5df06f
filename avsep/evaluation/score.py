"""The figures of one trial: a row for every source, of the estimate and of each oracle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import fft

from avsep.errors import InputError
from avsep.evaluation import bss, masks, metrics, perceptual
from avsep.evaluation.channels import Channels, compared
from avsep.evaluation.figures import DEFAULT_GROUPS
from avsep.evaluation.matching import Match, match_estimates
from avsep.evaluation.trial import Trial

ESTIMATE = "estimate"
"""The system of the rows that are about the estimates; others are named after their oracle."""

SILENT_DB = -60.0
"""A reference whose energy is this far below the mixture's counts as silent: there is nothing to distort."""


@dataclass(frozen=True)
class Scoring:
    """What is computed. groups: of figures, those whose packages are there; oracles: ideal masks beside the estimates;
    match: see `matching`; mask_threshold_db: how much louder than the rest a bin's owner must be; channels: what is
    compared of signals with several, see `channels`."""

    groups: tuple[str, ...] = DEFAULT_GROUPS
    oracles: tuple[str, ...] = ()
    match: Match = "best"
    mask_threshold_db: float = 0.0
    channels: Channels = "auto"


DEFAULT = Scoring()


@dataclass
class Row:
    """One source of one trial under one system.

    status: "separated"; "missing", where there is no estimate, or a silent one, and the mixture stands in for it;
    "silent", where the reference is, and the only figure is the attenuation. estimate: its name, "" for none. own:
    whether there is an estimate and it is closer to its own reference than to any other, None where that cannot be
    said. figures: by column, NaN where there is none. label: the source's class, estimate_label: the estimate's, ""
    where there is none.
    """

    mixture: str
    source: str
    system: str
    estimate: str
    status: str
    seconds: float
    sample_rate: int
    own: bool | None = None
    figures: dict[str, float] = field(default_factory=dict)
    label: str = ""
    estimate_label: str = ""


def score(trial: Trial, scoring: Scoring = DEFAULT) -> list[Row]:
    """Rows of all sources: those of the estimates first, then those of each oracle.

    Everything but ISR is computed on one channel (`channels.compared`). Ratios are cut to +-BOUND_DB. Raises
    UsageError where estimates and references cannot be matched, InputError where ISR is asked of images with different
    channels.
    """
    mixture, references, estimates = compared(trial, scoring.channels)
    power = np.square(references, dtype=np.float64).sum(axis=-1)
    mixture_power = float(np.square(mixture, dtype=np.float64).sum())
    loud = power > max(mixture_power, float(power.max(initial=0))) * 10 ** (SILENT_DB / 10)
    audible = np.square(estimates, dtype=np.float64).sum(axis=-1) > 0

    candidates = np.concatenate([estimates, mixture[None]])
    pairs = metrics.si_sdr(candidates[None], references[:, None])
    order = match_estimates(trial, pairs, loud, scoring.match)
    before = _before(mixture, references, loud, scoring)

    rows = []
    for n, (name, k) in enumerate(zip(trial.reference_names, order, strict=True)):
        missing = k is None or not audible[k]
        status = "silent" if not loud[n] else "missing" if missing else "separated"
        row = Row(trial.id, name, ESTIMATE, "" if k is None else trial.estimate_names[k], status, trial.seconds, 0)
        if loud[n] and loud.sum() > 1:
            row.own = not missing and bool(pairs[n, k] >= pairs[loud, k].max())
        if k is not None and not missing and trial.estimate_labels:
            row.estimate_label = trial.estimate_labels[k]
        rows.append(row)
    # A missing voice is as loud as before; a missing silence is perfect.
    chosen = np.stack(
        [
            mixture if row.status == "missing" else np.zeros_like(mixture) if k is None else estimates[k]
            for row, k in zip(rows, order, strict=True)
        ]
    )
    _fill(rows, chosen, mixture, references, loud, before, trial, scoring)
    if "isr" in scoring.groups and loud.any():
        _fill_isr(rows, order, loud, trial)
    if trial.dry is not None:
        _fill_dry(rows, chosen, mixture, references, loud, trial.dry)

    for kind in scoring.oracles:
        ideal = masks.oracle(kind, references, mixture, trial.sample_rate)
        more = [
            Row(trial.id, name, kind, "", "separated" if loud[n] else "silent", trial.seconds, 0)
            for n, name in enumerate(trial.reference_names)
        ]
        _fill(more, ideal, mixture, references, loud, before, trial, scoring)
        rows += more
    labels = dict(zip(trial.reference_names, trial.reference_labels, strict=False))
    for row in rows:
        row.sample_rate, row.label = trial.sample_rate, labels.get(row.source, "")
    return rows


def _before(mixture: np.ndarray, references: np.ndarray, loud: np.ndarray, scoring: Scoring) -> dict[str, np.ndarray]:
    """The figures of the mixture, from which improvements count: name -> (sources,)."""
    before = {"si_sdr": metrics.si_sdr(mixture[None], references)}
    if "snr" in scoring.groups:
        before["snr"] = metrics.snr(mixture[None], references)
    if "sdr" in scoring.groups:
        before["sdr"] = np.full(len(references), np.nan)
        before["sdr"][loud] = _checked(bss.input_sdr, references[loud], mixture) if loud.any() else ()
    return {name: _bounded(values) for name, values in before.items()}


def _fill(
    rows: Sequence[Row],
    chosen: np.ndarray,
    mixture: np.ndarray,
    references: np.ndarray,
    loud: np.ndarray,
    before: dict[str, np.ndarray],
    trial: Trial,
    scoring: Scoring,
) -> None:
    """Figures of one system; chosen: (sources, time), one for each reference."""
    table: dict[str, np.ndarray] = {"si_sdr": metrics.si_sdr(chosen, references)}
    if "snr" in scoring.groups:
        table["snr"] = metrics.snr(chosen, references)
    if "sdr" in scoring.groups:
        table |= {key: np.full(len(rows), np.nan) for key in ("sdr", "sir", "sar")}
        if loud.any():
            values = _checked(bss.sdr_sir_sar, references[loud], chosen[loud])
            for key, value in zip(("sdr", "sir", "sar"), values, strict=True):
                table[key][loud] = value
    for n, row in enumerate(rows):
        if not loud[n]:
            row.figures["attenuation"] = float(metrics.attenuation(chosen[n], mixture))
            continue
        for key, values in table.items():
            row.figures[key] = float(_bounded(values[n]))
        for key, values in before.items():
            row.figures[f"{key}i"] = row.figures[key] - float(values[n])
            row.figures[f"input_{key}"] = float(values[n])
        row.figures |= _listened(chosen[n], references[n], mixture, trial.sample_rate, scoring)


def _listened(
    estimate: np.ndarray, reference: np.ndarray, mixture: np.ndarray, rate: int, scoring: Scoring
) -> dict[str, float]:
    figures = {}
    if "pesq" in scoring.groups:
        figures["pesq"] = perceptual.pesq(estimate, reference, rate)
    if "stoi" in scoring.groups:
        figures["stoi"] = perceptual.stoi(estimate, reference, rate, extended=False)
        figures["estoi"] = perceptual.stoi(estimate, reference, rate, extended=True)
    if "mask" in scoring.groups:
        figures["mask_precision"], figures["mask_recall"] = masks.mask_precision_recall(
            estimate, reference, mixture, rate, scoring.mask_threshold_db
        )
    return figures


def _fill_isr(rows: Sequence[Row], order: Sequence[int | None], loud: np.ndarray, trial: Trial) -> None:
    channels = trial.references.shape[1]
    if channels not in (trial.estimates.shape[1], 1) or (channels == 1) != (trial.estimates.shape[1] == 1):
        raise InputError(
            f"{trial.id}: ISR compares images of as many channels, but the references have {channels} and the "
            f"estimates {trial.estimates.shape[1]}. Give images, or leave isr out of --metrics"
        )
    images = np.stack(
        [
            trial.estimates[k] if k is not None and row.status == "separated" else _image(trial.mixture, channels)
            for row, k in zip(rows, order, strict=True)
        ]
    )
    ratios = _bounded(bss.isr(trial.references[loud], images[loud]))
    for n, value in zip(np.flatnonzero(loud), ratios, strict=True):
        rows[int(n)].figures["isr"] = float(value)


def _fill_dry(
    rows: Sequence[Row],
    chosen: np.ndarray,
    mixture: np.ndarray,
    references: np.ndarray,
    loud: np.ndarray,
    dry: np.ndarray,
) -> None:
    """SI-SDR and SDR against the dry sources (sources, time), which are moved to where they are in the references."""
    kept = loud & (np.square(dry).sum(axis=-1) > 0)
    if not kept.any():
        return
    moved = np.stack([aligned(source, to) for source, to in zip(dry[kept], references[kept], strict=True)])
    after = {"si_sdr": metrics.si_sdr(chosen[kept], moved), "sdr": _checked(bss.sdr_sir_sar, moved, chosen[kept])[0]}
    before = {"si_sdr": metrics.si_sdr(mixture[None], moved), "sdr": _checked(bss.input_sdr, moved, mixture)}
    for place, n in enumerate(np.flatnonzero(kept)):
        for key in after:
            ratio, unprocessed = float(_bounded(after[key][place])), float(_bounded(before[key][place]))
            rows[int(n)].figures |= {f"dry_{key}": ratio, f"dry_{key}i": ratio - unprocessed}


def aligned(source: np.ndarray, to: np.ndarray) -> np.ndarray:
    """A dry source (time,) moved by the lag at which it is most like its image `to` (time,), with zeros where it has
    nothing: the sound's way from the mouth to the microphone."""
    time = len(source)
    size = fft.next_fast_len(2 * time, real=True)
    likeness = fft.irfft(fft.rfft(to, size) * fft.rfft(source, size).conj(), size)
    lag = int(np.abs(likeness).argmax())
    lag -= size if lag >= size - time else 0
    out = np.zeros_like(source)
    out[max(0, lag) : time + min(0, lag)] = source[max(0, -lag) : time - max(0, lag)]
    return out


def _image(mixture: np.ndarray, channels: int) -> np.ndarray:
    return mixture if len(mixture) == channels else np.repeat(mixture.mean(axis=0, keepdims=True), channels, axis=0)


def _checked(ratio, references: np.ndarray, other: np.ndarray):
    """References of which one is another's copy leave BSS Eval without an answer: NaN, not a crash."""
    try:
        return ratio(references, other)
    except np.linalg.LinAlgError:
        nothing = np.full(len(references), np.nan)
        return nothing if ratio is bss.input_sdr else (nothing, nothing, nothing)


def _bounded(values):
    return np.clip(values, -metrics.BOUND_DB, metrics.BOUND_DB)
