"""Models of microphone arrays side by side, each trained with one small budget: a table and a picture.

    python tests/benchmarks/array_models.py SPEECH ROOMS OUT [--rendered FILE.npz] [--minutes 4] [--only fasnet_tac nab]

SPEECH is a packed folder or manifest of voices, ROOMS a folder of compose_rooms.py with 4 microphones. The models of
configs/arrays are made small (`SMALL`) and trained on the same mixtures of two talkers in rooms in the same order, with
the same number of processor minutes for their steps (Adam, 1e-3, a cosine over the minutes); drawing the mixtures is
not counted. --rendered: rooms of preprocessing.render_rooms to draw from. What was measured is kept in OUT, so that a
run that was stopped goes on. Prints for each model its weights, seconds for a second of sound (4 microphones, one
thread), steps, SI-SDRi and SDR in dB against the early images at microphone 0, and writes OUT/quality_over_cost.png.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable
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

from avsep.checkpoint import load_model
from avsep.data.casts import Speakers
from avsep.data.image_rooms import ImageRooms
from avsep.data.mixtures import Mixtures
from avsep.data.recipe import Recipe
from avsep.data.rendered_rooms import RenderedRooms
from avsep.data.scene import SimulatedScene
from avsep.evaluation.bss import sdr_sir_sar
from avsep.evaluation.metrics import si_sdr
from avsep.models.auxiva import AuxIVA
from avsep.models.base import SeparationModel
from avsep.models.beam_tasnet import BeamTasNet
from avsep.models.deep_beam import DeepBeam
from avsep.models.delay_and_sum import DelayAndSum
from avsep.models.fastica import FastICA
from avsep.training.separation import SeparationTask

CONFIGS = Path(__file__).parents[2] / "configs" / "arrays"
MICROPHONES, BATCH, SECONDS, SEED = 4, 4, 2.0, 15
CONV = {"filters": 128, "kernel": 64, "stride": 32, "bottleneck": 64, "hidden": 128, "skip": 64, "blocks": 7}
SMALL: dict[str, dict[str, Any]] = {
    "fasnet": {"filters": 32, "bottleneck": 32, "hidden": 48, "blocks": 2},
    "fasnet_tac": {"filters": 32, "bottleneck": 32, "hidden": 48, "blocks": 2, "tac_hidden": 96},
    "mc_conv_tasnet": CONV | {"repeats": 2, "pair_hidden": 128},
    "mc_conv_tasnet_icd": CONV | {"repeats": 2, "pair_hidden": 128},
    "mc_split_tasnet": {"window": 512, "stride": 128, "channels": 96, "hidden": 192, "blocks": 6, "pair_hidden": 96},
    "nab": {"hidden": 256},
    "mc_wave_u_net": {"filters": 12, "layers": 9},
    "mask_beamformer": {"hidden": 128, "pair_hidden": 128},
}
CONFIG_OF = {"mc_split_tasnet": "mc_split_tasnet_smoke"}
AROUND: dict[str, tuple[str, Callable[[SeparationModel], SeparationModel]]] = {
    "beam_tasnet": ("mc_conv_tasnet", BeamTasNet),
    "beam of mc_split_tasnet": ("mc_split_tasnet", BeamTasNet),
    "deep_beam": ("mc_conv_tasnet", lambda separator: DeepBeam(separator, 2)),
}
"""What is made of a trained one without more training."""
UNTRAINED: dict[str, Callable[[], SeparationModel]] = {
    "auxiva": lambda: AuxIVA(2),
    "fastica": lambda: FastICA(2),
    "delay_and_sum": DelayAndSum,
}
BUNDLED = {"audio-2spk, microphone 0": "audio-2spk", "array-2spk, bundled": "array-2spk"}


def small_task(name: str) -> SeparationTask:
    """The task of a configuration, with a small model."""
    config = yaml.safe_load((CONFIGS / f"{CONFIG_OF.get(name, name)}.yaml").read_text(encoding="utf-8"))
    config["model"]["init_args"]["model"]["init_args"] |= SMALL[name]
    parser = ArgumentParser()
    parser.add_subclass_arguments(SeparationTask, "model")
    return parser.instantiate_classes(parser.parse_object({"model": config["model"]})).model


def trained(name: str, mixtures: Mixtures, minutes: float) -> tuple[SeparationModel, int]:
    """The model after so many processor minutes, and its steps."""
    torch.manual_seed(SEED)
    task = small_task(name)
    model = task.model.train()
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    spent, step = 0.0, 0
    while spent < 60 * minutes:
        items = [mixtures[n] for n in range(BATCH * step, BATCH * (step + 1))]
        batch = {key: torch.stack([item[key] for item in items]) for key in ("mixture", "sources")}
        started = time.process_time()
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * min(1.0, (step + 1) / 20) * (1 + math.cos(math.pi * spent / (60 * minutes))) / 2
        optimizer.zero_grad()
        task.objective(model(batch["mixture"]), batch).mean().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        spent += time.process_time() - started
        step += 1
    return model.eval(), step


def scores(model: SeparationModel, rooms: Path) -> tuple[list[float], list[float]]:
    """Of each recording: the mean SI-SDRi, and the mean SDR, of its two talkers in dB."""
    gains, distortions = [], []
    for file in sorted(rooms.glob("*.wav")):
        mixture = soundfile.read(file, dtype="float32")[0].T
        images = np.stack([soundfile.read(rooms / file.stem / f"s{n}.wav", dtype="float32")[0] for n in (1, 2)])
        given = mixture[:1] if model.contract.channels[1] == 1 else mixture
        with torch.inference_mode():
            estimates = model.separate(torch.from_numpy(given)[None]).estimates[0, :, 0].numpy()
        found = si_sdr(estimates[:, None], images[None])
        which, of = linear_sum_assignment(-found)
        chosen = estimates[which[np.argsort(of)]]
        gains.append(float((si_sdr(chosen, images) - si_sdr(mixture[0], images)).mean()))
        distortions.append(float(sdr_sir_sar(images, chosen)[0].mean()))
    return gains, distortions


def measure(model: SeparationModel, rooms: Path, steps: int) -> dict[str, Any]:
    gains, distortions = scores(model, rooms)
    return {
        "weights": model.parameter_count,
        "real_time_factor": seconds_a_second(model, min(MICROPHONES, model.contract.channels[1])),
        "steps": steps,
        "si_sdr_i": gains,
        "sdr": distortions,
    }


def line(name: str, found: dict[str, Any]) -> str:
    gains = np.array(found["si_sdr_i"])
    error = gains.std() / np.sqrt(len(gains))
    return (
        f"{name:26} {found['weights'] / 1e6:6.2f} M {found['real_time_factor']:7.3f} {found['steps']:6} "
        f"{gains.mean():6.2f} ({error:.2f}) dB {np.mean(found['sdr']):6.2f} dB"
    )


def draw(results: dict[str, dict[str, Any]], file: Path) -> None:
    """Quality over cost."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 5), layout="constrained")
    for name, found in results.items():
        x, y = found["real_time_factor"], np.mean(found["si_sdr_i"])
        kind = "C2" if "bundled" in name or "microphone 0" in name else "C0" if found["steps"] else "C1"
        axes.plot(x, y, "o", color=kind)
        axes.annotate(name, (x, y), xytext=(5, 4), textcoords="offset points", fontsize=8)
    axes.set(xscale="log", xlabel="processor seconds for a second of 4 microphones", ylabel="SI-SDRi (dB)")
    axes.grid(alpha=0.3)
    axes.margins(x=0.15)
    figure.savefig(file, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("speech")
    parser.add_argument("rooms", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--rendered", metavar="FILE.npz", help="default: 100 rooms are simulated")
    parser.add_argument("--minutes", type=float, default=4.0, help="of the processor, for each model (default: 4)")
    names = [*SMALL, *AROUND, *UNTRAINED, *BUNDLED]
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)

    room: Any = ImageRooms(p=1.0, rooms=100, microphones=MICROPHONES, order=12, early_seconds=0.05)
    if args.rendered:
        room = RenderedRooms(args.rendered, microphones=MICROPHONES)
    recipe = Recipe(Speakers(args.speech), SECONDS, SimulatedScene(room=room))
    mixtures = Mixtures(recipe, 1 << 30, SEED)
    print(machine())
    print(f"{'model':26} {'weights':>8} {'s a s':>7} {'steps':>6} {'SI-SDRi':>16} {'SDR':>9}")
    models: dict[str, SeparationModel] = {}
    results: dict[str, dict[str, Any]] = {}
    for name in args.only:
        record = args.out / f"{name.replace(', ', '_').replace(' ', '_')}.json"
        if not record.is_file():
            steps = 0
            if name in SMALL:
                models[name], steps = trained(name, mixtures, args.minutes)
                torch.save(models[name].state_dict(), args.out / f"{name}.pt")
            elif name in AROUND:
                inner, around = AROUND[name]
                if inner not in models:
                    models[inner] = small_task(inner).model.eval()
                    models[inner].load_state_dict(torch.load(args.out / f"{inner}.pt", weights_only=True))
                models[name] = around(models[inner]).eval()
                steps = json.loads((args.out / f"{inner}.json").read_text())["steps"]
            else:
                models[name] = UNTRAINED[name]() if name in UNTRAINED else load_model(BUNDLED[name])[0].eval()
            record.write_text(json.dumps(measure(models[name], args.rooms, steps)), encoding="utf-8")
        results[name] = json.loads(record.read_text())
        print(line(name, results[name]), flush=True)
    draw(results, args.out / "quality_over_cost.png")


if __name__ == "__main__":
    main()
