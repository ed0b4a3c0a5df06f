"""Every system beside the others: the same data, the same processor time for training, the same mixtures.

    python tests/benchmarks/systems.py SPEECH MIXTURES OUT [--faces GRID] [--songs SONGS] [--minutes 5]

Each configs/NAME_smoke.yaml that trains a separator of one channel is trained as small as it stands there, with its
objective and its learning rate, at 8 kHz: 4 mixtures of 2 s a step, the same for all of a group in the same order,
voices equally loud within 5 dB. The time of a training counts the steps, not drawing the mixtures; Adam, a cosine over
the minutes. Groups, and what they are scored on:

    sound   two voices of SPEECH, split train; 100 mixtures of MIXTURES as `avsep evaluate` reads them
            (NAME.wav beside NAME/s1.wav, NAME/s2.wav), one plain pass over each whole
    voice   the same voices with enrolments of 3 s; 100 mixtures of 4 s of the split dev with enrolments
    lips    a talker of GRID as preprocessing.grid writes it, with --face-embeddings, and a voice of SPEECH; 100
            mixtures of 3 s of the split dev, 16 kHz; the talker counts
    lips, array   the same at an array in simulated rooms, with directions
    stems   SONGS, a manifest with the stems vocals and other (here: a voice and a sound); items of 4 s of the split
            dev, of 100 those in which both are there

Figures of different groups are figures of different mixtures. OUT/NAME.json keeps what was measured, so that a run that
was stopped goes on, OUT/NAME.pt the weights; OUT/systems.csv has the table, OUT/systems.png quality over cost.

The columns are those of `avsep.models.figures.Figures`: processor seconds for a second of sound on one thread, SI-SDRi
and SDR in dB, means over the sources of the mixtures. avsep/assets/systems.csv is OUT/systems.csv, with --arrays.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
import yaml
from array_models import small_task
from bench import machine
from jsonargparse import ArgumentParser
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.utils.data import default_collate

from avsep.data.casts import Speakers, Stems
from avsep.data.cues import Cue, Delays, Enrolment, Face, Lips
from avsep.data.image_rooms import ImageRooms
from avsep.data.levels import Loudness
from avsep.data.mixtures import Mixtures
from avsep.data.recipe import Recipe
from avsep.data.scene import SimulatedScene
from avsep.dsp.resample import resample
from avsep.evaluation.bss import sdr_sir_sar
from avsep.evaluation.cost import multiply_adds
from avsep.evaluation.metrics import si_sdr
from avsep.models.base import SeparationModel
from avsep.models.build import build_model
from avsep.models.figures import Figures
from avsep.storage.files import write_lines
from avsep.training.separation import SeparationTask
from avsep.training.task import Batch

CONFIGS = Path(__file__).parents[2] / "configs"
RATE, BATCH, SECONDS, SEED, ITEMS = 8000, 4, 2.0, 16, 100
MANY = 500
"""Speakers, about as many as the data has."""
FIRST_PHASE = {"two_step": "two_step_autoencoder"}
OTHERWISE = {"wavenet": {"stems": None, "sources": 2}, "open_unmix": {"stems": ["vocals", "other"], "channels": 1}}
AT_16_KHZ = ("band_split", "one_and_rest")
"""Bands and parts of 16 kHz; their scores are at 8 kHz."""
NOT_COMPARED = (
    "two_step_autoencoder",  # the first phase of two_step
    "conv_tasnet_causal",  # conv_tasnet with other norms
    "wave_u_net_stems",  # wave_u_net with other data
    "masking",  # what the parts of masking nets are by default
    "ensemble",
    "refined",
    "steered_lips",
    "steered_voices",  # these four begin with weights of this project
)
ARRAYS = ("beam_tasnet", "deep_beam", "delay_and_sum", "fasnet", "fasnet_tac", "fastica", "mask_beamformer")
ARRAYS += ("mc_conv_tasnet", "mc_conv_tasnet_icd", "mc_wave_u_net", "nab", "auxiva")
AROUND = {"beam_tasnet": "mc_conv_tasnet", "deep_beam": "mc_conv_tasnet"}
"""What array_models.py trained, by the names of its records; those around another were not trained themselves."""


def nodes() -> dict[str, dict[str, Any]]:
    """By name, the nodes "model" of what is compared."""
    found = {}
    for file in sorted([*CONFIGS.glob("*_smoke.yaml"), *CONFIGS.glob("arrays/multimodal_target_smoke.yaml")]):
        name, node = file.stem.removesuffix("_smoke"), yaml.safe_load(file.read_text(encoding="utf-8"))["model"]
        if node["class_path"].rsplit(".", 1)[1] == SeparationTask.__name__ and name not in NOT_COMPARED:
            found[name] = node
    return found


def built(name: str, node: dict[str, Any], speakers: int = 0) -> SeparationTask:
    """The task at the rate of its group; as many speakers as the data has where the training tells them apart."""
    init = {key: value for key, value in node["init_args"].items() if key != "warm_start"}
    args = init["model"].get("init_args", {}) | OTHERWISE.get(name, {})
    if speakers and "speakers" in args:
        args["speakers"] = speakers
    parser = ArgumentParser()
    parser.add_subclass_arguments(SeparationTask, "model")

    def instance() -> SeparationTask:
        init["model"] = init["model"] | {"init_args": args}
        torch.manual_seed(SEED)
        task = parser.instantiate_classes(parser.parse_object({"model": node | {"init_args": init}})).model
        assert isinstance(task, SeparationTask)
        return task

    task = instance()
    if "lips" not in group_of(task) and name not in AT_16_KHZ and task.model.contract.sample_rate != RATE:
        args["sample_rate"] = RATE
        task = instance()
    return task


def group_of(task: SeparationTask) -> str:
    contract = task.model.contract
    if contract.kind == "stem":
        return "stems"
    if contract.channels[0] > 1:
        return "lips, array"
    return {(): "sound", ("enrolment",): "voice"}.get(contract.cues, "lips")


def recipe(group: str, task: SeparationTask, args: argparse.Namespace, split: str, seconds: float) -> Recipe:
    scene = SimulatedScene(Loudness())
    rate = task.model.contract.sample_rate
    if group == "stems":
        return Recipe(Stems(args.songs, ["vocals", "other"], split, 1.0, 1), seconds, scene, sample_rate=rate)
    if group in ("lips", "lips, array"):
        kind = Face if task.model.contract.cues == ("face",) else Lips
        cues: list[Cue] = [kind(1, silent=0.0, absent=0.0)]
        if group == "lips, array":
            rooms = ImageRooms(p=1.0, rooms=64, microphones=task.model.contract.channels[0], order=8, seed=len(split))
            scene, cues = SimulatedScene(Loudness(), room=rooms), [*cues, Delays()]
        return Recipe(
            Speakers(args.faces, split=split, unseen=args.speech), seconds, scene, cues=cues, sample_rate=rate
        )
    cues = [Enrolment(seconds=3.0)] if group == "voice" else []
    return Recipe(Speakers(args.speech, split=split), seconds, scene, cues=cues, sample_rate=rate)


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
        output = task.model(mixture, **cues, **task.taught(batch))
        task.judge(output, task.targets(batch, output)).mean().backward()
        torch.nn.utils.clip_grad_norm_(task.parameters(), 5.0)
        optimizer.step()
        spent += time.process_time() - started
        step += 1
    task.eval()
    return step


def read_mixtures(folder: Path, rate: int) -> Iterator[Batch]:
    for file in sorted(folder.glob("*.wav")):
        voices = np.stack([read(folder / file.stem / f"s{n}.wav", rate) for n in (1, 2)])
        yield {
            "mixture": torch.from_numpy(read(file, rate))[None, None],
            "sources": torch.from_numpy(voices)[None, :, None],
        }


def read(file: Path, wanted: int) -> np.ndarray:
    samples, rate = soundfile.read(file, dtype="float32")
    return resample(samples, rate, wanted)


@torch.inference_mode()
def scores(task: SeparationTask, batches: Iterator[Batch]) -> tuple[list[float], list[float], float]:
    """Of each mixture, the mean SI-SDRi and the mean SDR of its sources in dB; processor seconds for a second."""
    model = told(task.model)
    gains, distortions, spent, heard = [], [], 0.0, 0.0
    for batch in batches:
        if not batch["sources"].flatten(2).square().mean(2).gt(1e-8).all():
            continue
        mixture, cues = task.inputs(batch)
        started = time.process_time()
        output = model.separate(mixture, **cues)
        spent += time.process_time() - started
        heard += mixture.shape[-1] / task.model.contract.sample_rate
        assert output.estimates is not None
        estimates = mono(output.estimates)
        sources = mono(batch["sources"])[: len(estimates)] if task.in_order else mono(batch["sources"])
        if task.model.contract.order == "any":
            which, of = linear_sum_assignment(-si_sdr(estimates[:, None], sources[None]))
            estimates = estimates[which[np.argsort(of)]]
        heard_at = task.model.contract.sample_rate if task.model.contract.cues else RATE
        estimates, sources, mixed = (
            np.stack([resample(one, task.model.contract.sample_rate, heard_at) for one in signals])
            for signals in (estimates, sources, mono(mixture[:, None]))
        )
        before = si_sdr(mixed[0], sources)
        gains.append(float((si_sdr(estimates, sources) - before).mean()))
        distortions.append(float(sdr_sir_sar(sources, estimates)[0].mean()))
    return gains, distortions, spent / heard


def told(model: SeparationModel) -> SeparationModel:
    """One that would find the number of voices is told that there are two."""
    finds = model.contract.sources is None and not model.contract.cues
    return model.with_sources(2) if finds else model


def mono(signals: Tensor) -> np.ndarray:
    """(1, sources, channels, time) -> (sources, time), at the first microphone."""
    return np.ascontiguousarray(signals[0, :, 0].float().numpy())


def measured(name: str, known: dict[str, dict[str, Any]], args: argparse.Namespace) -> dict[str, Any]:
    """Train one system and score it."""
    task, minutes = built(name, known[name]), args.minutes
    group = group_of(task)
    mixtures = Mixtures(recipe(group, task, args, "train", SECONDS), 1 << 30, SEED)
    task = built(name, known[name], len(mixtures.names))
    if name in FIRST_PHASE:
        first = yaml.safe_load((CONFIGS / f"{FIRST_PHASE[name]}_smoke.yaml").read_text(encoding="utf-8"))
        begin = built(FIRST_PHASE[name], first["model"])
        train(begin, mixtures, minutes / 5)
        minutes -= minutes / 5
        for part in ("encoder", "decoder"):
            task.model.get_submodule(part).load_state_dict(begin.model.get_submodule(part).state_dict())
    steps = train(task, mixtures, minutes)
    torch.save(task.model.state_dict(), args.out / f"{name}.pt")
    if group == "sound":
        batches: Iterator[Batch] = read_mixtures(args.mixtures, task.model.contract.sample_rate)
    else:
        items = Mixtures(recipe(group, task, args, "dev", 3.0 if "lips" in group else 4.0), ITEMS, 1234)
        batches = (default_collate([items[n]]) for n in range(ITEMS))
    gains, distortions, factor = scores(task, batches)
    return {
        "group": group,
        "class_path": task.model.class_path,
        "parameters": task.model.parameter_count,
        "real_time_factor": factor,
        "steps": steps,
        "minutes": args.minutes,
        "si_sdri": gains,
        "sdr": distortions,
    }


def row(name: str, found: dict[str, Any], known: dict[str, dict[str, Any]]) -> Figures:
    paper = paper_model(name)
    trained = told(built(name, known[name], MANY).model)
    return Figures(
        name,
        paper.class_path,
        paper.parameter_count,
        round(multiply_adds(paper) / 1e6, 1),
        found["group"],
        found["minutes"],
        found["parameters"],
        round(multiply_adds(trained) / 1e6, 1),
        found["steps"],
        round(found["real_time_factor"], 4),
        round(float(np.mean(found["si_sdri"])), 2),
        round(float(np.mean(found["sdr"])), 2),
    )


def array_row(name: str, found: dict[str, Any]) -> Figures:
    """Of a record of array_models.py, for 8 minutes each."""
    paper = paper_model(name)
    trained = small_model(name) if found["steps"] else paper
    return Figures(
        name,
        paper.class_path,
        paper.parameter_count,
        round(multiply_adds(paper) / 1e6, 1),
        "array",
        8.0 if found["steps"] else 0.0,
        found["weights"],
        round(multiply_adds(trained) / 1e6, 1),
        found["steps"],
        round(found["real_time_factor"], 4),
        round(float(np.mean(found["si_sdr_i"])), 2),
        round(float(np.mean(found["sdr"])), 2),
    )


def small_model(name: str) -> SeparationModel:
    """What array_models.py trained, or put around what it trained."""
    if name not in AROUND:
        return small_task(name).model
    paper, inner = paper_model(name), small_task(AROUND[name]).model
    around = {"separator": {"class_path": inner.class_path, "init_args": inner.init_args}}
    model = build_model(paper.class_path, paper.init_args | around)
    assert isinstance(model, SeparationModel)
    return model


def paper_model(name: str) -> SeparationModel:
    """What the configuration in the paper's size trains or exports."""
    (file,) = CONFIGS.rglob(f"{name}.yaml")
    node = yaml.safe_load(file.read_text(encoding="utf-8"))["model"]
    node = node["init_args"].get("model", node)
    torch.manual_seed(SEED)
    model = build_model(node["class_path"], node.get("init_args", {}))
    assert isinstance(model, SeparationModel)
    return told(model)


def draw(rows: list[Figures], file: Path) -> None:
    """Quality over cost."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(13, 8), layout="constrained")
    for color, group in enumerate(dict.fromkeys(one.group for one in rows)):
        members = [one for one in rows if one.group == group and one.minutes]
        places = [(one.trained_million_macs, one.si_sdri) for one in members]
        axes.plot(*zip(*places, strict=True), "o", color=f"C{color}", label=group)
        for one, place in zip(members, places, strict=True):
            axes.annotate(one.system, place, xytext=(4, 3), textcoords="offset points", fontsize=8)
    axes.legend()
    axes.set(xscale="log", xlabel="million multiply-adds for a second of sound", ylabel="SI-SDRi (dB)")
    axes.grid(alpha=0.3)
    axes.margins(x=0.12)
    figure.savefig(file, dpi=110)
    pyplot.close(figure)


def main() -> None:
    known = nodes()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("speech", help="packed folder or manifest of voices")
    parser.add_argument("mixtures", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--faces", help="manifest of talkers with lips and faces")
    parser.add_argument("--songs", help="manifest of stems")
    parser.add_argument("--arrays", type=Path, metavar="RUNS", help="where array_models.py keeps what it measured")
    parser.add_argument("--minutes", type=float, default=5.0, help="of the processor, for each system (default: 5)")
    parser.add_argument("--only", nargs="+", choices=known, default=list(known), metavar="NAME")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)

    print(machine())
    for name in args.only:
        record = args.out / f"{name}.json"
        if not record.is_file():
            text = json.dumps(measured(name, known, args))
            write_lines(record, [text])
        found = json.loads(record.read_text(encoding="utf-8"))
        gain, sdr = np.mean(found["si_sdri"]), np.mean(found["sdr"])
        print(f"{name}: {found['steps']} steps, SI-SDRi {gain:.2f} dB, SDR {sdr:.2f} dB", flush=True)
    rows = [row(name, json.loads(record.read_text(encoding="utf-8")), known) for name, record in records(args, known)]
    rows.sort(key=lambda one: (one.group, -one.si_sdri))
    draw(rows, args.out / "systems.png")
    if args.arrays:
        rows += [
            array_row(name, json.loads((args.arrays / f"{name}.json").read_text(encoding="utf-8"))) for name in ARRAYS
        ]
    with (args.out / "systems.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(Figures)], lineterminator="\n")
        writer.writeheader()
        writer.writerows(map(asdict, rows))


def records(args: argparse.Namespace, known: dict[str, dict[str, Any]]) -> Iterator[tuple[str, Path]]:
    for name in known:
        if (args.out / f"{name}.json").is_file():
            yield name, args.out / f"{name}.json"


if __name__ == "__main__":
    main()
