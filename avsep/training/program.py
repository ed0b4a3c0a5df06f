"""What the commands `python -m avsep.training.NAME` share."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from avsep.errors import AvsepError
from avsep.safe_text import safe_line


def program_parser(name: str, description: str | None) -> argparse.ArgumentParser:
    """A parser with the module's docstring as its help."""
    return argparse.ArgumentParser(
        prog=f"python -m avsep.training.{name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def run_program(
    parser: argparse.ArgumentParser, run: Callable[[argparse.Namespace], None], arguments: Sequence[str] | None
) -> int:
    """The exit code; what a user did wrong is said in one line."""
    try:
        run(parser.parse_args(arguments))
    except AvsepError as error:
        print(f"{parser.prog.rpartition('.')[2]}: error: {safe_line(str(error))}", file=sys.stderr)
        return error.exit_code
    return 0
