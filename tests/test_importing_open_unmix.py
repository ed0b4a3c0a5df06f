"""Published networks of Open-Unmix as one model: what they give, and the messages for other files."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from avsep.checkpoint import load_model
from avsep.errors import WeightsError
from avsep.importing import read_published
from avsep.importing.open_unmix import convert, together
from avsep.models.open_unmix import OpenUnmix

SIZES: dict[str, Any] = {"hidden": 16, "layers": 2, "window": 256, "hop": 64, "bandwidth": 6000.0}
STEMS = ["drums", "vocals"]


@pytest.fixture(autouse=True)
def _seed(one_thread):
    torch.manual_seed(0)


def disturbed(network: nn.Module) -> nn.Module:
    """With random numbers where a fresh network has zeros and ones."""
    for parameter in network.parameters():
        parameter.data.add_(0.1 * torch.randn_like(parameter))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.3, 1.5)
    return network.eval()


@pytest.fixture
def ours() -> OpenUnmix:
    model = OpenUnmix(stems=STEMS, sample_rate=16_000, **SIZES)
    for network in model.networks.values():
        disturbed(network)
    return model.eval()


@pytest.fixture
def folder(ours, tmp_path) -> Path:
    """One in the form of the oldest files, one with what training leaves."""
    drums, vocals = (ours.networks[stem].state_dict() for stem in STEMS)
    fixed = {"stft.window": torch.zeros(256), "transform.0.window": torch.zeros(256), "sample_rate": torch.tensor(16e3)}
    old = {name: value for name, value in drums.items() if not name.endswith("num_batches_tracked")} | fixed
    (tmp_path / "umx").mkdir()
    torch.save(old, tmp_path / "umx" / "drums-9619578f.pth")
    torch.save({"epoch": 3, "state_dict": vocals}, tmp_path / "umx" / "vocals.pth")
    return tmp_path / "umx"


def test_a_file_a_stem_makes_the_model_again(cli, ours, folder, tmp_path):
    out = tmp_path / "umx.safetensors"
    code, printed, _ = cli("import", str(folder), "-o", str(out), "--set", "hop=64", "sample_rate=16000")
    assert (code, printed) == (0, f"{out}\n")
    model, card = load_model(out)
    assert model.contract == ours.contract
    assert card.lineage["from"] == "Open-Unmix"
    mixture = 0.1 * torch.randn(1, 2, 1000)
    with torch.no_grad():
        torch.testing.assert_close(model.separate(mixture).estimates, ours.separate(mixture).estimates)


@torch.no_grad()
def test_it_gives_what_the_package_gives():
    """The package's own class and separator with random weights; silence at both ends, which it pads with a mirror
    image of them."""
    theirs = pytest.importorskip("openunmix.model")
    networks = {
        stem: disturbed(theirs.OpenUnmix(nb_bins=129, nb_channels=2, hidden_size=16, nb_layers=2, max_bin=97))
        for stem in STEMS
    }
    model = together({stem: network.state_dict() for stem, network in networks.items()}, 64, 16_000)
    assert model.networks["drums"].seen == 97
    mixture = 0.1 * torch.randn(2, 2, 64 * 80).cumsum(2)
    mixture = mixture - mixture.mean(2, keepdim=True)
    mixture[..., :200] = mixture[..., -200:] = 0
    mixture = 0.3 * mixture / mixture.abs().max()
    magnitudes = model.transform(mixture).abs()
    for stem, network in networks.items():
        expected = network(magnitudes)
        assert expected.std() > 0.1
        torch.testing.assert_close(model.networks[stem](magnitudes) * magnitudes, expected, rtol=1e-4, atol=1e-4)
    sizes = {"sample_rate": 16_000, "n_fft": 256, "n_hop": 64, "wiener_win_len": None}
    plain = theirs.Separator(copy.deepcopy(networks), niter=0, **sizes)
    torch.testing.assert_close(model(mixture).estimates, plain(mixture), rtol=1e-4, atol=1e-4)
    # The diagonal of the covariances is loaded in another way.
    filtered = theirs.Separator(networks, niter=1, **sizes)(mixture)
    error = model.separate(mixture).estimates - filtered
    assert 10 * torch.log10(filtered.square().sum() / error.square().sum()) > 40


def test_files_that_are_no_networks_are_named(ours, folder):
    states = {stem: network.state_dict() for stem, network in ours.networks.items()}
    torch.save({"fc1.weight": torch.zeros(1)}, folder / "bass.pth")
    with pytest.raises(WeightsError, match="holds no weights that are known"):
        read_published(folder)
    wider = OpenUnmix(stems=["bass"], sample_rate=16_000, **SIZES | {"hidden": 24}, iterations=0)
    torch.save(wider.networks["bass"].state_dict(), folder / "bass.pth")
    with pytest.raises(WeightsError, match=r"networks.drums.fc1.weight is \(16, 194\) in the networks and \(24, 194\)"):
        read_published(folder, {"hop": 64, "sample_rate": 16_000})
    with pytest.raises(WeightsError, match="drums-2 is a second network of drums; give one file a stem"):
        convert({"drums-1": states["drums"], "drums-2": states["drums"]})
    with pytest.raises(WeightsError, match="the networks make no model: stems: 'lead voice' names no network"):
        convert({"lead voice": states["drums"]}, 64, 16_000)
    one_way = {name: value for name, value in states["drums"].items() if not name.endswith("_reverse")}
    with pytest.raises(WeightsError, match="the LSTM is unidirectional"):
        convert({"drums": one_way})
