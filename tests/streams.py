"""What the tests of live streams share: a tiny causal model, and the command with pipes on its standard streams."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from avsep.checkpoint import save_model
from avsep.cli.main import main
from avsep.models.conv_tasnet import ConvTasNet

TINY = {"filters": 8, "kernel": 40, "stride": 20, "bottleneck": 4, "hidden": 6, "blocks": 2, "repeats": 1}
CAUSAL = TINY | {"norm": "cLN", "causal": True}


def tiny_model(**options) -> ConvTasNet:
    torch.manual_seed(0)
    return ConvTasNet(**(CAUSAL | options)).eval()


def tiny_weights(folder: Path, **options) -> Path:
    file = folder / "tiny.safetensors"
    save_model(file, tiny_model(**options), "tiny", "MIT", {}, half=False)
    return file


def noise(seconds: float, rate: int = 16_000, channels: int = 1) -> np.ndarray:
    """(channels, time) float32."""
    shape = (channels, round(seconds * rate))
    return (0.1 * np.random.default_rng(0).standard_normal(shape)).astype(np.float32)


@contextlib.contextmanager
def standard(number: int, end: int) -> Iterator[None]:
    """A standard stream of this process is `end` for a while."""
    kept = os.dup(number)
    os.dup2(end, number)
    try:
        yield
    finally:
        os.dup2(kept, number)
        os.close(kept)


def piped(
    arguments: list[str], data: bytes, folder: Path, then: Callable[[int], None] = lambda end: None
) -> tuple[int, bytes]:
    """Run `avsep stream` with `data` coming through a pipe -> exit code, standard output.

    then: called in the thread that writes, with its end of the pipe, before it is closed."""
    read, write = os.pipe()

    def feed() -> None:
        with contextlib.suppress(BrokenPipeError):
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(write, rest) :]
        then(write)
        os.close(write)

    writer = threading.Thread(target=feed)
    out = folder / "standard_output"
    with out.open("wb") as file, standard(0, read), standard(1, file.fileno()):
        os.close(read)
        writer.start()
        code = main(["stream", *arguments])
    writer.join()
    return code, out.read_bytes()
