"""`avsep models`: the weights that come with the package, those of files and folders, or all architectures."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avsep.cli.listing import block, table
from avsep.cli.terminal import Terminal
from avsep.safe_text import safe_lines

if TYPE_CHECKING:
    from avsep.checkpoint import Card

DESCRIPTION = """\
List weights with size, licence, lineage and measured figures: the bundled ones, or those of the files and folders
given. One name or file alone is shown in full. Files that cannot be used get a line each on stderr, and exit code 1.

With --all list the architectures instead, with weights or without: the class that a configuration names, the paper,
the parameters of the size there, what it takes and gives, and which bundled weights are of it."""


def register(commands) -> None:
    parser = commands.add_parser(
        "models", help="list weights: bundled ones or your own; or architectures", description=DESCRIPTION
    )
    parser.add_argument(
        "models", nargs="*", metavar="NAME_OR_PATH", help="a bundled model's name, a weights file or a folder of them"
    )
    parser.add_argument("--all", action="store_true", help="list the architectures that can be trained or used")
    parser.add_argument("--json", action="store_true", help="print the results as one JSON document")
    parser.add_argument("-v", "--verbose", action="store_true", help="show tracebacks")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    from avsep.checkpoint import BUNDLED, find_weights, read_card
    from avsep.errors import AvsepError, UsageError

    if args.all:
        from avsep.cli import architectures

        if args.models:
            raise UsageError(f"--all lists architectures, and {args.models[0]} names weights. Leave one of them out")
        architectures.show(terminal, args.json)
        return 0
    if len(args.models) == 1 and not Path(args.models[0]).is_dir():
        card = read_card(find_weights(args.models[0]))
        if args.json:
            terminal.result_json(asdict(card))
        else:
            terminal.result(_block(card, full=True))
        return 0
    cards: list[Card] = []
    documents: list[dict[str, Any]] = []
    exit_code = 0
    for name in _files(args.models or [str(BUNDLED)]):
        try:
            cards.append(read_card(find_weights(name)))
            documents.append(asdict(cards[-1]))
        except AvsepError as error:
            terminal.error(str(error))
            documents.append({"path": str(name), "error": str(error)})
            exit_code = error.exit_code
    if args.json:
        terminal.result_json(documents)
    elif cards:
        terminal.result(_table(cards) if sys.stdout.isatty() else "\n\n".join(map(_block, cards)))
    elif not documents:
        terminal.say("no weights (*.safetensors) there")
    return exit_code


def _files(names: Iterable[str]) -> list[str | Path]:
    """The names, with a folder's weights files in its place."""
    found: list[str | Path] = []
    for name in names:
        found += sorted(Path(name).glob("*.safetensors")) if Path(name).is_dir() else [name]
    return found


def _table(cards: Iterable[Card]) -> str:
    """A row for each model; licence and data in short."""
    rows = []
    for card in cards:
        kind = card.class_path.rpartition(".")[2]
        figures = safe_lines([f"{value} {name}" for name, value in card.scores.items()])
        licence = card.licence.partition(";")[0]
        rows.append((card.name, kind, f"{card.parameters:,}", licence, _data(card), figures or "none"))
    return table(("model", "kind", "parameters", "licence", "trained on", "figures"), rows, whole=3)


def _data(card: Card) -> str:
    """What the lineage says of the data, in short: the corpora's names, or the class of a run's data."""
    data = card.lineage.get("data", "not stated")
    if isinstance(data, Mapping):
        return str(data.get("class_path", "not stated")).rpartition(".")[2]
    return ", ".join(str(corpus).partition(",")[0] for corpus in (data if isinstance(data, list) else [data]))


def _block(card: Card, *, full: bool = False) -> str:
    """The name, then a line for each entry; `full` adds what rebuilds the model and where the file lies."""
    shown = ["parameters", "licence", "lineage", "scores"] + (["class_path", "init_args", "path"] if full else [])
    return block(card.name, {key: getattr(card, key) for key in shown})
