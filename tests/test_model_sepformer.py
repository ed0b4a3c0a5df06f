"""SepFormer: its size, its chunks, and SpeechBrain's weights of it."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional
from two_talkers import steps_to, two_mixtures

from avsep.checkpoint import load_model
from avsep.errors import WeightsError
from avsep.export.sepformer import convert, main, read_speechbrain
from avsep.losses import NegativeSiSnr, OnEstimates
from avsep.models.dprnn import chunked
from avsep.models.separators.sepformer import DualPathTransformer, Transformer, positions
from avsep.models.sepformer import SepFormer

TINY = {"filters": 8, "kernel": 8, "stride": 4, "chunk": 10, "blocks": 2, "layers": 2, "heads": 2, "hidden": 6}
PUBLISHED = {"filters": 8, "kernel": 8, "stride": 4, "width": 12, "chunk": 10, "blocks": 2, "layers": 2, "heads": 2}
PUBLISHED |= {"hidden": 6, "sources": 3, "sample_rate": 8000}
FRAMES = [1, 4, 5, 6, 15, 37]


@pytest.fixture(autouse=True)
def _seed(one_thread):
    torch.manual_seed(0)


def test_the_size_is_that_of_the_paper():
    with torch.device("meta"):
        model = SepFormer(**SepFormer.paper_args)
    assert model.parameter_count == pytest.approx(25.7e6, rel=0.005)


def test_positions_are_sines_and_cosines_of_the_step():
    found = positions(5, 6, torch.zeros(()))
    for step in range(5):
        for pair in range(3):
            phase = torch.tensor(step / 10_000 ** (2 * pair / 6))
            assert torch.allclose(found[step, 2 * pair : 2 * pair + 2], torch.stack([phase.sin(), phase.cos()]))


def test_a_transformer_tells_the_order_of_its_steps():
    """Self-attention alone would give the same for every order."""
    net = Transformer(8, 1, 2, 6, 0.0).eval()
    x = torch.randn(1, 5, 8)
    assert not torch.allclose(net(x.flip(1)).flip(1), net(x), atol=1e-3)


@pytest.mark.parametrize("frames", FRAMES)
def test_chunks_are_as_in_the_published_networks(frames):
    """An even number of them, the last half of which may be silent."""
    net = DualPathTransformer(8, 8, 10, 1, 1, 2, 6, 2).eval()
    shapes = []
    net.blocks[0].register_forward_hook(lambda module, args, out: shapes.append(args[0].shape[1:3]))
    assert net(torch.rand(2, frames, 8)).shape == (2, 2, frames, 8)
    ((chunks, size),) = shapes
    assert (chunks % 2, size) == (0, 10)
    assert chunks >= chunked(torch.rand(1, frames, 8), 10).shape[1]


def test_masks_are_of_either_size_but_never_negative():
    masks = DualPathTransformer(8, 8, 10, 1, 1, 2, 6, 2)(torch.rand(1, 40, 8))
    assert (masks >= 0).all()
    assert (masks > 0).any()


@pytest.mark.parametrize("time", [1, 7, 1003])
def test_length_in_is_length_out(time):
    model = SepFormer(**TINY).eval()
    assert model(torch.randn(2, 1, time)).estimates.shape == (2, 2, 1, time)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"chunk": 9}, "chunk is 9; it must be even"),
        ({"heads": 3}, "width is 8 with 3 heads; it must be even and a multiple of them"),
        ({"width": 7, "heads": 1}, "width is 7 with 1 heads"),
        ({"dropout": 1.0}, "dropout is 1.0; it must be at least 0 and below 1"),
        ({"layers": 0}, "layers is 0; it must be a whole number from 1 to 64"),
    ],
)
def test_what_cannot_be_built_is_named(changes, message):
    with pytest.raises(ValueError, match=message):
        SepFormer(**TINY | changes)


def published() -> tuple[torch.nn.Module, torch.nn.Module, torch.nn.Module]:
    """SpeechBrain's own encoder, mask network and decoder with random weights."""
    dual_path = pytest.importorskip("speechbrain.lobes.models.dual_path")

    def transformer():
        return dual_path.SBTransformerBlock(
            2, 12, 2, d_ffn=6, dropout=0.0, use_positional_encoding=True, norm_before=True
        )

    mask_net = dual_path.Dual_Path_Model(
        8,
        12,
        transformer(),
        transformer(),
        num_layers=2,
        norm="ln",
        K=10,
        num_spks=3,
        skip_around_intra=True,
        linear_layer_after_inter_intra=False,
    )
    decoder = dual_path.Decoder(in_channels=8, out_channels=1, kernel_size=8, stride=4, bias=False)
    parts = dual_path.Encoder(8, 8), mask_net, decoder
    for part in parts:
        part.eval()
        for parameter in part.parameters():
            torch.nn.init.normal_(parameter, 0.0, 0.3)
    return parts


@pytest.mark.parametrize("frames", FRAMES)
def test_weights_of_speechbrain_give_its_estimates(frames):
    encoder, mask_net, decoder = published()
    model = convert(encoder.state_dict(), mask_net.state_dict(), decoder.state_dict(), chunk=10, heads=2)
    assert model.init_args == PUBLISHED | {"dropout": 0.0}
    mixture = torch.randn(2, 4 * frames + 4)
    with torch.no_grad():
        # What the encoder here adds, so that all samples lie in as many frames.
        features = encoder(functional.pad(mixture, (4, 4)))
        masks = mask_net(features)
        expected = torch.stack([decoder(mask * features)[..., 4 : 4 + mixture.shape[1]] for mask in masks], 1)
        found = model(mixture[:, None]).estimates[:, :, 0]
    assert expected.abs().max() > 0.1
    assert torch.allclose(found, expected, atol=1e-4)


def test_every_tensor_of_the_published_layout_has_its_place(tmp_path, capsys):
    """The names that SpeechBrain gives, written out: they are known where it is not installed."""
    model = SepFormer(**PUBLISHED)
    folder = tmp_path / "published"
    folder.mkdir()
    for name, state in as_published(model).items():
        torch.save(state, folder / f"{name}.ckpt")
    found = read_speechbrain(folder, 10, 2).state_dict()
    for name, tensor in model.state_dict().items():
        assert torch.equal(found[name], tensor), name
    out = tmp_path / "mine.safetensors"
    assert main([str(folder), "-o", str(out), "--chunk", "10", "--heads", "2", "--data", "WSJ0-2mix"]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    again, card = load_model(out)
    assert (type(again), card.lineage["data"]) == (SepFormer, "WSJ0-2mix")


def as_published(model: SepFormer) -> dict[str, dict[str, torch.Tensor]]:
    own = model.state_dict()
    net = {"dual_mdl.0.intra_mdl.pos_enc.pe": torch.zeros(1, 2500, 12)}

    def put(theirs: str, ours: str, *ones: int) -> None:
        for end in (".weight", ".bias"):
            if f"separator.{ours}{end}" in own:
                tensor = own[f"separator.{ours}{end}"]
                net[theirs + end] = tensor.reshape(*tensor.shape, *ones) if tensor.dim() == 2 else tensor

    for theirs, ours in (("norm", "norm"), ("prelu", "split.0")):
        put(theirs, ours)
    for theirs, ours in (("conv1d", "enter"), ("output.0", "value"), ("output_gate.0", "gate")):
        put(theirs, ours, 1)
    put("end_conv1x1", "leave", 1)
    put("conv2d", "split.1", 1, 1)
    for block in range(2):
        for theirs, ours in (("intra", "within"), ("inter", "across")):
            begin, here = f"dual_mdl.{block}.{theirs}_", f"blocks.{block}."
            put(f"{begin}norm", f"{here}norm_{ours}")
            put(f"{begin}mdl.mdl.norm.norm", f"{here}{ours}.norm")
            for layer in range(2):
                there, mine = f"{begin}mdl.mdl.layers.{layer}.", f"{here}{ours}.layers.{layer}."
                for kind in ("weight", "bias"):
                    name = f"in_proj_{kind}"
                    net[f"{there}self_att.att.{name}"] = own[f"separator.{mine}self_attn.{name}"]
                put(f"{there}self_att.att.out_proj", f"{mine}self_attn.out_proj")
                put(f"{there}pos_ffn.ffn.0", f"{mine}linear1")
                put(f"{there}pos_ffn.ffn.3", f"{mine}linear2")
                put(f"{there}norm1.norm", f"{mine}norm1")
                put(f"{there}norm2.norm", f"{mine}norm2")
    return {
        "encoder": {"conv1d.weight": own["encoder.conv.weight"]},
        "masknet": net,
        "decoder": {"weight": own["decoder.conv.weight"]},
    }


def test_files_that_are_no_such_weights_are_named(tmp_path, capsys):
    with pytest.raises(
        WeightsError, match=r"no checkpoint at .*encoder.ckpt. Give a folder with encoder.ckpt, masknet"
    ):
        read_speechbrain(tmp_path)
    for name in ("encoder", "masknet", "decoder"):
        torch.save({"conv1d.weight": torch.zeros(8, 1, 8)}, tmp_path / f"{name}.ckpt")
    with pytest.raises(WeightsError, match=r"holds no 'conv2d.weight': it is no SepFormer of SpeechBrain"):
        read_speechbrain(tmp_path)
    torch.save([1, 2], tmp_path / "decoder.ckpt")
    assert main([str(tmp_path), "-o", str(tmp_path / "a.safetensors")]) == 1
    assert "decoder.ckpt holds no tensors by name" in capsys.readouterr().err
    states = as_published(SepFormer(**PUBLISHED))
    states["masknet"].pop("output_gate.0.bias")
    with pytest.raises(WeightsError, match=r"it lacks separator.gate.bias"):
        convert(*states.values(), chunk=10, heads=2)


@pytest.mark.slow
def test_it_learns_a_batch():
    sizes = {"filters": 64, "kernel": 16, "stride": 8, "chunk": 40, "blocks": 1, "layers": 2, "heads": 4, "hidden": 128}
    model = SepFormer(**sizes, sample_rate=8000)
    steps_to(20, model, OnEstimates(NegativeSiSnr()), two_mixtures(seconds=0.5), learning_rate=2e-3)
