"""A separator as ONNX gives what torch gives, at lengths and numbers of faces the exporter never saw."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from avsep.checkpoint import Card
from avsep.errors import WeightsError
from avsep.models.av_conv_tasnet import AVConvTasNet
from avsep.models.base import Model, SeparationModel
from avsep.models.conv_tasnet import ConvTasNet

SIZES = {"filters": 16, "kernel": 64, "stride": 32, "bottleneck": 8, "hidden": 12, "blocks": 1, "repeats": 2}
LIP = {"channels": 8, "widths": [4, 4, 8, 8], "temporal_channels": 8, "temporal_blocks": 1, "size": 48, "motion": True}


def card_of(model: Model) -> Card:
    return Card("tiny", model.class_path, model.init_args, model.parameter_count, "MIT", {})


def write(model: SeparationModel, path: Path):
    """Export, and open with onnxruntime."""
    from avsep.export.onnx import TOLERANCE, export_onnx

    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    assert export_onnx(model, path, card_of(model)) <= TOLERANCE == 1e-4
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    assert str(Path(__file__).parents[1]).encode() not in path.read_bytes()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


@pytest.mark.slow
def test_any_length_of_sound(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = ConvTasNet(**SIZES | {"blocks": 2, "repeats": 1}, skip=8, norm="cLN", causal=True).eval()
    session = write(model, tmp_path / "tiny.onnx")
    # The shortest has fewer frames than the dilated convolutions reach over.
    for batch, time in ((1, 31), (1, 7777), (3, 20001)):
        mixture = torch.randn(batch, time)
        (found,) = session.run(None, {"mixture": mixture.numpy()})
        expected = model(mixture.unsqueeze(1)).estimates.squeeze(2)
        np.testing.assert_allclose(found, expected.detach(), atol=1e-4)
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["avsep"])["licence"] == "MIT"
    assert metadata["sample_rate"] == "16000"
    assert list(session.get_outputs()[0].shape) == ["batch", 2, "time"]


@pytest.mark.slow
def test_any_number_of_faces_and_pictures(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = AVConvTasNet(**SIZES, lip=LIP).eval()
    session = write(model, tmp_path / "tiny.onnx")
    for faces, pictures, time in ((1, 2, 1280), (4, 31, 19999)):
        mixture, lips = torch.randn(1, time), torch.rand(1, faces, pictures, 96, 96)
        (found,) = session.run(None, {"mixture": mixture.numpy(), "lips": lips.numpy()})
        expected = model(mixture.unsqueeze(1), lips=lips).estimates.squeeze(2)
        np.testing.assert_allclose(found, expected.detach(), atol=1e-4)


def test_a_difference_to_torch_is_not_let_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from avsep.export import onnx

    monkeypatch.setattr(onnx, "_write", lambda model, path, card: path.write_bytes(b"x"))
    for difference in (2e-4, float("nan"), float("inf")):
        monkeypatch.setattr(onnx, "_differences", lambda model, path, d=difference: iter([0.0, d]))
        with pytest.raises(WeightsError, match="differs from torch by"):
            onnx.export_onnx(ConvTasNet(**SIZES), tmp_path / "x.onnx", card_of(ConvTasNet(**SIZES)))
    assert not list(tmp_path.iterdir())


def test_models_that_separate_nothing(cli) -> None:
    code, _, err = cli("export", "sync", "--onnx")
    assert code == 1
    assert "SynchronyEnsemble separates nothing" in err


def test_a_model_without_weights(cli) -> None:
    code, _, err = cli("export", "auxiva", "--onnx")
    assert code == 1
    assert "AuxIVA has no weights; ONNX is written of networks" in err


def test_a_network_that_gives_no_estimates(tmp_path: Path) -> None:
    from avsep.export.onnx import export_onnx
    from avsep.models.deep_clustering import DeepClustering

    model = DeepClustering(layers=1, hidden=4, dims=3)
    with pytest.raises(WeightsError, match="DeepClustering separates by more than its network; ONNX is written of"):
        export_onnx(model, tmp_path / "x.onnx", card_of(model))
    assert not list(tmp_path.iterdir())


def test_an_unknown_cue_is_named(tmp_path: Path) -> None:
    from avsep.export.onnx import export_onnx

    model = ConvTasNet(**SIZES)
    model.contract = replace(model.contract, cues=("geometry",))
    with pytest.raises(WeightsError, match="ConvTasNet needs geometry; ONNX is written of"):
        export_onnx(model, tmp_path / "x.onnx", card_of(model))


def test_without_the_extra(cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if "onnx" in name else real(name))
    code, _, err = cli("export", "audio-2spk", "--onnx")
    assert code == 2
    assert "needs onnx, onnxscript, onnxruntime" in err
    assert "pip install 'avsep[export]'" in err
    assert not list(tmp_path.iterdir())
