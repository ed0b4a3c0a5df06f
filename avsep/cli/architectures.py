"""`avsep models --all`: the architectures, with what they take and give."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from avsep.cli.listing import block, table
from avsep.cli.terminal import Terminal

if TYPE_CHECKING:
    from avsep.models.architectures import Architecture
    from avsep.models.base import Contract
    from avsep.models.figures import Figures

HEADER = ("architecture", "paper", "parameters", "multiply-adds", "takes", "gives", "published", "own", "weights")
PARTS = "as its parts say"
"""Of an architecture that is put together in a configuration."""


def show(terminal: Terminal, as_json: bool) -> None:
    """A table on a terminal, else a block for each, or JSON."""
    from avsep.checkpoint import list_weights
    from avsep.models.architectures import list_architectures

    found = list_architectures(list_weights())
    if as_json:
        terminal.result_json([asdict(one) for one in found])
    elif sys.stdout.isatty():
        terminal.result(table(HEADER, ([one.name, *_facts(one).values()] for one in found)))
    else:
        blocks = (block(one.name, {"class_path": one.class_path} | _facts(one)) for one in found)
        terminal.result("\n\n".join(blocks))


def _facts(one: Architecture) -> dict[str, str]:
    """By the names of the columns."""
    nothing = PARTS if one.separates else "it does not separate"
    return {
        "paper": f"{one.paper}, {one.year}" if one.paper else "none",
        "parameters": PARTS if one.parameters is None else f"{one.parameters:,}",
        "multiply-adds": "; ".join(dict.fromkeys(map(cost, one.figures))) or "none",
        "takes": takes(one.contract) if one.contract else nothing,
        "gives": gives(one.contract) if one.contract else nothing,
        "published": one.published or "none",
        "own": "; ".join(map(own, one.figures)) or "none",
        "weights": ", ".join(one.weights) or "none",
    }


def own(row: Figures) -> str:
    """What a system reached in the table of all."""
    size = f"{row.trained_parameters / 1e6:.2f} M parameters, {row.minutes:g} minutes" if row.minutes else "untrained"
    return f"{row.si_sdri:.1f} dB SI-SDRi, {row.group} ({row.system}, {size})"


def cost(row: Figures) -> str:
    """For a second of sound, of the network that a configuration trains."""
    if not row.million_macs:
        return "not counted"
    return f"{row.million_macs / 1000:.2f} G a second ({row.system}, {row.parameters / 1e6:.2f} M parameters)"


def takes(contract: Contract) -> str:
    """Rate, channels and cues."""
    fewest, most = contract.channels
    channels = "1 channel" if most == 1 else f"{most} channels" if fewest == most else f"{fewest} to {most} channels"
    return ", ".join([f"{contract.sample_rate / 1000:g} kHz", channels, *contract.cues])


def gives(contract: Contract) -> str:
    """How many estimates of what, in which order."""
    if contract.order == "named":
        return f"{contract.kind}s: {', '.join(contract.names)}"
    if contract.order == "cue":
        return f"1 {contract.kind} for each cue"
    if contract.sources is None:
        return f"as many {contract.kind}s as it finds, in any order"
    return f"{contract.sources} {contract.kind}{'' if contract.sources == 1 else 's'}, in any order"
