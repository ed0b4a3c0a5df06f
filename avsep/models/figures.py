"""What systems reached when all were trained alike: the table that comes with the package.

tests/benchmarks/systems.py writes it; docs/experiments.md says what was done.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, fields
from importlib import resources


@dataclass(frozen=True)
class Figures:
    """A row of the table.

    system: its configuration, configs/SYSTEM.yaml. parameters and million_macs: of that, multiply-adds for a second
    of sound in millions (`avsep.evaluation.cost`). group: what it was measured on. minutes: of processor time for
    training; trained_parameters and trained_million_macs: of the small one that was trained, steps: in that time.
    real_time_factor: processor seconds for a second of sound. si_sdri and sdr: in dB.
    """

    system: str
    class_path: str
    parameters: int
    million_macs: float
    group: str
    minutes: float
    trained_parameters: int
    trained_million_macs: float
    steps: int
    real_time_factor: float
    si_sdri: float
    sdr: float


def read_figures() -> list[Figures]:
    """All rows."""
    text = resources.files("avsep").joinpath("assets/systems.csv").read_text(encoding="utf-8")
    kinds = {"str": str, "int": int, "float": float}
    return [
        Figures(**{field.name: kinds[str(field.type)](row[field.name]) for field in fields(Figures)})
        for row in csv.DictReader(text.splitlines())
    ]
