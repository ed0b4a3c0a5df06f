"""Training losses and objectives; lower is better. None has parameters to train, and a configuration can name them all.

An objective is what a training minimises: objective(output of the model, batch) -> (batch,).

- `OnEstimates` and `OnStages` take a waveform loss, loss(estimates (batch, estimates, time), sources (batch, sources,
  time), mixture (batch, time)) -> (batch,), or a pairwise one.
- `OnMasks` and `OnEmbeddings` take a loss of the time-frequency plane: `MaskMse`, `ComplexMaskMse`,
  `SpectrumApproximation` and `DeepClustering`, which are given the complex STFTs of the sources and of the mixture;
  `LatentSiSnr` is one for the frames of a learned transform. `OnAttractors` takes a loss of masks on those that
  embeddings make with ideal attractors. `MagnitudeAndPhase` takes real or complex masks.
- `OneAndRest` and `ByCount` are for models that find out how many sources there are, `VoicesLeft` for how they do.
- `OnLogits`, `OnSpeakerVectors` and `GuidedEmbeddings` are cross-entropies; `WeightedSum` puts objectives together.

`PermutationInvariant`, `FixedOrder` and `MixIT` make a waveform loss of a pairwise one, pairwise(estimate (..., time),
source (..., time), mixture (..., time)) -> (...): in dB `NegativeSnr`, `NegativeSiSnr`, `TargetSpeaker` or
`CompressedSpectrum`, in units of the samples `MeanSquaredError` or `MeanAbsoluteError`. `OnWaveforms` makes one of a
mask loss. For instance

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

from avsep.losses.attractors import OnAttractors
from avsep.losses.by_count import ByCount
from avsep.losses.clustering import DeepClustering, affinity_loss, whitened_loss
from avsep.losses.compressed import CompressedSpectrum
from avsep.losses.distance import MeanAbsoluteError, MeanSquaredError
from avsep.losses.guided import GuidedEmbeddings
from avsep.losses.latent import LatentSiSnr
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
from avsep.losses.one_and_rest import OneAndRest, VoicesLeft
from avsep.losses.order import FixedOrder, PermutationInvariant, best_assignment
from avsep.losses.pairwise import NegativeSiSnr, NegativeSnr, PairwiseLoss, si_snr_loss, snr_loss
from avsep.losses.speaker_vectors import OnSpeakerVectors
from avsep.losses.spectral import ComplexMaskMse, MaskLoss, MaskMse, OnWaveforms, SpectrumApproximation
from avsep.losses.target_speaker import TargetSpeaker

__all__ = [
    "ByCount",
    "ComplexMaskMse",
    "CompressedSpectrum",
    "DeepClustering",
    "FixedOrder",
    "GuidedEmbeddings",
    "LatentSiSnr",
    "MagnitudeAndPhase",
    "MaskLoss",
    "MaskMse",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "MixIT",
    "NegativeSiSnr",
    "NegativeSnr",
    "Objective",
    "OnAttractors",
    "OnEmbeddings",
    "OnEstimates",
    "OnLogits",
    "OnMasks",
    "OnSpeakerVectors",
    "OnStages",
    "OnWaveforms",
    "OneAndRest",
    "PairwiseLoss",
    "PermutationInvariant",
    "SpectrumApproximation",
    "TargetSpeaker",
    "VoicesLeft",
    "WeightedSum",
    "affinity_loss",
    "as_objective",
    "best_assignment",
    "si_snr_loss",
    "snr_loss",
    "whitened_loss",
]
