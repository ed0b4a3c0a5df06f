"""Do lips that steer a separator beat lips that choose between what was separated by sound? Talkers it has not seen.

    python tests/benchmarks/fused.py data/grid/manifest.tsv data/speech FUSED [--talkers s4 s26] [--items 96]

data/grid is a folder of `preprocessing.grid`. Mixtures are 2.8 s of one of the talkers, whose lips are shown, and of
another one held out of the folder, whose lips are shown too (GRID), of a dev voice of data/speech (speech), or of two
such voices (three); each voice up to 2.5 dB above or below the first. FUSED is a model with the cue "lips" that was not
trained on the talkers; the synchrony network in it makes the choice, or that of --sync. Its figures are those of one
pass, as those of the separator by sound with --quality fast.

assigned: of the estimates of the separator by sound, the one that goes with the lips. fused: the estimate of FUSED.
both: the mean of the two. chosen: of the estimates by sound, the one that differs least from FUSED's, anew for every
half second. Rows: the talker's own lips; late or early by up to three pictures; those of a clip of another talker, who
may be the one beside; one still picture. The offset of lips and sound is corrected as the network finds it. Prints
SI-SDRi of the talker with 95 % intervals, and that of fused, both and chosen less that of assigned, item by item.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import torch
from ablation import PICTURES, interval, lag_and_choice
from bench import machine
from scipy.optimize import linear_sum_assignment
from scipy.signal import fftconvolve

from avsep.checkpoint import load_model
from avsep.data.corpus import Corpus
from avsep.data.manifest import Utterance, read_manifest
from avsep.data.sound import read_lips, read_sound
from avsep.evaluation.metrics import si_sdr
from avsep.inference.sliding import SlidingSeparator
from avsep.models.base import SeparationModel
from avsep.models.synchrony import Synchrony, correlation
from avsep.signals import HOP, SAMPLE_RATE
from avsep.storage.recording import Recording

TIME = PICTURES * HOP
LATE = 3
"""Pictures."""
MANNERS = ("own", "late", "another's", "still")


@dataclass(frozen=True, eq=False)
class Item:
    """mixture and target (time,); lips: by manner, (faces, PICTURES, 96, 96) in 0..1, the target's first."""

    mixture: np.ndarray
    target: np.ndarray
    lips: dict[str, torch.Tensor]


def make_items(kind: str, held_out: list[Utterance], talkers: list[str], voices: Corpus, count: int) -> list[Item]:
    rng = np.random.default_rng(5)
    wanted = [row for row in held_out if row.speaker in talkers]
    items = []
    for number in range(count):
        row = wanted[number * 7 % len(wanted)]
        others = [other for other in held_out if other.speaker != row.speaker]
        beside = [others[rng.integers(len(others))] for _ in range(2)]
        target = level(read_sound(row.audio, 0.0, TIME))
        rest: list[np.ndarray] = []
        if kind == "GRID":
            rest.append(read_sound(beside[0].audio, 0.0, TIME))
        names = rng.choice(voices.names, 2, replace=False)
        rest += [voices.draw(rng, name, TIME).sound[0] for name in names[: {"GRID": 0, "speech": 1, "three": 2}[kind]]]
        gains = 10 ** (rng.uniform(-2.5, 2.5, len(rest)) / 20)
        mixture = target + sum(gain * level(other) for gain, other in zip(gains, rest, strict=True))
        late = int(rng.choice([n for n in range(-LATE, LATE + 1) if n]))
        shown = lips_of(row, 0)
        lips = {"own": shown, "late": lips_of(row, late), "another's": lips_of(beside[1], 0)}
        lips["still"] = shown[:1].expand_as(shown)
        seen = [lips_of(beside[0], 0)] if kind == "GRID" else []
        faces = {manner: torch.stack([one, *seen]) for manner, one in lips.items()}
        items.append(Item(mixture.astype(np.float32), target, faces))
    return items


def level(sound: np.ndarray) -> np.ndarray:
    return (sound * 0.05 / (np.sqrt(np.mean(sound**2)) + 1e-9)).astype(np.float32)


def lips_of(row: Utterance, late: int) -> torch.Tensor:
    """The first and last picture stand for what was before and after."""
    assert row.lips is not None
    found = read_lips(row.lips, 0.0, PICTURES)
    return torch.from_numpy(found[np.arange(-late, PICTURES - late).clip(0, PICTURES - 1)]).float() / 255


def assigned(sync: Synchrony, lips: torch.Tensor, estimates: np.ndarray) -> int:
    """The estimate of the first face, where the correlations of faces and estimates together are largest."""
    found = correlation(sync.lips(lips)[:, None], sync.voice(torch.from_numpy(estimates))[None])
    return int(linear_sum_assignment(found, maximize=True)[1][0])


def chosen(estimates: np.ndarray, like: np.ndarray) -> np.ndarray:
    """In every half second the estimate that differs least from `like`, faded from one to the next."""
    window = np.hanning(SAMPLE_RATE // 2)
    errors = fftconvolve((estimates - like) ** 2, window[None], "same", axes=1)
    mine = (errors.argmin(0) == np.arange(len(estimates))[:, None]).astype(np.float32)
    fade = np.hanning(SAMPLE_RATE // 50) / np.hanning(SAMPLE_RATE // 50).sum()
    return (estimates * np.stack([np.convolve(row, fade, "same") for row in mine])).sum(0)


def scaled(estimate: np.ndarray, mixture: np.ndarray) -> np.ndarray:
    """As loud as it is in the mixture."""
    return estimate * (estimate @ mixture) / (estimate @ estimate + 1e-9)


@torch.inference_mode()
def gains_of(
    items: list[Item], fused: SeparationModel, sync: Synchrony, by_sound: SlidingSeparator
) -> dict[str, dict[str, list[float]]]:
    """By manner and way, SI-SDRi of every item in dB."""
    gains: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for item in items:
        separated = by_sound.separate(Recording.of(item.mixture, SAMPLE_RATE, None), folder=None)
        estimates = separated.read(0, TIME)[:, 0]
        before = si_sdr(item.mixture, item.target).item()
        gains["-"]["better estimate"].append(max(si_sdr(e, item.target).item() for e in estimates) - before)
        for manner, lips in item.lips.items():
            lag, _ = lag_and_choice(sync, lips[0], estimates, range(-5, 6))
            places = (torch.arange(PICTURES) - lag).clamp(0, PICTURES - 1)
            seen = torch.cat([lips[:1, places], lips[1:]])
            choice = assigned(sync, seen, estimates)
            own = fused.separate(torch.from_numpy(item.mixture)[None, None], lips=seen[None]).estimates
            steered = own[0, 0, 0].numpy()
            parts = [scaled(one, item.mixture) for one in (estimates[choice], steered)]
            for way, estimate in {
                "assigned": parts[0],
                "fused": parts[1],
                "both": parts[0] + parts[1],
                "chosen": chosen(estimates, parts[1]),
            }.items():
                gains[manner][way].append(si_sdr(estimate, item.target).item() - before)
    return gains


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("grid", help="manifest.tsv of preprocessing.grid")
    parser.add_argument("speech")
    parser.add_argument("fused", help="weights of a model with the cue lips")
    parser.add_argument("--talkers", nargs="+", default=["s4", "s26"], help="whose lips are shown")
    parser.add_argument("--sound", default="ensemble-2spk", help="weights of the separator by sound")
    parser.add_argument("--many", default="split-3spk", help="the same for three voices")
    parser.add_argument("--sync", help="weights that make the choice (default: those in FUSED)")
    parser.add_argument("--quality", default="fast", help="of both separators by sound")
    parser.add_argument("--items", type=int, default=96)
    args = parser.parse_args()

    fused = load_model(args.fused)[0]
    assert isinstance(fused, SeparationModel)
    sync = load_model(args.sync)[0] if args.sync else fused.synchrony
    assert isinstance(sync, Synchrony)
    rows = [row for row in read_manifest(args.grid) if row.split != "train" and row.lips is not None]
    voices = Corpus(args.speech, "dev")
    print(machine())
    print(f"{args.items} mixtures of {TIME / SAMPLE_RATE} s, lips of {', '.join(args.talkers)}")
    for kind in ("GRID", "speech", "three"):
        by_sound = load_model(args.many if kind == "three" else args.sound)[0]
        items = make_items(kind, rows, args.talkers, voices, args.items)
        gains = gains_of(items, fused, sync, SlidingSeparator(by_sound, "cpu", args.quality))
        print(f"{kind}: the better of the estimates by sound {interval(gains['-']['better estimate'])}")
        for manner in MANNERS:
            found = gains[manner]
            less = {
                way: interval(list(np.subtract(found[way], found["assigned"]))) for way in ("fused", "both", "chosen")
            }
            print(
                f"| {manner} | {' | '.join(map(interval, found.values()))} | {' | '.join(less.values())} |", flush=True
            )


if __name__ == "__main__":
    main()
