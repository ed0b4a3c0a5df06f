"""Seconds of audio trained per second: our Conv-TasNet against asteroid's and torchaudio's, same sizes and same steps.

    python tests/benchmarks/train_throughput.py [--environment FOLDER] [--threads 1 2] [--rounds 7]

A step is forward, permutation-invariant SNR, backward and Adam, in single precision and without torch.compile. Each
model runs in a process of its own and they take turns step by step, so that whatever else the machine does disturbs
all alike; the second ratio is that of the processors' time, which a busy machine blurs less. asteroid lives in an
environment of its own, made with uv, or with venv and pip where there is no uv; --environment keeps it for the next
time. That our model computes what torchaudio's computes is tested in tests/test_models.py.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import itertools
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# Nothing of the project is imported up here: asteroid's environment runs this file too.
ASTEROID = ("asteroid==0.7.0", "requests")  # asteroid imports requests without declaring it
MODELS = ("avsep", "asteroid", "torchaudio")
# The paper's best model: N, B, H, Sc, P, X, R; twice, with the paper's frames and with ours.
SIZES = {"filters": 512, "bottleneck": 128, "hidden": 512, "skip": 128, "block_kernel": 3, "blocks": 8, "repeats": 3}
FRAMES = {
    "8 kHz, K=16 S=8": {"sample_rate": 8000, "kernel": 16, "stride": 8},
    "16 kHz, K=40 S=20": {"sample_rate": 16000, "kernel": 40, "stride": 20},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--environment", type=Path, help="folder of asteroid's environment (default: temporary)")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
    parser.add_argument("--threads", nargs="+", type=int, default=[2, 1], help="default: 2, then 1")
    parser.add_argument("--rounds", type=int, default=7, help="timed steps of each model (default: 7)")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=4, help="of one segment (default: 4)")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        work(**json.loads(args.worker))
        return

    from bench import machine

    print(machine())
    print(f"batch {args.batch} of {args.seconds:g} s, medians of {args.rounds} steps, seconds of audio per second")
    with tempfile.TemporaryDirectory() as folder:
        python = dict.fromkeys(args.models, sys.executable)
        if "asteroid" in python:
            python["asteroid"] = asteroid_python(args.environment or Path(folder, "asteroid"))
        print(f"{'':18} {'threads':>7}" + "".join(f"{name:>12}" for name in python) + f"{'ratio':>8} {'(cpu)':>8}")
        for (frames, sizes), threads in itertools.product(FRAMES.items(), args.threads):
            workers = {
                name: Worker(python[name], name, threads, args.batch, args.seconds, SIZES | sizes) for name in python
            }
            times = take_turns(workers, args.rounds)
            audio = args.batch * args.seconds
            wall, cpu = ({name: audio / statistics.median(t[i] for t in times[name]) for name in times} for i in (0, 1))
            ratios = "".join(f"{ratio:8.2f} " for ratio in (lead(wall), lead(cpu)))
            print(f"{frames:18} {threads:7}" + "".join(f"{rate:12.2f}" for rate in wall.values()) + ratios, flush=True)
            counts = {name: worker.parameters for name, worker in workers.items()}
    print(f"ratio: ours to the faster of the others; parameters: {counts}")


def lead(rates: dict[str, float]) -> float:
    """Our rate to that of the fastest other."""
    return rates.get("avsep", math.nan) / max((rates[name] for name in rates if name != "avsep"), default=math.nan)


def take_turns(workers: dict[str, Worker], rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Seconds of each timed step on the clock and of the processors, after one to warm up."""
    for worker in workers.values():
        worker.step()
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in workers}
    for _ in range(rounds):
        for name, worker in workers.items():
            times[name].append(worker.step())
    for worker in workers.values():
        worker.close()
    return times


class Worker:
    """A process that trains one model, a step each time it is asked."""

    def __init__(self, python: str, model: str, threads: int, batch: int, seconds: float, sizes: dict) -> None:
        job = {"model": model, "threads": threads, "batch": batch, "seconds": seconds, "sizes": sizes}
        self.process = subprocess.Popen(
            [python, __file__, "--worker", json.dumps(job)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": str(threads)},
        )
        self.parameters = int(self._answer())

    def step(self) -> tuple[float, float]:
        assert self.process.stdin
        print("step", file=self.process.stdin, flush=True)
        wall, cpu = map(float, self._answer().split())
        return wall, cpu

    def close(self) -> None:
        self.process.communicate()

    def _answer(self) -> str:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{' '.join(map(str, self.process.args))} ended with {self.process.wait()}")
        return line


def work(model: str, threads: int, batch: int, seconds: float, sizes: dict) -> None:
    """A worker's side: the number of parameters, then for each line read the seconds of a step, on the clock and of the
    processors."""
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    net = build(model, **sizes)
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)
    sources = torch.randn(batch, 2, int(seconds * sizes["sample_rate"]))
    mixture = sources.sum(1)
    if model != "asteroid":
        mixture = mixture.unsqueeze(1)
    print(sum(p.numel() for p in net.parameters()), flush=True)
    for _ in sys.stdin:
        begin, begin_cpu = time.perf_counter(), time.process_time()
        optimizer.zero_grad()
        estimates = net(mixture)
        pit_loss(estimates.estimates.squeeze(2) if model == "avsep" else estimates, sources).backward()
        optimizer.step()
        print(time.perf_counter() - begin, time.process_time() - begin_cpu, flush=True)


def build(model, sample_rate, filters, kernel, stride, bottleneck, hidden, skip, block_kernel, blocks, repeats):
    """The network of each house, of the same sizes, with gLN and sigmoid masks."""
    if model == "avsep":
        from avsep.models.conv_tasnet import ConvTasNet

        shape = (filters, kernel, stride, bottleneck, hidden, skip, block_kernel, blocks, repeats)
        return ConvTasNet(2, *shape, sample_rate=sample_rate)
    if model == "torchaudio":
        from torchaudio.models import ConvTasNet

        assert (stride, skip) == (kernel // 2, bottleneck), "torchaudio's has no other"
        return ConvTasNet(2, kernel, filters, block_kernel, bottleneck, hidden, blocks, repeats)
    from asteroid.models import ConvTasNet

    return ConvTasNet(
        2,
        n_blocks=blocks,
        n_repeats=repeats,
        bn_chan=bottleneck,
        hid_chan=hidden,
        skip_chan=skip,
        conv_kernel_size=block_kernel,
        kernel_size=kernel,
        n_filters=filters,
        stride=stride,
        encoder_activation="relu",
        sample_rate=sample_rate,
    )


def pit_loss(estimates, sources):
    """Negative SNR of the better of two orders, in dB."""

    def noise(estimates):
        return (estimates - sources).square().sum(-1).log10().mean(-1)

    return 10 * (noise(estimates).minimum(noise(estimates.flip(1))) - sources.square().sum(-1).log10().mean(-1)).mean()


def asteroid_python(folder: Path) -> str:
    """The interpreter of an environment with asteroid and the torch of this one; made if it is not there."""
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    ready = folder / ".ready"
    if not ready.exists():
        torch = [f"{name}=={importlib.metadata.version(name).split('+')[0]}" for name in ("torch", "torchaudio")]
        print("making an environment for asteroid ...", file=sys.stderr)
        if uv := shutil.which("uv"):
            commands = [[uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)]]
            commands += [[uv, "pip", "install", "--quiet", "--python", str(python), *ASTEROID, *torch]]
        else:
            commands = [[sys.executable, "-m", "venv", "--clear", str(folder)]]
            commands += [[str(python), "-m", "pip", "install", "--quiet", *ASTEROID, *torch]]
        for command in commands:
            subprocess.run(command, check=True)
        ready.touch()
    return str(python)


if __name__ == "__main__":
    main()
