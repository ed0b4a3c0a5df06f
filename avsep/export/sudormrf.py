"""Reads weights of asteroid's SuDORMRFNet or SuDORMRFImprovedNet as a `SuDoRMRF` or `SuDoRMRFpp`.

    python -m avsep.export.sudormrf model.pth -o sudormrf.safetensors --data WHAM

The file is one that asteroid's models write ("state_dict" and "model_args"), read with torch's weights_only, so that it
runs no code. Kernels there may be one sample longer than twice the stride (21 for 10); here they end in as many zeros
as make them a multiple of it. Estimates are those of asteroid for the same signal with kernel - stride samples of
silence, by this longer kernel, at the start.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor
from torch.nn import functional

from avsep.checkpoint import load_weights, save_model
from avsep.errors import AvsepError, WeightsError
from avsep.export.torch_file import read_torch, renamed
from avsep.models.sudormrf import SuDoRMRF, SuDoRMRFpp

State = Mapping[str, Tensor]

ENCODER, DECODER = "encoder.filterbank._filters", "decoder.filterbank._filters"
AGAIN = "encoder.encoder."
"""Beginning of names under which the encoder's filters stand there a second time."""

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


def read_asteroid(path: Path, sample_rate: int = 8000) -> SuDoRMRF:
    """The model of a file, ready for use. Raises WeightsError for other files."""
    saved = read_torch(path, "Give a file that asteroid wrote of SuDORMRFNet or SuDORMRFImprovedNet.")
    state = saved.get("state_dict", saved) if isinstance(saved, Mapping) else None
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"{path} holds no state_dict: it is no model of asteroid.")
    arguments = saved.get("model_args", {})
    stride = arguments.get("stride") if isinstance(arguments, Mapping) else None
    return convert(state, stride, sample_rate, str(path))


def convert(state: State, stride: int | None = None, sample_rate: int = 8000, source: str = "it") -> SuDoRMRF:
    """A model with the tensors of one of asteroid's. stride: of its encoder, in samples; half a kernel unless given.
    source: where they come from, for messages. Raises WeightsError for other networks."""
    enter = next((name for name in ("masker.l1.weight", "masker.bottleneck.weight") if name in state), "")
    lacking = [name for name in (ENCODER, DECODER, "masker.sm.0.spp_dw.0.conv.weight") if name not in state]
    if lacking or not enter:
        raise WeightsError(f"{source} holds no {(*lacking, 'masker.l1.weight')[0]!r}: it is no SuDoRM-RF of asteroid.")
    filters, _, kernel = state[ENCODER].shape
    stride = stride or kernel // 2
    longer = -(-kernel // stride) * stride
    channels = state[enter].shape[0]
    plain = enter != "masker.l1.weight"
    if plain:
        sources = len(state["masker.mask_net.1.weight"]) // filters
    elif channels == filters:
        raise WeightsError(f"{source} has as many channels as filters, {filters}: such a network is not known here.")
    else:
        sources = len(state["masker.m.weight"])
    model = (SuDoRMRFpp if plain else SuDoRMRF)(
        sources=sources,
        filters=filters,
        kernel=longer,
        stride=stride,
        channels=channels,
        blocks=_count(state, "masker.sm."),
        scales=_count(state, "masker.sm.0.spp_dw."),
        sample_rate=sample_rate,
    )
    own = model.state_dict()
    weights = {
        "encoder.conv.weight": functional.pad(state[ENCODER], (0, longer - kernel)),
        "decoder.conv.weight": functional.pad(state[DECODER], (0, longer - kernel)),
    }
    for name, tensor in state.items():
        if name not in (ENCODER, DECODER) and not name.startswith(AGAIN):
            here = f"separator.{_name(name)}"
            # Kernels of 1x1 convolutions, and of that along the filters, have more dimensions of length 1 there.
            same = here in own and own[here].numel() == tensor.numel()
            weights[here] = tensor.reshape(own[here].shape) if same else tensor
    load_weights(model, weights, source)
    return model.eval()


def _count(state: State, start: str) -> int:
    """How many numbers follow a beginning of names."""
    return len({name[len(start) :].partition(".")[0] for name in state if name.startswith(start)})


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


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 0, or 1 with a message."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE")
    parser.add_argument("--data", default="not said", metavar="TEXT", help="what it was trained on")
    parser.add_argument("--licence", default="as published", metavar="TEXT")
    parser.add_argument("--sample-rate", type=int, default=8000, metavar="HZ")
    options = parser.parse_args(arguments)
    try:
        model = read_asteroid(options.checkpoint, options.sample_rate)
        lineage = {"data": options.data, "converted_from": "asteroid, SuDoRM-RF (Tzinis et al.)"}
        save_model(options.output, model, options.output.stem, options.licence, lineage)
    except (AvsepError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
