"""What a model costs: the multiply-adds for a second of sound."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from avsep.embeddings.face import DIMENSIONS
from avsep.models.base import SeparationModel
from avsep.signals import FRAME_RATE, LIP_SIZE


def multiply_adds(model: SeparationModel, seconds: float = 1.0) -> int:
    """Of matrix products and convolutions for a second of sound, with one cue of each kind that the model takes (an
    enrolment of a second too) and the fewest channels. Models that count the voices are told that there are two. What
    transforms do and what goes number by number is not counted.

    seconds: of the sounds that are taken to count them. A large model of convolutions, whose cost grows with the
    duration, is counted sooner on less; attention costs more than in proportion."""
    contract = model.contract
    if contract.sources is None:
        model = model.with_sources(2)
    draw = torch.Generator().manual_seed(0)
    mixture = torch.randn(1, contract.channels[0], round(seconds * contract.sample_rate), generator=draw)
    training = model.training
    model.eval()
    try:
        with torch.no_grad(), _unfused(), FlopCounterMode(display=False, custom_mapping=RECURRENT) as counter:
            model.separate(mixture, **example_cues(model, draw, seconds))
    finally:
        model.train(training)
    return round(counter.get_total_flops() / 2 / seconds)


def example_cues(model: SeparationModel, draw: torch.Generator, seconds: float = 1.0) -> dict[str, Tensor]:
    """Noise in the shapes of some seconds and one source."""
    channels, time = model.contract.channels[0], round(seconds * model.contract.sample_rate)
    pictures = math.ceil(seconds * FRAME_RATE)
    shapes = {
        "lips": (pictures, LIP_SIZE, LIP_SIZE),
        "face": (pictures, DIMENSIONS),
        "enrolment": (time,),
        "delays": (channels,),
        "activity": (pictures,),
        "sources": (channels, time),
    }
    return {name: torch.rand(1, 1, *shapes[name], generator=draw) for name in model.contract.cues}


def _lstm_flops(
    sequence: Sequence[int], from_input: Sequence[int], from_state: Sequence[int], *_: object, **__: object
) -> int:
    """Of one direction of one layer, from the shapes (time, batch, features) and (4 hidden, features), (4 hidden,
    hidden): every step multiplies both matrices."""
    return 2 * math.prod(sequence[:-1]) * (math.prod(from_input) + math.prod(from_state))


RECURRENT = {torch.ops.aten.mkldnn_rnn_layer: _lstm_flops}
"""What the counter does not know: an LSTM in one piece. Where it runs step by step, its products are counted."""


@contextmanager
def _unfused() -> Iterator[None]:
    """Attention in its parts: the counter does not know what is fused."""
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="TF32 acceleration")
            with sdpa_kernel(SDPBackend.MATH):
                yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
