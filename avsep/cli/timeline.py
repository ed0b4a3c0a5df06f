"""`avsep timeline RESULT...`: results as files for editors, players and diarization tools."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from avsep.cli import options
from avsep.cli.terminal import Terminal
from avsep.safe_text import safe_lines
from avsep.timeline.formats import CAPTIONS, FORMATS, USUAL, check_formats, formats_of, written_before

if TYPE_CHECKING:
    from avsep.results.result import Result

DESCRIPTION = """\
Write files that other programs open into the folders of results: who speaks when, and the tracks beside each other.
They bear the names that the people have now. Nothing is separated again."""


def register(commands) -> None:
    parser = commands.add_parser("timeline", help="results for editors and players", description=DESCRIPTION)
    parser.add_argument("results", nargs="+", type=Path, metavar="RESULT", help="a folder that avsep separate wrote")
    parser.add_argument(
        "--formats",
        type=options.names,
        metavar="NAMES",
        help=f"with commas between them, of {', '.join(FORMATS)} (default: {','.join(USUAL)})",
    )
    parser.add_argument(
        "--captions",
        type=Path,
        metavar="DIR",
        help="what whisper or whisperX wrote for each track (DIR/speaker_00.json, ...): captions.vtt and captions.srt"
        " with names, of one RESULT",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace files that are there; all of them, where no --formats are named",
    )
    options.add_messages(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    from avsep.errors import UsageError

    if args.captions is not None and len(args.results) > 1:
        raise UsageError(f"--captions {args.captions} belongs to one result, and {len(args.results)} are given")
    known, usual = (FORMATS, USUAL) if args.captions is None else (CAPTIONS, tuple(CAPTIONS))
    check_formats(args.formats or usual, known)

    from avsep.results.result import read_result
    from avsep.timeline.write import add_formats

    # A folder that is no result is told before anything is written.
    found = [read_result(folder) for folder in args.results]
    written = []
    try:
        for result in found:
            warnings: list[str] = []
            with terminal.progress(result.folder.name) as hook:
                formats = args.formats or usual
                if args.overwrite and not args.formats and args.captions is None:
                    formats = (*usual, *written_before(result.folder))
                files = add_formats(
                    result, formats, warnings.append, hook, captions=args.captions, overwrite=args.overwrite
                )
            for warning in warnings:
                terminal.say(f"warning: {warning}")
            written.append({"folder": str(result.folder), "files": files, "warnings": warnings})
            if not args.json:
                terminal.result(safe_lines([str(result.folder / name) for name in files]))
            tell_outdated(read_result(result.folder), terminal)
    finally:
        if args.json:
            terminal.result_json(written)
    return 0


def tell_outdated(result: Result, terminal: Terminal) -> None:
    """Name the files that were written before a result was changed, and what writes them again."""
    captions = {part.file for parts in CAPTIONS.values() for part in parts}
    old = result.outdated
    formats = ",".join(formats_of(old))
    for files, told in (
        ([name for name in old if name not in captions], f"--formats {formats}"),
        ([name for name in old if name in captions], "--captions DIR"),
    ):
        if files:
            again = f"avsep timeline {shlex.quote(str(result.folder))} {told} --overwrite"
            terminal.say(f"{', '.join(files)} of {result.folder}: written before the last change. Again: {again}")
