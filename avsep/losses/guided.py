"""Guiding a classifier that conditions a separator: what it tells of mixtures and estimates is to be what it told of
the clean sources before it was fine-tuned (Tzinis et al., 2020, section 3.6)."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from avsep.checkpoint import load_model
from avsep.dsp.stft import full_precision
from avsep.errors import UsageError
from avsep.losses.logits import best_estimates
from avsep.losses.objective import Batch, Objective, needed
from avsep.losses.order import with_silent_ones
from avsep.models.base import Model, Output, copy_fitting
from avsep.models.parts.sound_embedding import of_sources, soft_or

MIXTURES, SOURCES = ("mixture", "second_mixture"), "sources"
"""Logits of a model: (batch, frames, classes) of the mixture, (batch, sources, frames, classes) of estimates."""


class GuidedEmbeddings(Objective):
    """Binary cross-entropy, in bits a class and frame, of the logits that a model's embeddings are made of: those of
    the mixture against the soft-OR of the clean sources, those of estimates against the source that each goes to.

    classifier: gives the targets, and is never trained. warm_start: bundled name or weights file of a classifier of the
    same sizes whose weights it takes; without one the targets are those of an untrained classifier. Estimates are those
    of the model's first stage, or the final ones where it has none. The losses of several logits are added.
    """

    def __init__(self, classifier: Model, warm_start: str | None = None) -> None:
        super().__init__()
        self.classifier = classifier.requires_grad_(False).eval()
        if warm_start is not None:
            trained = load_model(warm_start)[0].state_dict()
            if missing := sorted(set(classifier.state_dict()) - set(copy_fitting(classifier, trained))):
                raise UsageError(
                    f"GuidedEmbeddings: {warm_start} has no {missing[0]} as {type(classifier).__name__} has it; give "
                    "the classifier the arguments that avsep models shows of those weights"
                )

    def train(self, mode: bool = True) -> GuidedEmbeddings:
        super().train(mode)
        self.classifier.eval()
        return self

    def forward(self, output: Output, batch: Batch) -> Tensor:
        logits = needed(output, "logits", self)
        known = (*MIXTURES, SOURCES)
        if not any(name in logits for name in known):
            raise UsageError(f"GuidedEmbeddings needs logits {', '.join(known)}; the model gives {', '.join(logits)}")
        estimates = output.stages[0] if output.stages else needed(output, "estimates", self)
        with torch.no_grad():
            sources = with_silent_ones(estimates[:, :, 0], batch["sources"][:, :, 0])[1]
            targets = of_sources(self.classifier, sources)
        losses = [cross_entropy(soft_or(targets), logits[name]) for name in MIXTURES if name in logits]
        if SOURCES in logits:
            # The source of each estimate, from the estimate of each source.
            order = best_estimates(estimates, batch).argsort(1)[:, : estimates.shape[1], None, None]
            losses.append(cross_entropy(targets.take_along_dim(order, 1), logits[SOURCES]))
        return torch.stack(losses).sum(0)


def cross_entropy(target: Tensor, logits: Tensor) -> Tensor:
    """Between the probabilities of two logits of one shape (batch, ...), in bits, the mean over all but the first
    dimension: (batch,)."""
    if target.shape != logits.shape:
        raise UsageError(
            f"GuidedEmbeddings: the model's logits are {tuple(logits.shape)}, those of the objective's classifier "
            f"{tuple(target.shape)}; give both the same classifier"
        )
    bits = functional.binary_cross_entropy_with_logits(full_precision(logits), target.sigmoid(), reduction="none")
    return bits.flatten(1).mean(1) / math.log(2)
