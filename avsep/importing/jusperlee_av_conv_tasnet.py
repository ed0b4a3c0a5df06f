"""AV_model and its network of the lips, of github.com/JusperLee/AV-ConvTasNet, as one `MaskingModel`.

Biases of convolutions become part of the batch norm that follows, and the batch norm of the embedding part of the layer
before it. Estimates stay the same.
"""

from __future__ import annotations

import torch
from torch import Tensor

from avsep.errors import WeightsError
from avsep.importing.conv_tasnet import with_weights
from avsep.importing.jusperlee import EPS, building, filter_bank, norm_of, repeats, sizes, tensors, without
from avsep.importing.read import Parts, State, count, renamed
from avsep.models.masking import MaskingModel
from avsep.models.parts.decoder import Decoder
from avsep.models.parts.encoder import Encoder
from avsep.models.parts.fusion import ConcatFusion
from avsep.models.parts.lip_encoder import LipEncoder
from avsep.models.separators.conv_tasnet import TemporalConvNet

NAME = "JusperLee, AV-ConvTasNet"
WANTED = "a checkpoint of its AV_model and of the lips' network, one .ckpt file or a folder with video_resnet18.pt"

MARK = "concat.conv1d.weight"
OUTER = {
    "encoder.conv.": "encoder.conv.",
    "decoder.": "decoder.conv.",
    "cln.": "separator.enter.0.",
    "conv1x1.": "separator.enter.1.",
    "concat.conv1d.": "fusion.project.",
    "mask.": "separator.to_masks.1.",
}
BLOCK = {
    "conv1x1.": "body.0.",
    "prelu1.": "body.1.",
    "norm1.": "body.2.",
    "dconv.": "body.3.",
    "norm2.": "body.4.",
    "prelu2.": "body.5.",
    "B_conv.": "residual.",
}
TEMPORAL = {"bn.": "before.1.", "dconv.": "depthwise.", "bconv.": "pointwise."}
BEFORE, AFTER, OVER_TIME, LAYER = "audio_conv.lists.", "feats_conv.lists.", "video.conv1d_list.", "resnet.layer"
UNUSED = ("Sc_conv.", "sconv.")
"""Layers that go without `skip_con`."""


def recognises(parts: Parts) -> bool:
    return any(_sound(tensors(content)) for content in parts.values())


def convert(
    parts: Parts,
    blocks: int = 8,
    causal: bool = False,
    crop: int = 90,
    size: int = 112,
    mean: float = 0.361858,
    deviation: float = 0.147485,
    sample_rate: int = 8000,
) -> MaskingModel:
    """blocks: X there. crop, size: pixels of the crop here, and of the picture that they are scaled to: the middle 112
    of 120 there. mean, deviation: of their gray levels, in 0..1. Read as without `skip_con`, which no tensor tells.

    Where a file holds the lips' network alone, it is taken in place of the one in the checkpoint, as the project's own
    tests do: the statistics of its batch norms went on changing in training. Raises WeightsError.
    """
    states = [tensors(content) for content in parts.values()]
    sound: State = next(found for state in states if (found := _sound(state)))
    lips: State = next((found for state in sorted(states, key=_has_sound) if (found := _lips(state))), {})
    if not lips:
        raise WeightsError(f"there is no network of the lips; {WANTED} is read.")
    filters, kernel, stride = filter_bank(sound, "encoder.conv.weight")
    bottleneck, _, _ = sizes(sound, "conv1x1.weight", 3)
    hidden, _, _ = sizes(sound, f"{AFTER}0.conv1x1.weight", 3)
    _, _, taps = sizes(sound, f"{AFTER}0.dconv.weight", 3)
    channels, _, _ = sizes(sound, f"{OVER_TIME}0.bconv.weight", 3)
    pictures = sizes(sound, f"{OVER_TIME}0.dconv.weight", 3)[2]
    embedding, _ = sizes(lips, "resnet.fc.weight", 2)
    before, after = count(sound, BEFORE), count(sound, AFTER)
    first = repeats(before, blocks)
    with building(NAME):
        model = MaskingModel(
            Encoder(filters, kernel, stride, padded=False, bias="encoder.conv.bias" in sound),
            TemporalConvNet(
                filters,
                bottleneck,
                hidden,
                0,
                taps,
                blocks,
                first + repeats(after, blocks),
                1,
                norm_of(sound, f"{AFTER}0.norm1"),
                causal,
                first,
                masks="relu",
                enter_norm="channel",
                eps=EPS,
                ending="norm_prelu",
            ),
            Decoder(filters, kernel, stride, padded=False, bias="decoder.bias" in sound),
            LipEncoder(
                channels,
                [sizes(lips, f"{LAYER}{stage}.0.conv1.weight", 4)[0] for stage in range(1, count(lips, LAYER) + 1)],
                embedding,
                count(sound, OVER_TIME),
                crop,
                size,
                mean=mean,
                deviation=deviation,
                separable=True,
                temporal_kernel=pictures,
            ),
            ConcatFusion(bottleneck, channels, nearest=True),
            sample_rate=sample_rate,
        )
        outer = _seeing(lips) | {"separator.to_masks.0.weight": torch.ones(1)}
    inner: dict[str, dict[str, Tensor]] = {}
    for name, tensor in sound.items():
        for start in (BEFORE, AFTER, OVER_TIME):
            place, _, layer = name.removeprefix(start).partition(".")
            if name.startswith(start) and not layer.startswith(UNUSED):
                inner.setdefault(start + place, {})[layer] = tensor
        if not name.startswith((BEFORE, AFTER, OVER_TIME)):
            outer[renamed(name, OUTER)] = tensor
    for number in range(count(sound, OVER_TIME)):
        for layer, tensor in inner.get(f"{OVER_TIME}{number}", {}).items():
            outer[f"cue_encoder.temporal.{number + 1}.{renamed(layer, TEMPORAL)}"] = tensor
    places = [f"{BEFORE}{number}" for number in range(before)] + [f"{AFTER}{number}" for number in range(after)]
    bodies = [{renamed(layer, BLOCK): tensor for layer, tensor in inner.get(place, {}).items()} for place in places]
    return with_weights(model, outer, bodies, NAME)


def _sound(state: State) -> dict[str, Tensor]:
    """The tensors of AV_model, where there are any."""
    found = without(state, "av_model.") or dict(state)
    return found if MARK in found else {}


def _has_sound(state: State) -> bool:
    return bool(_sound(state))


def _lips(state: State) -> dict[str, Tensor]:
    """The tensors of the lips' network under the names that they have in a checkpoint, where there are any: in
    video_resnet18.pt the convolution before its ResNet is called front3D."""
    found = without(state, "video_model.front3d.") or without(state, "front3d.")
    if found or MARK in state:
        return found
    front = {f"conv3d.{name}": tensor for name, tensor in without(state, "front3D.").items()}
    rest = {f"resnet.{name}": tensor for name, tensor in without(state, "resnet.").items()}
    return front | rest if front and rest else {}


def _seeing(lips: State) -> dict[str, Tensor]:
    """The lips' network up to its embedding, under the names here."""
    made = {f"cue_encoder.stem.{name}": tensor for name, tensor in without(lips, "conv3d.").items()}
    trunk = {}
    for name, tensor in without(lips, LAYER).items():
        stage, _, rest = name.partition(".")
        trunk[f"{int(stage) - 1}.{rest}"] = tensor
    for name in [name for name in trunk if name.endswith(("conv1.bias", "conv2.bias"))]:
        # What a convolution adds, the mean that the norm behind it takes away has too.
        place = name.replace(".conv", ".bn").removesuffix("bias") + "running_mean"
        sizes(trunk, place, 1)
        trunk[place] = trunk[place] - trunk.pop(name)
    made |= {f"cue_encoder.trunk.{name}": tensor for name, tensor in trunk.items()}
    weight, bias, mean, variance, gain, shift = (
        lips[name]
        for name in (
            "resnet.fc.weight",
            "resnet.fc.bias",
            "resnet.bnfc.running_mean",
            "resnet.bnfc.running_var",
            "resnet.bnfc.weight",
            "resnet.bnfc.bias",
        )
        if sizes(lips, name, 2 if name == "resnet.fc.weight" else 1)
    )
    scale = gain / (variance + EPS).sqrt()
    made["cue_encoder.temporal.0.weight"] = (scale.unsqueeze(1) * weight).unsqueeze(2)
    made["cue_encoder.temporal.0.bias"] = scale * (bias - mean) + shift
    return made
