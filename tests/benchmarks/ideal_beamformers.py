"""What each beamformer gives with ideal masks in simulated rooms of two talkers: the bound of a mask network before it.

    python tests/benchmarks/ideal_beamformers.py SPEECH/manifest.tsv [--rooms 1] [--seconds 8] [--microphones 4]

Two talkers of the split dev, equally loud, speak all the time in a room of the image method, with noise of the
microphones 30 dB below. SI-SDR in dB is at the first microphone, against the early image (50 ms) of each talker. The
masks are ideal ratio masks of the early images on the first microphone, of the beamformer's own window or of 512
samples; these make signals of all microphones, whose covariances the beamformer has in its own window (Beam-TasNet).
Delay-and-sum has the true places, or the delays that GCC-PHAT finds with the ideal masks.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import get_args

import numpy as np
import soundfile
import torch
from bench import machine
from scipy.signal import fftconvolve
from torch import Tensor

from avsep.data.image_rooms import ImageRooms
from avsep.data.manifest import Utterance, read_manifest
from avsep.dsp.beamforming import Beamformer, beamform, beamformer_weights, delay_and_sum
from avsep.dsp.masks import ideal_masks
from avsep.dsp.spatial import bin_frequencies, gcc_phat, point_source_delays, spatial_covariance
from avsep.dsp.stft import istft, stft
from avsep.evaluation.metrics import si_sdr
from avsep.models.parts.source_images import Beam, beams
from avsep.signals import SAMPLE_RATE

WINDOWS = (512, 1024, 2048, 4096)
KINDS: tuple[Beamformer, ...] = ("souden", "rtf", "gev")
EARLY_SECONDS = 0.05


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("speech", type=Path, metavar="MANIFEST", help="of preprocessing.speech_folder")
    parser.add_argument("--rooms", type=int, default=1, help="how many (default: 1)")
    parser.add_argument("--seconds", type=float, default=8.0, help="length of a recording (default: 8)")
    parser.add_argument("--microphones", type=int, default=4, help="5 cm apart (default: 4)")
    parser.add_argument("--t60", type=float, default=0.3, help="of the rooms, in s (default: 0.3)")
    args = parser.parse_args()

    speakers: dict[str, list[Utterance]] = {}
    for row in read_manifest(args.speech, "dev"):
        speakers.setdefault(row.speaker, []).append(row)
    found: dict[tuple[str, int], list[float]] = {}
    for number in range(args.rooms):
        scene = recording(speakers, args.seconds, args.microphones, args.t60, np.random.default_rng(number))
        for window in WINDOWS:
            for name, score in scores(*scene, window).items():
                found.setdefault((name, window), []).append(score)
    print(machine())
    names = list(dict.fromkeys(name for name, _ in found))
    print(f"{'SI-SDR (dB), window':28}" + "".join(f"{window:8}" for window in WINDOWS))
    for name in names:
        print(f"{name:28}" + "".join(f"{np.mean(found[name, window]):8.2f}" for window in WINDOWS))


def recording(
    speakers: dict[str, list[Utterance]], seconds: float, microphones: int, t60: float, rng: np.random.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """The mixture (channels, time), the early images (talkers, channels, time) and the delays of the direct sound
    (talkers, channels) in s."""
    rooms = ImageRooms(t60=(t60, t60), distance=(0.8, 2.0), microphones=microphones, early_seconds=EARLY_SECONDS)
    room = rooms.simulate(rng, 2, SAMPLE_RATE)
    mixture, targets = 0.0, []
    for place, name in enumerate(rng.choice(sorted(speakers), 2, replace=False)):
        said = np.concatenate([soundfile.read(row.audio, dtype="float32")[0] for row in speakers[name]])
        said = np.resize(said, round(seconds * SAMPLE_RATE))
        said = 0.05 * said / said.std()
        mixture = mixture + fftconvolve(said[None], room.taps[place], axes=1)[:, : len(said)]
        early = rooms.early(room, place, SAMPLE_RATE)
        targets.append(fftconvolve(said[None], early, axes=1)[:, : len(said)])
    mixture = mixture + 10**-1.5 * np.std(mixture) * rng.standard_normal(mixture.shape)
    assert room.places is not None
    assert room.microphones is not None
    delays = point_source_delays(torch.from_numpy(room.microphones), torch.from_numpy(room.places))
    return torch.from_numpy(mixture).float(), torch.from_numpy(np.stack(targets)).float(), delays.float()


def ideal(targets: Tensor, mixture: Tensor, window: int) -> Tensor:
    """Ratio masks at the first microphone: (talkers, freq, frames)."""
    return ideal_masks("IRM", stft(targets[:, 0], window, window // 4), stft(mixture[0], window, window // 4))


def scores(mixture: Tensor, targets: Tensor, delays: Tensor, window: int) -> dict[str, float]:
    """SI-SDR of every way, the mean of the talkers."""
    hop, time = window // 4, mixture.shape[-1]
    spectrum, images = stft(mixture, window, hop), stft(targets, window, hop)
    masks = ideal(targets, mixture, window)
    frequencies = bin_frequencies(window, SAMPLE_RATE)
    estimates = {
        "mixture": mixture[:1].expand(2, -1),
        "masked (IRM)": istft(masks * spectrum[0], time, window, hop),
    }
    ways = {
        "delay-and-sum, true places": delay_and_sum(delays, frequencies),
        "delay-and-sum, GCC-PHAT": delay_and_sum(gcc_phat(spectrum, SAMPLE_RATE, masks), frequencies),
    }
    target, rest = spatial_covariance(spectrum, masks), spatial_covariance(spectrum, 1 - masks)
    exact, exact_rest = spatial_covariance(images), spatial_covariance(spectrum - images)
    for kind in KINDS:
        ways[f"{kind}, IRM"] = beamformer_weights(kind, target, rest)
    short = istft(ideal(targets, mixture, 512).unsqueeze(1) * stft(mixture), time)
    for beam in get_args(Beam):
        estimates[f"{beam}, IRM of 512"] = beams(short[None], mixture[None], beam, window, hop)[0, :, 0]
    for kind in KINDS:
        ways[f"{kind}, true covariances"] = beamformer_weights(kind, exact, exact_rest)
    for name, weights in ways.items():
        estimates[name] = istft(beamform(weights, spectrum), time, window, hop)
    return {name: float(si_sdr(made.numpy(), targets[:, 0].numpy()).mean()) for name, made in estimates.items()}


if __name__ == "__main__":
    main()
