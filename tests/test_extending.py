"""The examples of docs/extending.md work as they stand there."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile as sf
import torch
import yaml

pytest.importorskip("lightning")

PAGE = (Path(__file__).parents[1] / "docs" / "extending.md").read_text()
BLOCKS = dict(re.findall(r"```\w+ file=(\S+)\n(.*?)```", PAGE, re.DOTALL))


def load(name: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> ModuleType:
    """A code block as the module it would be in its file."""
    file = folder / Path(name).name
    file.write_text(BLOCKS[name])
    module_name = name.removesuffix(".py").replace("/", ".")
    spec = importlib.util.spec_from_file_location(module_name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, module_name, module)
    spec.loader.exec_module(module)
    return module


def test_every_example_is_run_here():
    assert sorted(BLOCKS) == [
        "avsep/losses/leftover.py",
        "avsep/models/separators/gru.py",
        "avsep/modes/left_right.py",
        "configs/gru.yaml",
        "use_it.py",
    ]


def test_the_separator_and_the_objective_train_and_are_saved_and_loaded(monkeypatch, tmp_path):
    from avsep.checkpoint import load_model, save_model
    from avsep.training.cli import FitCLI

    load("avsep/models/separators/gru.py", monkeypatch, tmp_path)
    load("avsep/losses/leftover.py", monkeypatch, tmp_path)
    document = yaml.safe_load(BLOCKS["configs/gru.yaml"])
    document["data"] = {"class_path": "tiny_training.TinyData"}
    document["trainer"] = {"fast_dev_run": 2, "accelerator": "cpu", "default_root_dir": str(tmp_path / "run")}
    (tmp_path / "gru.yaml").write_text(yaml.safe_dump(document))
    cli = FitCLI(["--config", str(tmp_path / "gru.yaml")])
    cli.train(lambda text: None)
    assert cli.trainer.global_step == 2
    model = cli.model.model.eval()
    save_model(tmp_path / "gru.safetensors", model, "gru", "MIT", {}, half=False)
    again, card = load_model(tmp_path / "gru.safetensors")
    assert card.init_args["separator"]["class_path"] == "avsep.models.separators.gru.GruSeparator"
    mixture = torch.randn(1, 1, 1000)
    assert torch.equal(again(mixture).estimates, model(mixture).estimates)


def test_the_mode_separates_a_recording(monkeypatch, tmp_path):
    load("avsep/modes/left_right.py", monkeypatch, tmp_path)
    monkeypatch.chdir(tmp_path)
    stereo = np.random.default_rng(0).uniform(-0.5, 0.5, (16_000, 2)).astype(np.float32)
    sf.write("interview.wav", stereo, 16_000, subtype="FLOAT")
    exec(compile(BLOCKS["use_it.py"], "use_it.py", "exec"), scope := {})
    manifest = scope["manifest"]
    assert (manifest["mode"], [t["id"] for t in manifest["tracks"]]) == ("left-right", ["left", "right"])
    tracks = [sf.read(f"out/interview/{name}.wav", dtype="float32")[0] for name in ("left", "right")]
    np.testing.assert_allclose(tracks[0], stereo * [1, 0], atol=1e-6)
    np.testing.assert_allclose(tracks[1], stereo * [0, 1], atol=1e-6)
