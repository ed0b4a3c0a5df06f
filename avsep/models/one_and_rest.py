"""Separation of one voice after the other, however many there are (Takahashi et al., 2019)."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Self

import torch
from torch import Tensor, nn

from avsep.models.base import Contract, Output, SeparationModel
from avsep.models.limits import check_whole
from avsep.models.parts.voice_counter import VoiceCounter

NOBODY, ONE_VOICE, MORE = range(3)
"""What may be left, as the stop head counts it."""


class OneAndRest(SeparationModel):
    """A separator that splits a mixture into one voice and the rest, and is given the rest again until nobody is left.

    separator: any of two estimates from one channel, in no order of their own. It learns with
    `avsep.losses.OneAndRest` that the first is one of the voices, the second all others. stop: tells of a mixture and
    of every rest whether nobody, one voice or more are in it, `VoiceCounter` of `most_voices` 2, which learns with
    `avsep.losses.VoicesLeft`. Without one, a voice that is alone is separated once more, and the rest is then silent.
    threshold_db: what is so far below the mixture is silence, for either. most_voices: that it gives. unroll: how often
    the separator is run in training, from the second time on with its own rest, as it will be in use; what those give
    are stages of the output.
    """

    paper = "Takahashi et al., Recursive speech separation for unknown number of speakers"
    year = 2019
    published = "14.8 dB SI-SNRi, WSJ0-2mix"

    def __init__(
        self,
        separator: SeparationModel,
        stop: VoiceCounter | None = None,
        threshold_db: float = -15.0,
        most_voices: int = 5,
        unroll: int = 1,
    ) -> None:
        super().__init__()
        takes = separator.contract
        if (takes.channels, takes.cues, takes.sources, takes.order) != ((1, 1), (), 2, "any"):
            raise ValueError(
                f"the separator takes {takes.channel_counts} channels and {', '.join(takes.cues) or 'no cues'}, and "
                f"gives {takes.sources} sources in the order {takes.order!r}; it must take 1 channel and no cues, and "
                "give 2 sources in any order"
            )
        if stop is not None and stop.most_voices != MORE:
            raise ValueError(f"stop counts up to {stop.most_voices} voices; it must count up to {MORE}")
        if not -200 <= threshold_db < 0:
            raise ValueError(f"threshold_db is {threshold_db}; it must be -200 or more and below 0")
        check_whole(2, 64, most_voices=most_voices)
        check_whole(1, most_voices, unroll=unroll)
        self.separator, self.stop = separator, stop
        self.threshold_db, self.most_voices, self.unroll = threshold_db, most_voices, unroll
        self.contract = replace(takes, sources=None)

    def with_rounds(self, rounds: int) -> Self:
        return self._changed(self.separator.with_rounds(rounds), replace(self.contract, rounds=rounds))

    def with_sources(self, sources: int) -> Self:
        """The same model, which separates so many voices without looking at what is left. ValueError for more than
        `most_voices`."""
        check_whole(1, self.most_voices, sources=sources)
        return self._changed(self.separator, replace(self.contract, sources=sources))

    def _changed(self, separator: SeparationModel, contract: Contract) -> Self:
        other = copy.copy(self)
        other._modules = self._modules | {"separator": separator}
        other.contract = contract
        return other

    def compiled_modules(self) -> list[nn.Module]:
        return self.separator.compiled_modules()

    def forward(self, mixture: Tensor, **cues: Tensor) -> Output:
        """mixture (batch, 1, time) -> estimates (batch, 2, 1, time), one voice and the rest; those of further passes
        are stages. logits "stop" (batch, 1 + passes, 3) of the mixture and of every rest: nobody, one voice, more."""
        self.check(mixture)
        sounds, passes = [mixture], []
        for _ in range(self.unroll):
            # A rest is an input like any other: what was learnt of it is not changed by what comes of it.
            made = self.separator(sounds[-1].detach()).estimates
            if made is None:
                raise ValueError(f"{type(self.separator).__name__} gives no estimates in training")
            passes.append(made)
            sounds.append(made[:, 1])
        output = Output(passes[0], tuple(passes[1:]))
        if self.stop is not None:
            output.logits["stop"] = torch.stack([self.counted(sound.detach(), mixture) for sound in sounds], 1)
        return output

    def separate(self, mixture: Tensor, **cues: Tensor) -> Output:
        """mixture (batch, 1, time) -> estimates (batch, voices, 1, time), as many as were found in the item with the
        most; in others the last ones are silent. There is at least one."""
        self.check(mixture)
        told = self.contract.sources
        rest, voices = mixture, []
        # Passes that an item took, after which its rest is the last voice.
        passes = torch.zeros(len(mixture), dtype=torch.long, device=mixture.device)
        going = torch.ones_like(passes, dtype=torch.bool)
        for number in range((told or self.most_voices) - 1):
            if told is None:
                going = going & (self.left(rest, mixture) == MORE)
            if not going.any():
                break
            made = mixture.new_zeros(len(mixture), 2, *mixture.shape[1:])
            estimates = self.separator.separate(rest[going]).estimates
            assert estimates is not None
            made[going] = estimates.to(made)
            one, others = made.unbind(1)
            if told is None:
                # Where no voice came out, what was given is the last one.
                going = going & ~self.is_silent(one, mixture)
            rest = torch.where(going[:, None, None], others, rest)
            voices.append(one * going[:, None, None])
            passes[going] = number + 1
        if told is None:
            rest = rest * (self.left(rest, mixture) != NOBODY)[:, None, None]
        found = torch.stack([*voices, torch.zeros_like(mixture)], 1)
        found[torch.arange(len(found)), passes] = rest
        if told is None:
            # Nobody left: the place of the last voice is empty in every item.
            sounding = found.flatten(2).square().sum((0, 2)) > 0
            found = found[:, : max(1, int(sounding.sum()))]
        return Output(found)

    def left(self, sound: Tensor, mixture: Tensor) -> Tensor:
        """What is left in a sound (batch, 1, time) of a mixture of that shape: NOBODY, ONE_VOICE or MORE, (batch,).
        Without a stop head it is MORE as long as it is not silent."""
        found = torch.full((len(sound),), MORE, device=sound.device)
        if self.stop is not None:
            found = self.counted(sound, mixture).argmax(1)
        return found.masked_fill(self.is_silent(sound, mixture), NOBODY)

    def counted(self, sound: Tensor, mixture: Tensor) -> Tensor:
        """The stop head's logits (batch, 3) of a sound of a mixture, (batch, 1, time) each."""
        assert self.stop is not None
        level = mixture.square().mean((1, 2)).sqrt().clamp_min(1e-5)
        return self.stop(sound[:, 0] / level[:, None])

    def is_silent(self, sound: Tensor, mixture: Tensor) -> Tensor:
        """(batch,) bool of (batch, 1, time) each."""
        power, whole = (x.float().square().sum((1, 2)) for x in (sound, mixture))
        return power <= 10 ** (self.threshold_db / 10) * whole
