"""A bound on what may be made while a model is built, so that a file cannot ask for more memory than it holds."""

from __future__ import annotations

import math
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode

from avsep.errors import WeightsError

FACTORIES = {"empty", "zeros", "ones", "full", "rand", "randn", "eye", "arange", "linspace", "hann_window"}


class Limited(TorchDispatchMode):
    """Context in which tensors of at most `most_numbers` numbers in all, and at most `most_tensors` of them, are made.

    Sizes are looked at before memory is taken. Raises WeightsError.
    """

    def __init__(self, most_numbers: int, most_tensors: int) -> None:
        super().__init__()
        self.most_numbers, self.most_tensors = most_numbers, most_tensors
        self.numbers = self.tensors = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket.__name__ in FACTORIES:
            self.tensors += 1
            self.numbers += _size(args)
            if self.numbers > self.most_numbers or self.tensors > self.most_tensors:
                raise WeightsError(
                    f"the description asks for {self.numbers:,} numbers in {self.tensors:,} tensors, more than the "
                    f"{self.most_numbers:,} in {self.most_tensors:,} allowed here."
                )
        return func(*args, **(kwargs or {}))


def _size(args: Any) -> int:
    """Numbers in what a factory makes: by its shape, or by the largest of its plain numbers."""
    if args and isinstance(args[0], list | tuple):
        return math.prod(args[0])
    return int(max((abs(value) for value in args if isinstance(value, int | float)), default=0))
