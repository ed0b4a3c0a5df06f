"""Items of training data as they were first drawn: a seed has to give the same mixtures in every version.

python tests/data_golden.py     writes data_golden.json anew: only when the change of all mixtures is wanted
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from data_factory import make_corpus, speech

from avsep.data.activity import Pauses, TargetCases
from avsep.data.cues import Lips
from avsep.data.degradation import Babble, Noise
from avsep.data.effects import Clipping, Codec
from avsep.data.filters import BandLimit, Equaliser, Speed
from avsep.data.image_rooms import ImageRooms
from avsep.data.lip_augment import Crop, Flip, SpanDropout, SyncJitter
from avsep.data.mixtures import Mixtures
from avsep.data.rooms import DecayRooms

FILE = Path(__file__).with_suffix(".json")
ITEMS = 3
POINTS = 8
"""Values that are kept of each array, evenly spread."""


def make_cases(folder: Path) -> dict[str, Mixtures]:
    """One data set for each part of a recipe that draws."""
    voices = str(make_corpus(folder / "voices", lips=True))
    unseen = str(make_corpus(folder / "unseen", ("cyd", "dan")))
    sounds = str(make_corpus(folder / "sounds", ("dan",), seconds=0.3))
    filters = [Equaliser(1.0), BandLimit(0.5)]
    lips = [SyncJitter(), Flip(), Crop(), SpanDropout()]
    # mu-law alone: what other codecs give depends on their version.
    degradation = [Noise(sounds, 0.7), Babble(0.5, (1, 2)), Clipping(0.5), Codec(0.5, ("ulaw",))]
    decay = {"speed": Speed(), "filters": filters, "room": DecayRooms(0.6), "activity": Pauses(0.2, 0.5)}
    target = {"activity": TargetCases(), "room": DecayRooms(0.5, early_seconds=0.05)}
    array = ImageRooms(0.8, rooms=2, order=2, microphones=3, early_seconds=0.05)
    recipes = {
        "plain": speech(voices),
        "count": speech(voices, 0.5, (1, 3), split="dev"),
        "sound": speech(voices, 0.7, (1, 3), degradation=degradation, scene=decay),
        "faces": speech(voices, 0.7, (2, 3), [Lips(2, changes=lips)], degradation, scene=decay),
        "unseen": speech(voices, 0.7, (2, 3), [Lips(1, 0.2, 0.2)], scene=target, unseen=unseen),
        "weights": speech([voices, unseen], 0.4, weights=[1.0, 3.0]),
        "microphones": speech(voices, 0.5, degradation=degradation, scene={"room": array, "speed": Speed()}),
    }
    return {name: Mixtures(recipe, seed=5) for name, recipe in recipes.items()}


def summarise(data: Mixtures, number: int) -> dict[str, Any]:
    """Shape, level and some values of each array of an item, as before cues and labels were."""
    item, out = data[number], {}
    for name in ("mixture", "sources", "lips"):
        if name in item:
            values = np.asarray(item[name])
            places = np.linspace(0, values.size - 1, POINTS).astype(int)
            out[name] = {
                "shape": list(values.shape),
                "level": round(float(np.sqrt(np.mean(values**2))), 6),
                "values": [round(float(v), 6) for v in values.ravel()[places]],
            }
    return out


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        cases = make_cases(Path(folder))
        found = {name: [summarise(data, n) for n in range(ITEMS)] for name, data in cases.items()}
    lines = [f'"{name}": [\n' + ",\n".join(map(json.dumps, items)) + "\n]" for name, items in found.items()]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
