"""How vague the embeddings of lips are, held against those of their voices: what `LipLikeness` is to be like.

    python tests/benchmarks/lip_likeness.py data/grid s31 s30 [--model sync]

FOLDER is that of `preprocessing.grid`; the talkers named are some that the network was not trained on. For each it
prints, over windows of 2 s, the quantiles of the correlation between lips and voice and, of what the lips' embedding
has beside the voice's, the correlation from one picture to the next; for lips as they are, in a studio, and for lips
blurred, warped and covered as in the training of `sync`. The offset is that at which a whole clip correlates best.
"""

from __future__ import annotations

import argparse
from collections import Counter

import numpy as np
import torch
from torch import Tensor

from avsep.checkpoint import load_model
from avsep.data.lip_augment import apply
from avsep.data.talking import LIPS, TalkingFaces
from avsep.models.parts.lip_likeness import standard
from avsep.models.synchrony import Synchrony, correlation

WINDOW, STEP = 50, 10
"""Pictures."""
OFFSETS = range(-6, 7)
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def best_offset(lips: Tensor, voice: Tensor) -> int:
    """By how many pictures the lips come after the voice."""
    edge = max(OFFSETS)
    middle = voice[edge : len(voice) - edge]
    found = [float(correlation(lips[edge + n : edge + n + len(middle)], middle)) for n in OFFSETS]
    return OFFSETS[int(np.argmax(found))]


def windows(lips: Tensor, voice: Tensor) -> list[tuple[float, float]]:
    """For each window the correlation, and that of the rest of the lips' embedding from picture to picture."""
    found = []
    for start in range(0, len(voice) - WINDOW + 1, STEP):
        x, y = (standard(e[start : start + WINDOW]) for e in (lips, voice))
        alike = float(correlation(x, y))
        rest = x - alike * y
        found.append((alike, float((rest[1:] * rest[:-1]).mean() / rest.square().mean())))
    return found


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("talkers", nargs="+")
    parser.add_argument("--model", default="sync")
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = load_model(options.model)[0].eval()
    assert isinstance(model, Synchrony)
    rng = np.random.default_rng(0)
    clips = TalkingFaces(options.folder, options.talkers).clips
    print(f"{'talker':8}{'lips':10}{'windows':>8}  correlation at {QUANTILES}      next picture   offset")
    for talker in options.talkers:
        for name, changes in (("studio", ()), ("degraded", LIPS)):
            found, offsets = [], []
            for who, pictures, audio in clips:
                if who != talker:
                    continue
                seen = torch.from_numpy(apply(changes, pictures, rng)).float()[None] / 255
                lips, voice = model.lips(seen)[0], model.voice(torch.from_numpy(audio)[None])[0]
                offset = best_offset(lips, voice)
                offsets.append(offset)
                late = max(0, offset), max(0, -offset)
                count = len(voice) - abs(offset)
                found += windows(lips[late[0] : late[0] + count], voice[late[1] : late[1] + count])
            alike, slow = np.array(found).T
            quantiles = "  ".join(f"{q:.2f}" for q in np.quantile(alike, QUANTILES))
            print(
                f"{talker:8}{name:10}{len(found):8}  {quantiles}{slow.mean():17.2f}"
                f"   {dict(sorted(Counter(offsets).items()))}"
            )


if __name__ == "__main__":
    main()
