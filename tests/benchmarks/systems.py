"""Every system beside the others: the same data, the same processor time for training, the same mixtures.

    python tests/benchmarks/systems.py SPEECH MIXTURES OUT [--minutes 10] [--only conv_tasnet dprnn]

SPEECH is a packed folder or manifest of voices, MIXTURES a folder with mixtures of two voices as `avsep evaluate` reads
them (NAME.wav beside NAME/s1.wav, NAME/s2.wav). Each configs/NAME_smoke.yaml of a model that separates voices of one
channel by sound alone is trained as small as it stands there, with its objective and its learning rate, at its own
sample rate, on mixtures of two talkers of the split train: 4 of 2 s a step, the same for all in the same order, equally
loud within 5 dB. The time of a training counts the steps, not drawing the mixtures; Adam, a cosine over the minutes.
Scores are of one plain pass at 8 kHz: SI-SDRi and SDR in dB. OUT/NAME.json keeps what was measured, so that a run that
was stopped goes on; OUT/systems.csv has the table, OUT/systems.png quality over cost.

Columns: parameters; multiply-adds in millions for a second of sound; steps in the minutes; processor seconds for a
second of sound on one thread.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
import yaml
from array_speed import seconds_a_second
from bench import machine
from jsonargparse import ArgumentParser
from scipy.optimize import linear_sum_assignment
from torch.utils.data import default_collate
from torch.utils.flop_counter import FlopCounterMode

from avsep.data.casts import Speakers
from avsep.data.levels import Loudness
from avsep.data.mixtures import Mixtures
from avsep.data.recipe import Recipe
from avsep.data.scene import SimulatedScene
from avsep.dsp.resample import resample
from avsep.evaluation.bss import sdr_sir_sar
from avsep.evaluation.metrics import si_sdr
from avsep.inference.sliding import SlidingSeparator
from avsep.models.base import SeparationModel
from avsep.storage.recording import Recording
from avsep.training.separation import SeparationTask

CONFIGS = Path(__file__).parents[2] / "configs"
RATE, BATCH, SECONDS, SEED = 8000, 4, 2.0, 16
COLUMNS = ("system", "class_path", "parameters", "million_macs", "steps", "real_time_factor", "si_sdri", "sdr")


def tasks() -> dict[str, dict[str, Any]]:
    """By name, the nodes "model" of the configurations that can be compared."""
    found = {}
    for file in sorted(CONFIGS.glob("*_smoke.yaml")):
        node = yaml.safe_load(file.read_text(encoding="utf-8"))["model"]
        if node["class_path"].rsplit(".", 1)[1] != SeparationTask.__name__:
            continue
        contract = built(node).model.contract
        if contract.channels == (1, 1) and not contract.cues and contract.kind == "voice":
            found[file.stem.removesuffix("_smoke")] = node
    return found


def built(node: dict[str, Any]) -> SeparationTask:
    parser = ArgumentParser()
    parser.add_subclass_arguments(SeparationTask, "model")
    torch.manual_seed(SEED)
    task = parser.instantiate_classes(parser.parse_object({"model": node})).model
    assert isinstance(task, SeparationTask)
    return task


def train(task: SeparationTask, mixtures: Mixtures, minutes: float) -> int:
    """Train for so many processor minutes; the number of steps."""
    task.train()
    rate = task.learning_rate
    optimizer = torch.optim.Adam([p for p in task.parameters() if p.requires_grad], rate)
    spent, step = 0.0, 0
    while spent < 60 * minutes:
        batch = default_collate([mixtures[n] for n in range(BATCH * step, BATCH * (step + 1))])
        started = time.process_time()
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / 20) * (1 + math.cos(math.pi * spent / (60 * minutes))) / 2
        optimizer.zero_grad()
        mixture, cues = task.inputs(batch)
        output = task.model(mixture, **cues)
        task.judge(output, task.targets(batch, output)).mean().backward()
        torch.nn.utils.clip_grad_norm_(task.parameters(), 5.0)
        optimizer.step()
        spent += time.process_time() - started
        step += 1
    task.eval()
    return step


def scores(model: SeparationModel, folder: Path) -> tuple[list[float], list[float]]:
    """Of each mixture: the mean SI-SDRi and the mean SDR of its voices in dB."""
    engine = SlidingSeparator(model, torch.device("cpu"), "fast")
    gains, distortions = [], []
    for file in sorted(folder.glob("*.wav")):
        mixture = read(file)
        voices = np.stack([read(folder / file.stem / f"s{n}.wav") for n in (1, 2)])
        estimates = engine.separate(Recording.of(mixture, RATE)).mono(0, len(mixture))
        silent = np.full((max(0, 2 - len(estimates)), len(mixture)), 1e-6, np.float32)
        estimates = np.concatenate([estimates, silent])
        found = si_sdr(estimates[:, None], voices[None])
        which, of = linear_sum_assignment(-found)
        chosen = estimates[which[np.argsort(of)]]
        gains.append(float((si_sdr(chosen, voices) - si_sdr(mixture, voices)).mean()))
        distortions.append(float(sdr_sir_sar(voices, chosen)[0].mean()))
    return gains, distortions


def read(file: Path) -> np.ndarray:
    samples, rate = soundfile.read(file, dtype="float32")
    return resample(samples, rate, RATE)


def million_macs(model: SeparationModel) -> float:
    """Of a second of sound; recurrent networks step by step, so that their products are counted."""
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), torch.backends.mkldnn.flags(enabled=False), counter:
        model.separate(torch.randn(1, 1, model.contract.sample_rate))
    return counter.get_total_flops() / 2e6


def row(name: str, found: dict[str, Any]) -> dict[str, Any]:
    return {
        "system": name,
        "class_path": found["class_path"],
        "parameters": found["parameters"],
        "million_macs": round(found["million_macs"]),
        "steps": found["steps"],
        "real_time_factor": round(found["real_time_factor"], 4),
        "si_sdri": round(float(np.mean(found["si_sdri"])), 2),
        "sdr": round(float(np.mean(found["sdr"])), 2),
    }


def draw(rows: list[dict[str, Any]], file: Path) -> None:
    """Quality over cost."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 6), layout="constrained")
    for one in rows:
        place = one["real_time_factor"], one["si_sdri"]
        axes.plot(*place, "o", color="C0")
        axes.annotate(one["system"], place, xytext=(4, 3), textcoords="offset points", fontsize=8)
    axes.set(xscale="log", xlabel="processor seconds for a second of sound", ylabel="SI-SDRi (dB)")
    axes.grid(alpha=0.3)
    axes.margins(x=0.12)
    figure.savefig(file, dpi=110)
    pyplot.close(figure)


def main() -> None:
    known = tasks()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("speech")
    parser.add_argument("mixtures", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=10.0, help="of the processor, for each system (default: 10)")
    parser.add_argument("--only", nargs="+", choices=known, default=list(known), metavar="NAME")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)

    print(machine())
    for name in args.only:
        record = args.out / f"{name}.json"
        if not record.is_file():
            task = built(known[name])
            model = task.model
            recipe = Recipe(
                Speakers(args.speech), SECONDS, SimulatedScene(Loudness()), sample_rate=model.contract.sample_rate
            )
            steps = train(task, Mixtures(recipe, 1 << 30, SEED), args.minutes)
            torch.save(model.state_dict(), args.out / f"{name}.pt")
            gains, distortions = scores(model, args.mixtures)
            found = {
                "class_path": model.class_path,
                "parameters": model.parameter_count,
                "million_macs": million_macs(model),
                "real_time_factor": seconds_a_second(model, 1),
                "steps": steps,
                "minutes": args.minutes,
                "si_sdri": gains,
                "sdr": distortions,
            }
            record.write_text(json.dumps(found), encoding="utf-8")
        one = row(name, json.loads(record.read_text(encoding="utf-8")))
        print("  ".join(f"{key} {value}" for key, value in one.items() if key != "class_path"), flush=True)
    rows = [row(file.stem, json.loads(file.read_text(encoding="utf-8"))) for file in sorted(args.out.glob("*.json"))]
    rows.sort(key=lambda one: -one["si_sdri"])
    with (args.out / "systems.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    draw(rows, args.out / "systems.png")


if __name__ == "__main__":
    main()
