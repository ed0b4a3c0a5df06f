"""Mixtures of two sounds of one fold of ESC-10, or of speech and a sound, with their references and labels.

    python tests/benchmarks/compose_sounds.py SOUNDS OUT [--fold 4] [--count 100] [--speech MANIFEST]

SOUNDS has a folder for each class (001_dog_bark) with files named FOLD-CLIP-TAKE. Two sounds of different classes, each
the loudest 4 s of its clip, the second -5 to +5 dB against the first; with --speech the first is an utterance of a
speaker of the split dev. Writes what `avsep separate` takes and `avsep evaluate` and score_speech.py read:
OUT/NNN.wav, 16 kHz, OUT/NNN/*.wav that sum to it, and OUT/labels.tsv.

    avsep separate OUT/*.wav -o SEPARATED --model universal
    avsep evaluate OUT SEPARATED
    avsep evaluate OUT --model universal --oracle IRM,PSM
"""

from __future__ import annotations

import argparse
import csv
import random
from pathlib import Path

import numpy as np
import soundfile as sf

from avsep.data.sound_file import SoundReader
from avsep.dsp.resample import resample
from avsep.signals import SAMPLE_RATE

SECONDS = 4
SEED = 4


def loudest(path: Path) -> np.ndarray:
    """(time,) of the loudest stretch of a file, with a power of 1; silence behind a file that is shorter."""
    with SoundReader(path) as file:
        samples, rate = file.read(), file.sample_rate
    x = resample(samples.mean(axis=1), rate, SAMPLE_RATE)
    length = SECONDS * SAMPLE_RATE
    x = np.pad(x, (0, max(0, length - len(x))))
    energy = np.concatenate([[0], np.cumsum(np.square(x, dtype=np.float64))])
    start = int(np.argmax(energy[length:] - energy[:-length]))
    x = x[start : start + length]
    return x / (np.sqrt(np.mean(x**2)) + 1e-9)


def find_sounds(folder: Path, fold: int) -> dict[str, list[Path]]:
    """Class -> files of a fold."""
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.glob(f"*/{fold}-*")):
        found.setdefault(path.parent.name.split("_", 1)[-1], []).append(path)
    if not found:
        raise SystemExit(f"{folder}: no files of fold {fold} in folders of classes (001_dog_bark/{fold}-...)")
    return found


def find_speech(manifest: Path) -> list[Path]:
    with manifest.open(encoding="utf-8") as file:
        rows = csv.DictReader(file, delimiter="\t")
        return [manifest.parent / row["path"] for row in rows if row["split"] == "dev" and float(row["seconds"]) >= 3]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sounds", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--fold", type=int, default=4)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--speech", type=Path)
    options = parser.parse_args()

    rng = random.Random(SEED)
    sounds = find_sounds(options.sounds, options.fold)
    speech = find_speech(options.speech) if options.speech else []
    rows = ["mixture\tsource\tlabel"]
    for number in range(options.count):
        labels = ["speech", rng.choice(sorted(sounds))] if speech else rng.sample(sorted(sounds), 2)
        files = [rng.choice(speech if label == "speech" else sounds[label]) for label in labels]
        gains = 1.0, 10 ** (rng.uniform(-5, 5) / 20)
        sources = np.stack([gain * loudest(file) for gain, file in zip(gains, files, strict=True)])
        sources *= 0.9 / np.abs(sources.sum(axis=0)).max()
        folder = options.out / f"{number:03d}"
        folder.mkdir(parents=True, exist_ok=True)
        sf.write(options.out / f"{number:03d}.wav", sources.sum(axis=0), SAMPLE_RATE, subtype="FLOAT")
        for label, source in zip(labels, sources, strict=True):
            sf.write(folder / f"{label}.wav", source, SAMPLE_RATE, subtype="FLOAT")
            rows.append(f"{number:03d}\t{label}\t{label}")
    (options.out / "labels.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
