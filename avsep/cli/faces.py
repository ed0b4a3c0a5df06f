"""`avsep faces CLIP`: who is in the picture, and when; separates nothing."""

from __future__ import annotations

import argparse
from pathlib import Path

from avsep.cli import checks, options, report
from avsep.cli.terminal import Terminal

DEFAULT_OUTPUT = Path("faces")

DESCRIPTION = """\
List the people of a clip with the times at which they are seen and their place in the picture. The folder
DIR/<clip's name>/ gets a thumbnail of each and people.json. Separates nothing."""


def register(commands) -> None:
    parser = commands.add_parser("faces", help="list the people, separate nothing", description=DESCRIPTION)
    parser.add_argument("clip", type=Path, metavar="CLIP", help="video file with sound")
    options.add_output(parser, DEFAULT_OUTPUT)
    parser.add_argument("--overwrite", action="store_true", help="replace output of an earlier run")
    options.add_span(parser)
    options.add_machine(parser)
    options.add_messages(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    options.check_span(args)
    from avsep.errors import InputError
    from avsep.media.decode import probe
    from avsep.output.workspace import folders_of, result_folder

    info = probe(args.clip, audio_stream=args.audio_stream, start=args.start, end=args.end)
    if info.video is None:
        raise InputError(
            f"{args.clip} has no video stream, so there are no faces to list. 'avsep separate' works without a picture"
        )
    target = result_folder(args.output, args.clip)
    checks.check_target(target, folders_of([args.clip]), overwrite=args.overwrite)

    from avsep.pipeline import Options, Separator

    separator = Separator(device=args.device, threads=args.threads)
    wanted = Options(audio_stream=args.audio_stream, start=args.start, end=args.end, overwrite=args.overwrite)
    with checks.no_empty_folders(args.output), terminal.progress(args.clip.name) as hook:
        found = separator.faces(args.clip, args.output, wanted, hook)
    if args.json:
        terminal.result_json(found | {"folder": str(target)})
    else:
        terminal.result(report.people(found, args.clip, target))
    return 0
