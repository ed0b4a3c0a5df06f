"""Packs a folder of sound files into one array a split, so that training reads them without decoding.

    python -m preprocessing.pack_audio FOLDER OUT_FOLDER

With a FOLDER/manifest.tsv (columns path, speaker, split) its rows are packed; without one, every sound file below
FOLDER
becomes split `train`, its folder's name standing for the speaker. OUT_FOLDER gets SPLIT.npy (int16 at the models'
rate, mono, all files end to end), SPLIT.tsv (speaker, start, length in samples) and skipped.tsv (path, reason).
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path

import numpy as np
import soundfile as sf
from scipy.signal import resample_poly

from avsep.errors import AvsepError, InputError
from avsep.signals import SAMPLE_RATE

SUFFIXES = {".wav", ".flac", ".ogg", ".opus", ".mp3"}


def list_files(folder: Path) -> list[dict[str, str]]:
    """Rows with path (relative to folder), speaker and split."""
    manifest = folder / "manifest.tsv"
    if manifest.is_file():
        with manifest.open() as f:
            return list(csv.DictReader(f, delimiter="\t"))
    files = sorted(p.relative_to(folder) for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES)
    return [{"path": str(p), "speaker": p.parent.name, "split": "train"} for p in files]


def read_mono(path: Path) -> np.ndarray:
    """(time,) int16 at the models' rate."""
    samples, rate = sf.read(path, dtype="float32", always_2d=True)
    divisor = np.gcd(rate, SAMPLE_RATE)
    mono = resample_poly(samples.mean(axis=1), SAMPLE_RATE // divisor, rate // divisor)
    return np.clip(mono * 32767, -32768, 32767).astype(np.int16)


def pack(source: Path, out: Path) -> None:
    """Write the arrays and lists of every split found under `source`."""
    rows = list_files(source)
    if not rows:
        raise InputError(
            f"no sound files under {source} (looked for {', '.join(sorted(SUFFIXES))}) and no manifest.tsv."
        )
    out.mkdir(parents=True, exist_ok=True)
    skipped = ["path\treason"]
    for split in sorted({row["split"] for row in rows}):
        pieces, lines, position = [], ["speaker\tstart\tlength"], 0
        for row in (r for r in rows if r["split"] == split):
            try:
                samples = read_mono(source / row["path"])
            except (sf.LibsndfileError, OSError) as error:
                skipped.append(f"{row['path']}\t{error}")
                continue
            pieces.append(samples)
            lines.append(f"{row['speaker']}\t{position}\t{len(samples)}")
            position += len(samples)
        np.save(out / f"{split}.npy", np.concatenate(pieces))
        (out / f"{split}.tsv").write_text("\n".join(lines) + "\n")
    (out / "skipped.tsv").write_text("\n".join(skipped) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    try:
        pack(args.folder, args.out)
    except AvsepError as error:
        sys.exit(f"pack_audio: error: {error}")


if __name__ == "__main__":
    main()
