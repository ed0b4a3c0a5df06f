"""`avsep models --all`: what is found under avsep.models, and how it is shown."""

from __future__ import annotations

import json
import re
import sys
from typing import ClassVar

import pytest
import torch

import avsep.models
from avsep.cli.architectures import gives, takes
from avsep.models.architectures import describe, list_architectures, model_classes
from avsep.models.base import Contract, SeparationModel


def test_papers_sizes_and_contracts():
    found = {one.name: one for one in list_architectures()}
    assert list(found) == sorted(found, key=str.lower)
    assert {"AuxIVA", "AVConvTasNet", "ConvTasNet", "DeepClustering", "DPRNN", "MulCatDPRNN", "Synchrony"} <= set(found)
    assert not {"SeparationModel", "Model", "TemporalConvNet"} & set(found)
    sizes = {"ConvTasNet": 5.1e6, "DPRNN": 2.6e6, "MulCatDPRNN": 7.5e6, "DeepClustering": 10.6e6}
    for name, parameters in sizes.items():
        assert found[name].parameters == pytest.approx(parameters, rel=0.02)
        assert found[name].contract == Contract(
            8000,
            refine=name != "DeepClustering",
            stride={"ConvTasNet": 8, "DPRNN": 1, "MulCatDPRNN": 4, "DeepClustering": 64}[name],
        )
    assert found["AuxIVA"].parameters == 0
    assert found["AVConvTasNet"].contract.cues == ("lips",)
    # What is put together of parts has neither.
    assert (found["MaskingModel"].parameters, found["MaskingModel"].contract) == (None, None)
    assert found["MaskingModel"].separates
    assert not found["Synchrony"].separates


@pytest.mark.slow
def test_a_new_file_is_found_without_being_named_anywhere(tmp_path, monkeypatch):
    (tmp_path / "halves.py").write_text(
        "from torch import nn\n"
        "from avsep.models.base import Contract, SeparationModel\n"
        "class Halves(SeparationModel):\n"
        "    paper, year, paper_args = 'Half, Halves', 2031, {'size': 10**6}\n"
        "    def __init__(self, size=2):\n"
        "        super().__init__()\n"
        "        self.net = nn.Linear(size, size, bias=False)\n"
        "        self.contract = Contract(8000, sources=4)\n"
        "class _Hidden(Halves): pass\n"
    )
    monkeypatch.setitem(sys.modules, "avsep.models.halves", None)  # forgotten again after the test
    del sys.modules["avsep.models.halves"]
    monkeypatch.setattr(avsep.models, "__path__", [*avsep.models.__path__, str(tmp_path)])
    (one,) = [one for one in list_architectures() if one.year == 2031]
    # A matrix of 10^12 numbers takes no memory.
    assert (one.name, one.class_path, one.parameters) == ("Halves", "avsep.models.halves.Halves", 10**12)
    assert one.contract.sources == 4


def test_a_model_that_looks_at_its_own_numbers_is_built_with_them():
    class Looking(SeparationModel):
        paper_args: ClassVar = {"rate": 8000}

        def __init__(self, rate: int) -> None:
            super().__init__()
            self.contract = Contract(int(torch.tensor(rate).item()))

    assert describe(Looking).contract.sample_rate == 8000


def test_models_are_listed_once_however_often_they_are_imported():
    paths = [f"{one.__module__}.{one.__name__}" for one in model_classes()]
    assert len(paths) == len(set(paths))


@pytest.mark.parametrize(
    ("contract", "taken", "given"),
    [
        (Contract(16_000), "16 kHz, 1 channel", "2 voices, in any order"),
        (Contract(44_100, (2, 2), sources=1), "44.1 kHz, 2 channels", "1 voice, in any order"),
        (Contract(8_000, (2, 8), sources=None), "8 kHz, 2 to 8 channels", "as many voices as it finds, in any order"),
        (Contract(8_000, cues=("lips", "face"), order="cue"), "8 kHz, 1 channel, lips, face", "1 voice for each cue"),
        (Contract(8_000, order="named", names=("a", "b"), kind="stem"), "8 kHz, 1 channel", "stems: a, b"),
    ],
)
def test_a_contract_in_words(contract, taken, given):
    assert (takes(contract), gives(contract)) == (taken, given)


def test_blocks_where_nobody_watches(cli):
    code, out, err = cli("models", "--all")
    blocks = {block.splitlines()[0]: block for block in out.split("\n\n")}
    assert (code, err) == (0, "")
    for line in (
        "  class path   avsep.models.conv_tasnet.ConvTasNet",
        "  paper        Luo and Mesgarani, Conv-TasNet, 2019",
        "  parameters   5,050,545",
        "  multiply-adds 4.97 G a second (conv_tasnet, 5.07 M parameters)",
        "  takes        8 kHz, 1 channel",
        "  gives        2 voices, in any order",
        "  published    15.3 dB SI-SNRi, WSJ0-2mix",
        # Files of earlier versions name the class by its old path.
        "  weights      audio-2spk",
    ):
        assert line in blocks["ConvTasNet"].splitlines()
    assert "  weights      auxiva" in blocks["AuxIVA"]
    assert "  weights      none" in blocks["DPRNN"]
    assert re.search(r"^  own          \d\.\d dB SI-SDRi, sound \(dprnn, 0\.32 M", blocks["DPRNN"], re.MULTILINE)
    assert re.search(
        r"^  own          \d\.\d dB SI-SDRi, array \(fastica, untrained\)", blocks["FastICA"], re.MULTILINE
    )
    assert "  gives        as its parts say" in blocks["MaskingModel"]
    assert "  gives        it does not separate" in blocks["Synchrony"]


def test_a_table_on_a_terminal(cli, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "180")
    code, out, _ = cli("models", "--all")
    lines = out.splitlines()
    assert code == 0
    assert lines[1].split() == [
        *("architecture", "paper", "parameters", "multiply-adds", "takes", "gives", "published", "own", "weights")
    ]
    (row,) = [line for line in lines if " DPRNN " in line]
    for part in ("Luo et al., Dual-path RNN, 2020", "2,595,649", "8 kHz, 1 channel", "2 voices, in any order", "none"):
        assert part.split()[0] in row
    assert max(map(len, lines)) <= 180


def test_json_has_the_whole_contract(cli):
    code, out, _ = cli("models", "--all", "--json")
    rows = {row["name"]: row for row in json.loads(out)}
    assert code == 0
    assert rows["AuxIVA"]["contract"]["channels"] == [2, 8]
    assert rows["AuxIVA"]["weights"] == ["auxiva"]
    assert rows["Refined"]["contract"] is None


def test_architectures_or_weights(cli):
    code, _, err = cli("models", "--all", "sync")
    assert code == 2
    assert "--all lists architectures, and sync names weights. Leave one of them out" in err


def test_help_tells_of_it(cli):
    assert "With --all list the architectures instead" in " ".join(cli("models", "--help")[1].split())
