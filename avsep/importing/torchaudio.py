"""torchaudio.models.ConvTasNet, for instance torchaudio.pipelines.CONVTASNET_BASE_LIBRI2MIX."""

from __future__ import annotations

from torch import Tensor

from avsep.errors import WeightsError
from avsep.importing.conv_tasnet import with_weights
from avsep.importing.read import Parts, count, renamed, single, state_of
from avsep.models.conv_tasnet import ConvTasNet
from avsep.models.separators.conv_tasnet import Masks

NAME = "torchaudio, ConvTasNet"
WANTED = "a state dict of torchaudio.models.ConvTasNet (one .pt file)"

OUTER = {
    "encoder.weight": "encoder.conv.weight",
    "decoder.weight": "decoder.conv.weight",
    "mask_generator.input_norm.": "separator.enter.0.",
    "mask_generator.input_conv.": "separator.enter.1.",
    "mask_generator.output_prelu.": "separator.to_masks.0.",
    "mask_generator.output_conv.": "separator.to_masks.1.",
}
BLOCK = {"conv_layers.": "body.", "res_out.": "residual.", "skip_out.": "skip."}
LAYERS = "mask_generator.conv_layers."


def recognises(parts: Parts) -> bool:
    state = state_of(single(parts), "state_dict", "model")
    return state is not None and "mask_generator.input_conv.weight" in state


def convert(parts: Parts, blocks: int = 8, masks: Masks = "relu", sample_rate: int = 8000) -> ConvTasNet:
    """blocks: in each stack. masks: "relu", as those that were published, or "sigmoid"."""
    state = state_of(single(parts), "state_dict", "model")
    assert state is not None
    (filters, _, kernel), (bottleneck, _, _) = (
        state[name].shape for name in ("encoder.weight", "mask_generator.input_conv.weight")
    )
    layers = count(state, LAYERS)
    if layers % blocks:
        raise WeightsError(f"it has {layers} blocks, which are no stacks of {blocks}; set blocks.")
    hidden, _, block_kernel = state[f"{LAYERS}0.conv_layers.3.weight"].shape
    model = ConvTasNet(
        sources=len(state["mask_generator.output_conv.weight"]) // filters,
        filters=filters,
        kernel=kernel,
        stride=kernel // 2,
        bottleneck=bottleneck,
        hidden=hidden,
        skip=bottleneck,
        block_kernel=block_kernel,
        blocks=blocks,
        repeats=layers // blocks,
        sample_rate=sample_rate,
        rectified=False,
        masks=masks,
    )
    inner: list[dict[str, Tensor]] = [{} for _ in range(layers)]
    outer = {}
    for name, tensor in state.items():
        if name.startswith(LAYERS):
            number, _, rest = name[len(LAYERS) :].partition(".")
            inner[int(number)][renamed(rest, BLOCK)] = tensor
        else:
            outer[renamed(name, OUTER)] = tensor
    return with_weights(model, outer, inner, NAME)
