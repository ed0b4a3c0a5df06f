"""Separated sounds with labels, so that a classifier of tracks trains on what it will be given.

    python -m preprocessing.separate_sounds SOUNDS OUT_FOLDER --model universal --classes speech=data/speech

SOUNDS is a manifest or packed folder of sounds by class. Mixtures of two classes of its split `train` are separated by
the model; an estimate that is closer to one source than to all else (SI-SDR above --least dB) is written as
OUT_FOLDER/CLASS/NUMBER_ESTIMATE.flac. The folder goes to preprocessing.pack_audio. The same seed draws the same
mixtures.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import soundfile as sf
import torch

from avsep.checkpoint import load_model
from avsep.data.casts import SoundEvents
from avsep.data.filters import Equaliser, Speed
from avsep.data.levels import Loudness
from avsep.data.mixtures import Mixtures
from avsep.data.recipe import Recipe
from avsep.data.scene import SimulatedScene
from avsep.errors import UsageError
from avsep.losses import si_snr_loss
from avsep.models.base import SeparationModel
from preprocessing.command import add_count, add_seed, command

PEAK = 0.9


@torch.inference_mode()
def separate(data: Mixtures, model: SeparationModel, least: float, out: Path) -> int:
    """Write the labelled estimates of all mixtures and return how many there are."""
    rate, written = model.contract.sample_rate, 0
    for number in range(len(data)):
        item = data[number]
        estimates = model.separate(item["mixture"][None]).estimates
        assert estimates is not None
        # (estimates, sources), in dB
        snr = -si_snr_loss(estimates[0, :, :1], item["sources"][None, :, 0], item["mixture"])
        for place, row in enumerate(snr):
            best = int(row.argmax())
            if row[best] < least:
                continue
            sound = estimates[0, place, 0]
            file = out / data.names[int(item["labels"][best])] / f"{number:06d}_{place}.flac"
            file.parent.mkdir(parents=True, exist_ok=True)
            sf.write(file, (sound * (PEAK / sound.abs().max().clamp_min(1e-6))).numpy(), rate)
            written += 1
    return written


def _classes(texts: list[str]) -> dict[str, str]:
    found = dict(text.partition("=")[::2] for text in texts)
    if not all(found.values()):
        raise UsageError(f"--classes {' '.join(texts)}: give each as NAME=FOLDER")
    return found


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="SOUNDS")
    parser.add_argument("out", type=Path, metavar="OUT_FOLDER")
    parser.add_argument("--model", default="universal", help="bundled name or weights file (default: %(default)s)")
    parser.add_argument("--classes", nargs="*", default=[], metavar="NAME=FOLDER", help="corpora that are one class")
    parser.add_argument("--least", type=float, default=0.0, metavar="DB", help="default: %(default)s")
    parser.add_argument("--seconds", type=float, default=3.0, help="of a mixture (default: %(default)s)")
    add_seed(parser)
    add_count(parser, "--count", "mixtures (default: %(default)s)", 600)


def _run(options: argparse.Namespace) -> int:
    model = load_model(options.model)[0].eval()
    assert isinstance(model, SeparationModel)
    cast = SoundEvents(options.source, (2, 2), classes=_classes(options.classes))
    scene = SimulatedScene(Loudness(level_db=10.0), speed=Speed((0.85, 1.15)), filters=[Equaliser()])
    data = Mixtures(Recipe(cast, options.seconds, scene), items=options.count, seed=options.seed)
    written = separate(data, model, options.least, options.out)
    print(f"{written} labelled sounds of {options.count} mixtures in {options.out}")
    return written


main = command(__doc__ or "", "separate_sounds", _configure, _run)

if __name__ == "__main__":
    sys.exit(main())
