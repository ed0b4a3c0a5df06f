"""`avsep models`: the weights that come with the package, or one weights file."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from avsep.cli.terminal import Terminal

if TYPE_CHECKING:
    from avsep.checkpoint import Card


def register(commands) -> None:
    parser = commands.add_parser(
        "models",
        help="list the bundled weights",
        description="List the bundled weights with size, licence, lineage and measured figures, or show one in full.",
    )
    parser.add_argument("model", nargs="?", metavar="NAME_OR_FILE", help="a bundled model's name or a weights file")
    parser.add_argument("--json", action="store_true", help="print the results as one JSON document")
    parser.add_argument("-v", "--verbose", action="store_true", help="show tracebacks")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    from avsep.checkpoint import find_weights, list_weights, read_card

    if args.model is None:
        cards = list_weights()
        if args.json:
            terminal.result_json([asdict(card) for card in cards])
        else:
            terminal.result("\n\n".join(_block(card) for card in cards) or "no weights come with this copy of avsep")
        return 0
    card = read_card(find_weights(args.model))
    if args.json:
        terminal.result_json(asdict(card))
    else:
        terminal.result(_block(card, full=True))
    return 0


def _block(card: Card, *, full: bool = False) -> str:
    """The name, then a line for each entry; `full` adds what rebuilds the model and where the file lies."""
    shown = ["parameters", "licence", "lineage", "scores"] + (["class_path", "init_args", "path"] if full else [])
    return "\n".join([card.name, *(line for key in shown for line in _entry(key, getattr(card, key), "  "))])


def _entry(key: str, value: Any, indent: str) -> list[str]:
    key = key.replace("_", " ")
    if value in (None, "", [], {}):
        return []
    if isinstance(value, Mapping):
        return [f"{indent}{key}", *(line for k, v in value.items() for line in _entry(str(k), v, indent + "  "))]
    if isinstance(value, list | tuple):
        value = ", ".join(map(str, value))
    if isinstance(value, int) and not isinstance(value, bool):
        value = f"{value:,}"
    return [f"{indent}{key:12} {value}"]
