"""What a sound classifier tells of a mixture and its sources, as an embedding to condition a separator on
(Tzinis et al., Improving universal sound separation using sound classification, 2020)."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional

from avsep.dsp.stft import full_precision
from avsep.models.base import Model, Part

Embedding = Literal["mixture", "all", "soft_or"]

FAR = -15.0
"""Below, a logit and the logarithm of its softplus are the same to single precision."""


class SoundEmbedding(Part):
    """Logits of a classifier's classes over time.

    classifier: with `names` of its classes and `sample_rate`; waveform (batch, time) -> logits (batch, frames,
    classes). of: "mixture"; "all" for those of the mixture and of every source side by side; "soft_or" for those of a
    class being in any of the sources. oracle: the sources are the clean ones, for analysis; else the estimates of an
    earlier pass. time_varying: one embedding a frame; else the mean over time of the probabilities.
    """

    classifier: Any

    def __init__(
        self, classifier: Model, of: Embedding = "mixture", oracle: bool = False, time_varying: bool = True
    ) -> None:
        super().__init__()
        if of not in get_args(Embedding):
            raise ValueError(f"of is {of!r}; it must be one of {', '.join(get_args(Embedding))}")
        self.classifier, self.of, self.oracle, self.time_varying = classifier, of, oracle, time_varying

    @property
    def cue(self) -> str | None:
        """The cue it needs besides the mixture: "sources" (clean ones) or "estimates"."""
        if self.of == "mixture":
            return None
        return "sources" if self.oracle else "estimates"

    def classes(self, sources: int) -> int:
        """Channels of the embedding for so many sources."""
        return len(self.classifier.names) * (1 + sources if self.of == "all" else 1)

    def forward(self, mixture: Tensor, sources: Tensor | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        """The mixture (batch, time), the sources (batch, sources, time) if they are needed -> the embedding (batch,
        frames, classes), and the logits it was made of: "mixture" (batch, frames, classes of the classifier) and, for
        estimates, "sources" (batch, sources, frames, classes of the classifier)."""
        logits = {}
        if self.of != "soft_or":
            logits["mixture"] = full_precision(self.classifier(mixture))
        if self.of != "mixture":
            assert sources is not None
            logits["sources"] = of_sources(self.classifier, sources)
        embedding = self.joined(logits)
        if self.oracle:
            logits.pop("sources", None)
        return embedding if self.time_varying else average(embedding), logits

    def joined(self, logits: dict[str, Tensor]) -> Tensor:
        """(batch, frames, classes)."""
        if self.of == "mixture":
            return logits["mixture"]
        if self.of == "soft_or":
            return soft_or(logits["sources"])
        return torch.cat([logits["mixture"], *logits["sources"].unbind(1)], 2)


def of_sources(classifier: Any, sources: Tensor) -> Tensor:
    """Sources (batch, sources, time) -> logits (batch, sources, frames, classes)."""
    return full_precision(classifier(sources.flatten(0, 1))).unflatten(0, sources.shape[:2])


def soft_or(logits: Tensor) -> Tensor:
    """Logits of a class being in any of the sources: (batch, sources, ...) -> (batch, ...).

    With P = 1 - prod(1 - p) this is log(exp(s) - 1) of the sum s of the softplus of the logits: written so that it
    neither overflows nor rounds to certainty, whatever the logits.
    """
    x = full_precision(logits)
    each = torch.where(x < FAR, x, functional.softplus(x.clamp(min=FAR)).log())
    small = each.logsumexp(1)
    total = small.clamp(min=FAR).exp()
    return torch.where(small < FAR, small, total + torch.log(-torch.expm1(-total)))


def average(logits: Tensor) -> Tensor:
    """Logits of the mean probability over time: (..., frames, classes) -> (..., 1, classes)."""
    logits = full_precision(logits)
    present, absent = (functional.logsigmoid(x).logsumexp(-2, keepdim=True) for x in (logits, -logits))
    return present - absent
