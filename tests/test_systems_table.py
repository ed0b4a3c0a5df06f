"""The table of all systems that comes with the package, against the configurations and the code."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import yaml

from avsep.evaluation.cost import multiply_adds
from avsep.models.architectures import list_architectures
from avsep.models.base import SeparationModel
from avsep.models.build import build_model
from avsep.models.figures import Figures, read_figures

CONFIGS = Path(__file__).parents[1] / "configs"
ROWS = read_figures()
NO_ROW = {
    "audio_visual_array", "conv_tasnet_causal", "masking", "mc_split_tasnet", "two_step_autoencoder",
    "wave_u_net_stems",
}  # fmt: skip
"""Variants of what has a row: with other norms, other data or other parts, or a phase of a training."""
SHORT = {"wavesplit": 0.1}
"""Seconds on which large models are counted that cost the same at every moment."""
BEGIN_WITH_OURS = {"ensemble", "refined", "steered_lips", "steered_voices"}


def model_of(row: Figures) -> SeparationModel:
    (file,) = CONFIGS.rglob(f"{row.system}.yaml")
    node = yaml.load(file.read_text(encoding="utf-8"), yaml.CSafeLoader)["model"]
    node = node["init_args"].get("model", node)
    return build_model(node["class_path"], node.get("init_args", {}))


def test_every_configuration_of_a_separator_has_a_row():
    smoke = {
        file.stem.removesuffix("_smoke")
        for file in [*CONFIGS.glob("*_smoke.yaml"), *CONFIGS.glob("arrays/*_smoke.yaml")]
        if yaml.safe_load(file.read_text(encoding="utf-8"))["model"]["class_path"].endswith(".SeparationTask")
    }
    assert len({row.system for row in ROWS}) == len(ROWS)
    assert smoke - {row.system for row in ROWS} == NO_ROW | BEGIN_WITH_OURS


@pytest.mark.slow
def test_rows_are_of_classes_that_are_there():
    assert {row.class_path for row in ROWS} <= {one.class_path for one in list_architectures()}
    assert sum(len(one.figures) for one in list_architectures()) == len(ROWS)


def test_figures_are_figures():
    for row in ROWS:
        assert math.isfinite(row.si_sdri + row.sdr)
        assert row.real_time_factor > 0
        assert (row.steps > 0) == (row.minutes > 0) == (row.trained_million_macs > 0 and row.trained_parameters > 0)
    # Those of a group were trained for the same time, or not at all.
    for group in {row.group for row in ROWS}:
        assert len({row.minutes for row in ROWS if row.group == group} - {0.0}) == 1


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS, ids=[row.system for row in ROWS])
def test_size_and_cost_are_those_of_the_code(row: Figures):
    model = model_of(row)
    assert model.class_path == row.class_path
    assert model.parameter_count == row.parameters
    # What the shapes of the data decide, clustering and beams, differs a little between machines.
    assert multiply_adds(model, SHORT.get(row.system, 1.0)) / 1e6 == pytest.approx(row.million_macs, rel=0.01, abs=0.2)
