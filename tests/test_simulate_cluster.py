"""The simulation of many workers (tests/benchmarks/simulate_cluster.py) where the answer is known."""

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent / "benchmarks"))

from simulate_cluster import Cluster, simulate

CLIPS = np.random.default_rng(0).uniform(1, 3, 400)


def test_one_worker_takes_the_sum_and_two_half_of_it():
    assert simulate(CLIPS, Cluster(1)).seconds == pytest.approx(CLIPS.sum())
    two = simulate(CLIPS, Cluster(2))
    assert CLIPS.sum() / 2 <= two.seconds <= CLIPS.sum() / 2 + 3
    assert two.efficiency == pytest.approx(1, abs=0.01)


def test_a_driver_that_is_busy_bounds_any_number_of_workers():
    found = simulate(CLIPS, Cluster(400, driver=0.1))
    assert 40 <= found.seconds <= 40 + 3
    assert found.driver > 0.9


def test_storage_bounds_them_too():
    found = simulate(CLIPS, Cluster(400, storage=1e6, bytes_a_clip=1e5))
    assert found.seconds == pytest.approx(400 * 1e5 / 1e6)


def test_clips_that_never_end_take_the_time_limit_and_are_given_up():
    found = simulate(CLIPS, Cluster(1, poison=0.1, time_limit=10.0))
    assert 20 < found.given_up < 60
    assert found.seconds > CLIPS.sum() + found.given_up * 7


def test_what_a_machine_loses_is_done_again():
    whole, found = (simulate(CLIPS, Cluster(8, cores=1, mtbf=mtbf, repair=5.0)) for mtbf in (np.inf, 60.0))
    assert whole.lost == 0
    assert found.lost > 0
    assert found.seconds > whole.seconds
    assert found.given_up < 10
    # Every clip was done or given up.
    assert found.efficiency * 8 * found.seconds == pytest.approx(CLIPS.sum(), rel=0.05)


def test_a_slow_machine_makes_the_tail():
    even, uneven = (simulate(np.full(64, 10.0), Cluster(32, cores=1, slow=slow)) for slow in (0.0, 0.1))
    assert even.tail == pytest.approx(0, abs=0.01)
    assert uneven.seconds >= 50
    assert uneven.tail > 0.3
