"""A model that begins with parts of trained ones has their weights in the right places."""

from pathlib import Path

import pytest
import torch

from avsep.checkpoint import save_model
from avsep.errors import WeightsError
from avsep.models.av_conv_tasnet import AVConvTasNet
from avsep.models.conv_tasnet import ConvTasNet
from avsep.training.warm_start import StartFrom, begin_with

SIZES = {"filters": 8, "kernel": 8, "stride": 4, "bottleneck": 4, "hidden": 6, "blocks": 2, "repeats": 3}
LIPS = {"channels": 4, "widths": [2, 2, 2, 2], "temporal_channels": 4, "temporal_blocks": 1, "size": 32}
PARTS = {"encoder": "encoder", "separator": "separator"}


@pytest.fixture
def trained(tmp_path: Path) -> tuple[str, ConvTasNet]:
    model = ConvTasNet(sources=2, **SIZES)
    save_model(tmp_path / "sound.safetensors", model, "sound", "MIT", {})
    return str(tmp_path / "sound.safetensors"), model


@pytest.mark.slow
def test_repeats_are_counted_through_the_point_of_fusion(trained):
    weights, by_sound = trained
    model = AVConvTasNet(fuse_after=1, lip=LIPS, **SIZES)
    taken = begin_with(model, [StartFrom(weights, PARTS)])
    theirs, own = by_sound.separator.state_dict(), model.separator.state_dict()
    places = {"before.0": "after.0", "after.0": "after.1", "after.1": "after.2"}
    for ours, place in places.items():
        for key in (k for k in own if k.startswith(f"repeats_{ours}.")):
            expected = theirs[key.replace(f"repeats_{ours}.", f"repeats_{place}.")]
            torch.testing.assert_close(own[key], expected, atol=2e-3, rtol=2e-3)  # kept in half precision
    torch.testing.assert_close(model.encoder.conv.weight, by_sound.encoder.conv.weight, atol=2e-3, rtol=2e-3)
    assert not any(key.startswith(("cue_encoder", "fusion")) for key in taken)


def test_masks_of_more_or_fewer_sources_begin_with_those_of_the_first(trained):
    weights, by_sound = trained
    for sources in (1, 3):
        model = ConvTasNet(sources=sources, **SIZES)
        before = model.separator.to_masks[1].weight.clone()
        begin_with(model, [StartFrom(weights, PARTS)])
        rows = min(sources, 2) * SIZES["filters"]
        own, theirs = model.separator.to_masks[1].weight, by_sound.separator.to_masks[1].weight
        torch.testing.assert_close(own[:rows], theirs[:rows], atol=2e-3, rtol=2e-3)
        assert torch.equal(own[rows:], before[rows:])


def test_a_separator_begun_by_sound_goes_on_separating_where_lips_join(trained):
    """With nothing of the lips in the fusion, the model is the one it began with, and its estimate that one's first."""
    weights, by_sound = trained
    model = AVConvTasNet(fuse_after=1, lip=LIPS, **SIZES).eval()
    begin_with(model, [StartFrom(weights, PARTS | {"decoder": "decoder"})])
    model.fusion.project.weight.data[:, SIZES["bottleneck"] :] = 0
    mixture = 0.1 * torch.randn(1, 1, 6400)
    with torch.inference_mode():
        estimates = model(mixture, lips=torch.rand(1, 1, 10, 96, 96)).estimates
        expected = by_sound.eval()(mixture).estimates[:, :1]
    torch.testing.assert_close(estimates, expected, atol=5e-3, rtol=5e-2)


@pytest.mark.parametrize(("theirs", "ours"), [("encoder", "cue_encoder"), ("encodr", "encoder"), ("encoder", "encodr")])
def test_a_part_that_fits_nowhere_is_refused(trained, theirs, ours):
    weights, _ = trained
    model = AVConvTasNet(fuse_after=1, lip=LIPS, **(SIZES | {"filters": 16, "bottleneck": 5, "hidden": 7}))
    with pytest.raises(WeightsError, match=rf"nothing of '{theirs}' in .* fits '{ours}' of avsep.models"):
        begin_with(model, [StartFrom(weights, {theirs: ours})])
