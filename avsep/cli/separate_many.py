"""`avsep separate` over many clips in several processes or on a cluster. Each process loads the models once."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from avsep.checkpoint import find_weights
from avsep.cli.inputs import Input
from avsep.cli.overall import Overall
from avsep.cli.tally import Tally
from avsep.jobs.engine import Engine, cores
from avsep.jobs.outcome import Outcome
from avsep.jobs.run import finished, outcomes
from avsep.output.checksums import files_named
from avsep.output.exchange import settle_stale
from avsep.output.ownership import SEPARATION
from avsep.output.workspace import result_folder
from avsep.pipeline import Options, Separator
from avsep.results.result import MANIFEST
from avsep.storage.documents import read_json

if TYPE_CHECKING:
    from avsep.cli.separate import Job


@dataclass(frozen=True)
class Order:
    """A clip to separate. place: where below the output its folder goes; text, as it is no file that is read. beside:
    the other files that the result depends on, such as the weights."""

    clip: Path
    place: str
    beside: tuple[Path, ...]


class Separated(NamedTuple):
    """Where the results are. By their manifest it is known whether they are still those of this run."""

    folder: Path
    manifest: Path


@functools.cache
def _separator(model: str | None, device: str, threads: int | None) -> Separator:
    """Once a process."""
    return Separator(model, device=device, threads=threads)


def separate_clip(
    order: Order,
    output: Path,
    options: Options,
    model: str | None,
    device: str,
    threads: int | None,
    overwrite: bool = False,
) -> Separated:
    """Separate one clip. Raises AvsepError."""
    separator, place = _separator(model, device, threads), output / order.place
    separator.separate(order.clip, place, replace(options, overwrite=overwrite))
    folder = result_folder(place, order.clip)
    return Separated(folder, folder / MANIFEST)


class Many:
    """The clips of one call. Raises WeightsError where a model is unknown, before anything is read.

    clips: how many at most. threads: of each process; by default the cores are shared out. Those of a cluster have one
    each.
    """

    def __init__(
        self,
        output: Path,
        options: Options,
        engine: Engine,
        clips: int,
        *,
        model: str | None,
        device: str,
        threads: int | None,
    ) -> None:
        if threads is None and engine.cluster is None:
            threads = max(1, cores() // max(1, min(engine.count, clips)))
        weights = [find_weights(name) for name in (model, options.residual) if name]
        self._beside = (*weights, *files_named(options).values())
        self._output, self._engine, self._again = output, engine, options.overwrite
        self._work: Callable[[Order], Separated] = functools.partial(
            separate_clip,
            output=output,
            options=replace(options, overwrite=False),
            model=model,
            device=device,
            threads=threads,
            overwrite=options.overwrite,
        )

    def finished(self, inputs: Sequence[Input]) -> set[Path]:
        """The clips that an earlier run separated in just this way, with its results still there."""
        if self._again:
            return set()
        orders = {str(each.path): self._order(each.path, each.place) for each in inputs if each.error is None}
        return {Path(name) for name in finished(orders, self._work, self._output)}

    def _order(self, clip: Path, place: Path) -> Order:
        return Order(clip, str(place), self._beside)

    def run(self, jobs: Sequence[Job], tally: Tally, bar: Overall, keep_going: bool) -> int:
        """Separate the clips and tell what came of each as it comes; returns the exit code."""
        named = {str(job.clip): job for job in jobs}
        orders = {name: self._order(job.clip, job.output.relative_to(self._output)) for name, job in named.items()}
        exit_code, left = 0, set(named)
        found = outcomes(orders, self._work, self._output, self._engine, again=self._again, tidy=False)
        try:
            with closing(found):  # type: ignore[type-var]
                for outcome in found:
                    job = named[outcome.id]
                    bar.done(job.info.duration_seconds)
                    if outcome.state == "done":
                        left.discard(outcome.id)
                    if not _tell(job, outcome, tally):
                        exit_code = 1 if keep_going else outcome.exit_code
                        if not keep_going:
                            break
        finally:
            for name in left:  # whose process may have been killed
                settle_stale(named[name].target.absolute(), SEPARATION, tally.terminal.say)
        return exit_code


def _tell(job: Job, outcome: Outcome, tally: Tally) -> bool:
    """Tell what came of a clip; returns whether it has results."""
    if outcome.state == "done":
        file = job.target / MANIFEST
        try:
            manifest = read_json(file)
        except (OSError, ValueError) as error:
            reason = f"{file}: cannot be read ({error}). Separate {job.clip} again with --overwrite"
        else:
            tally.separated(job.clip, job.target, manifest, before=outcome.earlier)
            return True
    else:
        reason = outcome.reason if outcome.state == "skipped" else f"{job.clip}: {outcome.reason}"
    tally.failed(job.clip, reason)
    return False
