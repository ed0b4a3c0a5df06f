"""The task of sound classifiers: targets of patches, mixup, measures, messages, and that it learns."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("lightning")
pytest.importorskip("jsonargparse")

import torch
import yaml
from test_data_labelled import corpus

from avsep.errors import UsageError
from avsep.models.sound_classifier import SILENCE, SoundClassifier
from avsep.training.classification import ClassificationTask
from avsep.training.cli import FitCLI

RATE = 16_000
NAMES = ["hum", "hiss", SILENCE]
CHANNELS = [8, *[12] * 10]


@pytest.fixture(autouse=True)
def _seed(one_thread):
    torch.manual_seed(0)


def task(**arguments) -> ClassificationTask:
    return ClassificationTask(SoundClassifier(names=NAMES, channels=CHANNELS), **arguments)


def batch() -> dict:
    """A hum, and a hiss in the last second of three."""
    waveform = torch.zeros(2, 3 * RATE)
    waveform[0] = 0.1 * torch.sin(torch.arange(3 * RATE) / 20)
    waveform[1, 2 * RATE :] = 0.1 * torch.randn(RATE)
    return {"waveform": waveform, "labels": ["hum", "hiss"], "name": ["a", "b"]}


def test_a_silent_patch_is_silence_and_nothing_else():
    model = task()
    waveform, labels, sounding = model.inputs(batch())
    frames = model.model(waveform, every_frame=False).shape[1]
    assert sounding.shape == (2, frames)
    assert sounding[0].all()
    # A patch of 0.96 s around its frame begins to sound 0.05 s after it reaches the hiss at 2 s.
    first = int(sounding[1].argmax()) * 4
    assert first * 0.01 == pytest.approx(2 - 0.48 + 0.05, abs=0.05)
    assert sounding[1, first // 4 :].all()
    targets = model.targets(labels, sounding, torch.ones(2, 1))
    assert targets[0].unique(dim=0).tolist() == [[1, 0, 0]]
    assert targets[1, 0].tolist() == [0, 0, 1]
    assert targets[1, -1].tolist() == [0, 1, 0]


def test_noise_does_not_make_a_silent_patch_sound():
    model, quiet = task(), batch()
    noisy = quiet | {"waveform": quiet["waveform"] + 0.01 * torch.randn(2, 3 * RATE), "clean": quiet["waveform"]}
    assert torch.equal(model.inputs(noisy)[2], model.inputs(quiet)[2])
    assert not torch.equal(model.inputs({**noisy, "clean": noisy["waveform"]})[2], model.inputs(quiet)[2])
    # Below -70 dB everything is silent.
    assert not model.sounding(1e-5 * quiet["waveform"]).any()


def test_mixed_labels_follow_the_weights_where_both_sound():
    model = task()
    _, labels, sounding = model.inputs(batch())
    targets = model.targets(labels, sounding, torch.tensor([[0.7], [0.4]]))
    # The hum with the clip before it, the hiss; the hiss with the hum.
    assert targets[0, -1].tolist() == pytest.approx([0.7, 0.3, 0])
    assert targets[1, -1].tolist() == pytest.approx([0.6, 0.4, 0])
    assert targets[0, 0].tolist() == pytest.approx([1, 0, 0])
    assert targets[1, 0].tolist() == pytest.approx([1, 0, 0])


def test_mixup_mixes_some_clips_made_equally_loud():
    always, never = task(mixup=0.5, p_mixup=1.0), task(mixup=0.5, p_mixup=0.0)
    assert never._weights(torch.ones(50, 1)).eq(1).all()
    weights = always._weights(torch.ones(500, 1))
    assert 0.4 < weights.mean() < 0.6
    assert ((weights < 0.1) | (weights > 0.9)).float().mean() > 0.3
    seen = []
    always._cross_entropy = lambda waveform, targets: seen.append(waveform) or targets.mean((1, 2))
    items = batch()
    items["waveform"][0] *= 10
    always._weights = lambda ones: torch.full_like(ones, 0.5)
    always.losses(items)
    hum, hiss = items["waveform"]
    ratio = hum.square().mean().sqrt() / hiss.square().mean().sqrt()
    assert torch.allclose(seen[0][0], 0.5 * hum + 0.5 * ratio * hiss, atol=1e-3)


def test_several_labels_and_measures():
    model = task()
    items = batch() | {"labels": ["hum;hiss", "hiss"]}
    p = torch.tensor([[0.9, 0.8, 0.0], [0.6, 0.2, 0.1]])
    model.model.probabilities = lambda waveform: p
    values, _ = model.measure(items)
    # A clip of two labels has no accuracy; it counts for the average precision.
    assert values["accuracy"].isnan().tolist() == [True, False]
    assert values["accuracy"][1] == 0
    assert values["balanced_accuracy"][1].tolist() == [-1, 1]
    for name in ("balanced_accuracy", "map"):
        model.means[name].update(*values[name])
    assert model.means["balanced_accuracy"].compute() == 0
    # hum: one of one, first; hiss: both. Nothing is silence.
    assert model.means["map"].compute() == 1


def test_what_does_not_fit_is_said():
    model = task()
    with pytest.raises(UsageError, match=r"item b is labelled 'wind', and the model has no such class; it has hum, hi"):
        model.inputs(batch() | {"labels": ["hum", "wind"]})
    assert model.inputs(batch() | {"labels": ["", "hiss"]})[1].tolist() == [[0, 0, 0], [0, 1, 0]]
    with pytest.raises(UsageError, match="ClassificationTask needs waveform, labels, and a batch holds mixture; take"):
        model.inputs({"mixture": torch.zeros(1, 1, 10)})
    with pytest.raises(UsageError, match=r"mixup is -1 and p_mixup 0.5"):
        task(mixup=-1)


@pytest.mark.slow
def test_it_learns_two_classes_and_silence(tmp_path: Path):
    rng = torch.Generator().manual_seed(1)
    time = torch.arange(RATE) / RATE

    def hum(number: int):
        return (0.2 * torch.sin(2 * torch.pi * (200 + 20 * number) * time)).numpy()

    def hiss(_: int):
        return (0.2 * torch.randn(RATE, generator=rng)).numpy()

    sounds = {
        f"{name}{n}": (name, split, make(n))
        for name, make in (("hum", hum), ("hiss", hiss))
        for n, split in enumerate(["train"] * 3 + ["dev"] * 2)
    }
    corpora = [{"sounds": corpus(tmp_path / "sounds", sounds)}]
    document = {
        "model": {
            "class_path": "avsep.training.classification.ClassificationTask",
            "init_args": {
                "learning_rate": 0.01,
                "mixup": 1.0,
                "model": {
                    "class_path": "avsep.models.sound_classifier.SoundClassifier",
                    "init_args": {"names": NAMES, "channels": CHANNELS, "dropout": 0.0},
                },
            },
        },
        "data": {
            "class_path": "avsep.data.module.SeparationData",
            "init_args": {
                "batch_size": 8,
                "epoch_items": 320,
                "workers": 0,
                "train": {
                    "class_path": "avsep.data.labelled.LabelledSounds",
                    "init_args": {"corpora": corpora, "seconds": 1.5, "p_silence": 0.25},
                },
                "validation": {
                    "class_path": "avsep.data.labelled.LabelledClips",
                    "init_args": {"corpora": corpora, "seconds": 1.5},
                },
            },
        },
        "trainer": {"max_steps": 200, "max_epochs": -1, "accelerator": "cpu", "logger": False, "log_every_n_steps": 5}
        | {"default_root_dir": str(tmp_path / "run")},
    }
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(document))
    cli = FitCLI(["--config", str(tmp_path / "run.yaml")])
    cli.train(lambda text: None)
    metrics = cli.trainer.callback_metrics
    assert metrics["accuracy"] == metrics["balanced_accuracy"] == metrics["map"] == 1
    model = cli.model.model.eval()
    assert model.probabilities(torch.zeros(1, RATE)).argmax() == NAMES.index(SILENCE)
