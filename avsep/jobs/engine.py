"""Where jobs run, and what one may take."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

Cluster = Literal["ray"]


@dataclass(frozen=True)
class Engine:
    """workers: processes of this machine; on a cluster jobs at a time, by default as many as there are cores. cluster:
    None for this machine. time_limit: seconds that a job may take. memory_limit: GiB that a process may take."""

    workers: int | None = 1
    cluster: Cluster | None = None
    time_limit: float | None = None
    memory_limit: float | None = None

    @property
    def in_process(self) -> bool:
        """Whether jobs run in the process that asks, one after the other: nothing can stop a job there."""
        return self.count == 1 and not (self.cluster or self.time_limit or self.memory_limit)

    @property
    def count(self) -> int:
        """Processes of this machine."""
        return self.workers or cores()


IN_PROCESS = Engine()


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
