"""Networks of Open-Unmix (Stöter et al., 2019: umxhq, umxl, or own ones) as one `OpenUnmix`.

A network is a file, named after its stem; what follows a hyphen is left out. Sizes follow from the tensors, but for the
step of the transform and the sample rate.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from avsep.checkpoint import load_weights
from avsep.errors import WeightsError
from avsep.importing.read import Parts, State, state_of
from avsep.models.open_unmix import OpenUnmix

NAME = "Open-Unmix"
WANTED = "a .pth file of Open-Unmix named after its stem, or a folder of one for each stem"

NEEDED = ("fc1.weight", "input_mean", "output_mean", "lstm.weight_hh_l0")
FIXED = ("stft.", "transform.", "sample_rate")
"""Beginnings of tensors that no training changed."""


def recognises(parts: Parts) -> bool:
    return all(not missing(_state(content)) for content in parts.values())


def convert(parts: Parts, hop: int = 1024, sample_rate: int = 44_100) -> OpenUnmix:
    """hop in samples, sample_rate in Hz. Raises WeightsError where a network is unidirectional or of another size than
    the first."""
    networks: dict[str, State] = {}
    for name, content in parts.items():
        stem = name.partition("-")[0]
        if stem in networks:
            raise WeightsError(f"{name} is a second network of {stem}; give one file a stem.")
        networks[stem] = _state(content)
    return together(networks, hop, sample_rate)


def together(networks: Mapping[str, State], hop: int = 1024, sample_rate: int = 44_100) -> OpenUnmix:
    """A model with the tensors of networks of `openunmix.model.OpenUnmix`, by the names of their stems. The window
    follows from the number of bins."""
    first = next(iter(networks.values()))
    if "lstm.weight_hh_l0_reverse" not in first:
        raise WeightsError("the LSTM is unidirectional; bidirectional networks of Open-Unmix can be read.")
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


def renamed(networks: Mapping[str, State]) -> dict[str, Tensor]:
    """The tensors of networks, by the names of their stems, under the names that they have in an `OpenUnmix`."""
    here: dict[str, Tensor] = {}
    for stem, tensors in networks.items():
        kept = {name: tensor for name, tensor in tensors.items() if not name.startswith(FIXED)}
        for norm in ("bn1", "bn2", "bn3"):
            # Not in the oldest files.
            kept.setdefault(f"{norm}.num_batches_tracked", torch.tensor(0))
        here |= {f"networks.{stem}.{name}": tensor for name, tensor in kept.items()}
    return here


def missing(state: State) -> list[str]:
    """What a network of Open-Unmix has, and these tensors have not."""
    return [name for name in NEEDED if name not in state]


def _state(content: object) -> State:
    return state_of(content, "state_dict") or {}
