"""SpeechBrain's SepFormer as it is here: the estimates of its own class, its names and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from avsep.checkpoint import load_model
from avsep.errors import WeightsError
from avsep.importing import read_published
from avsep.models.sepformer import SepFormer

GOLDEN = Path(__file__).parent / "imported" / "speechbrain_sepformer.pt"
"""Made by SpeechBrain's own class: imported/make.py."""
SETTINGS = {"chunk": 10, "heads": 2}


@pytest.fixture
def golden(one_thread) -> dict:
    return torch.load(GOLDEN, weights_only=True)


@pytest.fixture
def folder(golden, tmp_path) -> Path:
    (tmp_path / "published").mkdir()
    for name, state in golden["serialized"].items():
        torch.save(state, tmp_path / f"published/{name}.ckpt")
    return tmp_path / "published"


def test_estimates_are_those_of_speechbrain(golden, folder):
    found = read_published(folder, SETTINGS)
    with torch.inference_mode():
        estimates = found.model(golden["mixture"]).estimates[:, :, 0]
    assert golden["estimates"].abs().max() > 0.01
    assert torch.allclose(estimates, golden["estimates"], atol=1e-4)
    assert (found.origin, found.model.contract.sample_rate) == ("SpeechBrain, SepFormer", 8000)
    sizes = {"sources": 3, "filters": 8, "width": 12, "blocks": 2, "layers": 2, "hidden": 6, "padded": False}
    assert sizes.items() <= found.model.init_args.items()


@pytest.mark.parametrize("frames", [1, 4, 5, 6, 15, 37])
def test_they_are_for_any_number_of_frames_in_a_chunk(frames, tmp_path, one_thread):
    """With SpeechBrain's class, where it is installed."""
    dual_path = pytest.importorskip("speechbrain.lobes.models.dual_path")
    torch.manual_seed(0)
    encoder = dual_path.Encoder(8, 8)
    decoder = dual_path.Decoder(in_channels=8, out_channels=1, kernel_size=8, stride=4, bias=False)

    def transformer():
        return dual_path.SBTransformerBlock(
            2, 12, 2, d_ffn=6, dropout=0.0, use_positional_encoding=True, norm_before=True
        )

    masknet = dual_path.Dual_Path_Model(
        8, 12, transformer(), transformer(), 2, "ln", K=10, num_spks=3, linear_layer_after_inter_intra=False
    )
    for name, part in (("encoder", encoder), ("masknet", masknet), ("decoder", decoder)):
        for parameter in part.eval().parameters():
            torch.nn.init.normal_(parameter, 0.0, 0.3)
        torch.save(part.state_dict(), tmp_path / f"{name}.ckpt")
    model = read_published(tmp_path, SETTINGS).model
    mixture = torch.randn(2, 1, 4 + 4 * frames)
    with torch.inference_mode():
        features = encoder(mixture[:, 0])
        expected = torch.stack([decoder(mask * features) for mask in masknet(features)], 1)
        found = model(mixture).estimates[:, :, 0]
    assert expected.abs().max() > 0.1
    assert torch.allclose(found, expected, atol=1e-4)


def test_the_published_size_is_read_without_settings(tmp_path, one_thread):
    """As wide and as deep as those that were published, with one layer in place of eight."""
    model = SepFormer(**SepFormer.paper_args | {"blocks": 1, "layers": 1}, padded=False)
    own = {name.removeprefix("separator."): tensor for name, tensor in model.state_dict().items()}
    torch.save({"conv1d.weight": own.pop("encoder.conv.weight")}, tmp_path / "encoder.ckpt")
    torch.save({"weight": own.pop("decoder.conv.weight")}, tmp_path / "decoder.ckpt")
    names = {
        "head.split.0.": "prelu.",
        "head.split.1.": "conv2d.",
        "enter.": "conv1d.",
        "head.leave.": "end_conv1x1.",
        "head.value.": "output.0.",
        "head.gate.": "output_gate.0.",
        "blocks.0.within.norm.": "dual_mdl.0.intra_mdl.mdl.norm.norm.",
        "blocks.0.across.norm.": "dual_mdl.0.inter_mdl.mdl.norm.norm.",
        "blocks.0.norm_within.": "dual_mdl.0.intra_norm.",
        "blocks.0.norm_across.": "dual_mdl.0.inter_norm.",
        "blocks.0.within.layers.0.": "dual_mdl.0.intra_mdl.mdl.layers.0.",
        "blocks.0.across.layers.0.": "dual_mdl.0.inter_mdl.mdl.layers.0.",
        "self_attn.": "self_att.att.",
        "linear1.": "pos_ffn.ffn.0.",
        "linear2.": "pos_ffn.ffn.3.",
        "norm1.": "norm1.norm.",
        "norm2.": "norm2.norm.",
    }
    theirs = {}
    for name, tensor in own.items():
        for here, there in names.items():
            inner = here in ("self_attn.", "linear1.", "linear2.", "norm1.", "norm2.")
            name = name.replace(here, there) if inner or name.startswith(here) else name
        theirs[name] = tensor
    torch.save(theirs, tmp_path / "masknet.ckpt")
    found = read_published(tmp_path).model
    assert found.init_args == model.init_args | {"width": 256}
    assert all(torch.equal(found.state_dict()[name], tensor) for name, tensor in model.state_dict().items())


def test_it_becomes_a_weights_file(cli, folder, tmp_path):
    out = tmp_path / "mine.safetensors"
    code, printed, said = cli("import", folder, "-o", out, "--set", "chunk=10", "heads=2", "--data", "WSJ0-2mix")
    assert (code, printed.strip()) == (0, str(out)), said
    model, card = load_model(str(out))
    assert (type(model), card.lineage["data"]) == (SepFormer, "WSJ0-2mix")


def test_what_is_no_sepformer_is_named(folder):
    decoder = torch.load(folder / "decoder.ckpt", weights_only=True)
    torch.save({"other": decoder["weight"]}, folder / "decoder.ckpt")
    with pytest.raises(WeightsError, match="it holds no 'weight': it is another network of SpeechBrain"):
        read_published(folder, SETTINGS)
    (folder / "decoder.ckpt").unlink()
    with pytest.raises(WeightsError, match=r"there are no tensors of decoder; a folder with encoder.ckpt"):
        read_published(folder, SETTINGS)
    torch.save(decoder, folder / "decoder.ckpt")
    masknet = torch.load(folder / "masknet.ckpt", weights_only=True)
    del masknet["output_gate.0.bias"]
    torch.save(masknet, folder / "masknet.ckpt")
    with pytest.raises(WeightsError, match=r"SepFormer lacks separator.head.gate.bias"):
        read_published(folder, SETTINGS)
