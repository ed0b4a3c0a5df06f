"""jobs.jsonl in an output folder: what is finished there, line by line, whichever engine did it.

The file is also the lock of the folder: who writes to it works there, and nobody else. A run that was killed leaves all
lines but perhaps the last, which is then cut off.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO

from avsep.errors import OutputError
from avsep.jobs.plain import Plain

NAME = "jobs.jsonl"

SYNC_SECONDS = 1.0
"""At most so much work is lost when the machine loses power. A killed process loses none."""

Key = tuple[str, str]
"""Name of the function and of the job: several tools may write into one folder."""


class Ledger:
    """The list of a folder, read and locked on entry. Raises OutputError where another process works there.

    finished: the last line of each job. interrupted: whether the run before this one did not come to its end.
    """

    def __init__(self, folder: Path) -> None:
        self.file = folder / NAME
        self.finished: dict[Key, dict[str, Plain]] = {}
        self.interrupted = False
        self._stream: IO[bytes] | None = None
        self._synced = 0.0

    def __enter__(self) -> Ledger:
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            stream = self.file.open("a+b")
        except OSError as error:
            raise OutputError(
                f"{self.file}: cannot be written ({error.strerror}). Choose another output folder"
            ) from error
        begun = {"host": socket.gethostname(), "process": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        self._stream = stream
        try:
            self._lock(stream)
            self._read(stream)
            self._write({"run": begun})
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        assert self._stream is not None
        try:
            if kind is None or issubclass(kind, Exception | KeyboardInterrupt | GeneratorExit):
                self._write({"end": True})
        except OutputError:
            if error is None:
                raise
        finally:
            with suppress(OSError):
                os.fsync(self._stream.fileno())
            self._close()

    def _close(self) -> None:
        assert self._stream is not None
        with suppress(OSError):  # what could not be written is tried once more
            self._stream.close()

    def add(self, work: str, asked: str, row: dict[str, Plain]) -> None:
        """Note the outcome of a job (see Outcome.row). asked: what the function was asked to do, see avsep.jobs.run."""
        line = {**row, "work": work, "asked": asked}
        self._write(line)
        self.finished[work, row["id"]] = line

    def _write(self, line: dict[str, Plain]) -> None:
        assert self._stream is not None
        data = json.dumps(line, ensure_ascii=False).encode("utf-8", "surrogateescape") + b"\n"
        try:
            self._stream.write(data)
            self._stream.flush()
            if time.monotonic() - self._synced >= SYNC_SECONDS:
                os.fsync(self._stream.fileno())
                self._synced = time.monotonic()
        except OSError as error:
            raise OutputError(
                f"{self.file}: cannot be written ({error.strerror}). Make room there, and start it again to go on"
            ) from error

    def _lock(self, stream: IO[bytes]) -> None:
        try:
            import fcntl

            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            who = _last_run(self.file)
            raise OutputError(
                f"{self.file.parent}: another run works there{who}. Wait for it, or choose another folder"
            ) from error
        except (ImportError, OSError) as error:
            print(
                f"{self.file.parent}: cannot be locked ({error}). Make sure that no other run works there",
                file=sys.stderr,
            )

    def _read(self, stream: IO[bytes]) -> None:
        stream.seek(0)
        end = 0
        for line in stream:
            if not line.endswith(b"\n"):
                stream.truncate(end)
                break
            end += len(line)
            row = _parsed(line)
            if "run" in row or "end" in row:
                self.interrupted = "run" in row
            _note(row, self.finished)


def read_finished(folder: Path) -> dict[Key, dict[str, Plain]]:
    """The last line of each job in the list of a folder, which may be in use or not be there."""
    found: dict[Key, dict[str, Plain]] = {}
    with suppress(FileNotFoundError, NotADirectoryError), (folder / NAME).open("rb") as stream:
        for line in stream:
            _note(_parsed(line), found)
    return found


def _note(row: dict[str, Plain], found: dict[Key, dict[str, Plain]]) -> None:
    if {"id", "work", "asked", "state", "result"} <= row.keys():
        key = row["work"], row["id"]
        if all(isinstance(part, str) for part in key):
            found[key] = row


def _parsed(line: bytes) -> dict[str, Plain]:
    """Empty for a line that is none of ours: what it told is done again."""
    try:
        row = json.loads(line.decode("utf-8", "surrogateescape"))
    except ValueError:
        return {}
    return row if isinstance(row, dict) else {}


def _last_run(file: Path) -> str:
    runs = [_parsed(line).get("run") for line in file.read_bytes().splitlines()]
    known = [run for run in runs if isinstance(run, dict) and {"process", "host", "since"} <= run.keys()]
    return f" (process {known[-1]['process']} on {known[-1]['host']}, since {known[-1]['since']})" if known else ""
