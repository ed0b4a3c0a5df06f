"""`avsep separate` over many clips in several processes or on a cluster. Each process loads the models once."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from avsep.checkpoint import find_weights
from avsep.cli import report
from avsep.cli.terminal import Terminal
from avsep.jobs.engine import Engine
from avsep.jobs.run import finished, outcomes
from avsep.output.exchange import settle_stale
from avsep.output.ownership import SEPARATION
from avsep.output.workspace import result_folder
from avsep.people.library import INDEX
from avsep.pipeline import Options, Separator
from avsep.storage.documents import read_json

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Order:
    """A clip to separate. beside: the other files that the result depends on, such as the weights."""

    clip: Path
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
    separator = _separator(model, device, threads)
    separator.separate(order.clip, output, replace(options, overwrite=overwrite))
    folder = result_folder(output, order.clip)
    return Separated(folder, folder / MANIFEST)


class Many:
    """The clips of one call. Raises WeightsError where a model is unknown, before anything is read."""

    def __init__(
        self,
        clips: Sequence[Path],
        output: Path,
        options: Options,
        engine: Engine,
        *,
        model: str | None,
        device: str,
        threads: int | None,
    ) -> None:
        weights = [find_weights(name) for name in (model, options.residual) if name]
        named = [options.turns, options.array, *options.enroll.values(), *options.target.values()]
        if options.people and not options.learn:  # what a run learns does not make its own results old
            named.append(str(Path(options.people, INDEX)))
        beside = (*weights, *(Path(name) for name in named if name and Path(name).is_file()))
        self._output, self._engine, self._again = output, engine, options.overwrite
        self._orders = {str(clip): Order(clip, beside) for clip in clips}
        self._work: Callable[[Order], Separated] = functools.partial(
            separate_clip,
            output=output,
            options=replace(options, overwrite=False),
            model=model,
            device=device,
            threads=threads,
            overwrite=options.overwrite,
        )

    def finished(self) -> set[Path]:
        """The clips that an earlier run separated in just this way, with its results still there."""
        return set() if self._again else {Path(name) for name in finished(self._orders, self._work, self._output)}

    def run(
        self,
        clips: Sequence[Path],
        terminal: Terminal,
        results: dict[Path, dict[str, Any]],
        *,
        as_json: bool,
        keep_going: bool,
    ) -> int:
        """Separate these of the clips and show what came of each as it comes; returns the exit code."""
        orders = {str(clip): self._orders[str(clip)] for clip in clips}
        exit_code, left = 0, set(clips)
        found = outcomes(orders, self._work, self._output, self._engine, again=self._again, tidy=False)
        try:
            with closing(found):  # type: ignore[type-var]
                for number, outcome in enumerate(found, 1):
                    clip = Path(outcome.id)
                    if outcome.state == "done":
                        left.discard(clip)
                        terminal.say(f"({number}/{len(orders)}) {clip.name}{': was there' if outcome.earlier else ''}")
                        reason = _show(clip, outcome.result, terminal, results, as_json)
                        if reason is None:
                            continue
                    else:
                        reason = outcome.reason if outcome.state == "skipped" else f"{clip}: {outcome.reason}"
                    terminal.error(reason)
                    results[clip] = {"input": str(clip), "error": reason}
                    exit_code = 1 if keep_going else outcome.exit_code
                    if not keep_going:
                        break
        finally:
            for clip in left:  # whose process may have been killed
                settle_stale(result_folder(self._output, clip).absolute(), SEPARATION, terminal.say)
        return exit_code


def _show(
    clip: Path, made: Separated, terminal: Terminal, results: dict[Path, dict[str, Any]], as_json: bool
) -> str | None:
    """Show the results of a clip; tells why where they cannot be read any more."""
    try:
        manifest: Mapping[str, Any] = read_json(made.manifest)
    except (OSError, ValueError) as error:
        return f"{made.manifest}: cannot be read ({error}). Separate {clip} again with --overwrite"
    terminal.say(report.mode_line(manifest))
    if as_json:
        results[clip] = {**manifest, "folder": str(made.folder)}
    else:
        terminal.result(report.separated(manifest, made.folder))
    return None
