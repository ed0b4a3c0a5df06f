"""Checks a configuration against the classes it names, before anything is built: one message with the whole key.

jsonargparse checks it too, but names a nested key without its path and not what was meant.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import inspect
import types
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from avsep.errors import UsageError

TOP = ("seed_everything", "trainer", "model", "data", "ckpt_path", "checkpoint_every", "overwrite")

PLAIN = (bool, int, float, str)
"""Types that are compared here; all others are left to jsonargparse."""


def check_file(path: Path) -> None:
    """Raise UsageError naming file, key and what was expected, unless every key and plain value of a YAML fits."""
    import lightning

    if not path.is_file():
        raise UsageError(f"--config: no file {path}. The configurations of avsep are in configs/")
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(document, dict):
        raise UsageError(f"{path} holds no keys; expected {', '.join(TOP[:4])}")
    for key in document:
        if key not in TOP:
            raise UsageError(f"{path}: {_unknown(key, '', TOP)}")
    try:
        _check_arguments(lightning.Trainer, document.get("trainer") or {}, "trainer")
        for key in ("model", "data"):
            if key in document:
                _check_value(document[key], Any, key)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error


def import_class(class_path: Any, key: str) -> type:
    """The class of a class_path. Raises UsageError with its key."""
    module, _, name = str(class_path).rpartition(".")
    where = f"{key}.class_path is {class_path!r}"
    if not module:
        raise UsageError(f"{where}; expected module.Class, for example avsep.models.conv_tasnet.ConvTasNet")
    try:
        found = getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise UsageError(f"{where}, but module {module} cannot be imported: {error}") from error
    except AttributeError as error:
        others = [k for k, v in vars(importlib.import_module(module)).items() if inspect.isclass(v)]
        raise UsageError(f"{where}, but {module} has no {name}{_meant(name, others)}") from error
    if not callable(found):
        raise UsageError(f"{where}, which is no class")
    return found


def _check_value(value: Any, hint: Any, key: str) -> None:
    if isinstance(value, dict) and "class_path" in value:
        for other in value:
            if other not in ("class_path", "init_args", "dict_kwargs"):
                raise UsageError(_unknown(other, key, ("class_path", "init_args")))
        arguments = value.get("init_args") or {}
        _check_arguments(import_class(value["class_path"], key), arguments, f"{key}.init_args")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            _check_value(item, Any, f"{key}[{number}]")
    elif isinstance(value, dict):
        for kind in typing.get_args(hint) or (hint,):
            if dataclasses.is_dataclass(kind):
                _check_arguments(kind, value, key)
    elif value is not None:
        _check_plain(value, hint, key)


def _check_arguments(made: Any, arguments: Any, key: str) -> None:
    """Names and plain values of the arguments of a class."""
    if not isinstance(arguments, dict):
        raise UsageError(f"{key} is {arguments!r}; expected keys with values")
    parameters = _parameters(made)
    if parameters is None:
        return
    hints = _hints(made)
    for name, value in arguments.items():
        if name not in parameters:
            raise UsageError(_unknown(name, key, parameters))
        _check_value(value, hints.get(name, Any), f"{key}.{name}")


def _parameters(made: Any) -> list[str] | None:
    """Names of the arguments; None where any name may be passed on."""
    try:
        parameters = inspect.signature(made).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(p.kind == p.VAR_KEYWORD for p in parameters):
        return None
    return [p.name for p in parameters]


def _hints(made: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(made.__init__ if inspect.isclass(made) else made)
    except (NameError, TypeError, AttributeError):
        return {}


def _check_plain(value: Any, hint: Any, key: str) -> None:
    allowed = _alternatives(hint)
    if allowed is None:
        return
    literals = [a for a in allowed if not isinstance(a, type)]
    kinds = [a for a in allowed if isinstance(a, type)]
    if value in literals or any(_is(value, kind) for kind in kinds):
        return
    names = [kind.__name__ for kind in kinds if kind is not types.NoneType] + [repr(literal) for literal in literals]
    raise UsageError(f"{key} is {value!r}; expected {' or '.join(dict.fromkeys(names))}")


def _is(value: Any, kind: type) -> bool:
    if kind is float:
        # YAML reads 1e-3 as text; jsonargparse makes a number of it.
        try:
            return not isinstance(value, bool) and float(value) == float(value)
        except (TypeError, ValueError):
            return False
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, kind)


def _alternatives(hint: Any) -> list[Any] | None:
    """Plain types and literal values that a type hint allows, or None where it allows anything else."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        parts = [_alternatives(part) for part in typing.get_args(hint)]
        return None if any(p is None for p in parts) else [a for p in parts for a in p or ()]
    if origin is typing.Literal:
        return list(typing.get_args(hint))
    return [hint] if hint in (*PLAIN, types.NoneType) else None


def _unknown(name: Any, key: str, allowed: Sequence[str]) -> str:
    where = f"{key}.{name}" if key else str(name)
    if key == "trainer":  # has dozens
        return f"unknown key {where}{_meant(name, allowed) or ' (see the arguments of lightning.Trainer)'}"
    return f"unknown key {where}{_meant(name, allowed)}; the keys there are {', '.join(allowed)}"


def _meant(name: Any, others: Sequence[str]) -> str:
    close = difflib.get_close_matches(str(name), others, 1)
    return f", did you mean {close[0]}?" if close else ""
