"""SepFormers of SpeechBrain (WSJ0-2mix, WHAM!, WHAMR!, LibriMix): a folder with the checkpoints of the encoder, the
mask network and the decoder.

Estimates are those of SpeechBrain for signals that are a whole number of the encoder's strides long; what is left of
others is silent there.
"""

from __future__ import annotations

from avsep.checkpoint import load_weights
from avsep.errors import WeightsError
from avsep.importing.read import Parts, State, count, fitted, renamed, state_of
from avsep.models.sepformer import SepFormer

NAME = "SpeechBrain, SepFormer"
WANTED = "a folder with encoder.ckpt, masknet.ckpt and decoder.ckpt of SpeechBrain's SepFormer"

FILES = ("encoder", "masknet", "decoder")
OUTER = {
    "norm.": "norm.",
    "conv1d.weight": "enter.weight",
    "prelu.weight": "head.split.0.weight",
    "conv2d.": "head.split.1.",
    "output.0.": "head.value.",
    "output_gate.0.": "head.gate.",
    "end_conv1x1.weight": "head.leave.weight",
}
"""Beginnings of names in the mask network -> in the separator here."""
BLOCK = {
    "intra_mdl.mdl.norm.norm.": "within.norm.",
    "inter_mdl.mdl.norm.norm.": "across.norm.",
    "intra_mdl.mdl.layers.": "within.layers.",
    "inter_mdl.mdl.layers.": "across.layers.",
    "intra_norm.": "norm_within.",
    "inter_norm.": "norm_across.",
}
"""The same, of a block."""
LAYER = {
    "self_att.att.": "self_attn.",
    "pos_ffn.ffn.0.": "linear1.",
    "pos_ffn.ffn.3.": "linear2.",
    "norm1.norm.": "norm1.",
    "norm2.norm.": "norm2.",
}
"""The same, of a layer of a transformer."""
POSITIONS = ".pos_enc.pe"
"""End of the names of tensors that no training changed."""
FIRST = "dual_mdl.0.intra_mdl.mdl.layers."


def recognises(parts: Parts) -> bool:
    masknet = state_of(parts.get("masknet"))
    return masknet is not None and "conv2d.weight" in masknet


def convert(parts: Parts, chunk: int = 250, heads: int = 8, sample_rate: int = 8000) -> SepFormer:
    """chunk: K there, in frames. Those that were published have chunks of 250 and 8 heads."""
    encoder, masknet, decoder = (_part(parts, name) for name in FILES)
    for state, name in ((encoder, "conv1d.weight"), (decoder, "weight"), (masknet, f"{FIRST}0.pos_ffn.ffn.0.weight")):
        if name not in state:
            raise WeightsError(f"it holds no {name!r}: it is another network of SpeechBrain than SepFormer.")
    filters, _, kernel = encoder["conv1d.weight"].shape
    rows, width = masknet["conv2d.weight"].shape[:2]
    model = SepFormer(
        sources=rows // width,
        filters=filters,
        kernel=kernel,
        stride=kernel // 2,
        width=width,
        chunk=chunk,
        blocks=count(masknet, "dual_mdl."),
        layers=count(masknet, FIRST),
        heads=heads,
        hidden=len(masknet[f"{FIRST}0.pos_ffn.ffn.0.weight"]),
        sample_rate=sample_rate,
        padded=False,
    )
    weights = {"encoder.conv.weight": encoder["conv1d.weight"], "decoder.conv.weight": decoder["weight"]}
    for name, tensor in masknet.items():
        if not name.endswith(POSITIONS):
            weights[f"separator.{_name(name)}"] = tensor
    load_weights(model, fitted(weights, model.state_dict()), NAME)
    return model


def _part(parts: Parts, name: str) -> State:
    state = state_of(parts.get(name))
    if state is None:
        raise WeightsError(f"there are no tensors of {name}; {WANTED} is read.")
    return state


def _name(theirs: str) -> str:
    """The name of a tensor of the mask network in the separator here."""
    if not theirs.startswith("dual_mdl."):
        return renamed(theirs, OUTER)
    _, number, rest = theirs.split(".", 2)
    rest = renamed(rest, BLOCK)
    if ".layers." in rest:
        path, _, layer = rest.partition(".layers.")
        place, _, inner = layer.partition(".")
        rest = f"{path}.layers.{place}.{renamed(inner, LAYER)}"
    return f"blocks.{number}.{rest}"
