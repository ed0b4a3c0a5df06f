"""`avsep import`: the networks of other projects, with random weights, give here what they give there."""

from __future__ import annotations

import contextlib
import json
import shutil
import urllib.error
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from avsep.checkpoint import load_model
from avsep.errors import InputError, WeightsError
from avsep.importing import catalog, read_published
from avsep.importing.read import read_torch

torchaudio_models = pytest.importorskip("torchaudio.models")

TOLERANCE = 1e-4


def shaken(network: torch.nn.Module) -> torch.nn.Module:
    """With weights of which none has the value that it begins with."""
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return network.eval()


@pytest.mark.parametrize("masks", ["relu", "sigmoid"])
def test_torchaudios_conv_tasnet(tmp_path, masks):
    theirs = shaken(torchaudio_models.ConvTasNet(2, 16, 24, 3, 12, 20, 3, 2, masks))
    torch.save(theirs.state_dict(), tmp_path / "theirs.pt")
    found = read_published(tmp_path / "theirs.pt", {"blocks": 3, "masks": masks})
    mixture = torch.randn(2, 1, 1003)
    with torch.inference_mode():
        assert torch.allclose(found.model(mixture).estimates[:, :, 0], theirs(mixture), atol=TOLERANCE)
    assert found.origin == "torchaudio, ConvTasNet"


def test_the_published_size_of_torchaudio_is_read_without_settings(tmp_path):
    theirs = torchaudio_models.conv_tasnet_base()
    torch.save(theirs.state_dict(), tmp_path / "theirs.pt")
    model = read_published(tmp_path / "theirs.pt").model
    # The last block's residual, which goes nowhere, is left out there.
    assert model.parameter_count == sum(p.numel() for p in theirs.parameters()) + 512 * 128 + 128
    assert (model.contract.sample_rate, model.contract.sources) == (8000, 2)


class Reader:
    """What urlopen gives."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def read(self, size: int) -> bytes:
        block, self.content = self.content[:size], self.content[size:]
        return block


@pytest.fixture
def theirs(tmp_path) -> Path:
    torch.save(torchaudio_models.ConvTasNet(2, 16, 8, 3, 8, 8, 8, 1).state_dict(), tmp_path / "theirs.pt")
    return tmp_path / "theirs.pt"


def test_a_file_becomes_weights_that_say_where_they_come_from(cli, theirs, tmp_path):
    out = tmp_path / "mine.safetensors"
    code, printed, _ = cli("import", str(theirs), "-o", str(out), "--licence", "BSD", "--data", "Libri2Mix")
    assert (code, printed.strip()) == (0, str(out))
    model, card = load_model(str(out))
    assert (card.name, card.licence, model.contract.sample_rate) == ("mine", "BSD", 8000)
    assert card.lineage == {
        "origin": "imported",
        "from": "torchaudio, ConvTasNet",
        "source": "theirs.pt",
        "sha256": catalog.checksum(theirs),
        "data": "Libri2Mix",
    }


def test_a_name_is_downloaded(cli, theirs, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "urllib.request.urlopen", lambda address, timeout: asked.append(address) or Reader(theirs.read_bytes())
    )
    out = tmp_path / "mine.safetensors"
    code, printed, _ = cli("import", "convtasnet_base_libri2mix", "-o", str(out), "--json")
    assert code == 0
    assert asked == ["https://download.pytorch.org/torchaudio/models/conv_tasnet_base_libri2mix.pt"]
    said = json.loads(printed)
    assert (said["licence"], said["lineage"]["data"]) == ("as published with torchaudio", "Libri2Mix")


def test_without_a_network_it_says_what_to_fetch(cli, tmp_path, monkeypatch):
    def nobody(address: str, timeout: float) -> None:
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr("urllib.request.urlopen", nobody)
    out = tmp_path / "mine.safetensors"
    code, _, said = cli("import", "open-unmix/umxhq", "-o", str(out))
    assert code == 1
    assert "no route to host. Fetch by other means" in said
    assert said.count("https://zenodo.org/records/3370489/files/") == 5
    assert "and give the folder that you put them in as SOURCE" in said
    assert not out.exists()


def test_names_are_listed(cli):
    code, printed, _ = cli("import", "--list")
    assert code == 0
    assert set(catalog.CATALOG) <= set(printed.splitlines())


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nothing.pt", "-o", "x.safetensors"], 2, "nothing.pt: no such file or folder, and no name"),
        (["theirs.pt"], 2, "give SOURCE and -o FILE, or --list"),
        (["theirs.pt", "-o", "x.pt"], 2, "-o is x.pt; the file written here ends in .safetensors"),
        (["theirs.pt", "-o", "none/x.safetensors"], 1, "there is no folder none"),
        (["theirs.pt", "-o", "there.safetensors"], 1, "there.safetensors exists. Give --overwrite"),
        (["theirs.pt", "-o", "x.safetensors", "--set", "rate"], 2, "--set rate: give NAME=VALUE"),
        (["theirs.pt", "-o", "x.safetensors", "--set", "rate=8"], 2, "rate is no setting of torchaudio, ConvTasNet"),
        (["theirs.pt", "-o", "x.safetensors", "--set", "blocks=x"], 2, "blocks is 'x'; it must be of the kind of 8"),
        (
            ["theirs.pt", "-o", "x.safetensors", "--set", "blocks=0"],
            2,
            "no model of torchaudio, ConvTasNet with --set",
        ),
        (["theirs.pt", "-o", "x.safetensors", "--set", "masks=x"], 2, "with --set masks=x (ValueError: masks is 'x'"),
        (["n" * 300, "-o", "x.safetensors"], 2, "no such file or folder, and no name"),
        (["theirs.pt", "-o", "x.safetensors", "--set", "blocks=3"], 1, "it has 8 blocks, which are no stacks of 3"),
        (
            ["text.pt", "-o", "x.safetensors"],
            1,
            "text.pt was not loaded: it holds more than tensors and plain values",
        ),
        (["other.pt", "-o", "x.safetensors"], 1, "other.pt holds no weights that are known. Known are: a state dict"),
        (["empty", "-o", "x.safetensors"], 1, "empty holds no checkpoint"),
        (
            ["code.pt", "-o", "x.safetensors"],
            1,
            "more than tensors and plain values (pathlib.PosixPath among it)",
        ),
    ],
)
def test_what_cannot_be_imported_is_named(cli, theirs, tmp_path, monkeypatch, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    Path("there.safetensors").touch()
    Path("empty").mkdir()
    Path("text.pt").write_text("no checkpoint")
    torch.save({"weight": torch.zeros(2)}, "other.pt")
    torch.save({"weight": Path("x")}, "code.pt")
    found, _, said = cli("import", *arguments)
    assert found == code
    assert message in said
    assert not Path("x.safetensors").exists()


GOLDENS = Path(__file__).parent / "imported"
"""Made by other projects' own classes: imported/make.py."""


@pytest.mark.parametrize("name", ["conv_tasnet", "conv_tasnet_causal", "dprnn_tasnet"])
def test_asteroids_models(tmp_path, name):
    golden = torch.load(GOLDENS / f"asteroid_{name}.pt", weights_only=True)
    torch.save(golden["serialized"], tmp_path / "model.pth")
    found = read_published(tmp_path / "model.pth")
    with torch.inference_mode():
        estimates = found.model(golden["mixture"]).estimates[:, :, 0]
    assert torch.allclose(estimates, golden["estimates"], atol=TOLERANCE)
    assert (found.model.contract.sample_rate, found.origin) == (8000, "asteroid")


def test_a_model_of_asteroid_that_is_not_known_is_named(tmp_path):
    torch.save({"model_name": "DCCRNet", "model_args": {}, "state_dict": {"x": torch.zeros(1)}}, tmp_path / "model.pth")
    with pytest.raises(WeightsError, match="it is asteroid's DCCRNet; of its models ConvTasNet"):
        read_published(tmp_path / "model.pth")


def test_a_compressed_checkpoint_is_refused_before_it_is_unpacked(theirs, tmp_path):
    bomb = tmp_path / "bomb.pt"
    with zipfile.ZipFile(theirs) as plain, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as packed:
        for entry in plain.infolist():
            packed.writestr(entry.filename, plain.read(entry))
    with pytest.raises(WeightsError, match="holds compressed data"):
        read_torch(bomb)


def test_tensors_that_claim_more_than_they_hold_are_refused(theirs, tmp_path):
    state = torch.load(theirs)
    name = "encoder.weight"
    torch.save(state | {name: torch.zeros(1).expand(10**7, 1, 16)}, tmp_path / "wide.pt")
    with pytest.raises(WeightsError, match=r"wide.pt: it holds a tensor of .10000000, 1, 16. without as many values"):
        read_published(tmp_path / "wide.pt")


@pytest.mark.slow
@pytest.mark.parametrize("change", [lambda t: t[:0], lambda t: t[0], lambda t: t.to_sparse(), lambda t: t.to("meta")])
def test_tensors_of_another_shape_or_kind_are_one_line(theirs, tmp_path, change):
    state = torch.load(theirs)
    for name in [*state][::9]:
        torch.save(state | {name: change(state[name]) if state[name].dim() else state[name]}, tmp_path / "odd.pt")
        with contextlib.suppress(WeightsError):
            read_published(tmp_path / "odd.pt")
        torch.save({key: value for key, value in state.items() if key != name}, tmp_path / "odd.pt")
        with contextlib.suppress(WeightsError):
            read_published(tmp_path / "odd.pt")


def test_damage_anywhere_is_one_line(theirs, tmp_path):
    whole = bytearray(theirs.read_bytes())
    rng = np.random.default_rng(0)
    odd = tmp_path / "odd.pt"
    for _ in range(100):
        damaged = whole.copy()
        for place in rng.integers(len(whole), size=3):
            damaged[place] = rng.integers(256)
        odd.write_bytes(damaged[: rng.integers(1, len(whole) + 1)] if rng.random() < 0.3 else damaged)
        with contextlib.suppress(WeightsError):
            read_published(odd)


def test_what_a_training_leaves_beside_the_weights_is_passed_over(theirs, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "lm.ckpt").mkdir()
    (folder / "counter.ckpt").write_text("200")
    shutil.copy(theirs, folder / "model.pt")
    assert read_published(folder).origin == "torchaudio, ConvTasNet"
    shutil.copy(theirs, folder / "model.pth")
    with pytest.raises(WeightsError, match="two files called model"):
        read_published(folder)


def test_estimates_of_what_is_imported_are_fitted_to_the_mixture(cli, theirs, tmp_path):
    out = tmp_path / "mine.safetensors"
    assert cli("import", str(theirs), "-o", str(out))[0] == 0
    assert load_model(str(out))[0].contract.level == "free"


def test_what_asteroid_says_of_licence_and_data_is_kept(cli, tmp_path):
    content = torch.load(GOLDENS / "asteroid_conv_tasnet.pt", weights_only=True)["serialized"]
    torch.save(content | {"infos": {"license_note": "CC BY-SA\n3.0"}, "dataset": "WHAM"}, tmp_path / "theirs.pth")
    out = tmp_path / "mine.safetensors"
    assert cli("import", str(tmp_path / "theirs.pth"), "-o", str(out))[0] == 0
    card = load_model(str(out))[1]
    assert (card.licence, card.lineage["data"]) == ("CC BY-SA 3.0", "WHAM")


@pytest.mark.parametrize(("promised", "reason"), [("9999999", "of 9999999 bytes came"), (None, "does not begin with")])
def test_half_a_download_is_none(tmp_path, monkeypatch, promised, reason):
    answer = Reader(b"half")
    answer.headers = {} if promised is None else {"Content-Length": promised}
    monkeypatch.setattr("urllib.request.urlopen", lambda address, timeout: answer)
    published = catalog.Published({"vocals-b62c91ce.pth": "https://x.invalid/vocals-b62c91ce.pth"}, "x", "y")
    with pytest.raises(InputError, match=f"x.invalid.*{reason}"):
        catalog.fetch(published, tmp_path)
