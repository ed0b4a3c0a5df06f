"""What became of one job, and how it is found out."""

from __future__ import annotations

import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from avsep.errors import AvsepError
from avsep.jobs.plain import Plain, paths_in, to_plain

State = Literal["done", "skipped", "failed"]


@dataclass(frozen=True)
class Outcome:
    """What became of one job.

    state: "done"; "skipped", where the input gives nothing; "failed", where something happened that should not: an
    error nobody thought of, a process that died, time or memory beyond the limits. reason: in one line, of what is not
    done. seconds: of work. bytes: of the files that the result names below the output folder. stamps: see `stamps`.
    result: what the function returned. exit_code: of a command that ends with this job. exhausted: memory ran out, so
    the process should be replaced. earlier: told by the list of an earlier run.
    """

    id: str
    state: State
    reason: str = ""
    seconds: float = 0.0
    bytes: int = 0
    stamps: list[list[int]] = field(default_factory=list)
    result: Any = None
    exit_code: int = 1
    exhausted: bool = False
    earlier: bool = False

    def row(self, result: Plain) -> dict[str, Plain]:
        """As JSON has it, with the result given as such."""
        kept = asdict(replace(self, result=None, seconds=round(self.seconds, 3)))
        del kept["exit_code"], kept["exhausted"], kept["earlier"]
        return kept | {"result": result}


def failed(name: str, reason: str, seconds: float = 0.0) -> Outcome:
    """The outcome of a job that something happened to; the reason becomes one line."""
    return Outcome(name, "failed", _line(reason), seconds)


def attempt(name: str, work: Callable[[], Any], out: Path) -> Outcome:
    """Call `work`; whatever it raises but KeyboardInterrupt and SystemExit is told, not raised."""
    begin = time.monotonic()
    try:
        result = work()
        to_plain(result)  # what cannot be sent and listed is the job's fault
        files = {file for path in paths_in(result) if path.is_relative_to(out) for file in _files(path)}
        size = sum(file.stat().st_size for file in files)
        return Outcome(name, "done", "", time.monotonic() - begin, size, stamps(result), result)
    except (AvsepError, OSError) as error:
        code = getattr(error, "exit_code", 1)
        return Outcome(name, "skipped", _line(str(error)), time.monotonic() - begin, exit_code=code)
    except Exception as error:  # one odd file of a hundred thousand must not end the run
        if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
            return replace(failed(name, "needs more memory than there is", time.monotonic() - begin), exhausted=True)
        return failed(name, f"unexpected {type(error).__name__}: {error}", time.monotonic() - begin)


def _line(text: str) -> str:
    return " ".join(text.split())


def _files(path: Path) -> Iterator[Path]:
    yield from (file for file in (path.rglob("*") if path.is_dir() else (path,)) if file.is_file())


GONE = [-1, 0]


def stamps(result: Any) -> list[list[int]]:
    """Size and time of change (ns) of every path that a result holds, by which one that was replaced is known; GONE
    where there is none; of a folder, whose files come and go, only that it is there."""
    return [_stamp(path) for path in paths_in(result)]


def _stamp(path: Path) -> list[int]:
    try:
        found = path.stat()
    except OSError:
        return GONE
    return [0, 0] if stat.S_ISDIR(found.st_mode) else [found.st_size, found.st_mtime_ns]
