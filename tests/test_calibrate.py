"""From trainings of a synchrony network to one weights file whose log odds fit."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from data_factory import make_corpus

from avsep.checkpoint import load_model
from avsep.models.base import Model
from avsep.models.conv_tasnet import ConvTasNet
from avsep.models.synchrony import Synchrony
from avsep.signals import HOP
from avsep.training import calibrate
from avsep.training.calibrate import fit_logistic

LIP = {"channels": 4, "widths": [2, 2, 2, 2], "temporal_channels": 4, "temporal_blocks": 1, "size": 24}
VOICE = {"channels": 4, "width": 4, "temporal_blocks": 1}


def test_the_fit_finds_the_log_odds_of_two_normal_distributions():
    rng = np.random.default_rng(0)
    own, other = rng.normal(0.5, 0.2, 20_000), rng.normal(0.1, 0.2, 20_000)
    # Equal deviations: log odds are (0.5 - 0.1) / 0.2^2 x, zero half way.
    slope, bias = fit_logistic(own, other)
    assert slope == pytest.approx(10.0, rel=0.05)
    assert -bias / slope == pytest.approx(0.3, abs=0.01)


def save_run(folder: Path, name: str, model: Model, data: dict) -> str:
    """Configuration and checkpoint of a model as a training leaves them; the latter's path."""
    own = {"class_path": model.class_path, "init_args": model.init_args}
    config, checkpoint = folder / name / "config.yaml", folder / name / "checkpoints" / f"{name}.ckpt"
    checkpoint.parent.mkdir(parents=True)
    # JSON is YAML.
    config.write_text(json.dumps({"model": {"init_args": {"model": own}}, "data": {"init_args": data}}))
    state = {f"model.{key}": value for key, value in model.state_dict().items()}
    torch.save({"state_dict": state, "avsep_model": own, "global_step": 1, "epoch": 0}, checkpoint)
    return str(checkpoint)


@pytest.fixture
def run(tmp_path: Path) -> list[str]:
    """Two checkpoints of untrained networks, of which each holds out another speaker."""
    manifest = make_corpus(tmp_path / "faces", ("ada", "bob"), seconds=3.0, lips=True)
    for number, file in enumerate(sorted((tmp_path / "faces").glob("*.npz"))):
        arrays = dict(np.load(file))
        sound = np.random.default_rng(number).integers(-3000, 3000, 75 * HOP).astype(np.int16)
        np.savez(file, **arrays | {"audio": sound})
    data = {"faces": str(manifest), "speech": str(manifest)}
    return [save_run(tmp_path, name, Synchrony(LIP, VOICE), data | {"held_out": [name]}) for name in ("ada", "bob")]


@pytest.mark.slow
def test_several_trainings_become_one_file(run, tmp_path, capsys):
    lineage = tmp_path / "lineage.json"
    lineage.write_text(json.dumps({"licence": "MIT", "lineage": {"data": "noise"}, "values": {"slope": 7.0}}))
    out = tmp_path / "two.safetensors"
    assert calibrate.main([*run, "-o", str(out), "--lineage", str(lineage)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["windows"] == 480
    assert len(found["own_above_other"]) == 2
    model, card = load_model(out)
    assert card.class_path == "avsep.models.synchrony_ensemble.SynchronyEnsemble"
    assert (card.licence, card.lineage) == ("MIT", {"data": "noise"})
    assert model.slope.item() == 7.0
    assert model.bias.item() == pytest.approx(found["bias"], abs=0.02)


def test_other_models_are_refused(run, tmp_path, capsys):
    model = ConvTasNet(filters=8, kernel=8, stride=4, bottleneck=4, hidden=6, blocks=2, repeats=1)
    assert calibrate.main([save_run(tmp_path, "ear", model, {})]) == 1
    assert "ear.ckpt holds a ConvTasNet; only a Synchrony can be calibrated" in capsys.readouterr().err
    assert calibrate.main([str(tmp_path / "none.ckpt")]) == 1
    assert "none.ckpt" in capsys.readouterr().err
    (tmp_path / "ada" / "config.yaml").unlink()
    assert calibrate.main([run[0]]) == 1
    assert (
        "ada.ckpt: no config.yaml beside it; give the YAML it was trained with as --config" in capsys.readouterr().err
    )
