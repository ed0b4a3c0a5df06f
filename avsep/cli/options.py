"""Options that several commands share, and the types that check them while they are parsed."""

from __future__ import annotations

import argparse
import csv
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NoReturn

from avsep.cli.terminal import drop
from avsep.errors import UsageError
from avsep.safe_text import safe_line

MOST_THREADS = 4096


class Parser(argparse.ArgumentParser):
    """argparse with our error line and without guessing abbreviated options."""

    def __init__(self, **settings) -> None:
        settings.setdefault("allow_abbrev", False)
        super().__init__(**settings)

    def _print_message(self, message: str, file: Any = None) -> None:
        # Before Python 3.11.4 argparse fails where nobody reads, and on flushing at the end all do.
        stream = file or sys.stderr
        try:
            stream.write(message)
            stream.flush()
        except OSError:
            drop(stream)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"avsep: error: {safe_line(message)}. Run '{self.prog} --help' for the usage\n")


def add_output(parser: argparse.ArgumentParser, default: Path, what: str = "the folder goes") -> None:
    """Which folder is written to: -o, --output. what: the words of the help between "where" and the default."""
    parser.add_argument(
        "-o", "--output", type=Path, default=default, metavar="DIR", help=f"where {what} (default: {default})"
    )


def add_videos(parser: argparse.ArgumentParser) -> None:
    """The mp4 of each person: --no-video, --mark."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--no-video", action="store_true", help="write no mp4 per person (faster)")
    group.add_argument("--mark", action="store_true", help="draw a box around the person in each mp4 (slower)")


def add_span(parser: argparse.ArgumentParser) -> None:
    """Which part of the clip: --audio-stream, --start, --end."""
    group = parser.add_argument_group("part of the clip")
    group.add_argument(
        "--audio-stream",
        type=whole(0),
        metavar="N",
        help="which audio stream, counted from 0 (default: the container's default)",
    )
    group.add_argument("--start", type=number(0), metavar="S", help="begin at this second")
    group.add_argument("--end", type=number(0), metavar="S", help="stop at this second")


def add_machine(parser: argparse.ArgumentParser) -> None:
    """Where it runs: --device, --threads."""
    group = parser.add_argument_group("machine")
    group.add_argument(
        "--device",
        choices=("auto", "cpu", "cuda"),
        default="auto",
        help="auto takes the GPU if there is one (default: auto)",
    )
    group.add_argument("--threads", type=whole(1, MOST_THREADS), metavar="N", help="CPU threads (default: all cores)")


def add_messages(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """How much is said: --json, -v, -q. Returns the group of these options."""
    group = parser.add_argument_group("messages")
    group.add_argument("--json", action="store_true", help="print the results as one JSON document")
    loudness = group.add_mutually_exclusive_group()
    loudness.add_argument("-v", "--verbose", action="store_true", help="say more on stderr, show tracebacks")
    loudness.add_argument("-q", "--quiet", action="store_true", help="only errors on stderr")
    return group


def check_span(args: argparse.Namespace) -> None:
    """Raise UsageError where --start and --end leave nothing."""
    if args.end is not None and args.end <= (args.start or 0.0):
        raise UsageError(
            f"--end {args.end:g} is not after --start {args.start or 0:g}."
            " Give an --end greater than --start, both in seconds"
        )


def number(least: float = -math.inf) -> Callable[[str], float]:
    """Type of an option that is a finite number not below `least`."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or value < least:
            floor = f" >= {least:g}" if math.isfinite(least) else ""
            raise argparse.ArgumentTypeError(f"{text!r} is not a number{floor} (in seconds)")
        return value

    return parse


def span(text: str) -> tuple[float, float]:
    """Type of an option that is a stretch of time, "3.1-4.7" in seconds."""
    start, dash, end = text.partition("-")
    try:
        times = number(0)(start), number(0)(end)
    except argparse.ArgumentTypeError:
        dash = ""
        times = (0.0, 0.0)
    if not dash or times[0] >= times[1]:
        raise argparse.ArgumentTypeError(f"{text!r} is not a start and a later end in seconds, such as 3.1-4.7")
    return times


def names(text: str) -> tuple[str, ...]:
    """Type of an option that is a list of names with commas; a name with a comma of its own stands in double quotes."""
    fields = next(csv.reader([text], skipinitialspace=True), [])
    found = tuple(name.strip() for name in fields if name.strip())
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} names nothing; give names with commas between them")
    return found


def named_file(text: str) -> tuple[str, str]:
    """Type of an option that is NAME=FILE, or FILE alone, which is named after itself: (name, file)."""
    name, equals, file = text.partition("=")
    if not equals or os.path.exists(text):
        name, file = Path(text).stem, text
    name = name.strip()
    if not name or not file:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no file with a name; give FILE, or NAME=FILE, such as Ann=ann.wav"
        )
    return name, file


def whole(least: int, most: float = math.inf) -> Callable[[str], int]:
    """Type of an option that is a whole number from `least` to `most`."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if not least <= value <= most:
            ceiling = f" and <= {most}" if most < math.inf else ""
            raise argparse.ArgumentTypeError(f"{text!r:.100} is not a whole number >= {least}{ceiling}")
        return value

    return parse


def whole_or_auto(least: int) -> Callable[[str], int | Literal["auto"]]:
    """Type of an option that is "auto" or a whole number not below `least`."""

    def parse(text: str) -> int | Literal["auto"]:
        if text == "auto":
            return "auto"
        try:
            return whole(least)(text)
        except argparse.ArgumentTypeError as error:
            raise argparse.ArgumentTypeError(f"{error}, nor auto") from error

    return parse
