"""`avsep name RESULT TRACK=NAME...`: call the people of a result by their names."""

from __future__ import annotations

import argparse
from pathlib import Path

from avsep.cli import options
from avsep.cli.terminal import Terminal
from avsep.cli.timeline import tell_outdated
from avsep.errors import UsageError
from avsep.safe_text import safe_lines

DESCRIPTION = """\
Name the people of a folder that 'avsep separate' wrote: the label of each track in its manifest.json. TRACK is an id
such as speaker_00, or the present name; several at once may exchange theirs. TRACK= takes the name away. Files keep
their names."""


def register(commands) -> None:
    parser = commands.add_parser("name", help="name the people of a result", description=DESCRIPTION)
    parser.add_argument("result", type=Path, metavar="RESULT", help="folder that 'avsep separate' wrote for a clip")
    parser.add_argument("names", nargs="+", type=_pair, metavar="TRACK=NAME", help="such as speaker_00=Ann")
    options.add_messages(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    from avsep.results.change import rename_tracks

    wanted: dict[str, str] = {}
    for track, name in args.names:
        if track in wanted:
            raise UsageError(f"{track} is given two names, {wanted[track]!r} and {name!r}. Give one")
        wanted[track] = name
    result = rename_tracks(args.result, wanted)
    if args.json:
        terminal.result_json(dict(result.manifest))
    else:
        terminal.result(safe_lines([f"{track.id}  {track.label or 'without a name'}" for track in result.tracks]))
    tell_outdated(result, terminal)
    return 0


def _pair(text: str) -> tuple[str, str]:
    # A present name may hold a =, a new one as well: the first one parts them.
    track, equals, name = text.partition("=")
    if not track.strip() or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} names no track; give TRACK=NAME, such as speaker_00=Ann")
    return track.strip(), name.strip()
