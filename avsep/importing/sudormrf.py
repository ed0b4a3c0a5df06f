"""What asteroid's SuDORMRFNet and SuDORMRFImprovedNet are here: `SuDoRMRF` and `SuDoRMRFpp`.

Kernels there may be one sample longer than twice the stride (21 for 10); here they end in as many zeros as make them a
multiple of it, 30. Estimates are those of asteroid for the same signal with a stride of silence at either end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch.nn import functional

from avsep.checkpoint import load_weights
from avsep.errors import WeightsError
from avsep.importing.read import State, count, fitted, renamed
from avsep.models.sudormrf import SuDoRMRF, SuDoRMRFpp

ENCODER, DECODER = "encoder.filterbank._filters", "decoder.filterbank._filters"
AGAIN = "encoder.encoder."
"""Beginning of names under which the encoder's filters stand there a second time."""
KINDS = {"SuDORMRFNet": (SuDoRMRF, "softmax"), "SuDORMRFImprovedNet": (SuDoRMRFpp, "relu")}
"""What they are here, and the activation of their masks."""

OUTER = {
    "masker.ln.": "enter.0.",
    "masker.l1.": "enter.1.",
    "masker.bottleneck.": "enter.1.",
    "masker.reshape_before_masks.": "masks.grow.",
    "masker.m.": "masks.conv.",
    "masker.mask_net.": "masks.project.",
}
"""Beginnings of names -> in the separator here."""
BLOCK = {
    "proj_1x1.conv.": "enter.0.",
    "proj_1x1.norm.": "enter.1.",
    "proj_1x1.act.": "enter.2.",
    "final_norm.norm.": "merge.0.",
    "final_norm.act.": "merge.1.",
    "conv_1x1_exp.conv.": "leave.0.",
    "conv_1x1_exp.norm.": "leave.1.",
    "module_act.norm.": "out.0.",
    "module_act.act.": "out.1.",
    "res_conv.": "leave.",
}
"""The same, of a block."""
ENDS = {".gamma": ".weight", ".beta": ".bias"}
"""Of norms there -> here."""


def sudormrf(name: str, args: Mapping[str, Any], state: State, sample_rate: int) -> SuDoRMRF:
    """name: of asteroid's class. Raises WeightsError for arguments that are not known here."""
    kind, masks = KINDS[name]
    found = args.get("mask_act", masks)
    if found != masks:
        raise WeightsError(f"the activation of its masks is {found!r}; {masks!r} can be read.")
    if name == "SuDORMRFNet" and args["bn_chan"] == args["n_filters"]:
        raise WeightsError(f"it has as many channels as filters, {args['n_filters']}; fewer channels can be read.")
    kernel, stride = args["kernel_size"], args["stride"]
    longer = -(-kernel // stride) * stride
    model = kind(
        sources=args["n_src"],
        filters=args["n_filters"],
        kernel=longer,
        stride=stride,
        channels=args["bn_chan"],
        blocks=count(state, "masker.sm."),
        scales=args["upsampling_depth"],
        sample_rate=sample_rate,
    )
    weights = {}
    for theirs, tensor in state.items():
        if theirs in (ENCODER, DECODER):
            weights[f"{theirs[:7]}.conv.weight"] = functional.pad(tensor, (0, longer - kernel))
        elif not theirs.startswith(AGAIN):
            weights[f"separator.{_name(theirs)}"] = tensor
    load_weights(model, fitted(weights, model.state_dict()), f"asteroid's {name}")
    return model


def _name(theirs: str) -> str:
    """The name of a tensor in the separator here."""
    for end, ours in ENDS.items():
        theirs = theirs.removesuffix(end) + ours if theirs.endswith(end) else theirs
    if not theirs.startswith("masker.sm."):
        return renamed(theirs, OUTER)
    _, _, number, rest = theirs.split(".", 3)
    if rest.startswith("spp_dw."):
        _, scale, kind, rest = rest.split(".", 3)
        rest = f"scales.{kind}s.{scale}.{rest}"
    return f"blocks.{number}.{renamed(rest, BLOCK)}"
