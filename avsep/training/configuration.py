"""Checks a configuration and the options that change it against the classes it names, before anything is built: one
message with the whole key.

jsonargparse checks it too, but names a nested key without its path and not what was meant.
"""

from __future__ import annotations

import collections.abc
import contextlib
import dataclasses
import difflib
import importlib
import inspect
import itertools
import os
import types
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from avsep.errors import UsageError
from avsep.safe_text import one_line
from avsep.storage.documents import TooLarge, parse_yaml, read_yaml
from avsep.training.allowed import check_module, check_origin

TOP: dict[str, Any] = {
    "seed_everything": bool | int,
    "trainer": Any,
    "model": Any,
    "data": Any,
    "ckpt_path": str | None,
    "checkpoint_every": int,
    "overwrite": bool,
}
"""Keys of a configuration and what they hold."""

PLAIN = (bool, int, float, str, dict)
"""Types that are compared here; all others are left to jsonargparse."""

UNIONS = (typing.Union, types.UnionType)
CONTAINERS: dict[Any, type] = {
    list: list,
    tuple: list,
    collections.abc.Sequence: list,
    dict: dict,
    collections.abc.Mapping: dict,
}
"""What a YAML gives for a type that holds others."""


class Text(str):
    """A value of the command line, where 2024 may be a number or a name."""


def check_configuration(files: Sequence[Path], options: Sequence[str] = ()) -> None:
    """Raise UsageError naming file, key and what was expected, unless every key and plain value fits.

    files: YAML, each of which changes those before it. options: of the command line; its --KEY VALUE change what the
    files say.
    """
    for option, following in itertools.pairwise([*options, ""]):
        name, equals, value = option.partition("=")
        if name.endswith(".help") and "." in (class_path := value if equals else following):
            check_module(class_path, name)
    documents = [_read(file) for file in files]
    for file, document in zip(files, documents, strict=True):
        try:
            _check(document)
        except UsageError as error:
            raise UsageError(f"{file}: {error}") from error
    together: dict[str, Any] = {}
    for document in documents:
        together = _changed(together, document)
    for key, value in _given(options):
        _set(together, key.split("."), value)
    _check(together)


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise UsageError(f"--config: no file {path}. The configurations of avsep are in configs/")
    try:
        document = read_yaml(path)
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is not YAML: {one_line(error)}") from error
    if not isinstance(document, dict):
        raise UsageError(f"{path} holds no keys; expected {', '.join(list(TOP)[:4])}")
    return document


def _check(document: dict[str, Any]) -> None:
    import lightning

    for key, value in document.items():
        if key not in TOP:
            raise UsageError(_unknown(key, "", list(TOP)))
        if key == "trainer":
            _check_arguments(lightning.Trainer, value or {}, key)
        else:
            _check_value(value, TOP[key], key)


def _changed(before: Any, after: Any) -> Any:
    """The later of two values; of two mappings, the keys of both, unless they are of different classes."""
    if not isinstance(before, dict) or not isinstance(after, dict):
        return after
    if after.get("class_path", before.get("class_path")) != before.get("class_path"):
        return after
    return before | {key: _changed(before.get(key), value) for key, value in after.items()}


def _given(options: Sequence[str]) -> list[tuple[str, Any]]:
    """Keys and values of --KEY VALUE and --KEY=VALUE that a configuration has too. Lists and mappings are YAML."""
    found = []
    for option, following in itertools.zip_longest(options, options[1:], fillvalue="--"):
        key, equals, value = option.removeprefix("--").partition("=")
        is_ours = option.startswith("--") and key.partition(".")[0] in TOP and not key.endswith((".help", "+"))
        value = value if equals else following
        if is_ours and (equals or not value.startswith("--")):
            with contextlib.suppress(ValueError):
                try:
                    read = parse_yaml(value)
                except TooLarge as error:
                    raise UsageError(f"--{key}: {error}") from error
                found.append((key, read if read is None or isinstance(read, list | dict) else Text(value)))
    return found


def _set(node: dict[str, Any], path: Sequence[str], value: Any) -> None:
    """Change one value in place. Where the path leads into a class, `init_args` may be left out, as jsonargparse
    allows. What it leads into without being there yet is left to jsonargparse."""
    name, *further = path
    if "class_path" in node and name not in ("class_path", "init_args"):
        node = node.setdefault("init_args", {})
    if not further:
        node[name] = value
        return
    if isinstance(node.get(name), str) and "." in node[name]:
        node[name] = {"class_path": node[name]}
    if isinstance(node.get(name), dict):
        _set(node[name], further, value)


def import_class(class_path: Any, key: str) -> type:
    """The class of a class_path. Raises UsageError with its key, also for one whose module is not allowed."""
    module, _, name = str(class_path).rpartition(".")
    where = f"{key}.class_path is {class_path!r}"
    if not module:
        raise UsageError(f"{where}; expected module.Class, for example avsep.models.conv_tasnet.ConvTasNet")
    check_module(str(class_path), f"{key}.class_path")
    try:
        found = getattr(importlib.import_module(module), name)
    except ImportError as error:
        raise UsageError(f"{where}, but module {module} cannot be imported: {error}") from error
    except AttributeError as error:
        others = [k for k, v in vars(importlib.import_module(module)).items() if inspect.isclass(v)]
        raise UsageError(f"{where}, but {module} has no {name}{_meant(name, others)}") from error
    if not callable(found):
        raise UsageError(f"{where}, which is no class")
    check_origin(found, str(class_path), f"{key}.class_path")
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
            _check_value(item, _element(hint, number), f"{key}[{number}]")
    elif isinstance(value, dict):
        for kind in typing.get_args(hint) or (hint,):
            if dataclasses.is_dataclass(kind):
                _check_arguments(kind, value, key)
    elif isinstance(value, str) and "." in value and _is_component(hint):
        import_class(value, key)
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
    for reading in (str(value), yaml.safe_load(value)) if isinstance(value, Text) else (value,):
        if reading in literals or any(_is(reading, kind) for kind in kinds):
            return
    names = [kind.__name__ for kind in kinds if kind is not types.NoneType] + [repr(literal) for literal in literals]
    raise UsageError(f"{key} is {value!r}; expected {' or '.join(dict.fromkeys(names))}")


def _element(hint: Any, number: int) -> Any:
    """The type of an element of a list, where the hint allows one kind of list and nothing else that holds others."""
    kinds = [hint, *(typing.get_args(hint) if typing.get_origin(hint) in UNIONS else ())]
    (kind, *others) = [k for k in kinds if CONTAINERS.get(typing.get_origin(k)) is list] or [Any]
    elements = [e for e in typing.get_args(kind) if e is not ...]
    if others or not elements:
        return Any
    return elements[min(number, len(elements) - 1)]


def _is_component(hint: Any) -> bool:
    """Whether a value is an object of a class that is none of the plain ones."""
    kinds = [kind for kind in typing.get_args(hint) or (hint,) if kind is not types.NoneType]
    return all(inspect.isclass(k) and k not in (*PLAIN, Any) and not issubclass(k, os.PathLike) for k in kinds)


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
    if origin in UNIONS:
        parts = [_alternatives(part) for part in typing.get_args(hint)]
        return None if any(p is None for p in parts) else [a for p in parts for a in p or ()]
    if origin is typing.Literal:
        return list(typing.get_args(hint))
    if origin in CONTAINERS:
        return [CONTAINERS[origin]]
    return [hint] if hint in (*PLAIN, types.NoneType) else None


def _unknown(name: Any, key: str, allowed: Sequence[str]) -> str:
    where = f"{key}.{name}" if key else str(name)
    if key == "trainer":  # has dozens
        return f"unknown key {where}{_meant(name, allowed) or ' (see the arguments of lightning.Trainer)'}"
    return f"unknown key {where}{_meant(name, allowed)}; the keys there are {', '.join(allowed)}"


def _meant(name: Any, others: Sequence[str]) -> str:
    close = difflib.get_close_matches(str(name), others, 1)
    return f", did you mean {close[0]}?" if close else ""
