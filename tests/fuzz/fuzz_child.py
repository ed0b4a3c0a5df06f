"""A process that reads files and is watched: for exceptions, crashes, time, memory, and what it does besides reading.

It is forked from a server that has imported everything, so that another one takes its place in a moment.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import resource
import shutil
import signal
import sys
import tempfile
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from fuzz_kinds import KINDS
from fuzz_seeds import companions

CPU_SECONDS, SECONDS = 15, 120
"""For one file of a few kilobytes: of the processor, and of the clock for what waits for something."""
MEBIBYTES = 1024
"""That one file may take."""
HEADROOM = 4 << 30
"""Bytes of address space, beyond which the machine is at risk."""

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES = {
    "os.mkdir",
    "os.rename",
    "os.remove",
    "os.rmdir",
    "os.symlink",
    "os.link",
    "os.chmod",
    "os.chown",
    "os.truncate",
}
_NEVER = {
    "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "socket.connect",
    "socket.getaddrinfo", "socket.bind", "urllib.Request", "pickle.find_class",
}  # fmt: skip


class Watched:
    """One child, replaced whenever it dies. folder: where it reads and may write."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._context = multiprocessing.get_context("forkserver")
        # The server does not get sys.path of its client in all versions of Python.
        os.environ["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
        self._context.set_forkserver_preload(["fuzz_readers"])
        self._process: Any = None
        self._pipe: Any = None

    def read(self, reader: str, data: bytes, *, valid: bool = False) -> str | None:
        """What is wrong with how a reader takes a file of these bytes; None where nothing is. valid: it may not refuse
        the file."""
        if self._process is None:
            self._start()
        inside = self.folder / "inside"
        inside.mkdir(exist_ok=True)
        path = inside / KINDS[reader].file_name
        path.write_bytes(data)
        before = self._files()
        self._pipe.send((reader, str(path), valid))
        try:
            if not self._pipe.poll(SECONDS):
                self.stop()
                return f"takes more than {SECONDS} s"
            wrong = self._pipe.recv()
        except (EOFError, ConnectionResetError):
            self._process.join()
            code = self._process.exitcode
            self._process = None
            if code == -signal.SIGPROF:
                return f"takes more than {CPU_SECONDS} s of the processor"
            return f"ends the process ({signal.Signals(-code).name if code < 0 else code})"
        finally:
            path.unlink(missing_ok=True)
            shutil.rmtree(inside / "out", ignore_errors=True)
        left = sorted(self._files() - before)
        return wrong or (f"leaves {left[0]} behind" if left else None)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None

    def _start(self) -> None:
        (self.folder / "inside").mkdir(parents=True, exist_ok=True)
        companions(self.folder / "inside")
        self._pipe, end = self._context.Pipe()
        self._process = self._context.Process(target=serve, args=(end, str(self.folder)), daemon=True)
        self._process.start()
        end.close()

    def _files(self) -> set[str]:
        return {str(file) for file in self.folder.rglob("*") if "out" not in file.parts}


def serve(pipe: Connection, folder: str) -> None:
    """Read what is asked for, until the other end is closed."""
    from fuzz_readers import READERS

    os.chdir(folder)
    tempfile.tempdir = folder
    sys.dont_write_bytecode = True
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    bound_memory()
    deeds: list[str] = []
    sys.addaudithook(lambda event, arguments: _noted(deeds, event, arguments, folder))
    while True:
        try:
            reader, path, valid = pipe.recv()
        except EOFError:
            return
        before = _reset_peak()
        deeds.clear()
        signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)  # nobody handles its signal: it ends the process
        wrong = _wrong(READERS[reader], Path(path), valid)
        signal.setitimer(signal.ITIMER_PROF, 0)
        taken = (_status("VmHWM") - before) >> 20
        if wrong is None and deeds:
            wrong = f"does more than read: {deeds[0]}"
        if wrong is None and taken > MEBIBYTES:
            wrong = f"takes {taken} MiB"
        pipe.send(wrong)


def bound_memory() -> None:
    """Let this process take so much more than it has now, as far as the system allows to say so."""
    if size := _status("VmSize"):
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_AS, (size + HEADROOM, resource.getrlimit(resource.RLIMIT_AS)[1]))


def _wrong(read: Any, path: Path, valid: bool) -> str | None:
    from avsep.errors import AvsepError

    try:
        read(path)
    except AvsepError as error:
        if valid:
            return f"refuses a valid file: {error}"
        return None if str(error).strip() else "raises an error that says nothing"
    except BaseException as error:
        frames = traceback.extract_tb(error.__traceback__)
        where = " < ".join(f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in reversed(frames[-6:]))
        return f"raises {type(error).__name__}: {str(error)[:300]} ({where})"
    return None


def _noted(deeds: list[str], event: str, arguments: tuple, folder: str) -> None:
    if event == "open":
        path, _, flags = arguments
        if isinstance(path, int) or not isinstance(flags, int) or not flags & _WRITES:
            return
        outside = [path]
    elif event in _CHANGES:
        named = arguments[event == "os.symlink" : 2]  # what a link says is no path that is written to
        outside = [path for path in named if isinstance(path, str | bytes | os.PathLike)]
    elif event in _NEVER:
        deeds.append(f"{event} {arguments!r:.200}")
        return
    else:
        return
    for path in outside:
        full = os.path.realpath(os.fsdecode(path))
        if full != os.devnull and not full.startswith(folder + os.sep):
            deeds.append(f"{event} {full}")


def _status(key: str) -> int:
    """Bytes that Linux notes of this process; 0 on other systems, where memory is not watched."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith(f"{key}:")), 0)


def _reset_peak() -> int:
    """Let the peak of memory begin anew, and return what is taken now."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _status("VmRSS")
