"""PANNs' MobileNetV1, written out by its list of layers with random weights, and what the converter makes of it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from avsep.checkpoint import load_model
from avsep.errors import InputError, WeightsError
from avsep.export.panns import main, read_names, read_panns

CLASSES = 5
LIST = [(1, 32, 2), (32, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2), (256, 256, 1), (256, 512, 2)]
LIST += [*[(512, 512, 1)] * 5, (512, 1024, 2), (1024, 1024, 1)]
"""Channels in and out, and the side of the mean that follows the 3 x 3 convolution."""


class Tagger(nn.Module):
    """The published network: frames first, a mean of two by two in place of a stride, zeros around every map."""

    def __init__(self) -> None:
        super().__init__()
        self.bn0 = nn.BatchNorm2d(64)
        self.features = nn.Sequential(*(self.layer(n, *row) for n, row in enumerate(LIST)))
        self.fc1 = nn.Linear(1024, 1024)
        self.fc_audioset = nn.Linear(1024, CLASSES)

    @staticmethod
    def layer(number: int, inputs: int, outputs: int, side: int) -> nn.Sequential:
        middle, groups = (outputs, 1) if number == 0 else (inputs, inputs)
        first = [
            nn.Conv2d(inputs, middle, 3, padding=1, groups=groups, bias=False),
            nn.AvgPool2d(side),
            nn.BatchNorm2d(middle),
            nn.ReLU(),
        ]
        second = [nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
        return nn.Sequential(*first, *(second if number else []))

    def forward(self, waveform: Tensor, bands: Tensor) -> Tensor:
        """(batch, time) -> logits (batch, classes). bands: (513, 64)."""
        window = torch.hann_window(1024)
        power = torch.stft(waveform, 1024, 320, 1024, window, return_complex=True).abs().square()
        mel = 10 * torch.log10((power.transpose(1, 2) @ bands).clamp(min=1e-10))[:, None]
        x = self.features(self.bn0(mel.transpose(1, 3)).transpose(1, 3)).mean(3)
        return self.fc_audioset(functional.relu(self.fc1(x.amax(2) + x.mean(2))))


@pytest.fixture(scope="module")
def tagger() -> Tagger:
    torch.manual_seed(0)
    net = Tagger().eval()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.3, 1.5)
            module.bias.data.normal_(0, 0.3)
    net.bn0.running_mean.fill_(-20)
    net.bn0.running_var.fill_(400)
    return net


@pytest.fixture
def checkpoint(tagger: Tagger, tmp_path: Path) -> Path:
    fixed = {"spectrogram_extractor.stft.conv_real.weight": torch.zeros(513, 1, 1024)}
    torch.save({"iteration": 3, "model": tagger.state_dict() | fixed}, tmp_path / "net.pth")
    return tmp_path / "net.pth"


@torch.inference_mode()
def test_it_gives_what_the_published_network_gives(tagger, checkpoint, one_thread):
    model = read_panns(checkpoint)
    assert (model.sample_rate, model.hop, len(model.names)) == (32_000, 320, CLASSES)
    waveform = 0.1 * torch.randn(2, 64_000)
    expected = tagger(waveform, model.filters)
    assert expected.std() > 1e-3
    assert torch.allclose(model.clip_logits(waveform), expected, atol=1e-4)
    # And it slides: a logit for each 10 ms.
    logits = model(waveform[:1])
    assert logits.shape == (1, 201, CLASSES)
    assert torch.allclose(model(waveform[:1], every_frame=False)[:, 2:-2], logits[:, ::32][:, 2:-2], atol=1e-3)


def test_mel_bands_are_triangles_of_equal_area():
    """Slaney's scale: linear below 1 kHz and logarithmic above, by its definition."""
    from avsep.export.panns import FRONT_END
    from avsep.models.sound_classifier import SoundClassifier

    filters = SoundClassifier(classes=1, channels=[4] * 11, **FRONT_END).filters
    assert filters.shape == (513, 64)

    def to_mel(hz: float) -> float:
        return hz * 3 / 200 if hz < 1000 else 15 + 27 * torch.tensor(hz / 1000).log().item() / torch.tensor(6.4).log()

    top = 15 + (to_mel(14_000) - 15)
    mels = torch.linspace(to_mel(50), float(top), 66)
    edges = torch.where(mels < 15, mels * 200 / 3, 1000 * torch.exp((mels - 15) * torch.tensor(6.4).log() / 27))
    grid = torch.linspace(0, 16_000, 513)
    for band in (0, 20, 40, 63):
        low, centre, high = edges[band : band + 3]
        shape = torch.minimum((grid - low) / (centre - low), (high - grid) / (high - centre)).clamp(min=0)
        assert torch.allclose(filters[:, band], shape * 2 / (high - low), atol=1e-5)


def test_the_command_writes_a_weights_file(checkpoint, tmp_path, capsys):
    names = tmp_path / "labels.csv"
    names.write_text('index,mid,display_name\n0,/m/1,Bark\n1,/m/2,"Rain, heavy"\n2,/m/3,C\n3,/m/4,D\n4,/m/5,E\n')
    out = tmp_path / "panns.safetensors"
    assert main([str(checkpoint), "-o", str(out), "--names", str(names)]) == 0
    assert capsys.readouterr().out == f"{out}\n"
    model, card = load_model(out)
    assert model.names == ("Bark", "Rain, heavy", "C", "D", "E")
    assert "PANNs" in card.licence


def test_names_are_one_a_line_too(tmp_path):
    (tmp_path / "names.txt").write_text("Bark\n\nRain\n")
    assert read_names(tmp_path / "names.txt") == ["Bark", "Rain"]
    with pytest.raises(InputError, match=r"the names .*none.txt cannot be read"):
        read_names(tmp_path / "none.txt")


def test_what_is_no_such_checkpoint(tagger, checkpoint, tmp_path, capsys):
    file = tmp_path / "other.pth"
    with pytest.raises(WeightsError, match=r"no checkpoint at .*none.pth"):
        read_panns(tmp_path / "none.pth")
    file.write_bytes(b"nothing")
    with pytest.raises(WeightsError, match="was not loaded: it holds more than tensors"):
        read_panns(file)
    torch.save({"model": tagger}, file)
    with pytest.raises(WeightsError, match="was not loaded: it holds more than tensors"):
        read_panns(file)
    for saved in ({"model": {"weight": torch.zeros(1)}}, torch.zeros(1)):
        torch.save(saved, file)
        with pytest.raises(WeightsError, match=r"holds no 'fc_audioset.weight': it is no tagging network of PANNs"):
            read_panns(file)
    state = tagger.state_dict()
    torch.save({"model": {key: value for key, value in state.items() if key != "fc1.bias"}}, file)
    with pytest.raises(WeightsError, match=r"lacks hidden.0.bias"):
        read_panns(file)
    torch.save({"model": state | {"logmel_extractor.melW": torch.zeros(513, 64)}}, file)
    with pytest.raises(WeightsError, match=r"the mel bands of .*other.pth are others than those of PANNs at 32 kHz"):
        read_panns(file)
    with pytest.raises(WeightsError, match="2 names for the 5 classes"):
        read_panns(checkpoint, ["a", "b"])
    assert main([str(file), "-o", str(tmp_path / "x.safetensors")]) == 1
    assert capsys.readouterr().err.startswith("error: the mel bands")
    assert not (tmp_path / "x.safetensors").exists()
