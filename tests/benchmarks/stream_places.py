"""How much of a conversation each voice stays at its output of `avsep stream`, with the memory of voices and without.

    python tests/benchmarks/stream_places.py SPEECH/manifest.tsv [--each 2] [--first 2] [--seconds 600] [--split dev]

SPEECH/manifest.tsv has the columns path, speaker, gender, split and seconds. Two talkers take turns of one to three
utterances, in every fifth turn six, so that the other one is silent for longer than the model looks back; the next turn
begins up to 2.5 s before the last one's end, or up to 2 s after it. In every second conversation both are of one
gender.

In each quarter second in which somebody speaks, the talkers are assigned to the outputs by correlation. Prints the part
of them in which the assignment is that of most of them, and how often it changes from one to the next; apart for those
in which one speaks, and both; with the levels of the outputs against those of the talkers.
"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path

import numpy as np
import torch
from bench import machine
from compose_rooms import read

from avsep.checkpoint import load_model
from avsep.inference.streaming import StreamingSeparator
from avsep.live.places import Places
from avsep.signals import SAMPLE_RATE

WINDOW = SAMPLE_RATE // 4
SPEECH_DB = 30.0
"""Below a talker's loudest quarter second: not speaking."""
PIECE = 4 * SAMPLE_RATE
"""Pieces make no difference to the result, and long ones are quick."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("speech", type=Path, metavar="MANIFEST", help="of the speech")
    parser.add_argument("--each", type=int, default=2, help="conversations (default: 2)")
    parser.add_argument("--first", type=int, default=2, help="number of the first (default: 2; settings saw 0 and 1)")
    parser.add_argument("--seconds", type=float, default=600, help="length of each (default: 600)")
    parser.add_argument("--split", default="dev", help="of the speakers (default: dev)")
    args = parser.parse_args()

    torch.set_num_threads(1)
    print(machine())
    model, _ = load_model("audio-causal")
    voice, _ = load_model("voice")
    for number in range(args.first, args.first + args.each):
        references, names = conversation(args.speech, number, args.seconds, args.split)
        estimates = separated(model, references.sum(axis=0))
        places = Places(voice, 2, SAMPLE_RATE)
        began = time.process_time()
        kept = np.concatenate([places.feed(piece) for piece in pieces_of(estimates)], axis=1)
        took = time.process_time() - began
        print(f"conversation {number}: {' and '.join(names)}, {args.seconds:g} s")
        tell("the model alone", estimates, references)
        tell("with the memory of voices", kept, references)
        print(
            f"    {places.changes} changes of places by the memory; it took {took / args.seconds:.3f} s a second\n"
            f"    level of the sum of the outputs against the mixture: {level(kept.sum(0), references.sum(0)):+.1f} dB",
            flush=True,
        )


def conversation(manifest: Path, number: int, seconds: float, split: str) -> tuple[np.ndarray, list[str]]:
    """References (2, time) at 16 kHz, and who they are."""
    rng = np.random.default_rng(number)
    speakers: dict[str, list[Path]] = {}
    gender = {}
    with manifest.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if row["split"] == split and float(row["seconds"]) >= 2:
                speakers.setdefault(row["speaker"], []).append(manifest.parent / row["path"])
                gender[row["speaker"]] = row["gender"]
    names = [str(name) for name in rng.permutation(sorted(n for n, files in speakers.items() if len(files) >= 10))]
    alike = number % 2 == 1
    other = next(name for name in names[1:] if (gender[name] == gender[names[0]]) == alike)
    voices = [[read(file) for file in speakers[name]] for name in (names[0], other)]
    references = np.zeros((2, round(seconds * SAMPLE_RATE)), np.float32)
    gains = 10 ** (rng.uniform(-1.5, 1.5, 2) / 20)
    now, turn, length = 0, 0, references.shape[1]
    while now < length:
        who = turn % 2
        count = 6 if turn % 5 == 4 else int(rng.integers(1, 4))
        for pick in rng.choice(len(voices[who]), count, replace=False):
            x = voices[who][pick]
            end = min(length, now + len(x))
            references[who, now:end] += (gains[who] * 0.05 * x / x.std())[: max(0, end - now)]
            now = end
        if now < length:
            now = max(0, now + round(rng.uniform(-2.5, 2.0) * SAMPLE_RATE))
        turn += 1
    return references, [f"{name} ({gender[name]})" for name in (names[0], other)]


def pieces_of(x: np.ndarray):
    return (x[..., start : start + PIECE] for start in range(0, x.shape[-1], PIECE))


def separated(model, mixture: np.ndarray) -> np.ndarray:
    """(time,) -> (sources, time), as the model gives them."""
    stream = StreamingSeparator(model)
    out = [stream.feed(torch.from_numpy(piece)[None]) for piece in pieces_of(mixture)]
    return torch.cat([*out, stream.finish()], dim=-1)[0].numpy()


def tell(what: str, outputs: np.ndarray, references: np.ndarray) -> None:
    count = references.shape[1] // WINDOW
    x, y = (signal[:, : count * WINDOW].reshape(2, count, WINDOW) for signal in (outputs, references))
    together = np.einsum("iwt,jwt->wij", x, y)
    straight = together[:, 0, 0] + together[:, 1, 1] >= together[:, 0, 1] + together[:, 1, 0]
    power = np.square(y).mean(axis=2)
    speaks = power > power.max(axis=1, keepdims=True) * 10 ** (-SPEECH_DB / 10)
    spoken = speaks.any(axis=0)
    in_place = straight if straight[spoken].mean() >= 0.5 else ~straight
    changes = int(np.abs(np.diff(in_place[spoken].astype(int))).sum())
    parts = [
        f"{in_place[mask].mean():.3f} of {mask.sum() * WINDOW / SAMPLE_RATE:.0f} s {name}"
        for name, mask in (("spoken", spoken), ("by one", speaks.sum(axis=0) == 1), ("by both", speaks.all(axis=0)))
        if mask.any()
    ]
    print(f"  {what}: in its place {', '.join(parts)}; {changes} changes")


def level(x: np.ndarray, reference: np.ndarray) -> float:
    """Of a signal against another, in dB."""
    return float(10 * np.log10(np.square(x).mean() / np.square(reference).mean()))


if __name__ == "__main__":
    main()
