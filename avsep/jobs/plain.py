"""Values as JSON has them, and back: what a job is sent as, and what the list of finished jobs keeps.

Functions travel by name, paths as text, dataclasses by their fields. The types that the receiving function is annotated
with say what to make of them, so that no file and no message tells which class to load.
"""

from __future__ import annotations

import collections.abc
import functools
import importlib
import inspect
import numbers
import os
import sys
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path, PurePath
from typing import Any

Plain = Any
"""None, bool, int, float, str, or a list or a dict (of str) of such."""


def to_plain(value: Any) -> Plain:
    """Raises TypeError for what is none of: numbers, text, paths, dataclasses, sequences, mappings of names, functions
    of a module and partials of them with keywords."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    if isinstance(value, PurePath):
        return os.fspath(value)
    if isinstance(value, functools.partial):
        if value.args:
            raise TypeError(f"{value}: only keywords can be sent with a function")
        return {"call": name_of(value.func), "with": to_plain(value.keywords)}
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in fields(value) if field.init}
    if isinstance(value, Mapping):
        return {str(name): to_plain(each) for name, each in value.items()}
    if isinstance(value, tuple | list):
        return [to_plain(each) for each in value]
    if callable(value):
        return {"call": name_of(value), "with": {}}
    raise TypeError(f"{type(value).__name__} is nothing that a job can be sent with")


def from_plain(kind: Any, data: Plain) -> Any:
    """The value of type `kind` that `to_plain` made `data` of. Raises TypeError or ValueError where it does not fit."""
    if isinstance(kind, typing.TypeVar):
        kind = kind.__bound__ or Any
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if kind in (Any, inspect.Parameter.empty, object):
        return data
    if origin in (typing.Union, types.UnionType):
        return _any_of(inner, data)
    if origin is typing.Literal:
        if data not in inner:
            raise ValueError(f"{data!r} is none of {', '.join(map(repr, inner))}")
        return data
    if data is None:
        if kind in (None, types.NoneType):
            return None
        raise TypeError(f"nothing where {kind} is needed")
    if collections.abc.Callable in (kind, origin) or kind is typing.Callable:
        return called(data)
    if origin is tuple and not (len(inner) == 2 and inner[1] is Ellipsis):
        return tuple(from_plain(part, each) for part, each in zip(inner, data, strict=True))
    if origin is not None:
        return _collection(origin, inner, data)
    return _single(kind, data)


def _any_of(kinds: tuple[Any, ...], data: Plain) -> Any:
    for kind in kinds:
        try:
            return from_plain(kind, data)
        except (TypeError, ValueError, LookupError):
            continue
    raise TypeError(f"{data!r} is none of {', '.join(map(str, kinds))}")


def _collection(origin: Any, inner: tuple[Any, ...], data: Plain) -> Any:
    if issubclass(origin, Mapping):
        return {name: from_plain(inner[1], each) for name, each in data.items()}
    if not isinstance(data, list):
        raise TypeError(f"{data!r} is no list")
    made = [from_plain(inner[0], each) for each in data]
    return made if origin is list else tuple(made)


def _single(kind: type[Any], data: Plain) -> Any:
    if issubclass(kind, PurePath):
        return kind(data)
    if is_dataclass(kind):
        return _dataclass(kind, data)
    if issubclass(kind, tuple) and hasattr(kind, "_fields"):
        types_of = hints(kind)
        values = zip(kind._fields, data, strict=True)
        return kind(*(from_plain(types_of.get(name, Any), each) for name, each in values))
    if kind is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    if not isinstance(data, kind):
        raise TypeError(f"{data!r} is no {kind.__name__}")
    return tuple(data) if kind is tuple else data


def _dataclass(kind: Any, data: Plain) -> Any:
    types_of = hints(kind)
    return kind(**{name: from_plain(types_of[name], each) for name, each in data.items()})


@functools.cache
def hints(annotated: Any) -> dict[str, Any]:
    """Types of a function's parameters and its "return", or of a class's fields."""
    return typing.get_type_hints(annotated)


def name_of(function: Callable) -> str:
    """MODULE:NAME by which another process finds a function. Raises TypeError for one that is in no module."""
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", "<none>")
    main = getattr(sys.modules["__main__"], "__spec__", None)
    if module == "__main__" and main is not None:  # python -m MODULE
        module = main.name
    if module is None or "<" in name:
        raise TypeError(f"{function}: only functions of a module can be sent")
    return f"{module}:{name}"


def called(data: Plain) -> Callable:
    """The function that `to_plain` made `data` of, or a partial of it."""
    module, _, name = data["call"].partition(":")
    function: Any = importlib.import_module(module)
    for part in name.split("."):
        function = getattr(function, part)
    if not data["with"]:
        return function
    kinds = hints(function)
    return functools.partial(
        function, **{name: from_plain(kinds.get(name, Any), each) for name, each in data["with"].items()}
    )


def job_type(work: Callable) -> Any:
    """The type of what `work` takes: its first parameter that is not given yet."""
    function, given = _taken_apart(work)
    name = next(name for name in inspect.signature(function).parameters if name not in given)
    return hints(function).get(name, Any)


def result_type(work: Callable) -> Any:
    """The type of what `work` returns."""
    return hints(_taken_apart(work)[0]).get("return", Any)


def _taken_apart(work: Callable) -> tuple[Callable, dict[str, Any]]:
    return (work.func, work.keywords) if isinstance(work, functools.partial) else (work, {})


def paths_in(value: Any) -> Iterator[Path]:
    """Every path that a value holds, at any depth."""
    if isinstance(value, Path):
        yield value
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from paths_in(getattr(value, field.name))
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from paths_in(each)
    elif isinstance(value, tuple | list):
        for each in value:
            yield from paths_in(each)
