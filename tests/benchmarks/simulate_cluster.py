"""How long a corpus takes on many workers, with slow machines, machines that fail, clips that never end and one driver.

    python tests/benchmarks/simulate_cluster.py jobs.jsonl --clips 290000 --workers 16 160 1600 16000

jobs.jsonl is the list of a run (avsep.jobs): the seconds of the simulated clips are drawn from those of its clips,
times --stretch where they are longer than those. With --check WALL it simulates that run itself, with --workers, and
prints its time beside the WALL seconds measured, from the first clip on.

What is simulated, clip by clip: a worker takes the next clip when the driver has noted its last one; noting takes
--driver seconds, one clip after the other. Machines of --cores workers differ in speed by --spread (a log-normal's
deviation), --slow of them are 5 times slower. A machine fails every --mtbf hours (exponential), loses what it was at,
and is back after --repair seconds; a clip that lost its machine is tried once more. --poison of the clips run into the
--time-limit. All workers share --storage bytes a second for --bytes of each clip: where the whole would need more,
every clip takes longer by as much.

A line: hours until the last clip, efficiency (seconds of work done over workers times the whole time), the share of the
time after which fewer than 9 in 10 workers are busy (the tail), the share of work that failures lost, the driver's
share of the time, clips given up.
"""

from __future__ import annotations

import argparse
import heapq
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SLOWER = 5.0
BUSY = 0.9


@dataclass(frozen=True)
class Cluster:
    """See above; times in seconds, `bytes_a_clip` over `storage` in bytes a second."""

    workers: int = 2
    cores: int = 16
    spread: float = 0.0
    slow: float = 0.0
    mtbf: float = np.inf
    repair: float = 600.0
    poison: float = 0.0
    time_limit: float = 600.0
    driver: float = 0.0
    storage: float = np.inf
    bytes_a_clip: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """seconds: until the last clip. efficiency, tail, lost, driver: shares of 1. given_up: clips."""

    seconds: float
    efficiency: float
    tail: float
    lost: float
    driver: float
    given_up: int


def simulate(clips: np.ndarray, cluster: Cluster, seed: int = 0) -> Outcome:
    """clips: seconds of each on a worker of speed 1, in their order."""
    rng = np.random.default_rng(seed)
    machines = -(-cluster.workers // cluster.cores)
    speed = np.exp(cluster.spread * rng.standard_normal(machines))
    speed[rng.uniform(size=machines) < cluster.slow] /= SLOWER
    poisonous = rng.uniform(size=len(clips)) < cluster.poison
    # What a clip's bytes take when every worker wants its share of the storage at once.
    reading = cluster.bytes_a_clip * cluster.workers / cluster.storage
    fails = rng.exponential(cluster.mtbf, machines) if np.isfinite(cluster.mtbf) else np.full(machines, np.inf)

    # When a worker has something to say: (time, worker, whether a clip of his is to be noted).
    events = [(0.0, worker, False) for worker in range(cluster.workers)]
    again: list[int] = []
    tries = np.zeros(len(clips), np.int8)
    order = iter(range(len(clips)))
    driver_free = noting = done = lost = last = 0.0
    given_up = 0
    stops = np.zeros(cluster.workers)
    while events:
        now, worker, finished = heapq.heappop(events)
        if finished:
            driver_free = last = max(driver_free, now) + cluster.driver
            noting += cluster.driver
            now = driver_free
        machine = worker // cluster.cores
        while fails[machine] + cluster.repair <= now:
            fails[machine] += cluster.repair + rng.exponential(cluster.mtbf)
        back = fails[machine] + cluster.repair
        if fails[machine] <= now:
            heapq.heappush(events, (back, worker, False))
            continue
        clip = again.pop() if again else next(order, None)
        if clip is None:
            stops[worker] = now
            continue
        takes = cluster.time_limit if poisonous[clip] else max(clips[clip] / speed[machine], reading)
        end = now + min(takes, cluster.time_limit)
        if end > fails[machine]:
            lost += fails[machine] - now
            tries[clip] += 1
            if tries[clip] < 2:
                again.append(clip)
            else:
                given_up += 1
            heapq.heappush(events, (back, worker, False))
            continue
        if takes >= cluster.time_limit:
            given_up += 1
        else:
            done += clips[clip]
        heapq.heappush(events, (end, worker, True))
    whole = max(last, 1e-9)
    tail = 1 - np.quantile(np.minimum(stops, whole), 1 - BUSY) / whole
    all_time = whole * cluster.workers
    return Outcome(whole, done / all_time, float(tail), lost / all_time, noting / whole, given_up)


def read_seconds(file: Path) -> np.ndarray:
    """Of the clips of a run that are done, but the first one, in which everything was loaded."""
    rows = (json.loads(line) for line in file.read_text(encoding="utf-8").splitlines())
    return np.array([row["seconds"] for row in rows if row.get("state") == "done"][1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("jobs", type=Path, metavar="JOBS.jsonl")
    parser.add_argument("--clips", type=int, help="simulated (default: those of the run, in their order)")
    parser.add_argument("--workers", type=int, nargs="+", default=[16, 160, 1600])
    parser.add_argument("--check", type=float, metavar="WALL", help="seconds that the run took with --workers")
    for name, default in (
        ("cores", 16), ("spread", 0.1), ("slow", 0.01), ("mtbf", 500.0), ("repair", 600.0), ("poison", 1e-4),
        ("stretch", 1.0), ("time-limit", 600.0), ("driver", 0.002), ("storage", 2e9), ("bytes", 0.0),
    ):  # fmt: skip
        parser.add_argument(f"--{name}", type=type(default), default=default, help=f"(default: {default:g})")
    args = parser.parse_args()
    measured = read_seconds(args.jobs)
    rng = np.random.default_rng(1)
    clips = measured if args.clips is None else args.stretch * rng.choice(measured, args.clips)
    for workers in args.workers:
        cluster = Cluster(workers, driver=args.driver)
        if args.check is None:
            cluster = Cluster(
                workers, args.cores, args.spread, args.slow, args.mtbf * 3600, args.repair, args.poison,
                args.time_limit, args.driver, args.storage, args.bytes,
            )  # fmt: skip
        found = simulate(clips, cluster)
        line = (
            f"{workers:6} workers: {found.seconds / 3600:9.2f} h, efficiency {found.efficiency:.2f}, "
            f"tail {found.tail:.2f}, lost {found.lost:.3f}, driver {found.driver:.2f}, given up {found.given_up}"
        )
        if args.check is not None:
            line += f"; simulated {found.seconds:.1f} s, measured {args.check:.1f} s"
        print(line, flush=True)


if __name__ == "__main__":
    main()
