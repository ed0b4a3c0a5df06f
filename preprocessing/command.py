"""What the command lines of this folder share: options, errors in one line, exit codes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial

from avsep.errors import AvsepError
from avsep.jobs.options import at_least
from avsep.safe_text import safe_line


def add_count(parser: argparse.ArgumentParser, option: str, text: str, default: int | None = None) -> None:
    """An option that takes a number of 1 or more."""
    parser.add_argument(option, type=at_least, default=default, metavar="N", help=text)


def add_seed(parser: argparse.ArgumentParser, text: str = "of all random choices", default: int = 0) -> None:
    """--seed, 0 or more."""
    parser.add_argument(
        "--seed", type=partial(at_least, least=0), default=default, metavar="N", help=f"{text} (default: %(default)s)"
    )


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
