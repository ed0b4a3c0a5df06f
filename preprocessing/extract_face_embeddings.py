"""Adds face embeddings to a corpus of talking faces: the column `face` of its manifest.

    python -m preprocessing.extract_face_embeddings OUT_FOLDER

OUT_FOLDER holds the manifest.tsv of a video corpus (preprocessing.lrs3, extract_lips, ...). Beside the lips ID.npz of
every clip comes ID.npy: (512,) float32 of length 1, the mean of the FaceNet embeddings of the clip's portraits.
manifest.tsv then names them; clips without one keep an empty column, and skipped_faces.tsv tells why. A run that was
stopped goes on where it was; --overwrite begins anew.
"""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from avsep.data.manifest import Utterance, read_manifest, write_manifest
from avsep.errors import InputError
from avsep.jobs.engine import IN_PROCESS, Engine
from avsep.jobs.options import add_engine, engine_of
from avsep.jobs.run import run_jobs
from avsep.storage.damaged import refused
from avsep.storage.files import write_whole
from preprocessing.command import command
from preprocessing.faces_corpus import face_net

Embed = Callable[[np.ndarray], np.ndarray]


def embed_clip(row: Utterance, *, device: str = "cpu", embed: Embed | None = None) -> Path:
    """Write the embedding of a clip; returns its file. Raises InputError without portraits."""
    if row.lips is None:
        raise InputError(f"{row.id}: has no lips in the manifest, so no portraits either")
    file = row.lips.with_suffix(".npy")
    advice = "Make the clip again with --overwrite"
    with refused(f"{row.lips}: no portraits can be read", advice), np.load(row.lips) as arrays:
        portraits = arrays["portraits"] if "portraits" in arrays else np.empty(0)
    if not len(portraits):
        raise InputError(f"{row.lips}: holds no portraits. Make the clip again with --overwrite")
    mean = (embed or face_net(device))(portraits).sum(axis=0)
    embedding = (mean / max(float(np.linalg.norm(mean)), 1e-9)).astype(np.float32)
    write_whole(file, lambda path: np.save(path, embedding))
    return file


def embed_corpus(
    folder: Path,
    *,
    engine: Engine = IN_PROCESS,
    overwrite: bool = False,
    device: str = "cpu",
    embed: Embed | None = None,
) -> int:
    """Embed every clip of folder/manifest.tsv and write that anew; returns how many have an embedding.

    Raises InputError without a manifest, or without FaceNet's weights.
    """
    manifest = folder / "manifest.tsv"
    rows = read_manifest(manifest)
    if embed is None:
        face_net(device)  # no weights: say so once, not for every clip
    work = functools.partial(embed_clip, device=device, embed=embed)
    done = run_jobs(
        [row._replace(face=None) for row in rows],  # what an earlier run found is no part of what is asked
        work,
        folder,
        name=lambda row: row.id,
        engine=engine,
        skipped=folder / "skipped_faces.tsv",
        again=overwrite,
    )
    made = set(done.values())
    files = [None if row.lips is None else row.lips.with_suffix(".npy") for row in rows]
    write_manifest(manifest, (r._replace(face=f if f in made else None) for r, f in zip(rows, files, strict=True)))
    print(f"{manifest}: {len(made)} clips with a face, {len(rows) - len(made)} without (see skipped_faces.tsv)")
    return len(made)


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, metavar="OUT_FOLDER", help="folder of a video corpus's manifest.tsv")
    add_engine(parser)
    parser.add_argument("--overwrite", action="store_true", help="make again what is there already")
    parser.add_argument("--device", default="cpu", help="cpu (default) or cuda")


def _run(options: argparse.Namespace) -> int:
    return embed_corpus(options.folder, engine=engine_of(options), overwrite=options.overwrite, device=options.device)


main = command(__doc__ or "", "extract_face_embeddings", _configure, _run)

if __name__ == "__main__":
    sys.exit(main())
