"""What AuxIVA makes of simulated meetings: how many voices are found, and how well they are separated.

    python tests/benchmarks/array_rooms.py SPEECH/manifest.tsv [--each 4] [--seconds 15] [--microphones 4]

One to three talkers of the split dev speak all the time, within 3 dB of each other, in rooms with a T60 of 0.15, 0.3
and 0.5 s, with noise of the microphones 30 dB below. SI-SDRi is at the first microphone, of the tracks when the number
of talkers is given (--speakers), against each talker with all reverberation.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import soundfile
from bench import machine
from scipy.optimize import linear_sum_assignment
from scipy.signal import fftconvolve

from avsep import Separator
from avsep.data.image_rooms import ImageRooms
from avsep.data.manifest import Utterance, read_manifest
from avsep.evaluation.metrics import si_sdr
from avsep.pipeline import Options
from avsep.signals import SAMPLE_RATE

T60 = (0.15, 0.3, 0.5)
TALKERS = (1, 2, 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("speech", type=Path, metavar="MANIFEST", help="of preprocessing.speech_folder")
    parser.add_argument("--each", type=int, default=4, help="recordings of each kind (default: 4)")
    parser.add_argument("--seconds", type=float, default=15.0, help="length of a recording (default: 15)")
    parser.add_argument("--microphones", type=int, default=4, help="5 cm apart (default: 4)")
    args = parser.parse_args()

    speakers: dict[str, list[Utterance]] = {}
    for row in read_manifest(args.speech, "dev"):
        speakers.setdefault(row.speaker, []).append(row)
    separator = Separator("auxiva", device="cpu", threads=1)
    print(machine())
    print(f"{'talkers':>7} {'T60':>5} {'found':>{3 * args.each}}  SI-SDRi of the tracks (dB)")
    right = total = 0
    for talkers in TALKERS:
        for t60 in T60:
            counts, gains = [], []
            for number in range(args.each):
                rng = np.random.default_rng([talkers, round(100 * t60), number])
                images = meeting(speakers, talkers, t60, args.seconds, args.microphones, rng)
                counts.append(count := found(separator, images, rng, gains))
                right, total = right + (count == talkers), total + 1
            line = f"mean {np.mean(gains):5.1f}, worst {np.min(gains):5.1f}" if gains else ""
            print(f"{talkers:7} {t60:5.2f} {' '.join(f'{count:2}' for count in counts)}  {line}", flush=True)
    print(f"number of talkers right in {right} of {total}")


def meeting(
    speakers: dict[str, list[Utterance]],
    talkers: int,
    t60: float,
    seconds: float,
    microphones: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """What each microphone gets of each talker: (talkers, microphones, time)."""
    room = ImageRooms(t60=(t60, t60), distance=(0.8, 2.0), microphones=microphones)
    responses = room.simulate(rng, talkers, SAMPLE_RATE).taps
    images = []
    for name, response in zip(rng.choice(sorted(speakers), talkers, replace=False), responses, strict=True):
        said = np.concatenate([soundfile.read(row.audio, dtype="float32")[0] for row in speakers[name]])
        said = np.resize(said, round(seconds * SAMPLE_RATE))  # from the beginning again, where it is too short
        level = 0.05 * 10 ** (rng.uniform(-3, 3) / 20)
        images.append(fftconvolve(level / said.std() * said[None], response, axes=1)[:, : len(said)])
    return np.stack(images).astype(np.float32)


def found(separator: Separator, images: np.ndarray, rng: np.random.Generator, gains: list[float]) -> int:
    """How many talkers are found; what the tracks gain is added to `gains`, where there is more than one talker."""
    mixture = images.sum(axis=0)
    mixture += 10**-1.5 * mixture.std() * rng.standard_normal(mixture.shape, np.float32)
    with tempfile.TemporaryDirectory() as folder:
        clip = Path(folder, "meeting.wav")
        soundfile.write(clip, mixture.T, SAMPLE_RATE, subtype="FLOAT")
        count = len(separator.separate(clip, Path(folder, "own"))["tracks"])
        if len(images) > 1:
            manifest = separator.separate(clip, Path(folder, "told"), Options(speakers=len(images)))
            files = [Path(folder, "told", "meeting", track["audio"]) for track in manifest["tracks"]]
            tracks = np.stack([soundfile.read(file, dtype="float32")[0][:, 0] for file in files])
            scores = si_sdr(tracks[:, None], images[None, :, 0]) - si_sdr(mixture[0], images[:, 0])
            gains += scores[linear_sum_assignment(-scores)].tolist()
    return count


if __name__ == "__main__":
    main()
