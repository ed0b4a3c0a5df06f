"""Several synchrony networks as one: an error that one training learnt, the others seldom learnt too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from avsep.models.parts.lip_encoder import LipEncoder
from avsep.models.parts.voice_encoder import VoiceEncoder
from avsep.models.synchrony import Synchrony


class SideBySide(nn.Module):
    """Encoders that look at the same thing, their embeddings one behind the other.

    scale: (encoders,) factors that give all embeddings the same power, so that each has the same say.
    """

    def __init__(self, encoders: Sequence[nn.Module], channels: int) -> None:
        super().__init__()
        self.encoders, self.channels = nn.ModuleList(encoders), channels
        self.scale: Tensor
        self.register_buffer("scale", torch.ones(len(encoders)))

    def forward(self, x: Tensor) -> Tensor:
        """Whatever the encoders take -> (batch, pictures, channels of all)."""
        return torch.cat([scale * encoder(x) for scale, encoder in zip(self.scale, self.encoders, strict=True)], -1)


class LipsSideBySide(SideBySide):
    """Lip encoders. Those that prepare the crops in the same way share what is prepared."""

    encoders: nn.ModuleList

    def forward(self, x: Tensor) -> Tensor:
        found: list[Tensor] = []
        prepared, first = x, None
        for scale, encoder in zip(self.scale, self.encoders, strict=True):
            assert isinstance(encoder, LipEncoder)
            if first is None or not encoder.prepares_as(first):
                prepared, first = encoder.prepare(x), encoder
            found.append(scale * encoder.encode(prepared))
        return torch.cat(found, -1)


class SynchronyEnsemble(Synchrony):
    """As `Synchrony`, with the embeddings of all members side by side: its correlation is the mean of theirs.

    members: arguments of each member's `LipEncoder` and `VoiceEncoder`, as {"lip": ..., "voice": ...}.
    """

    def __init__(self, members: list[dict]) -> None:
        nn.Module.__init__(self)
        if not members or not all(isinstance(m.get(kind), Mapping) for m in members for kind in ("lip", "voice")):
            raise ValueError(
                f"members is {members!r:.100}; it must be at least one mapping with the arguments lip and voice"
            )
        lips = [LipEncoder(**member["lip"]) for member in members]
        channels = sum(encoder.channels for encoder in lips)
        # Of the same use as the encoder of one.
        self.lips = LipsSideBySide(lips, channels)  # type: ignore[assignment]
        self.voice = SideBySide([VoiceEncoder(**m["voice"]) for m in members], channels)  # type: ignore[assignment]
        self.slope = nn.Parameter(torch.tensor(12.0))
        self.bias = nn.Parameter(torch.tensor(0.0))


@torch.inference_mode()
def join(members: Sequence[Synchrony], lips: Tensor, waveform: Tensor) -> SynchronyEnsemble:
    """One model of several trained ones. lips (batch, pictures, height, width) and waveform (batch, pictures * 640):
    examples to take the power of the embeddings from."""
    joined = SynchronyEnsemble([{name: m.init_args[name] for name in ("lip", "voice")} for m in members]).eval()
    for name, examples in (("lips", lips), ("voice", waveform)):
        side: Any = getattr(joined, name)
        for number, member in enumerate(members):
            trained = getattr(member.eval(), name)
            side.encoders[number].load_state_dict(trained.state_dict())
            embedding = trained(examples)
            side.scale[number] = 1 / (embedding - embedding.mean(1, keepdim=True)).square().sum(-1).mean().sqrt()
    return joined
