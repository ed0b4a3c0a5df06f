"""Dead, copied, clipped and late channels of an array are found, good ones are not."""

import numpy as np
import pytest

from avsep.dsp.channel_faults import ChannelFaults
from avsep.signals import Audio

RATE = 8000


def meeting(seconds: float = 4.5, channels: int = 4) -> np.ndarray:
    """(channels, time): a source with pauses that comes a few samples later to each microphone, and their noise."""
    rng = np.random.default_rng(0)
    time = int(seconds * RATE)
    source = (
        rng.standard_normal(time + 100) * np.repeat(rng.uniform(0.01, 0.3, 100), -(-(time + 100) // 100))[: time + 100]
    )
    images = np.stack([source[50 - 5 * m : 50 - 5 * m + time] * 0.9**m for m in range(channels)])
    return (images + 1e-3 * rng.standard_normal(images.shape)).astype(np.float32)


def faults(samples: np.ndarray) -> dict[int, str]:
    found = ChannelFaults(len(samples))
    for second, start in enumerate(range(0, samples.shape[1], RATE)):
        found.add(Audio(samples[:, start : start + RATE], RATE, float(second)))
    return found.found()


def dead(x: np.ndarray) -> None:
    x[2] = 0


def faint(x: np.ndarray) -> None:
    x[2] *= 1e-4


def copied(x: np.ndarray) -> None:
    x[2] = -0.5 * x[1]


def clipped(x: np.ndarray) -> None:
    x[2] = np.clip(x[2], -0.3, 0.3)


def late(x: np.ndarray) -> None:
    x[2, 800:] = x[2, :-800].copy()


def early(x: np.ndarray) -> None:
    x[2, :-800] = x[2, 800:].copy()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (dead, "is silent"),
        (faint, "is nearly silent"),
        (copied, "is a copy of channel 1"),
        (clipped, "is clipped ("),
        (late, "is 100 ms too late"),
        (early, "is 99 ms too early"),
    ],
)
def test_a_spoilt_channel_is_named_and_no_other(spoil, message: str) -> None:
    samples = meeting()
    assert faults(samples) == {}
    spoil(samples)
    found = faults(samples)
    assert list(found) == [2]
    assert found[2].startswith(message)


@pytest.mark.parametrize("samples", [800, 960, 1600])
def test_one_late_channel_of_three_leaves_the_others(samples) -> None:
    meeting3 = meeting(channels=3)
    meeting3[2, samples:] = meeting3[2, :-samples].copy()
    found = faults(meeting3)
    assert list(found) == [2]
    assert found[2].endswith("ms too late")


@pytest.mark.parametrize("seconds", [0.8, 4.5])
def test_two_channels_far_apart_in_time_lose_the_second(seconds) -> None:
    pair = meeting(seconds, channels=2)
    assert faults(pair) == {}
    pair[1, 1600:] = pair[1, :-1600].copy()
    assert faults(pair) == {1: "is 201 ms apart from channel 0"}


@pytest.mark.parametrize(("channels", "spoilt"), [(2, [1]), (4, [1, 3]), (3, [2])])
def test_clipped_channels_are_found_beside_as_many_good_ones(channels, spoilt) -> None:
    samples = meeting(channels=channels)
    for channel in spoilt:
        samples[channel] = np.clip(samples[channel], -0.2, 0.2)
    assert list(faults(samples)) == spoilt


def test_a_recording_that_is_clipped_as_a_whole_keeps_its_channels() -> None:
    assert faults(np.clip(meeting(), -0.2, 0.2)) == {}


def test_one_channel_is_always_left() -> None:
    assert faults(np.zeros((3, 2 * RATE), np.float32)) == {1: "is silent", 2: "is silent"}
    assert faults(np.zeros((2, 0), np.float32)) == {1: "is silent"}


def test_channels_that_share_nothing_are_not_late() -> None:
    assert faults(np.random.default_rng(1).standard_normal((4, 3 * RATE)).astype(np.float32)) == {}


def test_less_than_a_second_is_enough_for_all_but_delays() -> None:
    samples = meeting(0.5)
    dead(samples)
    assert faults(samples) == {2: "is silent"}
