"""AV-DPRNN: where the lips join, its size, and learning."""

from __future__ import annotations

import pytest
import torch
from two_talkers import lips_of, steps_to, two_mixtures

from avsep.losses import FixedOrder, NegativeSiSnr, OnEstimates
from avsep.models.av_dprnn import AVDPRNN
from avsep.models.base import Contract
from avsep.models.dprnn import DualPathRNN

LIP = {"channels": 4, "widths": [2, 2, 2, 2], "temporal_channels": 4, "temporal_blocks": 1, "size": 24}
TINY = {"filters": 8, "kernel": 16, "stride": 8, "bottleneck": 6, "hidden": 4, "chunk": 10, "blocks": 2}


@pytest.fixture(autouse=True)
def _seed(one_thread):
    torch.manual_seed(0)


def tiny() -> AVDPRNN:
    model = AVDPRNN(**TINY, sample_rate=8000, lip=LIP).eval()
    torch.nn.init.normal_(model.fusion.project.weight)
    return model


def test_size():
    """The separator with its encoder and decoder is that of the released code, 2.6 million; the lips' ResNet has the
    usual 11.2 million, and the convolutions behind it are larger (see the class)."""
    model = AVDPRNN(**AVDPRNN.paper_args)
    lstm = 4 * 128 * (64 + 128 + 2) * 2
    path = lstm + 256 * 64 + 64 + 2 * 64
    mask = 64 * 256 + 256 + 1
    assert sum(p.numel() for p in model.separator.parameters()) == 12 * path + mask + 2 * 256 + 256 * 64 + 64
    assert sum(p.numel() for p in model.cue_encoder.trunk.parameters()) == pytest.approx(11.2e6, rel=0.01)
    assert model.parameter_count == 18_174_018


def test_contract():
    assert tiny().contract == Contract(8000, cues=("lips",), sources=None, order="cue", stride=8)


@pytest.mark.parametrize("faces", [1, 3])
@pytest.mark.parametrize("time", [1, 1003])
def test_one_estimate_for_each_face_and_the_length_stays(faces, time):
    output = tiny()(torch.randn(2, 1, time), lips=torch.rand(2, faces, 4, 96, 96))
    assert output.estimates.shape == (2, faces, 1, time)


def test_estimates_go_with_their_faces():
    model, mixture, lips = tiny(), torch.randn(2, 1, 800), torch.rand(2, 3, 4, 96, 96)
    found, turned = (model(mixture, lips=x).estimates for x in (lips, lips[:, [2, 0, 1]]))
    torch.testing.assert_close(turned, found[:, [2, 0, 1]])
    assert (found[:, 0] - found[:, 1]).abs().max() > 1e-5


def test_a_network_is_the_same_with_and_without_a_place_for_cues():
    net, frames = DualPathRNN(8, 6, 4, 10, 2, 1).eval(), torch.rand(2, 37, 8)
    x, skips = net.before(frames)
    assert x.shape == (2, 37, 6)
    assert torch.equal(net.after(x, skips), net(frames))
    assert torch.equal(list(net.after_blocks(frames, every=True))[-1], net(frames))


def test_what_cannot_be_built_is_named():
    with pytest.raises(ValueError, match=r"cell is 'gru'; it must be one of \['lstm', 'mulcat'\]"):
        AVDPRNN(**TINY, lip=LIP, cell="gru")


@pytest.mark.slow
def test_it_learns_a_batch():
    lip = {"channels": 16, "widths": [8, 8, 8, 8], "temporal_channels": 16, "temporal_blocks": 1, "size": 24}
    model = AVDPRNN(64, 16, 8, 32, 32, 50, 2, sample_rate=8000, lip=lip)
    sources = two_mixtures(seconds=0.25)
    objective = OnEstimates(FixedOrder(NegativeSiSnr()))
    steps_to(20, model, objective, sources, cues={"lips": lips_of(sources, 8000)})
