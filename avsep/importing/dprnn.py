"""asteroid's DPRNNTasNet as a `MaskingModel` of a `GatedDualPathRNN`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from avsep.checkpoint import load_weights
from avsep.errors import WeightsError
from avsep.importing.read import State, fitted, renamed
from avsep.models.masking import MaskingModel
from avsep.models.parts.decoder import Decoder
from avsep.models.parts.encoder import Encoder
from avsep.models.separators.gated_dual_path import GatedDualPathRNN

NAMES = {
    "encoder.filterbank._filters": "encoder.conv.weight",
    "decoder.filterbank._filters": "decoder.conv.weight",
    "masker.bottleneck.": "separator.enter.",
    "masker.net.": "separator.blocks.",
    "masker.first_out.": "separator.head.split.",
    "masker.net_out.0.": "separator.head.value.",
    "masker.net_gate.0.": "separator.head.gate.",
    "masker.mask_net.": "separator.head.leave.",
}
INNER = {
    ".intra_RNN.rnn.": ".within.lstm.",
    ".inter_RNN.rnn.": ".across.lstm.",
    ".intra_linear.": ".within.project.",
    ".inter_linear.": ".across.project.",
    ".intra_norm.gamma": ".norm_within.weight",
    ".intra_norm.beta": ".norm_within.bias",
    ".inter_norm.gamma": ".norm_across.weight",
    ".inter_norm.beta": ".norm_across.bias",
    ".enter.0.gamma": ".enter.0.weight",
    ".enter.0.beta": ".enter.0.bias",
}
EXPECTED = {
    "norm_type": "gLN",
    "mask_act": "sigmoid",
    "bidirectional": True,
    "rnn_type": "LSTM",
    "num_layers": 1,
    "use_mulcat": False,
}
"""Arguments that are as those of the paper; others cannot be read."""


def dprnn(args: Mapping[str, Any], state: State, sample_rate: int, rectified: bool) -> MaskingModel:
    """Of asteroid's arguments and tensors. rectified: whether its encoder is. Raises WeightsError."""
    for name, usual in EXPECTED.items():
        if args.get(name, usual) != usual:
            raise WeightsError(f"its {name} is {args[name]!r}; {usual!r} can be read.")
    if args["hop_size"] not in (None, args["chunk_size"] // 2) or args["chunk_size"] % 2:
        raise WeightsError(
            f"its chunks of {args['chunk_size']} frames follow each other by {args['hop_size']}; half can be read."
        )
    filters, kernel, stride = args["n_filters"], args["kernel_size"], args["stride"]
    model = MaskingModel(
        Encoder(filters, kernel, stride, rectified, padded=False),
        GatedDualPathRNN(
            filters, args["bn_chan"], args["hid_size"], args["chunk_size"], args["n_repeats"], args["n_src"]
        ),
        Decoder(filters, kernel, stride, padded=False),
        sample_rate=sample_rate,
    )
    weights = {}
    for name, tensor in state.items():
        here = renamed(name, NAMES)
        for theirs, ours in INNER.items():
            here = here.replace(theirs, ours)
        weights[here] = tensor
    load_weights(model, fitted(weights, model.state_dict()), "asteroid")
    return model
