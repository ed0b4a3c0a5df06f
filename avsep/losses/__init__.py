"""Training losses and objectives; lower is better. None has parameters to train, and a configuration can name them all.

An objective is what a training minimises: objective(output of the model, batch) -> (batch,).

- `OnEstimates` and `OnStages` take a waveform loss, loss(estimates (batch, estimates, time), sources (batch, sources,
  time), mixture (batch, time)) -> (batch,), or a pairwise one.
- `OnMasks` and `OnEmbeddings` take a loss of the time-frequency plane: `MaskMse`, `SpectrumApproximation` and
  `DeepClustering`, which are given the complex STFTs of the sources and of the mixture.
- `MagnitudeAndPhase` takes real or complex masks, `OnLogits` and `GuidedEmbeddings` are cross-entropies, `WeightedSum`
  puts objectives together.

`PermutationInvariant`, `FixedOrder` and `MixIT` make a waveform loss, in dB, of a pairwise one, pairwise(estimate (...,
time), source (..., time), mixture (..., time)) -> (...): `NegativeSnr`, `NegativeSiSnr`, `TargetSpeaker` or
`CompressedSpectrum`.
`OnWaveforms` makes one of a mask loss. For instance

    objective:
      class_path: avsep.losses.OnEstimates
      init_args:
        loss:
          class_path: avsep.losses.PermutationInvariant
          init_args:
            pairwise:
              class_path: avsep.losses.NegativeSiSnr

or, since a loss that is no objective stands for `OnEstimates` of it, and a pairwise one goes in the order of the model,

    objective:
      class_path: avsep.losses.NegativeSiSnr

Everything is computed in float32, whatever the precision of the training.
"""

from avsep.losses.clustering import DeepClustering, affinity_loss
from avsep.losses.compressed import CompressedSpectrum
from avsep.losses.guided import GuidedEmbeddings
from avsep.losses.logits import OnLogits
from avsep.losses.magnitude_phase import MagnitudeAndPhase
from avsep.losses.mixit import MixIT
from avsep.losses.objective import (
    Objective,
    OnEmbeddings,
    OnEstimates,
    OnMasks,
    OnStages,
    WeightedSum,
    as_objective,
)
from avsep.losses.order import FixedOrder, PermutationInvariant, best_assignment
from avsep.losses.pairwise import NegativeSiSnr, NegativeSnr, PairwiseLoss, si_snr_loss, snr_loss
from avsep.losses.spectral import MaskLoss, MaskMse, OnWaveforms, SpectrumApproximation
from avsep.losses.target_speaker import TargetSpeaker

__all__ = [
    "CompressedSpectrum",
    "DeepClustering",
    "FixedOrder",
    "GuidedEmbeddings",
    "MagnitudeAndPhase",
    "MaskLoss",
    "MaskMse",
    "MixIT",
    "NegativeSiSnr",
    "NegativeSnr",
    "Objective",
    "OnEmbeddings",
    "OnEstimates",
    "OnLogits",
    "OnMasks",
    "OnStages",
    "OnWaveforms",
    "PairwiseLoss",
    "PermutationInvariant",
    "SpectrumApproximation",
    "TargetSpeaker",
    "WeightedSum",
    "affinity_loss",
    "as_objective",
    "best_assignment",
    "si_snr_loss",
    "snr_loss",
]
