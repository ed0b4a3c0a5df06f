"""Dual_RNN_model of github.com/JusperLee/Dual-Path-RNN-Pytorch as a `MaskingModel` of a `GatedDualPathRNN`."""

from __future__ import annotations

import torch

from avsep.checkpoint import load_weights
from avsep.errors import WeightsError
from avsep.importing.jusperlee import building, filter_bank, sizes, sources, tensors
from avsep.importing.read import Parts, count, fitted, renamed, single
from avsep.models.masking import MaskingModel
from avsep.models.parts.decoder import Decoder
from avsep.models.parts.encoder import Encoder
from avsep.models.separators.gated_dual_path import GatedDualPathRNN

NAME = "JusperLee, Dual-Path-RNN-Pytorch"
WANTED = "a checkpoint of its Dual_RNN_model (best.pt)"

OUTER = {
    "encoder.conv1d.": "encoder.conv.",
    "decoder.": "decoder.conv.",
    "separation.norm.": "separator.enter.0.",
    "separation.conv1d.": "separator.enter.1.",
    "separation.dual_rnn.": "separator.blocks.",
    "separation.prelu.": "separator.head.split.0.",
    "separation.conv2d.": "separator.head.split.1.",
    "separation.output.0.": "separator.head.value.",
    "separation.output_gate.0.": "separator.head.gate.",
    "separation.end_conv1x1.": "separator.head.leave.",
}
INNER = {
    ".intra_rnn.": ".within.lstm.",
    ".inter_rnn.": ".across.lstm.",
    ".intra_linear.": ".within.project.",
    ".inter_linear.": ".across.project.",
    ".intra_norm.": ".norm_within.",
    ".inter_norm.": ".norm_across.",
}
FIRST = "separation.dual_rnn.0.intra_rnn."


def recognises(parts: Parts) -> bool:
    return f"{FIRST}weight_hh_l0" in tensors(single(parts))


def convert(parts: Parts, chunk: int = 250, sample_rate: int = 8000) -> MaskingModel:
    """chunk: K there, in frames, even. Of the norms 'ln' and 'gln' can be read, which are the same; 'cln' has the same
    tensors as 'ln' and must not be given.

    Raises WeightsError for other networks than bidirectional LSTMs, for batch norms, and for what was trained with the
    project's first code.
    """
    state = tensors(single(parts))
    if "separation.output_gate.0.weight" not in state:
        raise WeightsError(
            "it lacks separation.output_gate: it was trained with the first code of Dual-Path-RNN-Pytorch, which left "
            "out every other chunk; that since then can be read."
        )
    rows, hidden = sizes(state, f"{FIRST}weight_hh_l0", 2)
    if rows != 4 * hidden or f"{FIRST}weight_hh_l0_reverse" not in state:
        raise WeightsError("its recurrent networks are not bidirectional LSTMs, which can be read.")
    if "separation.norm.running_mean" in state:
        raise WeightsError("its norm is a batch norm; 'ln' and 'gln' can be read.")
    filters, kernel, stride = filter_bank(state, "encoder.conv1d.weight")
    bottleneck, _, _ = sizes(state, "separation.conv1d.weight", 3)
    split, *_ = sizes(state, "separation.conv2d.weight", 4)
    with building(NAME):
        model = MaskingModel(
            Encoder(filters, kernel, stride, padded=False),
            GatedDualPathRNN(
                filters,
                bottleneck,
                hidden,
                chunk,
                count(state, "separation.dual_rnn."),
                sources(split, bottleneck),
                masks="relu",
                silence="after",
            ),
            Decoder(filters, kernel, stride, padded=False),
            sample_rate=sample_rate,
        )
    # There is none there.
    weights = {"separator.enter.1.bias": torch.zeros(bottleneck)}
    for name, tensor in state.items():
        here = renamed(name, OUTER)
        for theirs, ours in INNER.items():
            here = here.replace(theirs, ours)
        weights[here] = tensor
    load_weights(model, fitted(weights, model.state_dict()), NAME)
    return model
