"""What every model shares: it knows its own configuration, so that its weights describe themselves."""

from __future__ import annotations

import inspect
from typing import Any

from torch import nn


class Model(nn.Module):
    """Base of everything that is saved, listed and loaded by name.

    `init_args` holds the arguments the model was built with (plain types only); together
    with its class path they rebuild it. `sample_rate` is in Hz.
    """

    init_args: dict[str, Any]
    sample_rate: int

    def __new__(cls, *args: Any, **kwargs: Any) -> Model:
        self = super().__new__(cls)
        bound = inspect.signature(cls.__init__).bind(self, *args, **kwargs)
        bound.apply_defaults()
        init_args = dict(bound.arguments)
        init_args.pop("self")
        object.__setattr__(self, "init_args", init_args)
        return self

    @property
    def class_path(self) -> str:
        return f"{type(self).__module__}.{type(self).__qualname__}"

    @property
    def parameter_count(self) -> int:
        return sum(p.numel() for p in self.parameters())


class SeparationModel(Model):
    """A model that turns a mixture into estimates.

    sources: how many estimates come out, or None where there is one for each face given.
    conditioning: None, or "lips". in_channels: microphones it takes.
    """

    sources: int | None = None
    conditioning: str | None = None
    in_channels: int = 1
