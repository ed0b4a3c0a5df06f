"""How often a sound classifier names single clips rightly, and what it takes them for.

    python tests/benchmarks/classify_sounds.py sounds --sounds data/sounds --speech data/speech

MODEL is a bundled name or a weights file. The clips are those of the split dev of two corpora (manifest.tsv or packed
folder): sounds by class, and speech, of which the first --most are taken. It prints the accuracy over all clips and
over the sounds alone with 95 % intervals (Wilson), by three ways to bring the frames together, and for each class how
many of its clips have which label.
"""

from __future__ import annotations

import argparse
from collections import Counter

import numpy as np
import torch
from torch.utils.data import DataLoader

from avsep.data.labelled import LabelledClips, LabelledCorpus
from avsep.inference.models import ModelStore
from avsep.models.sound_classifier import SILENCE, SoundClassifier


def wilson(right: int, of: int) -> tuple[float, float, float]:
    """Share and the ends of its 95 % interval."""
    z, p = 1.96, right / of
    middle, half = p + z * z / (2 * of), z * np.sqrt(p * (1 - p) / of + z * z / (4 * of * of))
    return p, (middle - half) / (1 + z * z / of), (middle + half) / (1 + z * z / of)


def ways(model: SoundClassifier, waveform: torch.Tensor) -> dict[str, torch.Tensor]:
    """(batch, classes) by the name of the way."""
    frames = model(waveform, every_frame=False).sigmoid()
    return {"probabilities": model.probabilities(waveform), "mean": frames.mean(1), "maximum": frames.amax(1)}


@torch.inference_mode()
def classify(model: SoundClassifier, clips: LabelledClips) -> dict[str, list[tuple[str, str]]]:
    """Way -> (label, what it is taken for) of each clip."""
    found: dict[str, list[tuple[str, str]]] = {}
    for batch in DataLoader(clips, 8):
        for way, scores in ways(model, batch["waveform"]).items():
            taken = [model.names[place] for place in scores.argmax(1)]
            found.setdefault(way, []).extend(zip(batch["labels"], taken, strict=True))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--sounds", required=True)
    parser.add_argument("--speech")
    parser.add_argument("--split", default="dev")
    parser.add_argument("--most", type=int, default=40, help="clips of a label (default: 40)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    corpora = [LabelledCorpus(options.sounds)]
    if options.speech:
        corpora.append(LabelledCorpus(options.speech, "speech"))
    model = ModelStore().classifier(options.model)
    found = classify(model, LabelledClips(corpora, split=options.split, most=options.most))
    for way, pairs in found.items():
        for what, chosen in (("all", pairs), ("without speech", [pair for pair in pairs if pair[0] != "speech"])):
            p, low, high = wilson(sum(label == taken for label, taken in chosen), len(chosen))
            print(f"{way}, {what}: {p:.3f} ({low:.3f} to {high:.3f}) of {len(chosen)} clips")
    for label in dict.fromkeys(label for label, _ in found["probabilities"]):
        taken = Counter(other for one, other in found["probabilities"] if one == label)
        print(f"{label}: {', '.join(f'{name} {count}' for name, count in taken.most_common())}")
    quiet = model.probabilities(torch.zeros(1, 5 * model.sample_rate))[0]
    print(f"no sound at all: {model.names[quiet.argmax()]}", f"({SILENCE} {quiet[model.names.index(SILENCE)]:.2f})")


if __name__ == "__main__":
    main()
