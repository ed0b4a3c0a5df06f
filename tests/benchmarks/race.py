"""Separators of two voices side by side, on three kinds of mixtures of dev speakers that no training saw.

    python tests/benchmarks/race.py data/film/librispeech data/film/speechocean762 MODEL... [--items 60]

The folders are those of `preprocessing.pack_audio --film`, one a corpus. MODEL is a name, a weights file or a
checkpoint of `avsep fit`; the first is what the others are held against. One pass each, estimates as the model gives
them.

    mixed     both corpora, as they were recorded
    one       speakers of one corpus only: the recording gives nobody away
    film      film sound, in rooms half of the time, the mixture coded once more half of the time

A line has the mean SI-SNRi in dB, and in brackets the mean of the differences from the first and its standard error.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from bench import machine

from avsep.checkpoint import load_model
from avsep.data.casts import Speakers
from avsep.data.corpus import Corpus
from avsep.data.effects import BitRateCodec
from avsep.data.filters import Equaliser
from avsep.data.levels import Loudness
from avsep.data.mixtures import Mixtures
from avsep.data.recipe import Recipe
from avsep.data.rooms import DecayRooms
from avsep.data.scene import SimulatedScene
from avsep.export.trained import read_trained
from avsep.models.base import SeparationModel
from avsep.training.gain import improvement

SECONDS = 4.0
SEED = 20_261


class Chosen(Corpus):
    """A packed corpus without, or with nothing but, its film variants."""

    def __init__(self, *arguments: object, film: bool, **options: object) -> None:
        super().__init__(*arguments, **options)  # type: ignore[arg-type]
        self.entries = {
            name: [entry for entry in entries if ("~" in entry.id) == film] for name, entries in self.entries.items()
        }


class ChosenSpeakers(Speakers):
    """`Speakers` of a `Chosen` corpus."""

    film: bool = False

    def open(self, needs, where):
        super().open(needs, where)
        return Chosen(where, self.split, film=self.film)


def mixtures(corpora: list[str], items: int) -> Iterator[tuple[str, Mixtures]]:
    plain = SimulatedScene(Loudness())
    film = SimulatedScene(Loudness(), filters=[Equaliser()], room=DecayRooms(p=0.5))
    for name, alike, scene, changes in (
        ("mixed", 0.0, plain, []),
        ("one", 1.0, plain, []),
        ("film", 0.5, film, [BitRateCodec(p=0.5)]),
    ):
        cast = ChosenSpeakers(corpora, split="dev", alike=alike)
        cast.film = name == "film"
        yield name, Mixtures(Recipe(cast, SECONDS, scene, degradation=changes), items, SEED)


def load(model: str) -> SeparationModel:
    found = read_trained(Path(model)).model if model.endswith(".ckpt") else load_model(model)[0]
    assert isinstance(found, SeparationModel)
    return found.eval()


@torch.inference_mode()
def gains(model: SeparationModel, data: Mixtures) -> np.ndarray:
    """SI-SNRi of each item, in dB."""
    found = []
    for number in range(len(data)):
        item = data[number]
        batch = {name: item[name][None] for name in ("mixture", "sources")}
        estimates = model.separate(batch["mixture"]).estimates
        found.append(float(improvement(estimates, batch, fixed_order=False)))
    return np.array(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpora", nargs=2, metavar="FOLDER")
    parser.add_argument("models", nargs="+", metavar="MODEL")
    parser.add_argument("--items", type=int, default=60, help="mixtures of each kind (default: 60)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    print(machine())
    sets = dict(mixtures(args.corpora, args.items))
    first: dict[str, np.ndarray] = {}
    for model in args.models:
        cells = []
        for name, data in sets.items():
            found = gains(load(model), data)
            apart = found - first.setdefault(name, found)
            error = apart.std() / np.sqrt(len(apart))
            cells.append(f"{name} {found.mean():5.2f} [{apart.mean():+.2f} +-{error:.2f}]")
        print(f"{model:>40}  {'  '.join(cells)}", flush=True)


if __name__ == "__main__":
    main()
