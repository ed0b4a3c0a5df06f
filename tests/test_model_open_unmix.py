"""Open-Unmix: its size, the scaler, masks of all channels, the Wiener filter, names, and learning."""

from __future__ import annotations

import pytest
import torch
from two_talkers import si_sdr, steps_to, two_mixtures

from avsep.dsp.wiener import refined_images
from avsep.errors import UsageError
from avsep.losses import OnMasks, SpectrumApproximation
from avsep.models.base import Output
from avsep.models.conv_tasnet import ConvTasNet
from avsep.models.open_unmix import STEMS, OpenUnmix
from avsep.training.scaler import InputScaler

TINY = {"hidden": 8, "layers": 2, "window": 128, "hop": 32, "sample_rate": 8000, "bandwidth": 3000.0}
MAGNITUDES = OnMasks(SpectrumApproximation(phase_sensitive=False, in_any_order=False, relative=False))


@pytest.fixture(autouse=True)
def _seed(one_thread):
    torch.manual_seed(0)


@pytest.fixture
def model() -> OpenUnmix:
    return OpenUnmix(**TINY).eval()


def test_size_is_that_of_the_paper():
    """8.9 million weights a stem: three layers of 256 cells each way, 1487 of 2049 bins of two channels go in."""
    hidden, seen, freq = 512, 1487, 2049
    lstm = 3 * 2 * (4 * 256 * (hidden + 256) + 2 * 4 * 256)
    matrices = 2 * seen * hidden + 2 * hidden * hidden + hidden * 2 * freq
    norms = 2 * (hidden + hidden + 2 * freq)
    with torch.device("meta"):
        model = OpenUnmix()
    assert model.networks["vocals"].seen == seen
    assert model.parameter_count == 4 * (lstm + matrices + norms + 2 * seen + 2 * freq) == 35_573_392


@pytest.mark.parametrize("time", [1, 33, 1000])
@pytest.mark.parametrize("channels", [1, 2])
def test_length_in_is_length_out(channels, time):
    model = OpenUnmix(**TINY, channels=channels).eval()
    mixture = 0.1 * torch.randn(2, channels, time)
    for output in (model(mixture), model.separate(mixture)):
        assert output.estimates.shape == (2, 4, channels, time)
        assert output.estimates.isfinite().all()
        assert output.masks.shape == (2, 4, *output.spectrum.shape[1:])
        assert (output.masks >= 0).all()


def test_stems_have_names_and_networks_of_their_own(model):
    contract = model.contract
    assert (contract.order, contract.names, contract.kind, contract.channels) == ("named", STEMS, "stem", (2, 2))
    mixture = 0.1 * torch.randn(1, 2, 400)
    before = model(mixture).estimates
    with torch.no_grad():
        model.networks["drums"].output_mean.add_(1.0)
    changed = (model(mixture).estimates != before).flatten(2).any(2)[0]
    assert changed.tolist() == [False, True, False, False]


def test_bins_above_the_bandwidth_are_not_seen(model):
    seen = model.networks["vocals"].seen
    assert seen == 1 + int(3000 / (8000 / 128))
    magnitudes = torch.rand(1, 2, 65, 9)
    higher = magnitudes.clone()
    higher[:, :, seen:] += 1
    assert torch.equal(model.masks(higher), model.masks(magnitudes))
    higher[:, :, seen - 1] += 1
    assert not torch.equal(model.masks(higher), model.masks(magnitudes))


def test_the_scaler_gives_every_bin_a_mean_of_0_and_a_deviation_of_1(model):
    mixtures = [0.1 * torch.randn(2, 900).cumsum(1) for _ in range(3)]
    model.fit_scaler(mixtures)
    frames = torch.cat([model.transform(mixture).abs().mean(0) for mixture in mixtures], dim=1)
    for network in model.networks.values():
        scaled = (frames[: network.seen].T + network.input_mean) * network.input_scale
        torch.testing.assert_close(scaled.mean(0), torch.zeros(network.seen), rtol=0, atol=1e-4)
        torch.testing.assert_close(scaled.std(0, correction=0), torch.ones(network.seen), rtol=1e-3, atol=0)
    model.fit_scaler([torch.zeros(2, 900)])
    assert model.networks["bass"].input_scale.isfinite().all()
    with pytest.raises(ValueError, match="no mixtures to fit the scaler to"):
        model.fit_scaler([])


def test_the_loss_is_the_mean_square_of_magnitudes_of_all_channels_and_stems(model):
    sources = 0.1 * torch.randn(3, 4, 2, 500)
    batch = {"mixture": sources.sum(2), "sources": sources}
    output = model(sources.sum(1))
    found = MAGNITUDES(output, batch)
    estimated = output.masks * model.transform(sources.sum(1)).abs().unsqueeze(1)
    expected = (estimated - model.transform(sources).abs()).square().mean((1, 2, 3, 4))
    torch.testing.assert_close(found, expected)
    # Every channel is held against its own source.
    left = Output(spectrum=output.spectrum, transform=output.transform, masks=output.masks.flip(2))
    assert not torch.allclose(MAGNITUDES(left, batch), found)


def test_the_filter_leaves_little_of_the_mixture_and_finds_places():
    """Three stems at places between left and right, whose magnitudes are known but for a third of their bins."""
    time, window = 8000, 256
    model = OpenUnmix(stems=["a", "b", "c"], **TINY | {"window": window, "hop": 64})
    places = torch.tensor([[1.0, 0.2], [0.7, 0.7], [0.2, 1.0]])
    sources = 0.1 * torch.randn(3, 1, time) * torch.rand(3, 1, 20).repeat_interleave(400, 2) * places[..., None]
    images, mixture = model.transform(sources), model.transform(sources.sum(0))
    guess = images.abs() * torch.exp(1j * mixture.angle())
    guess = torch.where(torch.rand(images.shape) < 0.33, mixture / 3, guess)
    found = refined_images(guess, mixture, 1)

    def db(wrong: torch.Tensor, right: torch.Tensor) -> float:
        return 10 * torch.log10(right.abs().square().sum() / (wrong - right).abs().square().sum()).item()

    assert db(found.sum(0), mixture) > 40
    assert db(found, images) > db(guess, images) + 2
    torch.testing.assert_close(refined_images(guess, mixture, 0), guess)
    # The level counts nothing.
    torch.testing.assert_close(refined_images(1e-3 * guess, 1e-3 * mixture, 1), 1e-3 * found, rtol=1e-3, atol=1e-6)


def test_silence_stays_silent(model):
    assert model.separate(torch.zeros(1, 2, 500)).estimates.abs().max() == 0


def test_what_cannot_be_built_is_named():
    for changes, message in (
        ({"hidden": 9}, "hidden 9, bandwidth 3000 and dropout 0.4; expected an even number"),
        ({"bandwidth": 0.0}, "bandwidth 0 and dropout 0.4; expected .* Hz above 0 to 384000"),
        ({"stems": ["a", "a"]}, r"stems is \['a', 'a'\]; give one or more different names"),
        ({"stems": ["a.b", "c"]}, "stems: 'a.b' names no network; take letters, digits and underscores"),
        ({"stems": ["vocals"]}, "iterations is 1 with 1 stem, of which the filter makes the mixture; set 0"),
        ({"iterations": -1}, "iterations is -1; it must be a whole number from 0 to 100"),
        ({"window": 127}, "expected an even window"),
    ):
        with pytest.raises(ValueError, match=message):
            OpenUnmix(**TINY | changes)
    assert OpenUnmix(**TINY, stems=["vocals"], iterations=0).contract.sources == 1


def test_the_callback_names_models_and_data_that_it_cannot_take():
    class Trainer:
        ckpt_path, datamodule = None, None

    class Task:
        model = ConvTasNet(filters=8, kernel=16, stride=8, bottleneck=8, hidden=8, blocks=1, repeats=1)

    with pytest.raises(UsageError, match="ConvTasNet has no input scaler; leave the callback out"):
        InputScaler(2).setup(Trainer, Task, "fit")
    Task.model = OpenUnmix(**TINY)
    with pytest.raises(UsageError, match="the training data are no items by number"):
        InputScaler(2).setup(Trainer, Task, "fit")
    with pytest.raises(UsageError, match="InputScaler: items is 0; it must be 1 or more"):
        InputScaler(0)


def test_the_callback_fits_the_scaler_once():
    class Items(torch.utils.data.Dataset):
        def __getitem__(self, number: int) -> dict:
            return {"mixture": (number + 1) * torch.ones(3, 400)}

    class Trainer:
        ckpt_path = None

        class datamodule:
            train_set = Items()

    class Task:
        model = OpenUnmix(**TINY)

    InputScaler(2).setup(Trainer, Task, "fit")
    loudest = Task.model.transform(torch.ones(400)).abs().mean(1)[0]
    torch.testing.assert_close(Task.model.networks["bass"].input_mean[0], -1.5 * loudest)
    Task.model = OpenUnmix(**TINY)
    Trainer.ckpt_path = "last.ckpt"
    InputScaler(2).setup(Trainer, Task, "fit")
    assert not Task.model.networks["bass"].input_mean.any()


@pytest.mark.slow
def test_it_learns_a_batch():
    """The true magnitudes with the mixture's phase would give 11.8 dB and more, and 13.0 dB after the filter."""
    sizes = {"channels": 1, "hidden": 96, "layers": 1, "dropout": 0.0, "window": 1024, "hop": 128, "bandwidth": 4000.0}
    model = OpenUnmix(stems=["left", "right"], **sizes, sample_rate=8000)
    sources = two_mixtures(seconds=0.5)
    model.fit_scaler(sources.sum(1, keepdim=True))
    steps_to(12, model, MAGNITUDES, sources)
    with torch.no_grad():
        masked = model(sources.sum(1, keepdim=True)).estimates[:, :, 0]
    assert (si_sdr(masked, sources) > 10).all()
