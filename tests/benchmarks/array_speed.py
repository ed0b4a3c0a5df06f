"""Seconds that models of several microphones take for a second of sound, forward, on one thread.

    python tests/benchmarks/array_speed.py configs/arrays/fasnet_tac.yaml --channels 4
    python tests/benchmarks/array_speed.py configs/arrays/fasnet_tac.yaml --set hidden=64 tac_hidden=96

The model of each training configuration, at the size that stands there, with fresh weights. Time is that of the
process, so that others on the machine count little; the least of three runs over 2 s.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import torch
import yaml

from avsep.models.base import SeparationModel
from avsep.models.build import build_model

SECONDS, RUNS = 2, 3


def seconds_a_second(model: SeparationModel, channels: int) -> float:
    """Processor seconds for a second of sound."""
    rate = model.contract.sample_rate
    mixture = torch.randn(1, channels, SECONDS * rate, generator=torch.Generator().manual_seed(0))
    taken = []
    with torch.inference_mode():
        model.separate(mixture[..., : rate // 2])
        for _ in range(RUNS):
            started = time.process_time()
            model.separate(mixture)
            taken.append(time.process_time() - started)
    return min(taken) / SECONDS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("configs", nargs="+", type=Path, metavar="FILE.yaml")
    parser.add_argument("--channels", type=int, default=4)
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="other sizes of the models")
    args = parser.parse_args()
    changes = {name: yaml.safe_load(value) for name, _, value in (one.partition("=") for one in args.set)}
    torch.set_num_threads(1)
    for config in args.configs:
        node: dict[str, Any] = yaml.safe_load(config.read_text())["model"]["init_args"]["model"]
        model = build_model(node["class_path"], node["init_args"] | changes).eval()
        assert isinstance(model, SeparationModel)
        if not model.contract.takes(args.channels):
            print(f"{config.stem}: takes {model.contract.channel_counts} channels")
            continue
        found = seconds_a_second(model, args.channels)
        print(f"{config.stem}: {model.parameter_count / 1e6:.2f} million weights, {found:.3f} s a second", flush=True)


if __name__ == "__main__":
    main()
