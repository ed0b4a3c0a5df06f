"""The Conv-TasNets of github.com/JusperLee: of Conv-TasNet, of its Lightning version and of Dual-Path-RNN-Pytorch.

They differ from the paper, and here from each other, in what their arguments of `TemporalConvNet` say. Filters have
biases. Where there is no PReLU before the masks, there is one here whose slope is 1.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from avsep.errors import WeightsError
from avsep.importing.conv_tasnet import with_weights
from avsep.importing.jusperlee import (
    EPS,
    building,
    filter_bank,
    norm_of,
    plain_ends,
    repeats,
    sizes,
    sources,
    tensors,
)
from avsep.importing.read import Parts, State, renamed, single
from avsep.models.masking import MaskingModel
from avsep.models.parts.decoder import Decoder
from avsep.models.parts.encoder import Encoder
from avsep.models.separators.conv_tasnet import Ending, Masks, TemporalConvNet

NAME = "JusperLee, Conv-TasNet"
WANTED = "a checkpoint of JusperLee's Conv-TasNet, or of that of Dual-Path-RNN-Pytorch (best.pt)"

BLOCK = re.compile(r"separation\.(?:sep\.|conv1d_list\.)?(\d+)\.(?:tcn\.)?(?:(\d+)\.)?([A-Za-z].*)")
"""A name of a block: of its repeat and place in it, or of its number alone, and the rest."""
SLOPE = 0.25
"""Of a PReLU that was not trained."""


@dataclass(frozen=True)
class Code:
    """One of the implementations. outer, block: beginnings of names there -> here, of which encoder, masks and norm are
    three. rectified: the encoder. enter_norm: see `TemporalConvNet`."""

    encoder: str
    masks: str
    norm: str
    outer: Mapping[str, str]
    block: Mapping[str, str]
    rectified: bool = False
    enter_norm: str = "channel"


def _code(encoder: str, decoder: str, norm: str, enter: str, masks: str, block: str, **others: object) -> Code:
    """block: names of the layers of a block in their order, the last of the residual."""
    layers = block.split()
    here = [f"body.{place}." for place in range(len(layers) - 1)] + ["residual."]
    outer = {
        f"{encoder}.": "encoder.conv.",
        f"{decoder}.": "decoder.conv.",
        f"{norm}.": "separator.enter.0.",
        f"{enter}.": "separator.enter.1.",
        f"{masks}.": "separator.to_masks.1.",
        "separation.PReLu.": "separator.to_masks.0.",
    }
    inner = {f"{there}.": ours for there, ours in zip(layers, here, strict=True)} | {"skip_conv.": "skip."}
    return Code(encoder, masks, layers[2], outer, inner, **others)  # type: ignore[arg-type]


PLAIN = _code(
    "encoder",
    "decoder",
    "LayerN_S",
    "BottleN_S",
    "gen_masks",
    "conv1x1 PReLU_1 norm_1 dwconv PReLU_2 norm_2 Sc_conv",
)
LIGHTNING = _code(
    "encoder.encoder",
    "decoder.decoder",
    "encoder.norm",
    "encoder.conv1x1",
    "mask",
    "conv1x1 prelu1 norm1 dwconv prelu2 norm2 sconv",
    enter_norm="",
)
DUAL_PATH = _code(
    "encoder.conv1d",
    "decoder",
    "separation.norm",
    "separation.conv1x1",
    "separation.end_conv1x1",
    "conv1x1 PReLu1 norm1 dwconv PReLu2 norm2 end_conv1x1",
    rectified=True,
)
MARKS = {"LayerN_S.": PLAIN, "separation.sep.": LIGHTNING, "separation.conv1d_list.": DUAL_PATH}
"""Beginnings of names that one of them has."""


def recognises(parts: Parts) -> bool:
    return _found(tensors(single(parts))) is not None


def convert(
    parts: Parts,
    blocks: int = 8,
    masks: Masks = "sigmoid",
    causal: bool = False,
    norms: int = 0,
    sample_rate: int = 8000,
) -> MaskingModel:
    """blocks: in each repeat, where names do not tell (the version with skips). norms: of a block. The code first had
    2, and then 1 while the tensors stayed; 0 for 2 where the values of the second are not those that it begins with.

    Raises WeightsError for batch norms, and for settings that the tensors or their code do not have.
    """
    state = tensors(single(parts))
    code = _found(state)
    assert code is not None
    inner = _blocks(state)
    if not inner:
        raise WeightsError("it has no blocks.")
    each = len({place for number, place in inner if number == "0"}) if all(p for _, p in inner) else blocks
    first = next(iter(inner.values()))
    filters, kernel, stride = filter_bank(state, f"{code.encoder}.weight")
    rows, width, _ = sizes(state, f"{code.masks}.weight", 3)
    hidden, bottleneck, _ = sizes(first, "conv1x1.weight", 3)
    _, _, taps = sizes(first, "dwconv.weight", 3)
    norm = norm_of(first, code.norm)
    causal = causal or (code is LIGHTNING and norm == "channel")
    if code is DUAL_PATH and causal and norm == "gLN":
        raise WeightsError("its causal version with gLN lets norms see what it cuts off; one with cLN can be read.")
    if code is DUAL_PATH and masks != "sigmoid":
        raise WeightsError(f"masks is {masks!r}; those of Dual-Path-RNN-Pytorch are 'sigmoid'.")
    ending = _ending(code, inner, norms)
    with building(NAME):
        model = MaskingModel(
            Encoder(filters, kernel, stride, code.rectified, padded=False, bias=f"{code.encoder}.bias" in state),
            TemporalConvNet(
                filters,
                bottleneck,
                hidden,
                width if "skip_conv.weight" in first else 0,
                taps,
                each,
                repeats(len(inner), each),
                sources(rows, filters),
                norm,
                causal,
                masks=masks,
                enter_norm=code.enter_norm,
                eps=EPS,
                ending=ending,
            ),
            Decoder(filters, kernel, stride, padded=False, bias=any(_is_bias_of_decoder(name) for name in state)),
            sample_rate=sample_rate,
        )
    outer = {renamed(plain_ends(name), code.outer): t for name, t in state.items() if not BLOCK.fullmatch(name)}
    outer.setdefault("separator.to_masks.0.weight", torch.ones(1))
    unused = ("body.4.", "body.5.") if ending == "none" else ()
    bodies = []
    for block in inner.values():
        names = {name: renamed(plain_ends(name), code.block) for name in block}
        bodies.append({here: block[name] for name, here in names.items() if not here.startswith(unused)})
    return with_weights(model, outer, bodies, NAME)


def _found(state: State) -> Code | None:
    return next((code for mark, code in MARKS.items() if any(name.startswith(mark) for name in state)), None)


def _is_bias_of_decoder(name: str) -> bool:
    return name in ("decoder.bias", "decoder.decoder.bias")


def _blocks(state: State) -> dict[tuple[str, str], dict[str, Tensor]]:
    """Tensors of the blocks in their order, by repeat and place; the latter is empty where they are counted through."""
    found: dict[tuple[str, str], dict[str, Tensor]] = {}
    for name, tensor in state.items():
        if match := BLOCK.fullmatch(name):
            repeat, place, rest = match.groups()
            found.setdefault((repeat, place or ""), {})[rest] = tensor
    return dict(sorted(found.items(), key=lambda one: [int(number or 0) for number in one[0]]))


def _ending(code: Code, blocks: Mapping[tuple[str, str], State], norms: int) -> Ending:
    """What follows the depth-wise convolutions."""
    if norms not in (0, 1, 2):
        raise WeightsError(f"norms is {norms}; it must be 1 or 2, or 0 for what the tensors tell.")
    if code is not PLAIN:
        return "prelu_norm"
    begin = {"PReLU_2.weight": SLOPE, "norm_2.weight": 1.0, "norm_2.bias": 0.0}
    used = any(
        name in block and bool((block[name] != v).any()) for block in blocks.values() for name, v in begin.items()
    )
    return "prelu_norm" if norms == 2 or (used and not norms) else "none"
