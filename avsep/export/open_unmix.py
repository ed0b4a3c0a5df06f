"""Reads the networks of Open-Unmix (Stöter et al., 2019: umxhq, umxl, or own ones), a file a stem, as one `OpenUnmix`.

    python -m avsep.export.open_unmix vocals-b62c91ce.pth drums-9619578f.pth bass-8d85a5bd.pth other-b52fbbf7.pth \\
        -o umxhq.safetensors

A file is named after its stem, what follows a hyphen being left out; the checkpoints are read with torch's
weights_only, so they run no code. Sizes follow from the tensors, but for the step of the transform and the sample rate.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from avsep.checkpoint import load_weights, save_model
from avsep.errors import AvsepError, WeightsError
from avsep.export.published import read_checkpoint
from avsep.models.open_unmix import OpenUnmix

FIXED = ("stft.", "transform.", "sample_rate")
"""Beginnings of tensors that no training changed."""


def read_open_unmix(files: Sequence[Path], hop: int = 1024, sample_rate: int = 44_100) -> OpenUnmix:
    """The model of several files, its stems in their order; hop in samples, sample_rate in Hz. Raises WeightsError for
    a file that is no network of Open-Unmix, and where they do not go together."""
    networks: dict[str, Mapping[str, Tensor]] = {}
    for file in files:
        stem = file.stem.partition("-")[0]
        if stem in networks:
            raise WeightsError(f"{file} is a second network of {stem}; give one file a stem.")
        networks[stem] = _network(file)
    return convert(networks, hop, sample_rate)


def convert(networks: Mapping[str, Mapping[str, Tensor]], hop: int = 1024, sample_rate: int = 44_100) -> OpenUnmix:
    """A model with the tensors of networks of `openunmix.model.OpenUnmix`, by the names of their stems.

    The window follows from the number of bins. Raises WeightsError where a network is unidirectional or of another size
    than the first.
    """
    first = next(iter(networks.values()))
    hidden, inputs = first["fc1.weight"].shape
    freq, seen = len(first["output_mean"]), len(first["input_mean"])
    window = 2 * (freq - 1)
    try:
        model = OpenUnmix(
            stems=list(networks),
            channels=inputs // seen,
            hidden=hidden,
            layers=sum(name.startswith("lstm.weight_hh_l") and not name.endswith("_reverse") for name in first),
            window=window,
            hop=hop,
            # In the middle between the last bin that a network is given and the next one.
            bandwidth=(seen - 0.5) * sample_rate / window,
            iterations=int(len(networks) > 1),
            sample_rate=sample_rate,
        )
    except ValueError as error:
        raise WeightsError(f"the networks make no model: {error}.") from error
    load_weights(model, renamed(networks), "the networks")
    return model.eval()


def renamed(networks: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The tensors of networks, by the names of their stems, under the names that they have in an `OpenUnmix`."""
    here: dict[str, Tensor] = {}
    for stem, tensors in networks.items():
        kept = {name: tensor for name, tensor in tensors.items() if not name.startswith(FIXED)}
        for norm in ("bn1", "bn2", "bn3"):
            # Not in the oldest files.
            kept.setdefault(f"{norm}.num_batches_tracked", torch.tensor(0))
        here |= {f"networks.{stem}.{name}": tensor for name, tensor in kept.items()}
    return here


def _network(file: Path) -> Mapping[str, Tensor]:
    saved = read_checkpoint(file, "a .pth file of Open-Unmix")
    state = saved.get("state_dict", saved) if isinstance(saved, Mapping) else None
    needed = ("fc1.weight", "input_mean", "output_mean", "lstm.weight_hh_l0_reverse")
    if not isinstance(state, Mapping) or (missing := [name for name in needed if name not in state]):
        lacking = "tensors by name" if not isinstance(state, Mapping) else f"{missing[0]!r}"
        raise WeightsError(f"{file} holds no {lacking}: it is no bidirectional network of Open-Unmix.")
    return state


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 0, or 1 with a message."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", type=Path, nargs="+", metavar="STEM.pth")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE")
    parser.add_argument("--hop", type=int, default=1024, metavar="SAMPLES", help="default: 1024")
    parser.add_argument("--sample-rate", type=int, default=44_100, metavar="HZ", help="default: 44100")
    parser.add_argument("--licence", default="as published by Open-Unmix", metavar="TEXT")
    options = parser.parse_args(arguments)
    try:
        model = read_open_unmix(options.networks, options.hop, options.sample_rate)
        lineage = {"data": "as published by the authors of Open-Unmix", "converted_from": "openunmix"}
        save_model(options.output, model, options.output.stem, options.licence, lineage, half=False)
    except AvsepError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
