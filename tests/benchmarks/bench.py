"""What the benchmarks share: long clips, one measured run of the command line, a line on the machine."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
DEMO_CLIP = ROOT / "avsep" / "assets" / "demo" / "demo.mp4"


@dataclass(frozen=True)
class Run:
    """One `avsep separate`: its manifest, the time of the whole process on the clock and on the processors, and its
    peak memory."""

    manifest: dict[str, Any]
    wall_seconds: float
    cpu_seconds: float
    peak_bytes: int

    @property
    def media_seconds(self) -> float:
        return self.manifest["input"]["duration_seconds"]

    @property
    def seconds(self) -> float:
        """Time of the run without starting Python and loading models."""
        return self.manifest["timing"]["total_seconds"]


def repeat_clip(source: Path, seconds: float, target: Path) -> Path:
    """Write at least `seconds` of `source`, over and over, without encoding anything anew."""
    import av

    with av.open(str(source)) as probe:
        streams = (*probe.streams.video[:1], *probe.streams.audio[:1])
        ends = [float(((s.start_time or 0) + s.duration) * s.time_base) for s in streams if s.duration]
        period = max(ends or [probe.duration / 1e6])
    with av.open(str(target), "w") as output:
        copies: dict[int, Any] = {}
        last: dict[int, int] = {}
        for turn in range(int(-(-seconds // period))):
            with av.open(str(source)) as container:
                chosen = [*container.streams.video[:1], *container.streams.audio[:1]]
                for stream in chosen:
                    if stream.index not in copies:
                        copies[stream.index] = output.add_stream_from_template(stream)
                for packet in container.demux(chosen):
                    if packet.dts is None or packet.pts is None:
                        continue
                    index, shift = packet.stream.index, round(turn * period / packet.time_base)
                    packet.dts, packet.pts = packet.dts + shift, packet.pts + shift
                    if packet.dts <= last.get(index, packet.dts - 1):
                        continue  # a codec's lead-in overlaps the end of the turn before
                    last[index] = packet.dts
                    packet.stream = copies[index]
                    output.mux(packet)
    return target


def separate(clip: Path, folder: Path, *options: str) -> Run:
    """Run `avsep separate --no-video` in a process of its own."""
    command = [sys.executable, "-m", "avsep", "separate", str(clip), "-o", str(folder), "--no-video", "--json"]
    begin = time.perf_counter()
    process = subprocess.Popen([*command, "--overwrite", *options], stdout=subprocess.PIPE)
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"avsep separate failed with exit code {process.returncode}")
    return Run(json.loads(output)[0], wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def machine() -> str:
    """Processor, cores this process may use, versions."""
    from importlib.metadata import version

    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        name = names[0] if names else name
    cores = len(os.sched_getaffinity(0))
    load = os.getloadavg()[0]
    return f"{name}, {cores} cores (load {load:.1f}), Python {platform.python_version()}, torch {version('torch')}"
