"""`avsep import`: weights that other projects published as a weights file of this one."""

from __future__ import annotations

import argparse
import os
import re
import tempfile
from pathlib import Path
from typing import Any

from avsep.cli.terminal import Terminal
from avsep.errors import OutputError, UsageError

SUFFIX = ".safetensors"

DESCRIPTION = """\
Turn weights that another project published into one weights file of this project, which says where they come from. Then
'avsep separate --model FILE' and 'avsep evaluate --model FILE' use them. SOURCE is a checkpoint, a folder of the
checkpoints that belong together, or a name of --list, which is downloaded. No code of the files is run."""


def register(commands: Any) -> None:
    parser = commands.add_parser("import", help="turn published weights into a weights file", description=DESCRIPTION)
    parser.add_argument("source", metavar="SOURCE", nargs="?", help="a file, a folder, or a name of --list")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help=f"the {SUFFIX} to write")
    parser.add_argument("--list", action="store_true", help="print the names of weights that can be downloaded")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier file")
    parser.add_argument(
        "--set",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="what the files do not say, for instance sample_rate=16000",
    )
    parser.add_argument("--licence", metavar="TEXT", help="of the weights (default: as they were published)")
    parser.add_argument("--data", metavar="TEXT", help="what they were trained on")
    parser.add_argument("--half", action="store_true", help="store 16 bits a number instead of 32")
    messages = parser.add_argument_group("messages")
    messages.add_argument("--json", action="store_true", help="print what the file says of itself as JSON")
    messages.add_argument("-v", "--verbose", action="store_true", help="show tracebacks")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    from avsep.importing import catalog

    if args.list:
        rows = (f"{name}\n  {one.data}; licence {one.licence}" for name, one in catalog.CATALOG.items())
        terminal.result("\n".join(rows))
        return 0
    if args.source is None or args.output is None:
        raise UsageError("give SOURCE and -o FILE, or --list")
    _check(args.output, args.overwrite)
    settings = _settings(args.set)
    source = Path(args.source)
    if os.path.exists(source):  # a name of any length
        return _write(args, terminal, source, None, settings)
    published = catalog.find(args.source)
    if published is None:
        raise catalog.unknown(args.source)
    with tempfile.TemporaryDirectory(prefix="avsep-import-") as folder:
        with terminal.progress(args.source) as progress:
            found = catalog.fetch(published, Path(folder), progress)
        return _write(args, terminal, found, published, published.settings | settings)


def _write(args: argparse.Namespace, terminal: Terminal, source: Path, published: Any, settings: dict[str, Any]) -> int:
    from avsep.checkpoint import save_model
    from avsep.importing import catalog, read_published

    found = read_published(source, settings)
    lineage = {
        "origin": "imported",
        "from": found.origin,
        "source": args.source if published is not None else source.name,
        "sha256": catalog.checksum(source),
        "data": args.data or (published.data if published is not None else found.data or "not stated"),
    }
    licence = args.licence or found.licence or (published.licence if published is not None else "not stated")
    card = save_model(args.output, found.model, args.output.stem, licence, lineage, half=args.half)
    if args.json:
        from dataclasses import asdict

        terminal.result_json(asdict(card) | {"path": str(args.output)})
    else:
        terminal.result(str(args.output))
    return 0


def _check(out: Path, overwrite: bool) -> None:
    """Before anything is read or fetched."""
    if out.suffix != SUFFIX:
        raise UsageError(f"-o is {out}; the file written here ends in {SUFFIX}")
    if not out.parent.is_dir():
        raise OutputError(f"cannot write {out}: there is no folder {out.parent}. Make it first")
    if out.is_dir() or (out.exists() and not overwrite):
        raise OutputError(f"{out} exists. Give --overwrite to replace it, or another -o")


def _settings(given: list[str]) -> dict[str, Any]:
    """NAME=VALUE, numbers as numbers, true and false as such."""
    found: dict[str, Any] = {}
    for one in given:
        name, stroke, value = one.partition("=")
        if not stroke or not name:
            raise UsageError(f"--set {one}: give NAME=VALUE, for instance sample_rate=16000")
        found[name] = _value(value)
    return found


def _value(text: str) -> Any:
    if text.isdecimal():
        return int(text)
    if text in ("true", "false"):
        return text == "true"
    return float(text) if re.fullmatch(r"-?\d+\.\d+", text) else text
