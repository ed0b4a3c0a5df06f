"""Multi-channel Wave-U-Net: halves and their interpolation, lengths, levels."""

from __future__ import annotations

import pytest
import torch
from two_talkers import steps_to, two_mixtures_in_a_room

from avsep.losses.objective import as_objective
from avsep.models.build import renamed
from avsep.models.mc_wave_u_net import MultiChannelWaveUNet
from avsep.models.parts.wave_u_net import interpolated

TINY = {"microphones": 3, "filters": 4, "layers": 4}


@pytest.fixture(autouse=True)
def _seed(one_thread):
    torch.manual_seed(0)


@pytest.fixture
def model() -> MultiChannelWaveUNet:
    return MultiChannelWaveUNet(**TINY).eval()


@pytest.mark.parametrize("time", [1, 2, 3, 8, 9])
def test_every_second_sample_is_where_it_was(time):
    x = torch.randn(2, 3, time)
    found = interpolated(x[..., ::2], time)
    assert found.shape == x.shape
    assert torch.allclose(found[..., ::2], x[..., ::2], atol=1e-6)
    for middle in range(1, time - 1, 2):
        assert torch.allclose(found[..., middle], (x[..., middle - 1] + x[..., middle + 1]) / 2, atol=1e-6)


@pytest.mark.parametrize("time", [1, 2, 15, 16, 17, 403])
def test_length_in_is_length_out(model, time):
    estimates = model(torch.randn(2, 3, time)).estimates
    assert estimates.shape == (2, 2, 1, time)
    assert estimates.isfinite().all()


def test_it_moves_with_the_signal_by_steps_of_its_lowest_level(model):
    assert model.contract.stride == 16
    sound = torch.randn(1, 3, 300)
    early = torch.nn.functional.pad(sound, (400, 432))
    late = torch.nn.functional.pad(sound, (416, 416))
    inner = slice(300, 900)
    moved = model(early).estimates.roll(16, 3)
    assert torch.allclose(model(late).estimates[..., inner], moved[..., inner], atol=1e-5)


def test_files_from_before_the_layers_were_a_part_are_read(model):
    names = list(model.state_dict())
    assert {name.split(".")[0] for name in names} == {"layers"}
    before = {name.removeprefix("layers."): value for name, value in model.state_dict().items()}
    for saved in (before, model.state_dict()):
        assert list(renamed(saved, model.class_path)) == names


def test_size():
    assert MultiChannelWaveUNet().parameter_count == 10_264_114


def test_louder_in_is_louder_out(model):
    mixture = torch.randn(1, 3, 300)
    assert torch.allclose(model(100 * mixture).estimates, 100 * model(mixture).estimates, rtol=1e-3, atol=1e-3)


def test_silence_gives_next_to_nothing(model):
    estimates = model(torch.zeros(1, 3, 300)).estimates
    estimates.square().sum().backward()
    assert estimates.abs().max() < 1e-7
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_gradients_reach_every_weight(model):
    model.train()(torch.randn(2, 3, 400)).estimates.square().sum().backward()
    assert [name for name, p in model.named_parameters() if not p.grad.abs().sum() > 0] == []


@pytest.mark.parametrize("shape", [(1, 1, 100), (1, 4, 100), (3, 100)])
def test_wrong_numbers_of_microphones_are_named(model, shape):
    with pytest.raises(ValueError, match=r"mixture .* expected \(batch, channels, time\) with 3 channels"):
        model(torch.randn(shape))


def test_what_cannot_be_built_is_named():
    with pytest.raises(ValueError, match="kernel 4 and up_kernel 5; both must be odd"):
        MultiChannelWaveUNet(kernel=4)
    with pytest.raises(ValueError, match="layers is 17; it must be a whole number from 1 to 16"):
        MultiChannelWaveUNet(layers=17)


@pytest.mark.slow
def test_it_learns_a_batch():
    model = MultiChannelWaveUNet(microphones=3, filters=8, layers=6)
    steps_to(8, model, as_objective(None), two_mixtures_in_a_room(0.5, 3), learning_rate=3e-3, most=300)
