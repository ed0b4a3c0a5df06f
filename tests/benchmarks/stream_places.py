"""placeholder"""
from __future__ import annotations
import argparse, csv
from pathlib import Path
import numpy as np
from compose_rooms import read
from avsep.signals import SAMPLE_RATE


def conversation(manifest: Path, number: int, seconds: float) -> tuple[np.ndarray, list[str]]:
    """Two dev speakers of one gender in every second, who take turns: references (2, time) at 16 kHz, their names.

    A turn is one to three utterances; every fifth is six, so that the other one pauses for 20 s or so. The next turn begins up to 2.5 s before the end of
    the last, or up to 2 s after it."""
    rng = np.random.default_rng(number)
    speakers: dict[str, list[Path]] = {}
    gender = {}
    with manifest.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if row["split"] == "dev" and float(row["seconds"]) >= 2:
                speakers.setdefault(row["speaker"], []).append(manifest.parent / row["path"])
                gender[row["speaker"]] = row["gender"]
    names = [str(n) for n in rng.permutation(sorted(n for n, f in speakers.items() if len(f) >= 10))]
    alike = number % 2 == 1
    second = next(n for n in names[1:] if (gender[n] == gender[names[0]]) == alike)
    pair = [names[0], second]
    voices = {n: [read(f) for f in speakers[n]] for n in pair}
    references = np.zeros((2, round(seconds * SAMPLE_RATE)), np.float32)
    gains = 10 ** (rng.uniform(-1.5, 1.5, 2) / 20)
    now, turn = 0, 0
    while now < references.shape[1]:
        who = turn % 2
        count = 6 if turn % 5 == 4 else int(rng.integers(1, 4))
        for pick in rng.choice(len(voices[pair[who]]), count, replace=False):
            x = voices[pair[who]][pick]
            x = gains[who] * 0.05 * x / x.std()
            end = min(references.shape[1], now + len(x))
            references[who, now:end] += x[: max(0, end - now)]
            now = end
        now = max(0, now + round(rng.uniform(-2.5, 2.0) * SAMPLE_RATE)) if now < references.shape[1] else now
        turn += 1
    return references, [f"{n} ({gender[n]})" for n in pair]
