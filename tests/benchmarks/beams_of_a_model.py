"""What a beamformer adds to a separator, and what separates without weights, in the rooms of ideal_beamformers.py.

    python tests/benchmarks/beams_of_a_model.py SPEECH/manifest.tsv [--model audio-2spk] [--rooms 4] [--seconds 6]

SI-SDRi in dB is at the first microphone, against the early image (50 ms) of each talker, in the best order. The time is
that of the processor for the last recording.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from bench import machine
from ideal_beamformers import recording
from scipy.optimize import linear_sum_assignment

from avsep.checkpoint import load_model
from avsep.data.manifest import Utterance, read_manifest
from avsep.evaluation.metrics import si_sdr
from avsep.models.auxiva import AuxIVA
from avsep.models.base import SeparationModel
from avsep.models.beam_tasnet import BeamTasNet
from avsep.models.deep_beam import DeepBeam
from avsep.models.delay_and_sum import DelayAndSum
from avsep.models.fastica import FastICA


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("speech", type=Path, metavar="MANIFEST", help="of preprocessing.speech_folder")
    parser.add_argument("--model", default="audio-2spk", help="a separator of two voices (default: audio-2spk)")
    parser.add_argument("--rooms", type=int, default=4, help="how many (default: 4)")
    parser.add_argument("--seconds", type=float, default=6.0, help="length of a recording (default: 6)")
    parser.add_argument("--microphones", type=int, default=4, help="5 cm apart (default: 4)")
    parser.add_argument("--t60", type=float, default=0.3, help="of the rooms, in s (default: 0.3)")
    args = parser.parse_args()

    speakers: dict[str, list[Utterance]] = {}
    for row in read_manifest(args.speech, "dev"):
        speakers.setdefault(row.speaker, []).append(row)
    model, card = load_model(args.model)
    assert isinstance(model, SeparationModel)
    ways: dict[str, SeparationModel] = {
        card.name: model,
        "BeamTasNet": BeamTasNet(model),
        "BeamTasNet, rtf": BeamTasNet(model, beamformer="rtf"),
        "BeamTasNet, gev": BeamTasNet(model, beamformer="gev"),
        "BeamTasNet, wiener": BeamTasNet(model, beamformer="wiener"),
        "BeamTasNet, each": BeamTasNet(model, images="each"),
        "DeepBeam, 2 iterations": DeepBeam(model, 2),
        "DeepBeam, 3 iterations": DeepBeam(model, 3),
        "FastICA, 2 sources": FastICA(2),
        "AuxIVA, 2 sources": AuxIVA(2),
        "DelayAndSum": DelayAndSum(),
    }
    gains: dict[str, list[float]] = {name: [] for name in ways}
    took = {}
    for number in range(args.rooms):
        rng = np.random.default_rng(number)
        mixture, targets, _ = recording(speakers, args.seconds, args.microphones, args.t60, rng)
        references = targets[:, 0].numpy()
        before = si_sdr(mixture[0].numpy(), references)
        for name, way in ways.items():
            start = time.process_time()
            with torch.inference_mode():
                given = mixture[None] if way.contract.channels[1] > 1 else mixture[None, :1]
                estimates = way.separate(given).estimates
            took[name] = (time.process_time() - start) / args.seconds
            assert estimates is not None
            scores = si_sdr(estimates[0, :, :1].numpy(), references[None]) - before
            gains[name] += scores[linear_sum_assignment(-scores)].tolist()
    print(machine())
    print(f"{'':24} SI-SDRi  worst  real-time factor")
    for name, found in gains.items():
        print(f"{name:24} {np.mean(found):7.2f} {np.min(found):6.2f} {took[name]:17.2f}")


if __name__ == "__main__":
    main()
