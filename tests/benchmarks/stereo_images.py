"""How well tracks keep their place in the channels of the input, if the separation were perfect.

    python tests/benchmarks/stereo_images.py SPEECH [--mixtures 6]

SPEECH is a manifest or packed folder. Two talkers of its split dev, 6 s: panned by level alone; recorded by two
microphones 20 cm apart in rooms with a T60 of 0.2 to 0.4 s, of which the mean of the channels is given; and by four 5
cm apart, of which the first is. Prints the SDR over all channels of what `ChannelImages` makes of the true voices
there, and that of the voices copied to all channels.
"""

from __future__ import annotations

import argparse

import numpy as np
from bench import machine
from scipy.signal import fftconvolve

from avsep.data.casts import Speakers
from avsep.data.image_rooms import ImageRooms
from avsep.data.mixtures import Mixtures
from avsep.data.recipe import Recipe
from avsep.dsp.images import ChannelImages
from avsep.dsp.resample import context_samples, with_context
from avsep.signals import SAMPLE_RATE, Audio


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("speech")
    parser.add_argument("--mixtures", type=int, default=6)
    args = parser.parse_args()

    recipe = Recipe(seconds=6.0, cast=Speakers(args.speech, (2, 2), split="dev"))
    mixtures = Mixtures(recipe, items=args.mixtures, seed=0)
    rng = np.random.default_rng(0)
    rooms = {
        "two microphones": ImageRooms(1.0, args.mixtures, t60=(0.2, 0.4), microphones=2, spacing=0.2, seed=3),
        "four microphones": ImageRooms(1.0, args.mixtures, t60=(0.2, 0.4), microphones=4, spacing=0.05, seed=4),
    }
    for bank in rooms.values():
        bank.prepare(2, SAMPLE_RATE)
    found: dict[str, list[tuple[float, float]]] = {"panned": [], **{name: [] for name in rooms}}
    for number in range(args.mixtures):
        voices = mixtures[number]["sources"][:, 0].numpy()
        left = rng.uniform(0, np.pi / 2, (2, 1))
        found["panned"].append(scores(np.stack([np.cos(left) * voices, np.sin(left) * voices], axis=1), mean=True))
        for name, bank in rooms.items():
            taps = bank.bank[number].taps
            images = np.stack([fftconvolve(v[None], h, axes=1)[:, : len(v)] for v, h in zip(voices, taps, strict=True)])
            found[name].append(scores(images, mean=name == "two microphones"))
    print(machine())
    for name, pairs in found.items():
        copied, filtered = np.mean(pairs, axis=0)
        print(f"{name:18} copied {copied:5.1f} dB  filtered {filtered:5.1f} dB")


def scores(images: np.ndarray, mean: bool) -> tuple[float, float]:
    """Mean SDR in dB over the voices, copied and filtered. images: (voices, channels, time)."""
    images = images.astype(np.float32)
    known = images.mean(axis=1) if mean else images[:, 0]
    copied = known[:, None].repeat(images.shape[1], 1)
    return sdr(copied, images), sdr(filtered(known, images.sum(axis=0)), images)


def filtered(known: np.ndarray, mixture: np.ndarray) -> np.ndarray:
    edge = context_samples(SAMPLE_RATE)
    place = ChannelImages(SAMPLE_RATE, edge)
    wide = np.pad(known, ((0, 0), (edge, edge)))
    seconds = [Audio(mixture[:, at : at + SAMPLE_RATE], SAMPLE_RATE) for at in range(0, mixture.shape[1], SAMPLE_RATE)]
    made = []
    for number, (_, around) in enumerate(with_context(seconds)):
        at = number * SAMPLE_RATE
        made.append(place(wide[:, at : at + around.shape[1]], around)[..., edge : around.shape[1] - edge])
    return np.concatenate(made, axis=2)


def sdr(estimates: np.ndarray, references: np.ndarray) -> float:
    error = ((estimates - references) ** 2).sum(axis=(1, 2))
    return float(np.mean(10 * np.log10((references**2).sum(axis=(1, 2)) / error)))


if __name__ == "__main__":
    main()
