"""Clips that are separated for the page: one at a time, each in a process of its own, which is the command itself."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from avsep.errors import AvsepError
from avsep.output.workspace import result_folder
from avsep.page.catalog import identify

COMMAND = (sys.executable, "-P", "-m", "avsep", "separate")
_KEPT = 20
"""Ended jobs that are still listed."""
_END_SECONDS = 10
"""What a process may take to clean up before it is killed."""
_LONGEST_LINE = 2**20
_PREFIX = "avsep: error: "


class TooMany(Exception):
    """As many jobs wait as the page takes."""


@dataclass
class Job:
    """A clip to be separated. state: "waiting", "running", "done", "failed" or "cancelled". step, completed and total
    tell how far it is, in seconds of the clip. result: identifier of what came out."""

    clip: Path
    options: Sequence[str] = ()
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    state: str = "waiting"
    step: str = ""
    completed: float = 0.0
    total: float = 0.0
    message: str = ""
    result: str | None = None

    @property
    def has_ended(self) -> bool:
        return self.state not in ("waiting", "running")

    def describe(self) -> dict[str, Any]:
        names = ("id", "state", "step", "completed", "total", "message", "result")
        return {"name": self.clip.name} | {name: getattr(self, name) for name in names}


class Jobs:
    """A queue into `folder`. most: jobs that wait, are sent or run at once."""

    def __init__(self, folder: Path, most: int, command: Sequence[str] = COMMAND) -> None:
        self.folder, self.most, self.command = folder, most, tuple(command)
        self.all: list[Job] = []
        self._sending = 0
        self._waiting: asyncio.Queue[Job] = asyncio.Queue()
        self._process: asyncio.subprocess.Process | None = None

    def reserve(self) -> _Place:
        """A place in the queue for a clip that is about to be sent. Raises TooMany."""
        open_jobs = sum(not job.has_ended for job in self.all)
        if open_jobs + self._sending >= self.most:
            raise TooMany
        return _Place(self)

    def find(self, identifier: str) -> Job | None:
        return next((job for job in self.all if job.id == identifier), None)

    def cancel(self, job: Job) -> None:
        """End a job; what it has written goes as when the command is interrupted."""
        if job.has_ended:
            return
        was_running = job.state == "running"
        job.state = "cancelled"
        if was_running and self._process is not None:
            with suppress(ProcessLookupError):
                self._process.terminate()
        elif not was_running:
            job.clip.unlink(missing_ok=True)

    def close(self) -> None:
        """Give up what waits."""
        for job in self.all:
            if job.state == "waiting":
                self.cancel(job)

    async def run(self) -> None:
        """Separate what comes, until cancelled; then the job under way is ended too."""
        while True:
            job = await self._waiting.get()
            if job.has_ended:
                continue
            try:
                await self._separate(job)
            except OSError as error:
                job.state, job.message = "failed", f"{self.command[0]}: cannot be started ({error.strerror})"
            except Exception as error:  # the next clips are not to wait for ever
                told = str(error) if isinstance(error, AvsepError) else f"internal fault: {error!r:.200}"
                job.state, job.message = "failed", told
            finally:
                if job.state != "done":
                    job.state = "cancelled" if job.state == "running" else job.state
                    with suppress(OSError):
                        job.clip.unlink()  # it is the page's copy

    async def _separate(self, job: Job) -> None:
        job.state = "running"
        arguments = [*self.command, "-o", str(self.folder), "-q", "--progress-json", *job.options, "--", str(job.clip)]
        process = self._process = await asyncio.create_subprocess_exec(
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            limit=_LONGEST_LINE,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )
        try:
            if job.has_ended:  # cancelled while it started
                process.terminate()
            message = await _follow(process, job)
            code = await process.wait()
        finally:
            await _end(process)
            self._process = None
        if code == 0:
            job.state, job.result = "done", identify(result_folder(self.folder, job.clip).name)
        elif job.state == "running":
            job.state = "failed"
            job.message = message or f"the separation ended without a word (exit code {code}). Try it again"

    def _add(self, clip: Path, options: Sequence[str]) -> Job:
        job = Job(clip, options)
        self.all.append(job)
        ended = [one for one in self.all if one.has_ended]
        for old in ended[:-_KEPT]:
            self.all.remove(old)
        self._waiting.put_nowait(job)
        return job


class _Place:
    """A place in the queue, free again when the block ends; `take` makes it a job."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    def __enter__(self) -> _Place:
        self._jobs._sending += 1
        return self

    def __exit__(self, *error: object) -> None:
        self._jobs._sending -= 1

    def take(self, clip: Path, options: Sequence[str]) -> Job:
        return self._jobs._add(clip, options)


async def _follow(process: asyncio.subprocess.Process, job: Job) -> str:
    """Keep a job's progress until its process says no more; returns the last error it told."""
    assert process.stderr is not None
    message = ""
    while True:
        try:
            line = (await process.stderr.readline()).decode("utf-8", "replace")
        except ValueError:  # longer than any line of ours
            continue
        if not line:
            return message
        if line.startswith(_PREFIX):
            message = line.removeprefix(_PREFIX).strip()
        elif line.startswith("{"):
            with suppress(ValueError, KeyError, TypeError):
                told = json.loads(line)
                job.step, job.completed, job.total = str(told["step"]), float(told["completed"]), float(told["total"])


async def _end(process: asyncio.subprocess.Process) -> None:
    """End a process that may still run: kindly, then surely."""
    if process.returncode is not None:
        return
    with suppress(ProcessLookupError):
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), _END_SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()
