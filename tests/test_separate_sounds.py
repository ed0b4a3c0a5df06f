"""Estimates get the label of the sound that they are, or none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch

from avsep.models.base import Contract, Output, SeparationModel
from preprocessing.pack_audio import main as pack
from preprocessing.separate_sounds import main

TONES = {"low": 200.0, "high": 2000.0}


class ByBand(SeparationModel):
    """Below and above 1 kHz; `noise` mixes the two up."""

    def __init__(self, noise: bool = False) -> None:
        super().__init__()
        self.contract, self.noise = Contract(16_000, kind="sound"), noise

    def forward(self, mixture: torch.Tensor, **cues: torch.Tensor) -> Output:
        spectrum = torch.fft.rfft(mixture)
        below = torch.fft.rfftfreq(mixture.shape[-1], 1 / 16_000) < 1000
        parts = torch.stack([torch.where(band, spectrum, 0) for band in (~below, below)], 1)
        found = torch.fft.irfft(parts, mixture.shape[-1])
        return Output(torch.randn_like(found) if self.noise else found)


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    folder = tmp_path / "sounds"
    rows = ["path\tspeaker\tsplit"]
    for name, hz in TONES.items():
        folder.mkdir(exist_ok=True)
        tone = 0.3 * np.sin(2 * np.pi * hz * np.arange(32_000) / 16_000)
        sf.write(folder / f"{name}.wav", tone, 16_000)
        rows.append(f"{name}.wav\t{name}\ttrain")
    (folder / "manifest.tsv").write_text("\n".join(rows) + "\n")
    assert pack([str(folder), str(tmp_path / "packed"), "--workers", "1"]) == 0
    return tmp_path / "packed"


def test_estimates_lie_in_the_folder_of_their_class(tmp_path: Path, sounds: Path, monkeypatch) -> None:
    monkeypatch.setattr("preprocessing.separate_sounds.load_model", lambda name: (ByBand(), None))
    arguments = [str(sounds), str(tmp_path / "out"), "--count", "3", "--seconds", "1"]
    assert main(arguments) == 0
    for name, hz in TONES.items():
        files = sorted((tmp_path / "out" / name).iterdir())
        assert [file.name[:6] for file in files] == ["000000", "000001", "000002"]
        for file in files:
            samples, rate = sf.read(file)
            peak = np.abs(np.fft.rfft(samples)).argmax() * rate / len(samples)
            assert 0.8 * hz < peak < 1.25 * hz


def test_what_is_none_of_the_sounds_is_not_written(tmp_path: Path, sounds: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr("preprocessing.separate_sounds.load_model", lambda name: (ByBand(noise=True), None))
    assert main([str(sounds), str(tmp_path / "out"), "--count", "2", "--seconds", "1"]) == 1
    assert "0 labelled sounds of 2 mixtures" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


def test_a_class_without_a_folder_is_refused(tmp_path: Path, sounds: Path, capsys) -> None:
    assert main([str(sounds), str(tmp_path / "out"), "--classes", "speech"]) == 2
    assert "--classes speech: give each as NAME=FOLDER" in capsys.readouterr().err
