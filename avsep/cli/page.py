"""`avsep page`: results in a browser."""

from __future__ import annotations

import argparse
from pathlib import Path

from avsep.cli import options
from avsep.cli.separate import DEFAULT_OUTPUT
from avsep.cli.terminal import Terminal
from avsep.errors import InputError, UsageError
from avsep.results.result import MANIFEST

HOST, PORT = "127.0.0.1", 8765

DESCRIPTION = """\
Show the results in DIR in a browser: click a face and hear that person, put names, people and wrong stretches right,
download; drop a clip and it is separated into DIR. Only this machine reaches the page unless --host says otherwise; a
token is asked for then. Ctrl-C ends it."""


def register(commands) -> None:
    parser = commands.add_parser("page", help="results in a browser", description=DESCRIPTION)
    parser.add_argument(
        "folder",
        nargs="?",
        type=Path,
        default=DEFAULT_OUTPUT,
        metavar="DIR",
        help=f"the folder with the results (default: {DEFAULT_OUTPUT})",
    )
    parser.add_argument("--host", default=HOST, help=f"address to listen on (default: {HOST})")
    parser.add_argument(
        "--port", type=options.whole(0, 65_535), default=PORT, metavar="N", help=f"0 for a free one (default: {PORT})"
    )
    parser.add_argument("--token", metavar="T", help="ask for this token (default: a new one, where there is --host)")
    parser.add_argument(
        "--max-gib", type=options.number(0), default=4.0, metavar="G", help="size of a clip that is taken (default: 4)"
    )
    parser.add_argument(
        "--max-jobs", type=options.whole(1, 1000), default=8, metavar="N", help="clips that may wait (default: 8)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    try:
        from avsep.page import server
        from avsep.page.security import token_for
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing == "avsep":
            raise
        raise UsageError(f"the page needs {missing}: pip install 'avsep[page]'") from error

    folder = args.folder.absolute()
    _check_folder(args.folder)
    token = token_for(args.host, args.token)
    listening = server.listen(args.host, args.port)
    settings = server.Settings(
        folder,
        host=args.host,
        port=listening.getsockname()[1],
        token=token,
        most_bytes=round(args.max_gib * 2**30),
        most_jobs=args.max_jobs,
    )
    terminal.result(f"The results in {args.folder} are shown at {server.address(settings)}  (Ctrl-C ends it)")
    try:
        server.serve(settings, listening)
    except KeyboardInterrupt:
        terminal.say("the page is closed")
    return 0


def _check_folder(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is not a folder. Give one with results of avsep separate")
    if (folder / MANIFEST).exists():
        parent = folder.absolute().parent
        raise InputError(f"{folder}: is one result. Give the folder that it lies in: avsep page {parent}")
    if not folder.exists() and folder != DEFAULT_OUTPUT:
        raise InputError(f"{folder}: is not there. Give a folder with results of avsep separate, or make it")
