"""Checkpoints of JusperLee's Conv-TasNet, Dual-Path-RNN-Pytorch and AV-ConvTasNet as they are here: the estimates of
their own classes, what settings change, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from avsep.checkpoint import load_model
from avsep.errors import UsageError, WeightsError
from avsep.importing import Imported, read_published

GOLDENS = Path(__file__).parent / "imported"
"""Made by the projects' own classes: imported/make.py."""
TOLERANCE = 1e-4

CONV, DUAL, AV = (f"JusperLee, {name}" for name in ("Conv-TasNet", "Dual-Path-RNN-Pytorch", "AV-ConvTasNet"))
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "conv_tasnet": (CONV, {}),
    "conv_tasnet_skip": (CONV, {"blocks": 2, "masks": "relu"}),
    "conv_tasnet_7c8d5de": (CONV, {"masks": "softmax", "causal": True}),
    "conv_tasnet_lightning": (CONV, {"masks": "relu"}),
    "conv_tasnet_dual_path": (CONV, {}),
    "conv_tasnet_dual_path_causal": (CONV, {"causal": True}),
    "dual_path_rnn_ln": (DUAL, {"chunk": 6}),
    "dual_path_rnn_gln": (DUAL, {"chunk": 6}),
    "av_conv_tasnet": (AV, {"blocks": 2, "crop": 32, "size": 32}),
}
"""Goldens -> their origin and what their files do not say."""


@pytest.fixture(autouse=True)
def _threads(one_thread):
    pass


def golden(name: str) -> dict[str, Any]:
    return torch.load(GOLDENS / f"jusperlee_{name}.pt", weights_only=True)


def read(content: object, folder: Path, **settings: Any) -> Imported:
    torch.save(content, folder / "best.pt")
    return read_published(folder / "best.pt", settings)


def estimates(found: Imported, made: dict[str, Any]) -> torch.Tensor:
    cues = {"lips": made["lips"]} if "lips" in made else {}
    with torch.inference_mode():
        return found.model(made["mixture"], **cues).estimates[:, :, 0]


def tensors(made: dict[str, Any]) -> dict[str, torch.Tensor]:
    """What the checkpoint of a golden holds, to be changed."""
    return next(value for value in made["serialized"].values() if isinstance(value, dict))


@pytest.mark.parametrize("name", CASES)
def test_estimates_are_those_of_their_own_class(name, tmp_path):
    origin, settings = CASES[name]
    made = golden(name)
    found = read(made["serialized"], tmp_path, **settings)
    assert made["estimates"].abs().max() > 0.1
    assert torch.allclose(estimates(found, made), made["estimates"], atol=TOLERANCE)
    assert (found.origin, found.model.contract.sample_rate) == (origin, 8000)
    assert found.model.contract.sources == (None if name == "av_conv_tasnet" else made["estimates"].shape[1])


@pytest.mark.parametrize("name", ["conv_tasnet", "dual_path_rnn_ln", "av_conv_tasnet"])
def test_a_bare_state_dict_is_read_too(name, tmp_path):
    made = golden(name)
    found = read(tensors(made), tmp_path, sample_rate=16_000, **CASES[name][1])
    assert torch.allclose(estimates(found, made), made["estimates"], atol=TOLERANCE)
    assert found.model.contract.sample_rate == 16_000


@pytest.mark.parametrize(("name", "used"), [("conv_tasnet", 1), ("conv_tasnet_skip", 1), ("conv_tasnet_7c8d5de", 2)])
def test_norms_that_no_training_changed_are_left_out_unless_it_is_set(name, used, tmp_path):
    made = golden(name)
    for norms in (1, 2):
        found = read(made["serialized"], tmp_path, norms=norms, **CASES[name][1])
        right = torch.allclose(estimates(found, made), made["estimates"], atol=TOLERANCE)
        assert right == (norms == used)


def test_the_estimate_is_of_the_lips(tmp_path):
    made = golden("av_conv_tasnet")
    found = read(made["serialized"], tmp_path, **CASES["av_conv_tasnet"][1])
    other = made | {"lips": made["lips"].flip(2)}
    assert (estimates(found, other) - made["estimates"]).abs().max() > 100 * TOLERANCE
    brighter = read(made["serialized"], tmp_path, mean=0.261858, **CASES["av_conv_tasnet"][1])
    brighter_lips = made | {"lips": made["lips"] - 0.1}
    assert torch.allclose(estimates(brighter, brighter_lips), made["estimates"], atol=TOLERANCE)


def test_a_file_of_the_lips_is_taken_before_those_in_the_checkpoint(tmp_path):
    made = golden("av_conv_tasnet")
    state = tensors(made)
    lips = {}
    for name in [name for name in state if name.startswith("video_model.front3d.")]:
        rest = name.removeprefix("video_model.front3d.")
        lips[f"front3D.{rest.removeprefix('conv3d.')}" if rest.startswith("conv3d.") else rest] = state[name].clone()
        state[name] *= 2
    (tmp_path / "folder").mkdir()
    torch.save(made["serialized"], tmp_path / "folder" / "epoch=67.ckpt")
    torch.save({"model_state_dict": lips}, tmp_path / "folder" / "video_resnet18.pt")
    found = read_published(tmp_path / "folder", CASES["av_conv_tasnet"][1])
    assert torch.allclose(estimates(found, made), made["estimates"], atol=TOLERANCE)
    (tmp_path / "folder" / "video_resnet18.pt").unlink()
    found = read_published(tmp_path / "folder", CASES["av_conv_tasnet"][1])
    assert not torch.allclose(estimates(found, made), made["estimates"], atol=TOLERANCE)


@pytest.mark.parametrize("name", ["conv_tasnet_7c8d5de", "dual_path_rnn_gln", "av_conv_tasnet"])
def test_it_becomes_a_weights_file(name, cli, tmp_path):
    made = golden(name)
    torch.save(made["serialized"], tmp_path / "best.pt")
    given = [f"{key}={str(value).lower()}" for key, value in CASES[name][1].items()]
    code, printed, said = cli("import", "best.pt", "-o", "mine.safetensors", "--set", *given)
    assert (code, printed.strip()) == (0, "mine.safetensors"), said
    model, card = load_model("mine.safetensors")
    assert card.lineage["from"] == CASES[name][0]
    found = estimates(Imported(model.eval(), ""), made)
    assert (found - made["estimates"]).norm() < 0.01 * made["estimates"].norm()


def changed(name: str, change: str) -> dict[str, torch.Tensor]:
    """The tensors of a golden with a change."""
    state = tensors(golden(name))
    what, _, where = change.partition(" ")
    if what == "without":
        return {key: value for key, value in state.items() if where not in key}
    if what == "only":
        return {key: value for key, value in state.items() if where in key}
    if what == "longer":
        state[where] = torch.cat([state[where], state[where][..., :1]], -1)
    elif what == "wider":
        state[where] = torch.cat([state[where], state[where][:1]])
    elif what == "flat":
        state[where] = state[where].flatten()
    elif what == "batch":
        state[where] = torch.zeros(4)
    return state


BLOCK, AUDIO = "separation.0.0.", "av_model.feats_conv.lists.0."


@pytest.mark.parametrize(
    ("name", "change", "settings", "message"),
    [
        ("conv_tasnet", "without BottleN_S.weight", {}, r"Conv-TasNet lacks separator.enter.1.weight"),
        ("conv_tasnet", "without encoder.weight", {}, "it lacks encoder.weight"),
        ("conv_tasnet", "without separation.", {}, "it has no blocks"),
        ("conv_tasnet", "without 1.1.Sc_conv", {}, "lacks separator.repeats_after.1.blocks.1.out.weight"),
        ("conv_tasnet", "without norm_1", {}, "it lacks norm_1.weight"),
        ("conv_tasnet", "without separation.1.1.", {}, "it has 3 blocks, which are no stacks of 2"),
        ("conv_tasnet", "longer encoder.weight", {}, "its filters are 9 samples long; an even number"),
        ("conv_tasnet", "flat encoder.weight", {}, r"its encoder.weight is \(48,\); 3 dimensions can be read"),
        ("conv_tasnet", "wider gen_masks.weight", {}, "it makes masks of 13 rows for 6 filters; a multiple"),
        ("conv_tasnet", "wider separation.1.0.dwconv.weight", {}, r"blocks.0.body.3.weight is \(3, 6\)"),
        ("conv_tasnet", "wider BottleN_S.weight", {}, r"separator.enter.1.weight is \(5, 6, 1\)"),
        ("conv_tasnet", f"batch {BLOCK}norm_1.running_mean", {}, "its norm_1 is a batch norm; 'gln' and 'cln'"),
        ("conv_tasnet", "", {"norms": 3}, "norms is 3; it must be 1 or 2, or 0"),
        ("conv_tasnet", "", {"masks": "tanh"}, "make no model: masks is 'tanh'; it must be one of sigmoid"),
        ("conv_tasnet_skip", "", {}, "it has 4 blocks, which are no stacks of 8; set blocks"),
        ("conv_tasnet_dual_path", "", {"masks": "relu"}, "masks is 'relu'; those of Dual-Path-RNN-Pytorch are"),
        ("conv_tasnet_dual_path", "", {"causal": True}, "its causal version with gLN lets norms see"),
        ("dual_path_rnn_ln", "without output_gate", {}, "it was trained with the first code of Dual-Path-RNN"),
        ("dual_path_rnn_ln", "without _reverse", {}, "its recurrent networks are not bidirectional LSTMs"),
        ("dual_path_rnn_ln", "without conv2d.weight", {}, "it lacks separation.conv2d.weight"),
        ("dual_path_rnn_ln", "without intra_norm", {}, "lacks separator.blocks.0.norm_within.weight"),
        ("dual_path_rnn_ln", "wider separation.conv2d.weight", {}, "it makes masks of 9 rows for 4 filters"),
        ("dual_path_rnn_ln", "batch separation.norm.running_mean", {}, "its norm is a batch norm; 'ln' and 'gln'"),
        ("dual_path_rnn_ln", "", {"chunk": 5}, "make no model: chunk 5 and blocks 2; expected an even chunk"),
        ("av_conv_tasnet", "only av_model", {}, "there is no network of the lips; a checkpoint of its AV_model"),
        ("av_conv_tasnet", "without resnet.fc", {}, "it lacks resnet.fc.weight"),
        ("av_conv_tasnet", "without bnfc.running_var", {}, "it lacks resnet.bnfc.running_var"),
        ("av_conv_tasnet", "without bn1.running_mean", {}, "it lacks 0.0.bn1.running_mean"),
        ("av_conv_tasnet", "wider video_model.front3d.resnet.layer1.0.conv1.bias", {}, "make no model: The size of"),
        ("av_conv_tasnet", "wider video_model.front3d.resnet.bnfc.weight", {}, "make no model: The size of"),
        ("av_conv_tasnet", "without audio_conv.lists.1.B_conv", {}, "repeats_before.0.blocks.1.out.weight"),
        ("av_conv_tasnet", "wider av_model.video.conv1d_list.1.dconv.weight", {}, "temporal.2.depthwise.weight is"),
        ("av_conv_tasnet", "without bconv", {}, "it lacks video.conv1d_list.0.bconv.weight"),
        ("av_conv_tasnet", "without av_model.cln", {}, "lacks separator.enter.0.weight"),
        ("av_conv_tasnet", f"batch {AUDIO}norm1.running_mean", {}, "norm1 is a batch norm"),
        ("av_conv_tasnet", "wider av_model.concat.conv1d.weight", {}, r"fusion.project.weight is \(5, 7, 1\)"),
        ("av_conv_tasnet", "", {"blocks": 3}, "it has 2 blocks, which are no stacks of 3; set blocks"),
        ("av_conv_tasnet", "", {"crop": 300}, "make no model: crop is 300; it must be a whole number"),
    ],
)
def test_what_cannot_be_read_is_named(name, change, settings, message, tmp_path):
    with pytest.raises(WeightsError, match=message):
        read(changed(name, change), tmp_path, **CASES[name][1] | settings if name != "conv_tasnet_skip" else settings)


def test_settings_of_another_kind_are_named(tmp_path):
    content = golden("av_conv_tasnet")["serialized"]
    with pytest.raises(UsageError, match=r"deviation is 'x'; it must be of the kind of 0\.147485"):
        read(content, tmp_path, deviation="x")
    with pytest.raises(UsageError, match="causal is 1; it must be of the kind of False"):
        read(content, tmp_path, causal=1)
    with pytest.raises(UsageError, match="chunk is no setting of JusperLee, AV-ConvTasNet; it has blocks, causal"):
        read(content, tmp_path, chunk=6)
    with pytest.raises(WeightsError, match="deviation is 0; it must be above 0"):
        read(content, tmp_path, deviation=0, **CASES["av_conv_tasnet"][1])


def test_numbers_and_truths_of_the_command_line(cli, tmp_path):
    torch.save(golden("av_conv_tasnet")["serialized"], tmp_path / "best.pt")
    given = ["blocks=2", "causal=true", "crop=32", "size=32", "mean=0.25", "deviation=1", "sample_rate=16000"]
    code, _, said = cli("import", "best.pt", "-o", "mine.safetensors", "--set", *given)
    assert code == 0, said
    model, _ = load_model("mine.safetensors")
    lips = model.cue_encoder
    assert (lips.mean, lips.deviation, model.contract.sample_rate) == (0.25, 1, 16_000)
    assert model.separator.init_args["causal"] is True
