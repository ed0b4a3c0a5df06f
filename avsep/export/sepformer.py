"""Reads the published weights of SpeechBrain's SepFormer (WSJ0-2mix, WHAMR!, Libri2Mix and others) as a `SepFormer`.

    python -m avsep.export.sepformer FOLDER -o sepformer-wsj02mix.safetensors --data WSJ0-2mix

FOLDER holds encoder.ckpt, masknet.ckpt and decoder.ckpt as they were published. They are read with torch's
weights_only, so they run no code. The files do not say the sample rate, the length of a chunk and the number of heads;
those published have chunks of 250 frames, 8 heads and, most of them, 8000 Hz.

Estimates are those of SpeechBrain for the same signal with kernel - stride samples of silence at either end: the
encoder here adds them, so that the first and the last samples lie in as many frames as all others.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from avsep.checkpoint import load_weights, save_model
from avsep.errors import AvsepError, WeightsError
from avsep.export.torch_file import read_torch, renamed
from avsep.models.sepformer import SepFormer

State = Mapping[str, Tensor]

FILES = ("encoder", "masknet", "decoder")
LICENCE = "as published by SpeechBrain"

OUTER = {
    "norm.": "norm.",
    "conv1d.weight": "enter.weight",
    "prelu.weight": "split.0.weight",
    "conv2d.": "split.1.",
    "output.0.": "value.",
    "output_gate.0.": "gate.",
    "end_conv1x1.weight": "leave.weight",
}
"""Beginnings of names in masknet -> in the separator here."""
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
POSITIONS = (".pos_enc.pe",)
"""Ends of names of tensors that no training changed."""


def read_speechbrain(folder: Path, chunk: int = 250, heads: int = 8, sample_rate: int = 8000) -> SepFormer:
    """The model of a folder of the three checkpoints, ready for use. Raises WeightsError for others."""
    return convert(*(_read(folder / f"{name}.ckpt") for name in FILES), chunk, heads, sample_rate, str(folder))


def convert(
    encoder: State,
    masknet: State,
    decoder: State,
    chunk: int = 250,
    heads: int = 8,
    sample_rate: int = 8000,
    source: str = "it",
) -> SepFormer:
    """A model with the tensors of SpeechBrain's Encoder, Dual_Path_Model and Decoder.

    chunk: K there, in frames. source: where they come from, for messages. Raises WeightsError for other networks.
    """
    for state, name in ((encoder, "conv1d.weight"), (masknet, "conv2d.weight"), (decoder, "weight")):
        if name not in state:
            raise WeightsError(f"{source} holds no {name!r}: it is no SepFormer of SpeechBrain.")
    filters, _, kernel = encoder["conv1d.weight"].shape
    rows, width = masknet["conv2d.weight"].shape[:2]
    hidden = masknet.get("dual_mdl.0.intra_mdl.mdl.layers.0.pos_ffn.ffn.0.bias")
    if hidden is None:
        raise WeightsError(f"{source} has no transformers within its chunks: it is another network than SepFormer.")
    model = SepFormer(
        sources=rows // width,
        filters=filters,
        kernel=kernel,
        stride=kernel // 2,
        width=width,
        chunk=chunk,
        blocks=_count(masknet, "dual_mdl."),
        layers=_count(masknet, "dual_mdl.0.intra_mdl.mdl.layers."),
        heads=heads,
        hidden=len(hidden),
        sample_rate=sample_rate,
    )
    weights = {"encoder.conv.weight": encoder["conv1d.weight"], "decoder.conv.weight": decoder["weight"]}
    for name, tensor in masknet.items():
        if not name.endswith(POSITIONS):
            weights[f"separator.{_name(name)}"] = tensor
    own = model.state_dict()
    # Kernels of 1x1 convolutions have one or two dimensions of length 1 there.
    fitted = {name: t.reshape(own[name].shape) if _same(t, own.get(name)) else t for name, t in weights.items()}
    load_weights(model, fitted, source)
    return model.eval()


def _same(tensor: Tensor, own: Tensor | None) -> bool:
    """Whether two tensors differ in dimensions of length 1 only."""
    return own is not None and [n for n in tensor.shape if n > 1] == [n for n in own.shape if n > 1]


def _count(state: State, start: str) -> int:
    """How many numbers follow a beginning of names."""
    return len({name[len(start) :].partition(".")[0] for name in state if name.startswith(start)})


def _name(theirs: str) -> str:
    """The name of a tensor of masknet in the separator here."""
    if not theirs.startswith("dual_mdl."):
        return renamed(theirs, OUTER)
    _, number, rest = theirs.split(".", 2)
    rest = renamed(rest, BLOCK)
    if ".layers." in rest:
        path, _, layer = rest.partition(".layers.")
        place, _, inner = layer.partition(".")
        rest = f"{path}.layers.{place}.{renamed(inner, LAYER)}"
    return f"blocks.{number}.{rest}"


def _read(path: Path) -> State:
    state = read_torch(path, f"Give a folder with {', '.join(f'{n}.ckpt' for n in FILES)} as they were published.")
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"{path} holds no tensors by name: it is no checkpoint of a module of SpeechBrain.")
    return state


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 0, or 1 with a message."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE")
    parser.add_argument("--data", default="not said", metavar="TEXT", help="what it was trained on")
    parser.add_argument("--sample-rate", type=int, default=8000, metavar="HZ")
    parser.add_argument("--chunk", type=int, default=250, metavar="FRAMES")
    parser.add_argument("--heads", type=int, default=8, metavar="N")
    options = parser.parse_args(arguments)
    try:
        model = read_speechbrain(options.folder, options.chunk, options.heads, options.sample_rate)
        lineage = {"data": options.data, "converted_from": "SpeechBrain, SepFormer (Subakan et al., 2021)"}
        save_model(options.output, model, options.output.stem, LICENCE, lineage)
    except (AvsepError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
