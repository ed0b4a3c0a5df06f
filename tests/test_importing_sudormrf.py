"""Asteroid's SuDoRM-RF networks as they are here: the estimates of its own classes, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from avsep.errors import WeightsError
from avsep.importing import read_published
from avsep.models.sudormrf import SuDoRMRF, SuDoRMRFpp

GOLDENS = Path(__file__).parent / "imported"
"""Made by asteroid's own classes: imported/make.py."""


def golden(name: str) -> dict[str, Any]:
    return torch.load(GOLDENS / f"asteroid_{name}.pt", weights_only=True)


@pytest.mark.parametrize(("name", "kind"), [("sudormrf", SuDoRMRF), ("sudormrf_improved", SuDoRMRFpp)])
def test_estimates_are_those_of_asteroid(name, kind, tmp_path, one_thread):
    made = golden(name)
    torch.save(made["serialized"], tmp_path / "model.pth")
    found = read_published(tmp_path / "model.pth")
    with torch.inference_mode():
        estimates = found.model(made["mixture"]).estimates[:, :, 0]
    assert made["estimates"].abs().max() > 0.01
    assert torch.allclose(estimates, made["estimates"], atol=1e-4)
    assert (type(found.model), found.origin, found.model.contract.sample_rate) == (kind, "asteroid", 8000)
    # Kernels of 21 samples every 10.
    assert {"kernel": 30, "stride": 10, "sources": 3}.items() <= found.model.init_args.items()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mask_act": "sigmoid"}, "the activation of its masks is 'sigmoid'; 'softmax' can be read"),
        ({"bn_chan": 8}, "it has as many channels as filters, 8; fewer channels can be read"),
        ({"upsampling_depth": 2}, r"asteroid's SuDORMRFNet has separator.blocks.0.scales"),
        ({"fb_name": "stft"}, "its filter bank is 'stft'; one that was learnt"),
    ],
)
def test_other_arguments_are_named(changes, message, tmp_path):
    content = golden("sudormrf")["serialized"]
    content["model_args"] |= changes
    torch.save(content, tmp_path / "model.pth")
    with pytest.raises(WeightsError, match=message):
        read_published(tmp_path / "model.pth")
