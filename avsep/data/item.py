"""What training, validation and tests are given: one mixture with its sources, labels and cues.

An item is a dict. Every data set of avsep.data gives:

    mixture   (channels, time) float32
    sources   (sources, channels, time) float32; silence where an item has fewer than the most
    labels    (sources,) int64: which speaker, class or stem, numbered as the data set's `names`; -1 where a source is
              silent, or where nobody knows
    name      text

and, where they are asked for, cues under the names that a model's contract has for them:

    lips              (faces, pictures, 96, 96) float32 in 0..1, of the first sources, 25 pictures a second
    face              (faces, pictures, 512) float32: the FaceNet embedding of each of these pictures, of length 1
    enrolment         (sources, time) float32: another utterance of each speaker
    geometry          (channels, 3) float32: positions of the microphones in m, from a corner of the room's floor
    source_positions  (sources, 3) float32: the same of the sources, with `geometry`
    delays            (sources, channels) float32: seconds by which the direct sound of each is behind at each
                      microphone, against the first
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

Item = dict[str, Tensor | str]

NO_LABEL = -1
"""Of a source that is silent, or that nobody knows."""


def make_item(
    name: str, mixture: np.ndarray, sources: np.ndarray, labels: Sequence[int], cues: Mapping[str, np.ndarray]
) -> Item:
    """Tensors of the arrays of an item. labels: one for each source; those of silent sources are left out. lips come
    as uint8."""
    known = [label if source.any() else NO_LABEL for label, source in zip(labels, sources, strict=True)]
    item: Item = {
        "mixture": torch.from_numpy(mixture),
        "sources": torch.from_numpy(sources),
        "labels": torch.from_numpy(np.array(known, np.int64)),
        "name": name,
    }
    for cue, values in cues.items():
        tensor = torch.from_numpy(values).float()
        item[cue] = tensor.mul_(1 / 255) if cue == "lips" else tensor
    return item
