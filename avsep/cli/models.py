"""`avsep models`: the weights that come with the package, or one weights file."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from avsep.cli.terminal import Terminal


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
    from avsep.checkpoint import list_weights, read_card

    if args.model is None:
        cards = list_weights()
        if args.json:
            terminal.result_json(cards)
        else:
            terminal.result(
                "\n\n".join(_block(card) for card in cards) or "no weights are bundled with this copy of avsep"
            )
        return 0
    card = read_card(args.model)
    if args.json:
        terminal.result_json(card)
    else:
        terminal.result(_block(card, full=True))
    return 0


def _block(card: Mapping[str, Any], *, full: bool = False) -> str:
    """The name, then one line for each entry; without `full` leave out what is only for programs."""
    lines = [str(card["name"])]
    for key, value in card.items():
        if key == "name" or value in (None, "", [], {}) or (key == "config" and not full):
            continue
        lines += _entry(key.replace("_", " "), value, "  ")
    return "\n".join(lines)


def _entry(key: str, value: Any, indent: str) -> list[str]:
    if isinstance(value, Mapping):
        return [f"{indent}{key}", *(line for k, v in value.items() for line in _entry(str(k), v, indent + "  "))]
    if isinstance(value, list | tuple):
        value = ", ".join(map(str, value))
    if isinstance(value, int) and not isinstance(value, bool):
        value = f"{value:,}"
    return [f"{indent}{key:12} {value}"]
