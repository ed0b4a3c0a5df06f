"""The `avsep` command: picks the command, turns every ending into an exit code and one clear line.

Exit codes: 0 all done, 1 an input failed (or a fault of ours), 2 wrong usage, 130 interrupted (143: by SIGTERM).
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
import traceback
import warnings
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from avsep.cli import (
    demo,
    evaluate,
    export,
    faces,
    fit,
    importing,
    models,
    name,
    page,
    people,
    separate,
    stream,
    timeline,
)
from avsep.cli.options import Parser
from avsep.cli.terminal import Terminal, open_closed_streams
from avsep.errors import AvsepError
from avsep.safe_text import first_line, one_line
from avsep.version import __version__

COMMANDS = (
    separate, timeline, people, name, page, stream, faces, fit, evaluate, models, export, importing, demo,
)  # fmt: skip
"""In the order of the help."""

INTERRUPTED = 130
AGAIN_SECONDS = 0.2
"""After which a signal to end counts as swallowed by what it interrupted."""


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands. Building it imports nothing heavy, so that help is instant."""
    parser = Parser(
        prog="avsep", description="Separate a video in which several people talk into one clean track per person."
    )
    parser.add_argument("--version", action="version", version=f"avsep {__version__}")
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.register(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; argv without the program's name, by default that of the process. Returns the exit code."""
    open_closed_streams()
    try:
        args = build_parser().parse_args(argv)
    except SystemExit as stop:
        Terminal().close()
        return int(stop.code or 0)
    terminal = Terminal(
        verbose=getattr(args, "verbose", False),
        quiet=getattr(args, "quiet", False),
        progress_json=getattr(args, "progress_json", False),
    )
    with _quiet_libraries(terminal.verbose), _terminate_like_an_exception():
        try:
            exit_code = args.run(args, terminal)
            terminal.flush()
            return exit_code
        except AvsepError as error:
            terminal.error(str(error))
            terminal.detail(traceback.format_exc())
            return error.exit_code
        except KeyboardInterrupt:
            terminal.error("interrupted. Nothing half-written is left")
            return INTERRUPTED
        except _Terminated as end:
            signal.setitimer(signal.ITIMER_REAL, 0)
            terminal.error("terminated. Nothing half-written is left")
            return 128 + end.number
        except Exception as error:
            if said := _of_the_machine(error):
                terminal.error(said)
                terminal.detail(traceback.format_exc())
                return 1
            hint = "" if terminal.verbose else ". Run again with -v for the traceback"
            terminal.error(f"internal fault: {type(error).__name__}: {first_line(error)}{hint}")
            terminal.detail(traceback.format_exc())
            return 1
        finally:
            terminal.close()


def _of_the_machine(error: Exception) -> str:
    """What is said of an error that the machine makes, not a fault of ours: memory, disks, names. Else nothing."""
    text = one_line(error)
    if "shared memory" in text:
        return f"there is too little shared memory ({text}). Enlarge /dev/shm, or take fewer workers"
    if isinstance(error, MemoryError) or any(sign in text for sign in _NO_MEMORY):
        return (
            "there is not enough memory for this. End other programs, raise the limit (ulimit -v), or use less at once"
        )
    if isinstance(error, ImportError) and any(sign in text for sign in _CANNOT_LOAD):
        return (
            f"a library cannot be loaded ({text}). There may be too little memory or address space (ulimit -v), or the"
            " installation is damaged: pip install --force-reinstall avsep"
        )
    if isinstance(error, OSError) and error.strerror and isinstance(error.filename, str | bytes):
        return f"{os.fsdecode(error.filename)}: {error.strerror}. Check the name, its folder, permissions and the disk"
    return ""


_NO_MEMORY = ("not enough memory", "can't allocate memory", "Cannot allocate memory", "Unable to allocate")
_CANNOT_LOAD = (
    "failed to map segment",
    "cannot open shared object",
    "cannot allocate memory",
    "cannot enable executable",
)


class _Terminated(BaseException):
    """A signal to end; not an Exception, so that no step takes it for a fault of its own."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def _terminate_like_an_exception() -> Iterator[None]:
    """Let SIGTERM and a closed terminal unwind the stack, so that partial output is removed as on Ctrl-C.

    What is raised may end in a finaliser or in a library that catches everything. It is raised again until it arrives.
    """
    raised: weakref.ref[_Terminated] | None = None
    ending = 0

    def terminate(number: int, frame: FrameType | None) -> None:
        nonlocal raised, ending
        ending = number if number in ends else ending
        if raised is not None and raised() is not None:
            return  # still on its way
        error = _Terminated(ending)
        raised = weakref.ref(error)
        signal.setitimer(signal.ITIMER_REAL, AGAIN_SECONDS, AGAIN_SECONDS)
        try:
            raise error
        finally:
            del error  # its traceback holds this frame, and would keep it alive

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ends = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) == signal.SIG_DFL]
    for number in [*ends, signal.SIGALRM]:  # one that is ignored stays so: nohup
        signal.signal(number, terminate)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number in [*ends, signal.SIGALRM]:
            signal.signal(number, signal.SIG_DFL)


@contextmanager
def _quiet_libraries(verbose: bool) -> Iterator[None]:
    """Keep warnings and log lines of other libraries off stderr, unless they are asked for."""
    if verbose:
        yield
        return
    root, silent = logging.getLogger(), logging.NullHandler()
    root.addHandler(silent)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        root.removeHandler(silent)


if __name__ == "__main__":
    sys.exit(main())
