"""Mixture in, sources out, at any sample rate, piece by piece."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from avsep.errors import WeightsError
from avsep.inference.streaming import StreamingSeparator
from avsep.live.places import Places
from avsep.live.resampler import StreamResampler
from avsep.models.base import SeparationModel


@dataclass(frozen=True)
class Latency:
    """Seconds from a sample's coming in to its going out, as far as the algorithm causes them. chunk: it waits for the
    rest of its piece; model: for the frames that the model needs; resampling: for the filters, in and out."""

    chunk: float
    model: float
    resampling: float

    def __str__(self) -> str:
        parts = ("chunk", self.chunk), ("model", self.model), ("resampling", self.resampling)
        told = " + ".join(f"{name} {1000 * seconds:.1f} ms" for name, seconds in parts)
        return f"{told} = {1000 * (self.chunk + self.model + self.resampling):.1f} ms"


class LiveSeparator:
    """A causal model fed at `rate`: the outputs joined are as long as the input, at its rate and level.

    places: what keeps each voice at its output; None leaves the outputs as the model gives them. Raises WeightsError
    for a model that cannot be fed piece by piece, and says why.
    """

    def __init__(self, model: SeparationModel, rate: int, places: Places | None = None, name: str = "") -> None:
        try:
            self.stream = StreamingSeparator(model)  # type: ignore[arg-type]
        except ValueError as error:
            raise WeightsError(f"model {name!r} cannot separate a stream: {error}. Use audio-causal") from error
        contract = model.contract
        if contract.level != "source":
            raise WeightsError(
                f"model {name!r} cannot separate a stream: its estimates have no level of their own, and are fitted to"
                " the whole mixture. Use audio-causal"
            )
        assert contract.sources is not None  # an encoder and decoder without cues: as many as there are masks
        self.sources, self.rate, self.places = contract.sources, rate, places
        self.model_rate = contract.sample_rate
        self.before = StreamResampler(rate, contract.sample_rate)
        self.after = StreamResampler(contract.sample_rate, rate, self.sources)
        self.fed = self.given = 0

    def latency(self, chunk_seconds: float) -> Latency:
        """With pieces of so many seconds."""
        model = (self.stream.latency - 1) / self.model_rate
        return Latency(chunk_seconds, model, self.before.wait_seconds + self.after.wait_seconds)

    def feed(self, mixture: np.ndarray) -> np.ndarray:
        """(channels, time), of which the mean is taken -> (sources, what is ready)."""
        self.fed += mixture.shape[1]
        return self._given(self.after.feed(self._separate(self.before.feed(mixture.mean(axis=0, keepdims=True)))))

    def finish(self) -> np.ndarray:
        """What was held back: (sources, time)."""
        rest = self._separate(self.before.finish())
        last = self._arranged(self.stream.finish()[0].numpy())
        out = [self.after.feed(rest), self.after.feed(last), self.after.finish()]
        return self._given(np.concatenate(out, axis=1)[:, : self.fed - self.given])

    def _separate(self, mixture: np.ndarray) -> np.ndarray:
        return self._arranged(self.stream.feed(torch.from_numpy(mixture))[0].numpy())

    def _arranged(self, sources: np.ndarray) -> np.ndarray:
        return sources if self.places is None else self.places.feed(sources)

    def _given(self, sources: np.ndarray) -> np.ndarray:
        self.given += sources.shape[1]
        return sources
