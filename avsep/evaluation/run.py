"""All trials, in one process or several; rows come out in the order of the trials, whatever the number."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import TYPE_CHECKING

from avsep.evaluation.score import DEFAULT, ESTIMATE, Row, Scoring, score
from avsep.evaluation.trial import Trial, TrialSource
from avsep.signals import ProgressHook, no_progress

if TYPE_CHECKING:
    from avsep.data.lists import MixtureSpec

STEP = "evaluation"


@dataclass
class Outcome:
    """rows: of all sources, in order; notes: what a reader of the figures should know."""

    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def evaluate(
    trials: Sequence[TrialSource], scoring: Scoring = DEFAULT, jobs: int = 1, progress: ProgressHook = no_progress
) -> Outcome:
    """Score every trial; raises the error of the first that fails.

    jobs: processes that score. Mixtures that a model separates are separated here, one after the other, and scored
    there. progress counts seconds of mixtures.
    """
    outcome = Outcome()
    total, done = sum(trial.seconds for trial in trials), 0.0
    cut: list[int] = []
    scored = _in_turn(trials, scoring) if jobs == 1 else _in_processes(trials, scoring, jobs)
    for trial, (rows, trimmed) in zip(trials, scored, strict=True):
        outcome.rows += rows
        cut += [trimmed] if trimmed else []
        done += trial.seconds
        progress(STEP, done, total)
    outcome.notes += _notes(outcome.rows, cut) + _recorded([getattr(trial, "spec", None) for trial in trials])
    return outcome


def _work(given: TrialSource | Trial, scoring: Scoring) -> tuple[list[Row], int]:
    trial = given if isinstance(given, Trial) else given.load()
    return score(trial, scoring), trial.trimmed


def _in_turn(trials: Sequence[TrialSource], scoring: Scoring) -> Iterator[tuple[list[Row], int]]:
    for trial in trials:
        yield _work(trial, scoring)


def _in_processes(trials: Sequence[TrialSource], scoring: Scoring, jobs: int) -> Iterator[tuple[list[Row], int]]:
    # Spawned: this process may hold threads of torch or a GPU, which a fork would break.
    pool = ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_be_a_worker)
    waiting: deque[Future] = deque()
    try:
        for trial in trials:
            if len(waiting) >= 2 * jobs:  # no more signals in memory than keep everybody busy
                yield waiting.popleft().result()
            waiting.append(pool.submit(_work, trial if trial.portable else trial.load(), scoring))
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _be_a_worker() -> None:
    """One thread each, and Ctrl-C is the parent's business."""
    import signal

    import torch

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)


def _notes(rows: Sequence[Row], cut: Sequence[int]) -> list[str]:
    mine = [row for row in rows if row.system == ESTIMATE]
    notes = []
    if cut:
        times = counted(len(cut), "mixture")
        notes.append(f"estimates of {times} were cut to fit their references, by {max(cut)} samples at most")
    if missing := sum(row.status == "missing" for row in mine):
        notes.append(
            f"no estimate, or a silent one, of {counted(missing, 'source')}: the mixture stands in, 0 dB gained"
        )
    if still := sum(row.status == "silent" for row in mine):
        notes.append(f"{counted(still, 'silent reference')}: no figure but the attenuation")
    unheard = sum(row.status == "separated" and math.isnan(row.figures.get("pesq", 0.0)) for row in mine)
    if unheard:
        notes.append(f"PESQ found no speech in {counted(unheard, 'source')}")
    return notes


def _recorded(specs: Sequence[MixtureSpec | None]) -> list[str]:
    """What a test list does to the references of mixtures that were recorded."""
    recorded = [spec for spec in specs if spec is not None and spec.recording is not None]
    voices = [part for spec in recorded for part in spec.voices]
    if not voices:
        return []
    delays = [-1000 * part.start_seconds for part in voices]
    gains = [20 * math.log10(max(abs(part.gain), 1e-5)) for part in voices]
    return [
        f"references of {counted(len(recorded), 'recorded mixture')} were moved by {min(delays):.1f} to "
        f"{max(delays):.1f} ms and scaled by {min(gains):.1f} to {max(gains):.1f} dB, as the list says"
    ]


def counted(number: int, noun: str) -> str:
    """1 source, 2 sources."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
