"""Training losses; lower is better. All are modules without parameters, so that a configuration can name them.

Waveform losses: loss(estimates (batch, sources, time), sources (batch, sources, time), mixture (batch, time)) ->
(batch,), in dB. `PermutationInvariant`, `FixedOrder` and `MixIT` make one of a pairwise loss,
pairwise(estimate (..., time), source (..., time), mixture (..., time)) -> (...): `NegativeSnr`, `NegativeSiSnr` or
`TargetSpeaker`. For instance

    class_path: avsep.losses.PermutationInvariant
    init_args:
      pairwise:
        class_path: avsep.losses.NegativeSiSnr

Spectral losses, for models that estimate masks (`MaskMse`, `SpectrumApproximation`) or embeddings (`DeepClustering`)
in the time-frequency plane, take the complex STFTs of the sources and of the mixture; `OnWaveforms` makes a waveform
loss of a mask loss.

Everything is computed in float32, whatever the precision of the training.
"""

from avsep.losses.clustering import DeepClustering, affinity_loss
from avsep.losses.mixit import MixIT
from avsep.losses.multiscale import MultiScale
from avsep.losses.order import FixedOrder, PermutationInvariant, best_assignment, pit_snr_loss
from avsep.losses.pairwise import NegativeSiSnr, NegativeSnr, si_snr_loss, snr_loss
from avsep.losses.spectral import MaskMse, OnWaveforms, SpectrumApproximation
from avsep.losses.target_speaker import TargetSpeaker

__all__ = [
    "DeepClustering",
    "FixedOrder",
    "MaskMse",
    "MixIT",
    "MultiScale",
    "NegativeSiSnr",
    "NegativeSnr",
    "OnWaveforms",
    "PermutationInvariant",
    "SpectrumApproximation",
    "TargetSpeaker",
    "affinity_loss",
    "best_assignment",
    "pit_snr_loss",
    "si_snr_loss",
    "snr_loss",
]
