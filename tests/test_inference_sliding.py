"""The sliding engine: any rate, any number of channels, cues by time, and nothing lost on the way."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from stub_models import Gains, PerCue

from avsep.errors import UsageError, WeightsError
from avsep.inference.sliding import CUES_AT_ONCE, SlidingSeparator, with_channels
from avsep.models.base import Contract, Output
from avsep.models.conv_tasnet import ConvTasNet
from avsep.models.split_tasnet import SplitTasNet
from avsep.storage.recording import Estimates, Recording

ORDERED = {"order": "named", "names": ("a", "b"), "kind": "stem"}
"""Of a contract: estimates that are scaled copies of one mixture cannot be told apart otherwise."""


def tones(seconds: float, rate: int, channels: int = 1) -> np.ndarray:
    """Tones below 3 kHz that begin and end softly: (channels, time)."""
    time = np.arange(int(seconds * rate)) / rate
    rise = np.sin(np.pi * np.arange(len(time)) / len(time))
    return np.stack([rise * np.sin(2 * np.pi * (440 + 300 * n) * time) for n in range(channels)]).astype(np.float32)


def run(model, mixture: np.ndarray, rate: int = 16_000, cues=None, **options) -> np.ndarray:
    estimates = SlidingSeparator(model, **options).separate(Recording.of(mixture, rate), cues)
    assert estimates.sample_rate == rate
    return estimates.read(0, len(estimates))


@pytest.mark.parametrize("seconds", [0.0001, 0.5, 3.0, 7.3])
def test_a_signal_of_any_length_comes_back_whole(seconds):
    x = tones(seconds, 16_000)
    found = run(Gains([0.75, 0.25], **ORDERED), x, segment_seconds=2.0, overlap_seconds=0.5)
    np.testing.assert_allclose(found, np.stack([0.75 * x, 0.25 * x]), atol=1e-6)


@pytest.mark.parametrize(("segment", "overlap"), [(0.5, 0.0), (1.5, 2.0), (0.01, 2.0)])
def test_segments_of_any_length_and_overlap_join(segment, overlap):
    x = tones(3.3, 16_000)
    found = run(Gains([0.75, 0.25], **ORDERED), x, segment_seconds=segment, overlap_seconds=overlap)
    np.testing.assert_allclose(found, np.stack([0.75 * x, 0.25 * x]), atol=1e-6)


def test_no_sound_gives_no_sound():
    assert run(Gains([0.75, 0.25]), np.zeros((1, 0), np.float32)).shape == (2, 1, 0)


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("own_rate", [8_000, 16_000, 44_100])
def test_a_model_of_any_rate_works_on_sound_of_any_rate(rate, own_rate):
    model, x = Gains([0.75, 0.25], sample_rate=own_rate, **ORDERED), tones(3.3, rate)
    found = run(model, x, rate, segment_seconds=2.0, overlap_seconds=0.5)
    assert found.shape == (2, *x.shape)
    np.testing.assert_allclose(found[0], 0.75 * x, atol=4e-3)
    # It was given sound of its own rate.
    assert model.given[0][0].shape[-1] == (2 * own_rate)


def test_the_model_runs_segment_by_segment_in_its_favourite_length():
    model = Gains([1.0, 0.0], segment_seconds=3.0)
    run(model, tones(20, 16_000))
    lengths = [mixture.shape[-1] / 16_000 for mixture, _ in model.given]
    assert lengths[:-1] == [3.0] * (len(lengths) - 1)
    assert lengths[-1] <= 5.0


def test_one_channel_for_one_microphone_is_the_mean():
    x = tones(1, 16_000, channels=3)
    np.testing.assert_allclose(run(Gains([1.0, 0.0]), x)[0], x.mean(axis=0, keepdims=True), atol=1e-6)


def test_all_channels_go_to_a_model_that_takes_them():
    x = tones(1, 16_000, channels=4)
    np.testing.assert_allclose(run(Gains([0.5, 0.5], channels=(2, 8)), x), np.stack([0.5 * x] * 2), atol=1e-6)


@pytest.mark.parametrize(
    ("channels", "allowed", "message"),
    [
        (1, (2, 8), "the sound has 1 channel, and the model takes 2 to 8"),
        (9, (2, 8), "the sound has 9 channels, and the model takes 2 to 8"),
        (3, (2, 2), "the sound has 3 channels, and the model takes 2"),
    ],
)
def test_channels_that_do_not_fit_are_refused(channels, allowed, message):
    with pytest.raises(UsageError, match=message):
        run(Gains([1.0, 0.0], channels=allowed), tones(0.1, 16_000, channels))


def test_mono_music_is_stereo_for_stems():
    stems = Contract(16_000, channels=(2, 2), sources=2, order="named", names=("a", "b"), kind="stem")
    x = tones(0.1, 16_000)
    given = with_channels(Recording.of(x, 16_000), stems)
    np.testing.assert_array_equal(given.read(0, 1600), np.concatenate([x, x]))


def test_stems_of_mono_music_are_mono():
    x = tones(1, 44_100)
    found = run(Gains([0.75, 0.25], channels=(2, 2), sample_rate=44_100, **ORDERED), x, 44_100)
    np.testing.assert_allclose(found, np.stack([0.75 * x, 0.25 * x]), atol=1e-6)


class Levels:
    """A level for each of `levels`, of which those in `absent` are not there before a second."""

    def __init__(self, levels: list[float], absent: tuple[int, ...] = ()) -> None:
        self.levels, self.absent = levels, absent
        self.asked: list[tuple[float, float]] = []

    @property
    def sources(self) -> int:
        return len(self.levels)

    def read(self, start, stop):
        self.asked.append((start, stop))
        present = [n for n in range(self.sources) if n not in self.absent or stop > 3.0]
        return present, {"level": np.array([self.levels[n] for n in present], np.float32)}


def test_cues_are_asked_for_by_time_and_go_through_in_groups():
    model, cues, x = PerCue(), Levels([0.1 * n for n in range(6)]), tones(4.0, 16_000)
    found = run(model, x, cues=cues, segment_seconds=2.0, overlap_seconds=0.5)
    np.testing.assert_allclose(found, np.stack([0.1 * n * x for n in range(6)]), atol=1e-6)
    assert cues.asked == [(0.0, 2.0), (1.5, 4.0)]
    assert model.batches == [CUES_AT_ONCE, 2] * 2


def test_who_has_no_cue_is_silent():
    x = tones(4.0, 16_000)
    found = run(PerCue(), x, cues=Levels([1.0, 0.5], absent=(1,)), segment_seconds=2.0, overlap_seconds=0.5)
    assert not found[1, :, : int(1.5 * 16_000)].any()
    np.testing.assert_allclose(found[1, :, 32_000:], 0.5 * x[:, 32_000:], atol=1e-6)
    nobody = run(PerCue(), x[:, :16_000], cues=Levels([1.0], absent=(0,)))
    assert nobody.shape == (1, 1, 16_000)
    assert not nobody.any()


@pytest.mark.parametrize("kept", [1, 2])
def test_who_has_no_cue_is_silent_in_every_channel_that_the_model_gives(kept):
    class Several(PerCue):
        contract = dataclasses.replace(PerCue.contract, channels=(2, 2))

        def forward(self, mixture, **cues):
            return super().forward(mixture[:, :kept], **cues)

    x = tones(4.0, 16_000, channels=2)
    found = run(Several(), x, cues=Levels([0.5], absent=(0,)), segment_seconds=2.0, overlap_seconds=0.5)
    assert not found[..., : int(1.5 * 16_000)].any()
    np.testing.assert_allclose(found[0, :, 32_000:], 0.5 * x[:kept, 32_000:], atol=1e-6)


def test_a_model_without_its_cue_is_refused():
    with pytest.raises(UsageError, match="the model needs level besides the mixture"):
        run(PerCue(), tones(1, 16_000))


@pytest.mark.parametrize(("quality", "passes", "with_rounds"), [("fast", 1, 1), ("normal", 2, 1), ("best", 4, 2)])
def test_passes_follow_from_the_contract_and_the_quality(quality, passes, with_rounds):
    for contract, expected in (({"stride": 16}, passes), ({}, 1), ({"stride": 16, "rounds": 3}, with_rounds)):
        assert SlidingSeparator(Gains([1.0, 0.0], **contract), quality=quality).passes_made == expected


def test_a_model_of_rounds_runs_one_of_them_where_it_is_to_be_fast():
    torch.manual_seed(0)
    model = SplitTasNet(window=64, stride=16, channels=8, hidden=12, blocks=3, rounds=2).eval()
    mixture = tones(1, 16_000)
    once = run(model.with_rounds(1), mixture, passes=1)
    np.testing.assert_allclose(run(model, mixture, quality="fast"), once, atol=1e-6)
    assert np.abs(run(model, mixture, quality="normal") - once).max() > 1e-4
    assert model.contract.rounds == 2
    assert model.separator.rounds == 2


def test_passes_may_be_set():
    framed = Gains([1.0, 0.0], stride=16)
    assert SlidingSeparator(PerCue()).passes_made == 1
    assert SlidingSeparator(PerCue(), passes=3).passes_made == 3
    run(framed, tones(1, 16_000))
    # Half of the model's own stride later, and turned.
    (first, _), (second, _) = framed.given
    assert second.shape[-1] == first.shape[-1] + 8
    assert torch.equal(second[..., 8:], -first)


def test_estimates_are_refined_as_the_contract_says():
    x = tones(2, 16_000)
    np.testing.assert_allclose(run(Gains([0.25, 0.25], refine=True), x)[0], x * 0.25, atol=1e-3)
    # All that the estimates leave goes to a residual: its bins are not given to them.
    assert np.abs(run(Gains([0.5, 0.0], refine=True), x)[0] - 0.5 * x).max() < 1e-3
    np.testing.assert_array_equal(run(Gains([0.5, 0.0], refine=True), x, refine=False)[0], 0.5 * x)


def test_values_that_are_no_numbers_are_refused():
    with pytest.raises(WeightsError, match=r"values that are not numbers for the sound at 0.00 to 1.00 s"):
        run(Gains([float("nan"), 1.0]), tones(1, 16_000))


def test_a_model_that_tells_the_number_of_sources_loses_none():
    class Growing(Gains):
        """Low and high parts of the mixture; of the first segment the low one alone, then both in turn."""

        def forward(self, mixture, **cues):
            self.given.append((mixture, cues))
            before = torch.nn.functional.pad(mixture, (1, 0))[..., :-1]
            parts = torch.stack([mixture + before, mixture - before], dim=1) / 2
            count = len(self.given)
            return Output(parts[:, :1] if count == 1 else parts.flip(1) if count % 2 else parts)

    x = np.random.default_rng(0).standard_normal((1, 96_000)).astype(np.float32)
    before = np.pad(x, ((0, 0), (1, 0)))[:, :-1]
    found = run(Growing([1.0, 1.0], sources=None), x, segment_seconds=2.0, overlap_seconds=0.5)
    np.testing.assert_allclose(found[0], (x + before) / 2, atol=1e-5)
    np.testing.assert_allclose(found[1, :, 32_000:], ((x - before) / 2)[:, 32_000:], atol=1e-5)
    assert not found[1, :, :24_000].any()


@pytest.mark.parametrize("rate", [16_000, 44_100])
def test_a_model_that_finds_nothing_gives_no_estimates(rate):
    found = run(Gains([], sources=None), tones(3.3, rate), rate, segment_seconds=1.0, overlap_seconds=0.5, passes=2)
    assert found.shape == (0, 1, int(3.3 * rate))


def test_a_pass_with_another_number_of_sources_is_left_out():
    class Unsteady(Gains):
        def forward(self, mixture, **cues):
            self.given.append((mixture, cues))
            return Output(super().forward(mixture).estimates[:, : 1 + len(self.given) % 2])

    x = tones(1, 16_000)
    model = Unsteady([0.75, 0.25], sources=None)
    np.testing.assert_allclose(run(model, x, passes=3), np.stack([0.75 * x]), atol=1e-6)
    assert len(model.given) == 6


def test_separate_not_forward_is_what_is_used():
    class Clustered(Gains):
        def separate(self, mixture, **cues):
            return Output(2 * self(mixture).estimates)

    x = tones(0.2, 16_000)
    np.testing.assert_allclose(run(Clustered([0.5, 0.1]), x)[0], x, atol=1e-6)


def test_a_real_model_gives_the_same_in_one_segment_as_called_by_itself():
    torch.manual_seed(0)
    model = ConvTasNet(filters=8, bottleneck=8, hidden=8, blocks=2, repeats=1).eval()
    x = tones(1, 16_000)
    with torch.inference_mode():
        expected = model(torch.from_numpy(x)[None]).estimates[0].numpy()
    np.testing.assert_allclose(run(model, x, passes=1, refine=False), expected, atol=1e-6)


def test_estimates_grow_by_sources_and_are_read_in_parts():
    estimates = Estimates(None, 2, 8_000)
    first = np.ones((1, 2, 10_000), np.float32)
    estimates.append(first)
    estimates.append(np.stack([2 * first[0], 3 * first[0]]))
    estimates.append(5 * first)
    assert (estimates.count, len(estimates), estimates.seconds) == (2, 30_000, 3.75)
    np.testing.assert_array_equal(estimates.read(9_999, 10_001)[:, 0], [[1, 2], [0, 3]])
    np.testing.assert_array_equal(estimates.mono(29_999, 40_000), [[5], [0]])
    assert estimates.read(40_000, 50_000).shape == (2, 2, 0)


def test_recordings_give_blocks_of_a_second():
    x = tones(2.5, 8_000, 2)
    recording = Recording.of(x, 8_000)
    blocks = list(recording.blocks())
    assert [block.samples.shape[1] for block in blocks] == [8_000, 8_000, 4_000]
    np.testing.assert_array_equal(np.concatenate([block.samples for block in blocks], axis=1), x)
    assert recording.seconds == 2.5


@pytest.mark.parametrize("passes", [1, 4])
def test_estimates_of_a_free_level_are_fitted_to_the_mixture(passes):
    x = tones(3.3, 16_000)
    model = Gains([-3.0, 0.0], **ORDERED)
    kept = run(model, x, passes=passes)
    np.testing.assert_allclose(kept[0], -3 * x, atol=1e-4)
    model.contract = dataclasses.replace(model.contract, level="free")
    fitted = run(model, x, passes=passes, segment_seconds=1.0, overlap_seconds=0.25)
    np.testing.assert_allclose(fitted, np.stack([x, 0 * x]), atol=2e-3)
