"""One voice after the other: recursion, what stops it, numbers that are told, long signals, and learning."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor
from two_talkers import steps_to, two_mixtures

from avsep.inference.sliding import SlidingSeparator
from avsep.losses import OneAndRest as OneAndRestLoss
from avsep.losses import VoicesLeft, WeightedSum
from avsep.models.base import Contract, Output, SeparationModel
from avsep.models.conv_tasnet import ConvTasNet
from avsep.models.one_and_rest import MORE, NOBODY, ONE_VOICE, OneAndRest
from avsep.models.parts.voice_counter import VoiceCounter
from avsep.models.split_tasnet import SplitTasNet
from avsep.storage.recording import Recording

RATE = 8000
LOWEST = 500
TINY = {"filters": 8, "kernel": 16, "stride": 8, "bottleneck": 8, "hidden": 8, "blocks": 2, "repeats": 1}


def tones(numbers: Sequence[int], seconds: float = 0.5, level: float = 0.1) -> Tensor:
    """(1, time) of tones of LOWEST, twice LOWEST, ... Hz, as loud as each other."""
    time = torch.arange(round(seconds * RATE)) / RATE
    parts = [level * torch.sin(2 * torch.pi * LOWEST * (n + 1) * time) for n in numbers]
    return sum(parts, torch.zeros_like(time))[None]


class LowestTone(SeparationModel):
    """Takes the lowest tone that sounds out of what it is given; `items` of the batches it was given. leak: how much of
    it stays."""

    def __init__(self, leak: float = 0.0) -> None:
        super().__init__()
        self.contract = Contract(RATE, refine=True, stride=8)
        self.leak = leak
        self.items: list[int] = []

    def forward(self, mixture: Tensor, **cues: Tensor) -> Output:
        self.items.append(len(mixture))
        spectrum = torch.fft.rfft(mixture)
        freq = torch.fft.rfftfreq(mixture.shape[-1], 1 / RATE)
        bands = (freq / LOWEST - 0.5).floor()
        one = torch.zeros_like(spectrum)
        for item, bins in enumerate(spectrum[:, 0]):
            power = torch.stack([bins[bands == band].abs().square().sum() for band in range(6)])
            lowest = int((power > 0.01 * power.max()).int().argmax())
            one[item, 0] = bins * (bands == lowest)
        one = (1 - self.leak) * torch.fft.irfft(one, mixture.shape[-1])
        return Output(torch.stack([one, mixture - one], 1))


class Counts(VoiceCounter):
    """Counts tones. least: power of one, against the level of the mixture."""

    def forward(self, waveform: Tensor) -> Tensor:
        power = torch.fft.rfft(waveform).abs().square()
        freq = torch.fft.rfftfreq(waveform.shape[-1], 1 / RATE)
        bands = torch.stack([power[:, (freq / LOWEST - 0.5).floor() == n].sum(1) for n in range(6)], 1)
        count = (bands > 0.01 * waveform.shape[-1] ** 2 / 6).sum(1).clamp_max(2)
        return torch.nn.functional.one_hot(count, 3).float()


@pytest.fixture(autouse=True)
def _seed(one_thread):
    torch.manual_seed(0)


@pytest.fixture(params=["energy", "head"])
def model(request) -> OneAndRest:
    return OneAndRest(LowestTone(), Counts() if request.param == "head" else None).eval()


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_every_voice_is_found(model, count):
    mixture = tones(range(count))[None]
    estimates = model.separate(mixture).estimates
    assert estimates.shape == (1, count, 1, mixture.shape[-1])
    for number in range(count):
        torch.testing.assert_close(estimates[0, number], tones([number]), atol=1e-3, rtol=0)


def test_items_stop_where_each_of_them_is_done(model):
    mixture = torch.stack([tones([0, 1]), tones([0, 1, 2, 3]), tones([1]), torch.zeros_like(tones([0]))])
    estimates = model.separate(mixture).estimates
    torch.testing.assert_close(estimates.sum(1), mixture, atol=1e-3, rtol=0)
    assert (estimates.flatten(2).square().mean(2) > 1e-4).tolist() == [
        [True, True, False, False],
        [True, True, True, True],
        [True, False, False, False],
        [False, False, False, False],
    ]
    # What is done goes through the separator no more; with a stop head a voice that is alone does not at all.
    assert model.separator.items == ([3, 2, 1, 1] if model.stop is None else [2, 1, 1])


def test_a_batch_is_what_its_items_are_alone(model):
    mixture = torch.stack([tones([0, 2]), tones([0, 1, 3])])
    together = model.separate(mixture).estimates
    for item, count in enumerate((2, 3)):
        alone = model.separate(mixture[item : item + 1]).estimates
        torch.testing.assert_close(together[item, :count], alone[0], atol=1e-3, rtol=0)


def test_depth_is_bounded():
    model = OneAndRest(LowestTone(), most_voices=3).eval()
    mixture = tones(range(5))[None]
    estimates = model.separate(mixture).estimates
    assert estimates.shape[1] == 3
    torch.testing.assert_close(estimates[0, 2], tones([2, 3, 4]), atol=1e-3, rtol=0)


def test_what_separates_nothing_stops_too():
    class Nothing(LowestTone):
        def forward(self, mixture: Tensor, **cues: Tensor) -> Output:
            return Output(torch.stack([torch.zeros_like(mixture), mixture], 1))

    mixture = tones([0, 1])[None]
    torch.testing.assert_close(OneAndRest(Nothing()).separate(mixture).estimates[0], mixture, atol=0, rtol=0)


@pytest.mark.parametrize(("leak", "found"), [(0.1, 2), (0.4, 3)])
def test_a_rest_far_below_the_mixture_is_silence(leak, found):
    """10 % of a tone is 20 dB below it."""
    model = OneAndRest(LowestTone(leak), threshold_db=-15.0, most_voices=3)
    assert model.separate(tones([0])[None]).estimates.shape[1] == found - 1
    assert (
        OneAndRest(LowestTone(leak), threshold_db=-30.0, most_voices=3).separate(tones([0])[None]).estimates.shape[1]
        > 1
    )


@pytest.mark.parametrize("told", [1, 2, 3])
def test_as_many_as_were_told(model, told):
    other = model.with_sources(told)
    assert (other.contract.sources, model.contract.sources) == (told, None)
    mixture = tones(range(2))[None]
    estimates = other.separate(mixture).estimates
    assert estimates.shape[1] == told
    torch.testing.assert_close(estimates.sum(1), mixture, atol=1e-3, rtol=0)
    assert model.separate(mixture).estimates.shape[1] == 2
    with pytest.raises(ValueError, match="sources is 6; it must be a whole number from 1 to 5"):
        model.with_sources(6)


def test_a_long_signal_has_other_numbers_in_each_segment(model):
    pieces = [tones([0]), tones([0, 2]), tones([0, 1, 2]), tones([0, 2]), tones([0])]
    mixture = torch.cat([piece.repeat(1, 4) for piece in pieces], 1)  # 2 s each
    engine = SlidingSeparator(model, refine=False, segment_seconds=2.0, overlap_seconds=0.5)
    estimates = engine.separate(Recording.of(mixture.numpy(), RATE)).read(0, mixture.shape[1])[:, 0]
    assert engine.passes_made == 1
    assert len(estimates) >= 3
    # What is left out as silence is 15 dB below the mixture or more.
    assert np.square(estimates.sum(0) - mixture[0].numpy()).mean() < 0.03 * mixture.square().mean()
    # The lowest tone is there all of the time, in one and the same track.
    reference = tones([0]).repeat(1, 20)[0].numpy()
    alike = estimates @ reference / np.linalg.norm(reference) / (np.linalg.norm(estimates, axis=1) + 1e-9)
    assert alike.max() > 0.97


def test_training_gives_one_and_the_rest_and_what_is_left():
    separator = ConvTasNet(**TINY, sample_rate=RATE)
    model = OneAndRest(separator, VoiceCounter(channels=8, hidden=8, blocks=2, mels=16, sample_rate=RATE), unroll=3)
    mixture = torch.randn(2, 1, 1003)
    output = model(mixture)
    assert output.logits["stop"].shape == (2, 4, 3)
    assert [one.shape for one in (output.estimates, *output.stages)] == [(2, 2, 1, 1003)] * 3
    torch.testing.assert_close(output.estimates, separator(mixture).estimates)
    torch.testing.assert_close(output.stages[1], separator(output.stages[0][:, 1]).estimates)
    assert OneAndRest(separator)(mixture).logits == {}
    sources = torch.randn(2, 3, 1, 1003)
    batch = {"mixture": mixture, "sources": sources}
    WeightedSum([OneAndRestLoss(), VoicesLeft()])(output, batch).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_the_stop_head_trains_no_separator():
    model = OneAndRest(ConvTasNet(**TINY), VoiceCounter(channels=8, hidden=8, blocks=2, mels=16))
    VoicesLeft()(model(torch.randn(1, 1, 500)), {"sources": torch.randn(1, 2, 1, 500)}).sum().backward()
    assert all(p.grad is None for p in model.separator.parameters())


@pytest.mark.parametrize("time", [1, 7, 4001])
def test_length_in_is_length_out(time):
    model = OneAndRest(ConvTasNet(**TINY), VoiceCounter(channels=8, hidden=8, blocks=2, mels=16)).eval()
    with torch.no_grad():
        estimates = model.separate(torch.randn(3, 1, time)).estimates
    assert estimates.shape[0] == 3
    assert estimates.shape[2:] == (1, time)


def test_the_stop_head_is_told_how_much_is_left():
    """The level of the mixture changes nothing, what is left of it does."""
    head = VoiceCounter(channels=8, hidden=8, blocks=2, mels=16, sample_rate=RATE).eval()
    model = OneAndRest(LowestTone(), head)
    mixture = torch.randn(1, 1, 4000)
    with torch.no_grad():
        expected = model.counted(0.5 * mixture, mixture)
        torch.testing.assert_close(model.counted(0.05 * mixture, 0.1 * mixture), expected)
        assert not torch.allclose(model.counted(0.01 * mixture, mixture), expected, atol=1e-3)


@pytest.mark.parametrize(
    ("logits", "sound", "expected"),
    [((9, 0, 0), 1.0, NOBODY), ((0, 9, 0), 1.0, ONE_VOICE), ((0, 0, 9), 1.0, MORE), ((0, 0, 9), 0.01, NOBODY)],
)
def test_silence_is_nobody_whatever_the_head_says(logits, sound, expected):
    class Says(VoiceCounter):
        def forward(self, waveform: Tensor) -> Tensor:
            return torch.tensor([logits], dtype=torch.float32)

    mixture = torch.randn(1, 1, 100)
    assert OneAndRest(LowestTone(), Says()).left(sound * mixture, mixture).tolist() == [expected]


def test_rounds_are_those_of_the_separator():
    separator = SplitTasNet(window=64, stride=16, channels=8, hidden=8, blocks=2, rounds=2)
    model = OneAndRest(separator)
    assert model.contract.rounds == 2
    assert model.with_rounds(1).separator.separator.rounds == 1
    assert model.separator.separator.rounds == 2
    mixture = torch.randn(1, 1, 400)
    torch.testing.assert_close(model.with_rounds(1)(mixture).estimates, separator.with_rounds(1)(mixture).estimates)


def test_what_cannot_be_built_is_named():
    with pytest.raises(ValueError, match=r"gives 3 sources in the order 'any'; it must .* give 2 sources in any order"):
        OneAndRest(ConvTasNet(sources=3, **TINY))
    with pytest.raises(ValueError, match="stop counts up to 4 voices; it must count up to 2"):
        OneAndRest(LowestTone(), VoiceCounter(4))
    with pytest.raises(ValueError, match="threshold_db is 0; it must be -200 or more and below 0"):
        OneAndRest(LowestTone(), threshold_db=0)
    with pytest.raises(ValueError, match="most_voices is 1; it must be a whole number from 2 to 64"):
        OneAndRest(LowestTone(), most_voices=1)
    with pytest.raises(ValueError, match="unroll is 6; it must be a whole number from 1 to 5"):
        OneAndRest(LowestTone(), unroll=6)


@pytest.mark.slow
def test_it_learns_a_batch():
    separator = ConvTasNet(
        filters=64, kernel=16, stride=8, bottleneck=32, hidden=64, blocks=4, repeats=1, sample_rate=RATE
    )
    model = OneAndRest(separator, VoiceCounter(channels=16, hidden=32, blocks=3, mels=32, sample_rate=RATE))
    objective = WeightedSum([OneAndRestLoss(), VoicesLeft()])
    steps_to(20, model, objective, two_mixtures(seconds=0.25))
