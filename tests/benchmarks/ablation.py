"""Which part of the training makes lips and voices find each other? The same short training, one thing changed a row.

    python tests/benchmarks/ablation.py RUNS --sync FILE [--steps 300] [--only GRID] [-- OPTIONS OF avsep fit]

Reads data/grid, data/reanimated, data/portraits and data/speech (docs/models/), trains every row that has
no weights in RUNS yet, and scores all rows on mixtures of a held-out GRID talker, whose lips are shown, and a dev voice
of data/speech, who is not seen: SI-SDRi of the talker's voice with a 95 % interval. Rows that train nothing let the
lips choose between the two estimates of audio-2spk. Every row is scored with lips in step, and with lips up to three
pictures off, as they come and put right by what sync finds.

--sync FILE is a training of configs/sync.yaml, which saw none of those talkers (two of the three in the bundled weights
have seen some). With --fold UNSEEN SEEN, two more of the same length and the same number of talkers, of which one held
out the talkers of TRAINED and one three others, two more rows tell what cross-fitting gives.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from bench import ROOT, machine

from avsep.checkpoint import load_model
from avsep.data.corpus import Corpus
from avsep.data.manifest import read_manifest
from avsep.data.sound import read_lips, read_sound
from avsep.dsp.ratio_mask import ratio_mask_refinement
from avsep.evaluation.metrics import si_sdr
from avsep.models.base import SeparationModel
from avsep.models.synchrony import Synchrony, correlation
from avsep.signals import HOP, SAMPLE_RATE

PICTURES = 70
LAGS = range(-5, 6)

GRID, REANIMATED, PORTRAITS = (f"data/{name}/manifest.tsv" for name in ("grid", "reanimated", "portraits"))

CAST = "--data.init_args.train.init_args.recipe.cast.init_args"
"""Who the mixtures are made of, as an option of avsep fit."""

TRAINED = "[bbaf2n, brbk7n, lbax4n]"
"""The talkers whose lips the rows on cross-fitting learn from."""


def corpora(*paths: str) -> list[str]:
    """What makes `avsep fit` train on these, each as often as the others."""
    return [f"{CAST}.voices=[{', '.join(paths)}]", f"{CAST}.weights=[{', '.join(['1.0'] * len(paths))}]"]


def begin(*parts: str) -> str:
    return f"--model.init_args.warm_start=[{', '.join(parts)}]"


def table(sync: str, folds: Sequence[str]) -> dict[str, tuple[str, list[str]]]:
    """Name of each row -> configuration and options of its training."""
    everything = corpora(GRID, REANIMATED, PORTRAITS)
    body = "encoder: encoder, separator: separator, decoder: decoder"
    first = "encoder: first.encoder, separator: first.separator, decoder: first.decoder"
    sound = f"{{weights: audio-2spk, parts: {{{body}}}}}"
    inner = f"{{weights: audio-2spk, parts: {{{first}}}}}, {sound}"
    lips = f"{{weights: {sync}, parts: {{lips: cue_encoder}}}}"
    judge = f"{{weights: {sync}, parts: {{lips: synchrony.lips, voice: synchrony.voice}}}}"
    rows = {
        "fused: lips of GRID": ("av_target", [*corpora(GRID), begin(sound, lips)]),
        "fused: GRID and re-animated GRID": ("av_target", [*corpora(GRID, REANIMATED), begin(sound, lips)]),
        "fused: GRID and animated portraits": ("av_target", [*corpora(GRID, PORTRAITS), begin(sound, lips)]),
        "fused: GRID, re-animated and animated": ("av_target", [*everything, begin(sound, lips)]),
        "the same without audio-2spk to begin with": ("av_target", [*everything, begin(lips)]),
        "the same without sync to begin with": ("av_target", [*everything, begin(sound)]),
        "both: audio-2spk's estimate and the lips": ("refined", [*everything, begin(inner, judge)]),
    }
    crossed = ("three talkers whom its sync has not seen (cross-fitting)", "the same talkers, whom its sync has seen")
    for name, fold in zip(crossed, folds, strict=False):
        only = f"{CAST}.only={TRAINED}"
        other_eyes = f"{{weights: {fold}, parts: {{lips: cue_encoder}}}}"
        rows[f"fused: {name}"] = ("av_target", [*corpora(GRID), only, begin(sound, other_eyes)])
    return rows


@dataclass(frozen=True, eq=False)
class Item:
    """A mixture of two: mixture and target (time,), lips (PICTURES + 2 * 5, 96, 96) with five pictures more on either
    side, late: pictures by which the lips of the second kind of test are late."""

    mixture: np.ndarray
    target: np.ndarray
    lips: np.ndarray
    late: int

    def seen(self, late: int) -> torch.Tensor:
        """(PICTURES, 96, 96) in 0..1."""
        first = 5 - late
        return torch.from_numpy(self.lips[first : first + PICTURES]).float() / 255


def make_items(count: int, seed: int = 77) -> list[Item]:
    """Fixed mixtures of the talkers of data/grid that no training sees."""
    rng = np.random.default_rng(seed)
    talkers = [row for row in read_manifest(ROOT / GRID) if row.split != "train" and row.lips is not None]
    voices = Corpus(ROOT / "data/speech", "dev")
    items = []
    for number in range(count):
        row = talkers[number % len(talkers)]
        target = read_sound(row.audio, 0.0, PICTURES * HOP)
        other = voices.draw(rng, voices.names[rng.integers(len(voices.names))], PICTURES * HOP).sound[0]
        target, other = (x * 0.05 / (np.sqrt(np.mean(x**2)) + 1e-9) for x in (target, other))
        other = other * np.float32(10 ** (rng.uniform(-2.5, 2.5) / 20))
        assert row.lips is not None
        lips = read_lips(row.lips, 0.0, PICTURES + 5)
        items.append(Item(target + other, target, np.concatenate([lips[:1]] * 5 + [lips]), int(rng.integers(-3, 4))))
    return items


def lag_and_choice(sync: Synchrony, lips: torch.Tensor, estimates: np.ndarray, lags: range) -> tuple[int, int]:
    """The lag (pictures the sound is late) and the estimate at which they go together best."""
    seen, heard = sync.lips(lips[None]), sync.voice(torch.from_numpy(estimates))
    scores = {}
    for lag in lags:
        a, b = max(0, -lag), PICTURES - max(0, lag)
        together = correlation(seen[:, a:b], heard[:, a + lag : b + lag])
        # Small offsets are likelier, as sync.lag_belief has it.
        scores |= {(lag, i): float(value) - 0.0025 * lag**2 for i, value in enumerate(together)}
    return max(scores, key=lambda pair: scores[pair])


@dataclass(frozen=True, eq=False)
class Trial:
    """An item in one kind of test. lips: pictures by which the lips that a model is shown are late; choice: the
    estimate by sound alone that goes with them, (time,)."""

    kind: str
    item: Item
    lips: int
    choice: np.ndarray

    def gain(self, estimate: np.ndarray) -> float:
        """SI-SDRi in dB."""
        return si_sdr(estimate, self.item.target).item() - si_sdr(self.item.mixture, self.item.target).item()


@torch.inference_mode()
def make_trials(items: list[Item], sync: Synchrony) -> tuple[list[Trial], list[float]]:
    """Every item in each kind of test; and SI-SDRi of the better of the two estimates by sound alone."""
    model = load_model("audio-2spk")[0]
    trials, best = [], []
    for item in items:
        found = model(torch.from_numpy(item.mixture)[None, None]).estimates[0, :, 0].numpy()
        estimates = ratio_mask_refinement(found, item.mixture, SAMPLE_RATE)
        for kind, late, corrected in (("in step", 0, False), ("off", item.late, False), ("put right", item.late, True)):
            lag, choice = lag_and_choice(sync, item.seen(late), estimates, LAGS if corrected else range(1))
            trials.append(Trial(kind, item, int(np.clip(late + lag, -5, 5)), estimates[choice]))
        best.append(max(trials[-1].gain(estimate) for estimate in estimates))
    return trials, best


@torch.inference_mode()
def score(trials: list[Trial], model: SeparationModel | None) -> dict[str, list[float]]:
    """SI-SDRi of every item in each kind of test; without a model, of the estimate that the lips choose."""
    gains: dict[str, list[float]] = {}
    for trial in trials:
        estimate = trial.choice
        if model is not None:
            mixture, lips = torch.from_numpy(trial.item.mixture), trial.item.seen(trial.lips)
            estimate = model(mixture[None, None], lips=lips[None, None]).estimates[0, 0, 0].numpy()
        gains.setdefault(trial.kind, []).append(trial.gain(estimate))
    return gains


def train(runs: Path, name: str, config: str, options: list[str]) -> Path:
    """Weights of a row, trained if they are not there yet."""
    slug = "".join(c if c.isalnum() else "_" for c in name)
    weights = runs / f"{slug}.safetensors"
    if not weights.is_file():
        folder = runs / slug
        fit = ["fit", "--config", f"configs/{config}.yaml", f"--trainer.default_root_dir={folder}", "--ckpt_path=last"]
        subprocess.run([sys.executable, "-m", "avsep", *fit, *options], cwd=ROOT, check=True)
        export = ["export", str(folder / "checkpoints" / "last.ckpt"), "-o", str(weights)]
        subprocess.run([sys.executable, "-m", "avsep", *export], cwd=ROOT, check=True)
    return weights


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--sync", required=True, metavar="FILE", help="weights of the lips, and of who is whose")
    parser.add_argument(
        "--fold", nargs=2, default=(), metavar=("UNSEEN", "SEEN"), help="for the rows about cross-fitting"
    )
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--items", type=int, default=80)
    parser.add_argument("--only", nargs="+", metavar="ROW", help="rows whose names begin like this")
    own, options_of_fit = sys.argv[1:], []
    if "--" in own:
        own, options_of_fit = own[: own.index("--")], own[own.index("--") + 1 :]
    args = parser.parse_args(own)

    runs = args.runs.resolve()
    common = [f"--trainer.max_steps={args.steps}", "--trainer.limit_val_batches=0", *options_of_fit]
    rows = table(args.sync, args.fold)
    chosen = {k: v for k, v in rows.items() if not args.only or any(k.startswith(start) for start in args.only)}
    sync = load_model(args.sync)[0]
    assert isinstance(sync, Synchrony)
    trained = {name: train(runs, name, config, options + common) for name, (config, options) in chosen.items()}
    items = make_items(args.items)
    print(machine())
    print(f"{len(items)} mixtures of {PICTURES * HOP / SAMPLE_RATE} s, {args.steps} steps a row")
    print("| | in step | up to 3 pictures off | the same, put right |\n|---|---|---|---|")
    trials, best = make_trials(items, sync)
    print(f"| by sound, the better estimate | {interval(best)} | | |")
    print(f"| by sound, the lips choose | {' | '.join(map(interval, score(trials, None).values()))} |", flush=True)
    for name, weights in trained.items():
        model = load_model(weights)[0]
        assert isinstance(model, SeparationModel)
        print(f"| {name} | {' | '.join(map(interval, score(trials, model).values()))} |", flush=True)


def interval(gains: list[float]) -> str:
    """Mean with a 95 % bootstrap interval."""
    values = np.array(gains)
    means = np.random.default_rng(0).choice(values, (2000, len(values))).mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return f"{values.mean():.1f} dB ({low:.1f} to {high:.1f})"


if __name__ == "__main__":
    main()
