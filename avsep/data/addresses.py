"""Where shards are read from: an address may be a shell command (pipe:), which is run only where that was asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from urllib.parse import urlsplit

from avsep.errors import UsageError

_commands: ContextVar[bool] = ContextVar("whether shards may be what a command prints", default=False)


@contextmanager
def commands_allowed(allow: bool) -> Iterator[None]:
    """Whether `check_addresses` lets shell commands pass. It is no argument of a data set: a configuration could set
    that."""
    token = _commands.set(allow)
    try:
        yield
    finally:
        _commands.reset(token)


def check_addresses(urls: Sequence[str]) -> None:
    """Raise UsageError for an address that is a shell command, unless these are allowed, and for one of files that
    name others (reference::), whose names are templates that old versions of fsspec run. Parts of a chain (::) are
    looked at one by one."""
    for url in (part for chain in urls for part in _parts(chain)):
        if "reference://" in url.lower():
            raise UsageError(
                f"shards {url!r:.200} name further files, which is not followed. Name the shards themselves"
            )
        if is_command(url) and not _commands.get():
            raise UsageError(
                f"shards {url!r:.200} are what a shell command prints, and it could do anything. If you trust it: "
                "avsep fit --allow-pipe"
            )


def _parts(chain: str) -> list[str]:
    parts = chain.split("::")
    return [part if len(parts) == 1 or "://" in part else f"{part}://" if part.isalpha() else part for part in parts]


def is_command(url: str) -> bool:
    """Whether webdataset takes an address for a command; it does not look at upper and lower case."""
    try:
        return urlsplit(url).scheme == "pipe"
    except ValueError:
        return "pipe:" in url.lower()
