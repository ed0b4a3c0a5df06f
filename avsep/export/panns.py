"""Reads the MobileNetV1 of PANNs (Kong et al., 2020; 527 classes of AudioSet) as a `SoundClassifier`.

    python -m avsep.export.panns MobileNetV1.pth -o sounds-527.safetensors --names class_labels_indices.csv

The checkpoint is read with torch's weights_only, so it runs no code. --names is AudioSet's table of classes (column
display_name), or a text with a name a line.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from avsep.checkpoint import load_weights, save_model
from avsep.errors import AvsepError, InputError, WeightsError
from avsep.importing.read import read_torch
from avsep.models.sound_classifier import SoundClassifier
from avsep.safe_text import safe_line

CHANNELS = (32, 64, 128, 128, 256, 256, *(512,) * 6, 1024, 1024)
STRIDES = (2, 1, 2, 1, 2, 1, 2, *(1,) * 5, 2, 1)
FRONT_END = {"sample_rate": 32_000, "window": 1024, "hop": 320, "mels": 64, "low_hz": 50.0, "high_hz": 14_000.0}
PARTS = {"0": "spatial", "2": "spatial_norm", "4": "mix", "5": "mix_norm"}
"""Place of a layer's module in a sequence there -> name here."""
MEL_FILTERS = "logmel_extractor.melW"
FIXED = ("spectrogram_extractor.", "logmel_extractor.")
"""Beginnings of tensors that no training changed: the transform and the mel filters."""


def read_panns(checkpoint: Path, names: Sequence[str] | None = None) -> SoundClassifier:
    """The classifier of a checkpoint, ready for use. names: of its classes, in order.

    Raises WeightsError for a file that is no such checkpoint or whose mel bands are others, and where the names are not
    as many as its classes.
    """
    saved = read_torch(checkpoint)
    state = saved.get("model", saved) if isinstance(saved, Mapping) else None
    if not isinstance(state, Mapping) or "fc_audioset.weight" not in state:
        raise WeightsError(f"{checkpoint} holds no 'fc_audioset.weight': it is no tagging network of PANNs.")
    return convert(state, names, str(checkpoint))


def convert(state: Mapping[str, Tensor], names: Sequence[str] | None = None, source: str = "it") -> SoundClassifier:
    """A classifier with the tensors of a MobileNetV1 of PANNs. source: where they come from, for messages."""
    classes = len(state["fc_audioset.weight"])
    if names is not None and len(names) != classes:
        raise WeightsError(f"{len(names)} names for the {classes} classes of {source}; give one for each, in order.")
    model = SoundClassifier(
        names=None if names is None else list(names),
        classes=classes,
        **FRONT_END,  # type: ignore[arg-type]
        channels=list(CHANNELS),
        mel_strides=list(STRIDES),
        time_strides=list(STRIDES),
        pooled=True,
        padded=True,
        hidden=1024,
        dropout=0.5,
    )
    bands = state.get(MEL_FILTERS)
    if bands is not None and (
        bands.shape != model.filters.shape or not torch.allclose(bands.float(), model.filters, atol=1e-4)
    ):
        raise WeightsError(
            f"the mel bands of {source} are others than those of PANNs at 32 kHz ({MEL_FILTERS}). Give the network "
            "that was trained at 32 kHz."
        )
    load_weights(model, dict(_renamed(key, value) for key, value in state.items() if not key.startswith(FIXED)), source)
    return model.eval()


def _renamed(key: str, value: Tensor) -> tuple[str, Tensor]:
    """The name here, and the tensor as it is here: mel bands before time."""
    first, _, rest = key.partition(".")
    if first == "features" and rest.count(".") == 2:
        layer, place, kind = rest.split(".")
        if place in PARTS:
            return f"layers.{layer}.{PARTS[place]}.{kind}", value.transpose(2, 3) if value.dim() == 4 else value
    here = {"bn0": "input_norm", "fc1": "hidden.0", "fc_audioset": "output"}
    return (f"{here[first]}.{rest}" if first in here else key), value


def read_names(path: Path) -> list[str]:
    """The names of classes: of a table's column display_name, or a line each. Raises InputError."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the names {path} cannot be read: {error}") from error
    rows = list(csv.DictReader(lines))
    if rows and "display_name" in rows[0]:
        return [row["display_name"] for row in rows]
    return [line.strip() for line in lines if line.strip()]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 0, or 1 with a message."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE")
    parser.add_argument("--names", type=Path, metavar="FILE")
    options = parser.parse_args(arguments)
    try:
        names = read_names(options.names) if options.names else None
        model = read_panns(options.checkpoint, names)
        lineage = {"data": "AudioSet, by the authors of PANNs (Kong et al., 2020)", "converted_from": "MobileNetV1"}
        save_model(options.output, model, options.output.stem, "as published by PANNs", lineage)
    except AvsepError as error:
        print(f"error: {safe_line(str(error))}", file=sys.stderr)
        return 1
    print(options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
