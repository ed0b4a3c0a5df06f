"""Every setting of conditioning in configs/universal, trained with one small budget and held side by side.

    python tests/benchmarks/universal_settings.py EVENTS OUT [--steps 300] [--seed 0] [--only tdcn tdcn_guided]

EVENTS is a packed folder or manifest of sounds by class, with the classes of the bundled classifier `sounds`, split
into train and dev. Each configuration is trained as it is but for its size (32 ms windows, B 64, H 128, 6 blocks, 3
repeats, two sources), its data (two sounds of different classes, -5 to +5 dB) and its budget: the same steps of 4
mixtures of 3 s, the same mixtures in the same order, Adam 1e-3 with a cosine. A setting whose folder in OUT has its
result is not trained again. It prints, for each, SI-SNRi on 200 mixtures of the split dev, the mean difference from
`tdcn` mixture by mixture with its standard error, and the processor minutes of its training.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from bench import machine

from avsep.checkpoint import load_model
from avsep.data.casts import SoundEvents
from avsep.data.mixtures import Mixtures
from avsep.data.recipe import Recipe
from avsep.training.gain import improvement

CONFIGS = Path(__file__).parents[2] / "configs" / "universal"
BASELINE = "tdcn"
SIZES = {
    "sources": 2,
    "basis": "stft",
    "window": 512,
    "hop": 256,
    "power": 0.3,
    "bottleneck": 64,
    "hidden": 128,
    "blocks": 6,
    "repeats": 3,
}


def settings() -> list[str]:
    """Names of the configurations, the baseline first; without smoke ones and MixIT, which is another task."""
    names = sorted(p.stem for p in CONFIGS.glob("*.yaml") if not p.stem.endswith("_smoke") and p.stem != "mixit")
    return [BASELINE, *(name for name in names if name != BASELINE)]


def reduced(name: str, events: str, folder: Path, steps: int, seed: int) -> dict[str, Any]:
    """A configuration with the size, the data and the budget of the comparison."""
    config = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text(encoding="utf-8"))
    task, data, trainer = config["model"]["init_args"], config["data"]["init_args"], config["trainer"]
    task["model"]["init_args"] |= SIZES
    task["learning_rate"] = 1e-3
    task["schedule"] = {"class_path": "avsep.training.schedules.WarmupCosine", "init_args": {"warmup": 50}}
    data |= {"batch_size": 4, "epoch_items": 4 * steps, "workers": 0}
    data["train"]["init_args"]["recipe"]["cast"]["init_args"] |= {"sounds": events, "events": [2, 2]}
    data.pop("validation")
    trainer |= {"max_steps": steps, "default_root_dir": str(folder)}
    config["checkpoint_every"] = steps
    config["seed_everything"] = data["train"]["init_args"]["seed"] = seed
    return config


def train(name: str, events: str, out: Path, steps: int, seed: int) -> tuple[Path, float]:
    """The weights after training, and processor minutes."""
    folder, weights = out / name, out / name / "model.safetensors"
    record = folder / "minutes.json"
    if not record.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "setting.yaml"
        config.write_text(yaml.safe_dump(reduced(name, events, folder, steps, seed), sort_keys=False), encoding="utf-8")
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        run("fit", "--config", str(config), "--overwrite", "true")
        minutes = (resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before) / 60
        run("export", str(folder / "checkpoints" / "last.ckpt"), "-o", str(weights), "--overwrite")
        record.write_text(json.dumps(minutes))
    return weights, json.loads(record.read_text())


def run(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "avsep", *arguments], check=True, stdout=subprocess.DEVNULL)


@torch.inference_mode()
def gains(weights: Path, mixtures: Mixtures) -> np.ndarray:
    """SI-SNRi in dB of each mixture; a model with a cue is given the clean sources."""
    model = load_model(str(weights))[0].eval()
    found = []
    for number in range(len(mixtures)):
        item = {k: v[None] for k, v in mixtures[number].items() if isinstance(v, torch.Tensor)}
        estimates = model(item["mixture"], **{cue: item[cue] for cue in model.contract.cues}).estimates
        found.append(float(improvement(estimates, item, False)))
    return np.array(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("events")
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0, help="of the weights and the mixtures; a folder OUT for each")
    parser.add_argument("--only", nargs="+", choices=settings(), default=settings())
    options = parser.parse_args()
    torch.set_num_threads(1)

    cast = SoundEvents(sounds=options.events, events=(2, 2), split="dev")
    mixtures = Mixtures(Recipe(seconds=4.0, cast=cast), items=200, seed=1234)
    print(machine())
    base: np.ndarray | None = None
    for name in options.only:
        weights, minutes = train(name, options.events, options.out.resolve(), options.steps, options.seed)
        found = gains(weights, mixtures)
        base = found if name == BASELINE else base
        line = f"{name:22} {found.mean():6.2f} dB  {minutes:5.1f} min"
        if base is not None and name != BASELINE:
            difference = found - base
            line += f"  {difference.mean():+.2f} ({difference.std() / np.sqrt(len(difference)):.2f})"
        print(line, flush=True)


if __name__ == "__main__":
    main()
