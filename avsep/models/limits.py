"""Bounds on what a description of a model may ask for, so that a file cannot take more memory or time than it is worth:
on what is made while a model is built, and on arguments that say how much it takes when it is used."""

from __future__ import annotations

import math
from typing import Any, Self

from torch.nn.modules.module import register_module_module_registration_hook
from torch.utils._python_dispatch import TorchDispatchMode

from avsep.dsp.stft import check_window
from avsep.errors import WeightsError

FACTORIES = {"empty", "zeros", "ones", "full", "rand", "randn", "eye", "arange", "linspace", "hann_window"}

MOST_SIZE = 1_000_000
"""Channels, filters or cells of a layer."""
MOST_WINDOW = 131_072
"""Samples: a third of a second at the highest sample rate."""
MOST_OVERLAP = 64
"""Windows that a sample may lie in: their frames take as many times the memory of the signal."""


class Limited(TorchDispatchMode):
    """Context in which tensors of at most `most_numbers` numbers in all, at most `most_tensors` of them, and as many
    modules are made.

    Sizes are looked at before memory is taken. Raises WeightsError.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Nothing is compiled in it. Told to skip the compiler, torch would load it for that alone, which takes longer
        than all else that a clip of sound needs."""
        return False

    def __init__(self, most_numbers: int, most_tensors: int) -> None:
        super().__init__()
        self.most_numbers, self.most_tensors = most_numbers, most_tensors
        self.numbers = self.tensors = self.modules = 0

    def __enter__(self) -> Self:
        self.hook = register_module_module_registration_hook(self._registered)
        return super().__enter__()

    def __exit__(self, *raised: Any) -> None:
        self.hook.remove()
        super().__exit__(*raised)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name in FACTORIES:
            self.tensors += 1
            self.numbers += _size(name, args)
            self._check()
        return func(*args, **(kwargs or {}))

    def _registered(self, *_: Any) -> None:
        self.modules += 1
        self._check()

    def _check(self) -> None:
        if self.numbers > self.most_numbers or max(self.tensors, self.modules) > self.most_tensors:
            raise WeightsError(
                f"the description asks for {self.numbers:,} numbers in {self.tensors:,} tensors and {self.modules:,} "
                f"modules, more than the {self.most_numbers:,} in {self.most_tensors:,} allowed here."
            )


def _size(name: str, args: Any) -> int:
    """Numbers in what a factory makes: by its shape, or by the largest of its plain numbers."""
    if args and isinstance(args[0], list | tuple):
        return math.prod(args[0])
    if name == "eye":
        return args[0] * args[-1]
    return int(max((abs(value) for value in args if isinstance(value, int | float)), default=0))


def check_whole(least: int, most: int, **values: object) -> None:
    """ValueError for a value that is no whole number from `least` to `most`, by the name it is given under."""
    for name, value in values.items():
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise ValueError(f"{name} is {value!r:.100}; it must be a whole number from {least} to {most}")


def check_filters(kernel: int, stride: int) -> None:
    """ValueError for a filter bank of kernels that are no multiple of the stride, or too long for it."""
    check_whole(1, MOST_WINDOW, kernel=kernel, stride=stride)
    if kernel % stride or kernel > MOST_OVERLAP * stride:
        raise ValueError(
            f"encoder kernel {kernel} must be a multiple of its stride {stride}, and at most {MOST_OVERLAP} times as "
            "long"
        )


def check_spectra(window: int, hop: int, points: int | None = None) -> None:
    """ValueError for sizes that `avsep.dsp.stft` does not take, or whose spectra would be too large."""
    check_whole(2, MOST_WINDOW, window=window)
    check_whole(1, MOST_WINDOW, hop=hop)
    check_window(window, hop)
    if window > MOST_OVERLAP * hop:
        least = -(-window // MOST_OVERLAP)
        raise ValueError(f"hop is {hop}; with a window of {window} it must be at least {least}")
    if points is not None:
        check_whole(window, 4 * window, points=points)
