"""A causal model fed piece by piece: the same output as over the whole file, as soon as it can be known."""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from avsep.inference.running_layers import with_memory
from avsep.models.masking import MaskingModel
from avsep.models.parts.causal_stft import CausalStftDecoder, CausalStftEncoder
from avsep.models.parts.decoder import Decoder
from avsep.models.parts.encoder import Encoder

ENCODERS = Encoder, CausalStftEncoder
DECODERS = Decoder, CausalStftDecoder


class StreamingSeparator:
    """Separates a stream with a causal `ConvTasNet` or `SplitTasNet` (causal=True, norm="cLN") or another
    `MaskingModel` of their parts; pieces may have any length.

    >>> stream = StreamingSeparator(model)
    >>> for chunk in chunks:
    ...     play(stream.feed(chunk))
    >>> play(stream.finish())

    All outputs joined equal the estimates of the whole mixture to rounding. Memory does not grow with the length of the
    stream. The model is not changed; its parameters are shared.

    latency: samples that must have come in, from a sample on, before it comes out: the decoder's kernel. The most
    that is held back is one sample less than that.
    """

    def __init__(self, model: MaskingModel, batch: int = 1) -> None:
        encoder, decoder = (getattr(model, part, None) for part in ("encoder", "decoder"))
        if model.contract.cues or not isinstance(encoder, ENCODERS) or not isinstance(decoder, DECODERS):
            raise ValueError(
                "streaming needs a model without cues whose encoder and decoder are learnt ones or those of a causal "
                f"STFT, and this is {type(model).__name__}{' with cues' if model.contract.cues else ''}"
            )
        args = model.separator.init_args
        norm, causal, enter = (args.get(name) for name in ("norm", "causal", "enter_norm"))
        if not causal or norm != "cLN" or enter not in (None, "", "cLN"):
            raise ValueError(
                f"streaming needs a model with causal=True and norm='cLN'; this one has causal={causal}, norm={norm!r}"
                + (f", enter_norm={enter!r}" if enter else "")
            )
        if args.get("front") is not None or model.contract.rounds > 1:
            raise ValueError(
                f"streaming needs a separator without a front and with one round; this one has rounds="
                f"{model.contract.rounds}{'' if args.get('front') is None else ' and a front'}"
            )
        if not all(getattr(part, "padded", True) for part in (encoder, decoder)):
            raise ValueError("streaming needs an encoder and a decoder with padded=True; this one has padded=False")
        shared = {id(parameter): parameter for parameter in model.parameters()}
        self._encoder: Any = with_memory(copy.deepcopy(encoder, shared)).eval()
        self._separator = with_memory(copy.deepcopy(model.separator, shared)).eval()
        self.decoder = decoder
        self.latency, self.stride = decoder.kernel, encoder.stride
        self._before, self._edge = encoder.edge, self.latency - self.stride
        like = next(model.parameters())
        # As the encoder pads: zeros before the first sample; what the decoder makes of them is no output.
        self._pending = like.new_zeros(batch, self._before)
        self._tail = like.new_zeros(batch, model.separator.sources, self._edge)
        self._surplus = self._edge
        self._fed = self._given = 0

    @torch.no_grad()
    def feed(self, chunk: Tensor) -> Tensor:
        """The next samples (batch, time) -> estimates (batch, sources, ready), ready >= 0."""
        self._fed += chunk.shape[-1]
        estimates = self._advance(chunk)
        self._given += estimates.shape[-1]
        return estimates

    @torch.no_grad()
    def finish(self) -> Tensor:
        """The end of the stream: the samples held back (batch, sources, at most latency - 1)."""
        missing = self._fed - self._given
        silence = self._pending.new_zeros(len(self._pending), self._edge + -self._fed % self.stride)
        return self._advance(silence)[..., :missing]

    def _advance(self, chunk: Tensor) -> Tensor:
        pending = torch.cat([self._pending, chunk], dim=-1)
        count = (pending.shape[-1] - self._before) // self.stride
        ready = count * self.stride
        self._pending = pending[:, ready:]
        if not count:
            return self._tail[..., :0]
        frames = self._encoder.filter(pending[:, : ready + self._before])
        masked = self._separator(self._encoder.features(frames)) * frames.unsqueeze(1)
        waveform = self.decoder.overlap_add(masked)
        waveform = waveform + F.pad(self._tail, (0, ready))
        self._tail = waveform[..., ready:]
        skip = min(self._surplus, ready)
        self._surplus -= skip
        return self.decoder.with_bias(waveform[..., skip:ready])
