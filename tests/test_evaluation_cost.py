"""Multiply-adds for a second of sound, against sums by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from avsep.evaluation.cost import example_cues, multiply_adds
from avsep.models.base import Contract, Output, SeparationModel

pytestmark = pytest.mark.slow  # the counter alone takes seconds to load


class Layers(SeparationModel):
    """One layer over the frames of a second."""

    def __init__(self, layer: nn.Module, cues: tuple[str, ...] = (), channels: int = 1) -> None:
        super().__init__()
        self.layer = layer
        self.contract = Contract(1000, (channels, channels), cues=cues, order="cue" if cues else "any")
        self.was_training: list[bool] = []

    def forward(self, mixture: Tensor, **cues: Tensor) -> Output:
        self.was_training.append(self.training)
        self.layer(mixture.view(1, -1, 100))
        return Output(mixture[:, None])


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (nn.Linear(100, 7), 10 * 100 * 7),
        (nn.Conv1d(10, 4, 3, padding=1), 100 * 10 * 4 * 3),
        # Each of 10 frames: input and state to four gates of 5 cells.
        (nn.LSTM(100, 5, batch_first=True), 10 * (100 + 5) * 20),
        # Two directions; the second layer is given both.
        (nn.LSTM(100, 5, 2, bidirectional=True), 10 * 2 * ((100 + 5) + (10 + 5)) * 20),
        (nn.GRU(100, 5, batch_first=True), 10 * (100 + 5) * 15),
        # Queries, keys, values and their mixture; scores and weighted sums; two layers of 8 units.
        (
            nn.TransformerEncoderLayer(100, 2, 8, batch_first=True),
            10 * 4 * 100 * 100 + 2 * 10 * 10 * 100 + 2 * 10 * 100 * 8,
        ),
    ],
    ids=["linear", "conv", "lstm", "deep lstm", "gru", "attention"],
)
def test_products_are_counted(layer, expected):
    assert multiply_adds(Layers(layer)) == expected
    with torch.backends.mkldnn.flags(enabled=False):  # as on machines without it
        assert multiply_adds(Layers(layer)) == expected


def test_a_stretch_tells_the_cost_of_a_second_where_all_moments_cost_the_same():
    assert multiply_adds(Layers(nn.Linear(100, 7)), 0.3) == 10 * 100 * 7
    attention = Layers(nn.TransformerEncoderLayer(100, 2, 8, batch_first=True))
    assert multiply_adds(attention, 2.0) > multiply_adds(attention)


def test_it_is_counted_in_use_and_leaves_no_trace():
    model = Layers(nn.Dropout()).train()
    fused = torch.backends.mha.get_fastpath_enabled()
    state = torch.random.get_rng_state()
    assert multiply_adds(model) == 0
    assert (model.training, model.was_training) == (True, [False])
    assert torch.backends.mha.get_fastpath_enabled() == fused
    assert torch.equal(torch.random.get_rng_state(), state)


def test_cues_are_of_one_source_and_a_second():
    cues = example_cues(Layers(nn.Identity(), ("lips", "face", "enrolment", "delays"), 3), torch.Generator())
    assert {name: tuple(cue.shape) for name, cue in cues.items()} == {
        "lips": (1, 1, 25, 96, 96),
        "face": (1, 1, 25, 512),
        "enrolment": (1, 1, 1000),
        "delays": (1, 1, 3),
    }
