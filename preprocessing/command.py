"""What the command lines of this folder share: options, errors in one line, exit codes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from avsep.errors import AvsepError
from avsep.safe_text import safe_line


def add_count(parser: argparse.ArgumentParser, option: str, text: str, default: int | None = None) -> None:
    """An option that takes a number of 1 or more."""
    parser.add_argument(option, type=_count, default=default, metavar="N", help=text)


def add_seed(parser: argparse.ArgumentParser, text: str = "of all random choices", default: int = 0) -> None:
    """--seed, 0 or more."""
    parser.add_argument("--seed", type=_seed, default=default, metavar="N", help=f"{text} (default: %(default)s)")


def _count(text: str) -> int:
    return _whole(text, 1)


def _seed(text: str) -> int:
    return _whole(text, 0)


def _whole(text: str, least: int) -> int:
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of {least} or more")
    return int(text)


def command(
    doc: str,
    module: str,
    configure: Callable[[argparse.ArgumentParser], None],
    run: Callable[[argparse.Namespace], int],
) -> Callable[..., int]:
    """A `main(arguments=None)` for `python -m preprocessing.MODULE`: options, errors in one line, exit code.

    `run` returns how many items were made; none at all is exit code 1.
    """

    def main(arguments: list[str] | None = None) -> int:
        parser = argparse.ArgumentParser(
            prog=f"python -m preprocessing.{module}",
            description=doc,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        configure(parser)
        options = parser.parse_args(arguments)
        try:
            made = run(options)
        except (AvsepError, OSError) as error:
            print(f"error: {safe_line(str(error))}", file=sys.stderr)
            return getattr(error, "exit_code", 1)
        except KeyboardInterrupt:
            print("interrupted. Start it again to go on", file=sys.stderr)
            return 130
        return 0 if made else 1

    return main
