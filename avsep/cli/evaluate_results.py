"""`avsep evaluate RESULT...`: results of `avsep separate` measured without references."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avsep.cli import report
from avsep.cli.terminal import Terminal
from avsep.cli.timeline import tell_outdated
from avsep.errors import InputError, UsageError

if TYPE_CHECKING:
    from avsep.evaluation.no_reference.measure import Measures
    from avsep.results.result import Result

REFERENCES_ONLY = (
    "output", "overwrite", "no_pictures", "metrics", "oracle", "match", "mask_threshold", "seed", "channels",
    "dry", "limit", "sample_rate", "plain", "quality", "jobs",
)  # fmt: skip
"""Options that say something of references or of what is written."""

HEAD = (
    "",
    "OVRL",
    "SIG",
    "BAK",
    "P.808",
    "leak dB",
    "idle dB",
    "correlation",
    "own voice",
    "other voice",
    "doubtful s",
)
MOS_SHOWN = ("ovrl", "sig", "bak", "p808")


def are_results(paths: Sequence[Path]) -> bool:
    """Whether all are results of `avsep separate`, by their manifests. Raises UsageError where only some are."""
    from avsep.output.ownership import own_files
    from avsep.results.result import MANIFEST

    there = [path for path in paths if (path / MANIFEST).is_file()]
    if len(paths) == 1:
        return bool(there)  # and if the manifest is damaged: alone it can be nothing else
    results = [path for path in there if MANIFEST in own_files(path)]
    if results and len(results) < len(paths):
        other = next(path for path in paths if path not in results)
        raise UsageError(
            f"{results[0]} is a result of avsep separate, {other} is none. Give results alone, which are measured "
            "without references, or two folders that hold a folder for each mixture"
        )
    return bool(results)


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    import torch

    from avsep.evaluation.no_reference.measure import measure
    from avsep.evaluation.no_reference.mos import load_dnsmos, missing
    from avsep.inference.models import ModelStore, resolve_device
    from avsep.results.result import read_result

    for name in REFERENCES_ONLY:
        if getattr(args, name) != args.default_of(name):
            raise UsageError(
                f"--{name.replace('_', '-')} is for estimates that have references, and {args.references} is a result "
                "of avsep separate. Leave it out"
            )
    results = [read_result(folder) for folder in (args.references, *args.estimates)]
    for result in results:
        _check(result)
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    reason = missing()
    dnsmos = load_dnsmos(args.threads or 1) if reason is None else None
    if reason:
        terminal.say(f"no DNSMOS: {reason}")
    models = ModelStore(resolve_device(args.device))
    documents = []
    for result in results:
        with terminal.progress(str(result.folder)) as hook:
            found = measure(result, models, dnsmos, hook)
        if args.mark:
            tell_outdated(_mark(result, found), terminal)
        documents.append(_document(result, found, reason))
        if not args.json:
            terminal.result(_block(result, found))
    if args.json:
        terminal.result_json(documents)
    return 0


def _check(result: Result) -> None:
    """Raise InputError where there is nothing to measure, or a file of it is not there."""
    from avsep.media.checks import check_plain_file

    voices = [track for track in result.tracks if track.is_voice]
    if not voices:
        kinds = ", ".join(sorted({track.kind for track in result.tracks})) or "none at all"
        raise InputError(
            f"{result.folder}: no track is a voice (there are: {kinds}), and what is measured without references is "
            "speech. Give a result with voices"
        )
    for track in voices:
        check_plain_file(track.audio)


def _mark(result: Result, found: dict[str, Measures]) -> Result:
    from avsep.evaluation.no_reference.measure import add_measures
    from avsep.results.change import change_result

    return change_result(result.folder, lambda content, _: add_measures(content, found))


def _document(result: Result, found: dict[str, Measures], reason: str | None) -> dict[str, Any]:
    tracks = [
        {"id": track.id, "label": track.label, **found[track.id].entry()} for track in result.tracks if track.is_voice
    ]
    return {"folder": str(result.folder), "tracks": tracks, "notes": [f"no DNSMOS: {reason}"] if reason else []}


def _block(result: Result, found: dict[str, Measures]) -> str:
    """The table of a result, and below it what is not to be trusted."""
    from avsep.evaluation.report import aligned
    from avsep.safe_text import safe_lines

    lines: list[Sequence[str]] = [HEAD]
    below = []
    for track in result.tracks:
        if not track.is_voice:
            continue
        own = found[track.id]
        scores = own.dnsmos
        doubtful = _seconds([(doubt.start, doubt.end) for doubt in own.doubtful])
        lines.append(
            [
                track.name,
                *(_number(None if scores is None else getattr(scores, name), 2) for name in MOS_SHOWN),
                _number(own.worst_leak_db, 1),
                _number(own.idle_db, 1),
                _number(own.worst_correlation, 2),
                _number(own.own_voice, 1),
                _number(own.other_voice, 1),
                f"{doubtful:.1f}",
            ]
        )
        below += [f"  {track.name}  {line}" for line in report.doubts(own.entry())]
    return safe_lines([str(result.folder), *aligned(lines), *below])


def _number(value: float | None, places: int) -> str:
    return "-" if value is None else f"{value:.{places}f}"


def _seconds(spans: Sequence[tuple[float, float]]) -> float:
    """Covered by spans, in order of their starts."""
    total = last = 0.0
    for start, end in spans:
        total += max(0.0, end - max(start, last))
        last = max(last, end)
    return total
