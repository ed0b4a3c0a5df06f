"""Ranges of random numbers, as the options of training data give them: (lowest, highest), drawn evenly."""

from __future__ import annotations

from collections.abc import Sequence

from avsep.errors import UsageError

Range = tuple[float, float]

_ANY = (-float("inf"), float("inf"))


def check(owner: object, limits: tuple[float, float] = _ANY, *names: str) -> None:
    """Raise UsageError for a range of `owner` that falls, a value of one of `names` outside `limits`, or a probability
    `p` outside 0 to 1."""
    kind = type(owner).__name__
    for name, value in vars(owner).items():
        values = value if isinstance(value, Sequence) and not isinstance(value, str) else (value,)
        low, high = (0.0, 1.0) if name == "p" else limits if name in names else _ANY
        numbers = [v for v in values if isinstance(v, int | float)]
        if any(not low <= v <= high for v in numbers):
            raise UsageError(f"{kind}: {name} is {value}; it must lie in {low:g} to {high:g}")
        # Lists are lists of weights, files and the like.
        if isinstance(value, tuple) and len(numbers) == 2 and numbers[0] > numbers[1]:
            raise UsageError(f"{kind}: {name} is {value}; a range goes from low to high")
