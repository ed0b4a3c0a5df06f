"""What a configuration may make: a class_path imports its module and calls what it names, so that somebody else's
configuration could run anything that is installed. Only avsep's own classes and those of modules that were allowed on
the command line are imported.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from avsep.data.addresses import commands_allowed
from avsep.errors import UsageError

ALLOWED = ("avsep",)
"""Modules, each with what is below it."""

BASES = ("torch.nn.Module", "torch.nn.modules.module.Module")
"""Types of arguments, which jsonargparse looks up like values."""

MODULES, PIPE = "--allow-modules", "--allow-pipe"

_further: ContextVar[tuple[str, ...]] = ContextVar("modules allowed on the command line", default=())


@contextmanager
def allowed(modules: Sequence[str], pipe: bool) -> Iterator[None]:
    """Let configurations name classes of these modules too, and, with `pipe`, shards that a shell command prints."""
    from jsonargparse import _common, set_parsing_settings

    token = _further.set(tuple(modules))
    # Settings of the whole process: other users of jsonargparse in it get theirs back. It has no public way to do so.
    before = {key: _common.parsing_settings[key] for key in ("import_path_verdicts", "import_paths_enforced")}
    try:
        # jsonargparse imports what the checks here do not see: defaults of arguments, and types it works out.
        set_parsing_settings(import_path_denylist=["*"], import_path_allowlist=[*ALLOWED, *BASES, *modules])
        with commands_allowed(pipe):
            yield
    finally:
        _common.parsing_settings.update(before)
        _further.reset(token)


def check_module(class_path: str, key: str) -> None:
    """Raise UsageError for the path of a class whose module is not allowed, before it is imported."""
    if not _is_allowed(class_path):
        raise UsageError(refusal(class_path, key))


def check_origin(found: Any, class_path: str, key: str) -> None:
    """The same for a class that an allowed module only imported."""
    origin = getattr(found, "__module__", None)
    if isinstance(origin, str) and not _is_allowed(origin):
        raise UsageError(refusal(f"{origin}.{getattr(found, '__qualname__', class_path)}", key))


def refusal(class_path: str, key: str = "") -> str:
    """What is said of a path that is not allowed."""
    where = f"{key} is {class_path!r:.200}" if key else f"{class_path!r:.200} is named"
    module = class_path.rpartition(".")[0] or class_path
    return (
        f"{where}, which is none of avsep's own classes: its module could do anything. If you trust it: "
        f"{MODULES} {module:.200}"
    )


def own_options(arguments: Sequence[str]) -> tuple[list[str], list[str], bool]:
    """The arguments without --allow-modules and --allow-pipe, the modules that are allowed, and whether pipes are.

    Raises UsageError where --allow-modules names none.
    """
    left: list[str] = []
    modules: list[str] = []
    pipe = False
    waiting = iter(arguments)
    for argument in waiting:
        name, equals, value = argument.partition("=")
        if name == PIPE and not equals:
            pipe = True
        elif name == MODULES:
            value = value if equals else next(waiting, "")
            names = [module.strip() for module in value.split(",")]
            if not all(part.isidentifier() for module in names for part in module.split(".")):
                raise UsageError(
                    f"{MODULES} {value!r:.100}: give names of modules with commas between them, such as mine.models"
                )
            modules += names
        else:
            left.append(argument)
    return left, modules, pipe


def _is_allowed(path: str) -> bool:
    return any(path == module or path.startswith(f"{module}.") for module in (*ALLOWED, *_further.get()))
