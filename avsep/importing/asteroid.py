"""Models of asteroid's hub: what its models' `serialize` gives, a dict of model_name, model_args and state_dict."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import Tensor

from avsep.errors import WeightsError
from avsep.importing.conv_tasnet import with_weights
from avsep.importing.dprnn import dprnn
from avsep.importing.read import Parts, State, renamed, single, state_of
from avsep.importing.sudormrf import sudormrf
from avsep.models.base import SeparationModel
from avsep.models.conv_tasnet import ConvTasNet
from avsep.models.masking import MaskingModel

NAME = "asteroid"
WANTED = (
    "a serialized ConvTasNet, DPRNNTasNet, SuDORMRFNet or SuDORMRFImprovedNet of asteroid (model.pth or "
    "pytorch_model.bin)"
)

OUTER = {
    "encoder.filterbank._filters": "encoder.conv.weight",
    "decoder.filterbank._filters": "decoder.conv.weight",
    "masker.bottleneck.": "separator.enter.",
    "masker.mask_net.": "separator.to_masks.",
}
BLOCK = {"shared_block.3.0.": "body.3.", "shared_block.": "body.", "res_conv.": "residual.", "skip_conv.": "skip."}
LAYERS = "masker.TCN."
NORMS = {"gLN": "gLN", "cLN": "channel"}
"""What asteroid calls cLN is over the channels of each frame by itself."""


def recognises(parts: Parts) -> bool:
    content = single(parts)
    return isinstance(content, Mapping) and {"model_name", "model_args", "state_dict"} <= content.keys()


def says(parts: Parts) -> dict[str, str]:
    """What asteroid writes into a model that is published."""
    content = single(parts)
    infos = content.get("infos")
    infos = infos if isinstance(infos, Mapping) else {}
    found = {"licence": infos.get("license_note") or content.get("licenses"), "data": content.get("dataset")}
    return {name: " ".join(str(value).split())[:2000] for name, value in found.items() if value}


def convert(parts: Parts, sample_rate: int = 0) -> SeparationModel:
    """sample_rate: 0 for what the file says, or 8000 where it says nothing."""
    content = single(parts)
    name, args, state = content["model_name"], content["model_args"], state_of(content["state_dict"])
    if name not in KINDS:
        raise WeightsError(f"it is asteroid's {name}; of its models {', '.join(KINDS)} can be read.")
    if not isinstance(args, Mapping) or state is None:
        raise WeightsError(f"asteroid's {name} has no arguments or no tensors.")
    bank = args.get("fb_name", "free")
    if bank not in ("free", "FreeFB"):
        raise WeightsError(f"its filter bank is {bank!r}; one that was learnt ('free') can be read.")
    try:
        return KINDS[name](args, state, sample_rate or int(args.get("sample_rate") or 8000))
    except KeyError as error:
        raise WeightsError(f"the arguments of asteroid's {name} lack {error}.") from error


def _conv_tasnet(args: Mapping[str, Any], state: State, sample_rate: int) -> ConvTasNet:
    norm = args.get("norm_type", "gLN")
    if norm not in NORMS:
        raise WeightsError(f"its norm is {norm!r}; {', '.join(NORMS)} can be read.")
    model = ConvTasNet(
        sources=args["n_src"],
        filters=args["n_filters"],
        kernel=args["kernel_size"],
        stride=args["stride"],
        bottleneck=args["bn_chan"],
        hidden=args["hid_chan"],
        skip=args["skip_chan"] or 0,
        block_kernel=args["conv_kernel_size"],
        blocks=args["n_blocks"],
        repeats=args["n_repeats"],
        norm=NORMS[norm],
        causal=bool(args.get("causal", False)),
        sample_rate=sample_rate,
        rectified=_is_rectified(args),
        masks=args.get("mask_act", "relu"),
        padded=False,
    )
    blocks: list[dict[str, Tensor]] = [{} for _ in range(args["n_blocks"] * args["n_repeats"])]
    outer = {}
    for name, tensor in state.items():
        here = _of_norms(name)
        if name.startswith(LAYERS):
            number, _, rest = here[len(LAYERS) :].partition(".")
            blocks[int(number)][renamed(rest, BLOCK)] = tensor
        else:
            outer[renamed(here, OUTER)] = tensor
    return with_weights(model, outer, blocks, NAME)


def _dprnn(args: Mapping[str, Any], state: State, sample_rate: int) -> MaskingModel:
    return dprnn(args, state, sample_rate, _is_rectified(args))


def _is_rectified(args: Mapping[str, Any]) -> bool:
    """Whether the encoder is."""
    activation = args.get("encoder_activation") or "linear"
    if activation not in ("linear", "relu"):
        raise WeightsError(f"the activation of its encoder is {activation!r}; none and 'relu' can be read.")
    return activation == "relu"


def _of_norms(name: str) -> str:
    """Norms have a gamma and a beta there."""
    start, _, last = name.rpartition(".")
    return f"{start}.{ {'gamma': 'weight', 'beta': 'bias'}.get(last, last) }"


KINDS: dict[str, Callable[[Mapping[str, Any], State, int], SeparationModel]] = {
    "ConvTasNet": _conv_tasnet,
    "DPRNNTasNet": _dprnn,
    "SuDORMRFNet": partial(sudormrf, "SuDORMRFNet"),
    "SuDORMRFImprovedNet": partial(sudormrf, "SuDORMRFImprovedNet"),
}
