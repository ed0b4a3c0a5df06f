"""The sound classifier: sliding against cut patches, sizes, silence, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional

from avsep.checkpoint import load_model, save_model
from avsep.errors import WeightsError
from avsep.inference.models import ModelStore
from avsep.models.parts.mobilenet import Layer
from avsep.models.sound_classifier import SILENCE, SoundClassifier

CHANNELS = [4, 6, 8, 8, 8, 8, 8, 8, 8, 8, 12]
NAMES = ["bark", "rain", SILENCE]


@pytest.fixture(autouse=True)
def _seed(one_thread):
    torch.manual_seed(0)


def trained(**arguments) -> SoundClassifier:
    """With batch norms that are not those of the start."""
    model = SoundClassifier(**({"names": NAMES, "channels": CHANNELS} | arguments)).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return model


def patch_logits(model: SoundClassifier, mel: torch.Tensor) -> torch.Tensor:
    """(batch, mels, patch) -> (batch, classes) of one patch, with strides as they are written down."""
    x = model.input_norm(mel)[:, None]
    for layer in model.layers:
        x = layer(x)
    x = x.mean(2)
    assert x.shape[2] == model.places
    return model.output(x.mean(2) + x.amax(2))


@torch.inference_mode()
@pytest.mark.parametrize("samples", [16_000, 48_000])
def test_sliding_gives_what_cut_patches_give(samples):
    model = trained()
    waveform = 0.1 * torch.randn(2, samples)
    logits = model(waveform)
    frames = 1 + samples // 160
    assert logits.shape == (2, frames, 3)
    mel = functional.pad(model.spectrogram(waveform), (48, 47), mode="reflect")
    for frame in (0, 1, 37, 50, frames - 1):
        assert torch.allclose(logits[:, frame], patch_logits(model, mel[..., frame : frame + 96]), atol=1e-5)
    # A part of the frames, at a part of the cost.
    assert model.step == 4
    assert torch.allclose(model(waveform, every_frame=False), logits[:, ::4], atol=1e-5)


@torch.inference_mode()
@pytest.mark.parametrize("samples", [1, 159, 160, 4_000, 15_199])
def test_a_sound_shorter_than_a_patch_has_its_own_frames(samples):
    model = trained()
    waveform = 0.1 * torch.randn(1, samples)
    logits = model(waveform)
    assert logits.shape == (1, 1 + samples // 160, 3)
    assert logits.isfinite().all()
    padded = functional.pad(waveform, (0, 15_200 - samples))
    assert torch.allclose(logits, model(padded)[:, : logits.shape[1]], atol=1e-5)
    assert model.probabilities(waveform).shape == (1, 3)


@torch.inference_mode()
def test_strides_by_means_slide_too():
    """Behind the layers that pad, patches see each other: away from the ends a frame is still that of its place."""
    model = trained(
        channels=[4, 4, 4], mel_strides=[2, 2, 1], time_strides=[2, 2, 1], pooled=True, padded=True, patch=32
    )
    waveform = 0.1 * torch.randn(1, 32_000)
    logits, part = model(waveform), model(waveform, every_frame=False)
    assert logits.shape[1] == 201
    assert torch.allclose(part[:, 4:-4], logits[:, ::4][:, 4:-4], atol=1e-5)


def test_the_default_has_ten_separable_layers_and_527_classes():
    model = SoundClassifier()
    layers = [layer for layer in model.layers if isinstance(layer, Layer)]
    assert sum(layer.mix is not None for layer in layers) == 10
    assert (len(model.names), model.output.out_features, model.patch, len(model.filters.T)) == (527, 527, 96, 64)
    assert (model.sample_rate, model.hop) == (16_000, 160)


def test_last_layers_are_those_of_the_end():
    model = SoundClassifier(classes=3, channels=CHANNELS)
    output = {id(p) for p in model.output.parameters()}
    one, three = ([p for m in model.last_layers(n) for p in m.parameters()] for n in (1, 3))
    assert {id(p) for p in one} == output
    assert {id(p) for p in three} == output | {id(p) for layer in model.layers[-2:] for p in layer.parameters()}
    with pytest.raises(ValueError, match="13 last layers; the classifier has 1 to 12"):
        model.last_layers(13)


@torch.inference_mode()
def test_short_sounds_in_silence_are_what_they_are():
    model = trained()
    p = torch.tensor([[0.9, 0.1, 0.01], [0.0, 0.0, 0.99], [0.0, 0.0, 0.99], [0.0, 0.0, 0.99]])
    model.forward = lambda waveform, every_frame: p.logit(eps=1e-6).repeat(2, 1, 1)  # type: ignore[method-assign]
    found = model.probabilities(torch.zeros(2, 1))
    assert found[0].tolist() == pytest.approx([0.873, 0.097, 0.01], abs=1e-3)
    assert found[0].equal(found[1])
    model.names = ("bark", "rain", "wind")
    assert model.probabilities(torch.zeros(2, 1))[0].tolist() == pytest.approx(p.mean(0).tolist(), abs=1e-4)


def test_gradients_reach_the_waveform_and_every_layer():
    model = trained()
    waveform = (0.1 * torch.randn(1, 16_000)).requires_grad_()
    model(waveform).square().mean().backward()
    assert waveform.grad.abs().sum() > 0
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@torch.inference_mode()
def test_half_precision_keeps_the_spectrogram():
    model = trained()
    waveform = 1e-4 * torch.randn(1, 16_000)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(model.spectrogram(waveform), model.spectrogram(waveform.clone()))
        assert model.spectrogram(waveform).dtype == torch.float32


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"names": []}, r"names are \[\]; there must be one or more, each once"),
        ({"names": ["rain", "rain"]}, r"names are \['rain', 'rain'\]"),
        ({"classes": 0}, "classes is 0; it must be a whole number from 1 to 100000"),
        ({"patch": 40}, "patch is 40 frames; with these strides it must be at least 75"),
        ({"mel_strides": [2, 1]}, "11 channels, 2 mel_strides and 11 time_strides"),
        ({"high_hz": 9000.0}, "low_hz 60.0 and high_hz 9000.0; they must rise within 0 to 8000"),
        ({"mels": 0}, "mels is 0"),
        ({"time_strides": [0] * 11}, "time_stride is 0"),
    ],
)
def test_arguments_that_do_not_go_together(arguments, message):
    with pytest.raises(ValueError, match=message):
        SoundClassifier(**({"channels": CHANNELS} | arguments))


def test_a_waveform_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"waveform \(2, 1, 100\); expected \(batch, time\)"):
        trained()(torch.zeros(2, 1, 100))


@torch.inference_mode()
def test_weights_files_keep_names_and_numbers(tmp_path: Path):
    model = trained()
    save_model(tmp_path / "mine.safetensors", model, "mine", "MIT", {}, half=False)
    store = ModelStore()
    again = store.classifier(tmp_path / "mine.safetensors")
    assert again.names == tuple(NAMES)
    waveform = torch.randn(1, 16_000)
    assert torch.equal(again(waveform), model(waveform))
    with pytest.raises(WeightsError, match="model 'audio-2spk' is no sound classifier"):
        store.classifier("audio-2spk")
    with pytest.raises(WeightsError, match="is a SoundClassifier, which separates nothing"):
        store.separation(tmp_path / "mine.safetensors")
    assert load_model(tmp_path / "mine.safetensors")[1].parameters == model.parameter_count
