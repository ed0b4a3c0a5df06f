"""A training that was stopped and goes on ends with the very weights of one that was not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("lightning")
pytest.importorskip("jsonargparse")

from allowed_modules import TEST_MODULES
from tiny_training import IMPORTS, TINY_LIP, Stopped, write_config

from avsep.training.cli import FitCLI

PLATEAU = {"class_path": "avsep.training.schedules.Plateau", "init_args": {"halve_after": 1}}
EMA = {"class_path": "avsep.training.averaging.AveragedWeights", "init_args": {"decay": 0.9}}
BASE = {
    "checkpoint_every": 2,
    "model__init_args__objective": {"class_path": "tiny_training.NoisyLoss"},
    "model__init_args__schedule": PLATEAU,
}
LIPS = {
    "model__init_args__objective": {"class_path": "avsep.losses.FixedOrder"},
    "model__init_args__model__class_path": "avsep.models.av_conv_tasnet.AVConvTasNet",
    "model__init_args__model__init_args__lip": TINY_LIP,
    "data__init_args__cues": ["lips"],
}


def train(folder: Path, *options: str, **changes) -> Path:
    """Train in this process; returns the run's last.ckpt."""
    folder.mkdir(exist_ok=True)
    record = str(folder / "record.txt")
    config = write_config(folder, **{**BASE, "data__init_args__record": record, **changes})
    FitCLI(["--config", str(config), *options]).train(lambda text: None)
    return folder / "run" / "checkpoints" / "last.ckpt"


def equal(a, b, path: str = "") -> None:
    """Assert that two nested states are the same, bit by bit; paths of files may differ."""
    assert type(a) is type(b), path
    if isinstance(a, dict):
        assert a.keys() == b.keys(), path
        for key in a:
            equal(a[key], b[key], f"{path}.{key}")
    elif isinstance(a, list | tuple):
        assert len(a) == len(b), path
        for number, pair in enumerate(zip(a, b, strict=True)):
            equal(*pair, f"{path}[{number}]")
    elif isinstance(a, torch.Tensor):
        assert torch.equal(a, b), path
    elif not isinstance(a, str):
        assert a == b, path


def states(checkpoint: Path) -> dict:
    saved = torch.load(checkpoint, map_location="cpu", weights_only=True)
    kept = ("state_dict", "optimizer_states", "lr_schedulers", "current_model_state", "global_step", "epoch")
    kept_callbacks = {k: v for k, v in saved["callbacks"].items() if k.startswith("EarlyStopping")}
    return {k: saved[k] for k in kept if k in saved} | {"callbacks": kept_callbacks}


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """The checkpoint of an uninterrupted training: 3 epochs of 6 steps."""
    return train(tmp_path_factory.mktemp("whole"))


@pytest.mark.slow
@pytest.mark.parametrize("stop_at", [3, 6, 13])
def test_stopped_training_goes_on_exactly(whole, tmp_path, stop_at):
    with pytest.raises(Stopped):
        train(tmp_path, data__init_args__stop_at=stop_at)
    last = train(tmp_path, "--ckpt_path", "last")
    equal(states(last), states(whole))


@pytest.mark.slow
def test_checkpoint_at_the_first_batch_of_an_epoch_loses_no_validation(whole, tmp_path):
    with pytest.raises(Stopped):
        train(tmp_path, data__init_args__stop_at=8, checkpoint_every=6)
    assert states(tmp_path / "run" / "checkpoints" / "last.ckpt")["global_step"] == 6
    equal(states(train(tmp_path, "--ckpt_path", "last", checkpoint_every=6)), states(whole))


@pytest.mark.slow
def test_stopped_training_learns_from_the_same_items(whole, tmp_path):
    with pytest.raises(Stopped):
        train(tmp_path, data__init_args__stop_at=9)
    train(tmp_path, "--ckpt_path", "last")
    lines = (tmp_path / "record.txt").read_text().splitlines()
    steps = dict(line.split(" ", 1) for line in lines)
    expected = dict(line.split(" ", 1) for line in (whole.parents[2] / "record.txt").read_text().splitlines())
    assert steps == expected
    assert expected["7"] == "0 item 14 item 15"
    assert len(lines) == 18 + 1  # step 8 was done twice, from the checkpoint at 8


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"trainer__accumulate_grad_batches": 2, "data__init_args__epoch_items": 24},
        {"trainer__callbacks": [EMA]},
        {"model__init_args__optimizer__class_path": "avsep.training.optimizers.MuonAdam"},
        {
            "trainer__val_check_interval": 2,
            "model__init_args__schedule__class_path": "avsep.training.schedules.Plateau",
        },
        LIPS,
    ],
    ids=["accumulation", "averaged weights", "Muon", "validation within epochs", "lips"],
)
def test_exact_with(tmp_path, changes):
    changes = changes | {"trainer__max_epochs": 2}
    expected = states(train(tmp_path / "whole", **changes))
    with pytest.raises(Stopped):
        train(tmp_path / "cut", data__init_args__stop_at=9, **changes)
    equal(states(train(tmp_path / "cut", "--ckpt_path", "last", **changes)), expected)


@pytest.mark.slow
def test_a_finished_training_goes_on_with_more_epochs(whole, tmp_path):
    train(tmp_path, trainer__max_epochs=2)
    equal(states(train(tmp_path, "--ckpt_path", "last")), states(whole))


@pytest.mark.slow
def test_kill_9_in_the_middle_of_an_epoch(whole, tmp_path):
    config = write_config(tmp_path, **BASE, data__init_args__kill_at=9, data__init_args__workers=1)
    # Sums differ in their last bits between different numbers of threads.
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    environment = os.environ | threads | {"PYTHONPATH": IMPORTS}
    command = [sys.executable, "-m", "avsep", "fit", "--config", str(config), "--allow-modules", ",".join(TEST_MODULES)]
    killed = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert states(tmp_path / "run" / "checkpoints" / "last.ckpt")["global_step"] == 8
    equal(states(train(tmp_path, "--ckpt_path", "last", data__init_args__workers=1)), states(whole))
