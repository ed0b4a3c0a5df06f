"""Arrays that grow on disk."""

import numpy as np
import pytest

from avsep.storage.spool import Spool
from avsep.timing import Stopwatch


def test_rows_come_back_as_they_went_in(tmp_path):
    spool = Spool(tmp_path, (2, 3), np.int16)
    rows = np.arange(60, dtype=np.int16).reshape(10, 2, 3)
    spool.append(rows[:4])
    spool.append(rows[4:])
    assert len(spool) == 10
    np.testing.assert_array_equal(spool.read(3, 7), rows[3:7])
    np.testing.assert_array_equal(spool.read(-5, 99), rows)
    assert spool.read(8, 8).shape == (0, 2, 3)


def test_nothing_is_left_on_disk(tmp_path):
    spool = Spool(tmp_path, (), np.float32)
    spool.append(np.ones(5, np.float32))
    assert list(tmp_path.iterdir()) == []


def test_rows_of_another_shape_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"rows must be \(n, 2\)"):
        Spool(tmp_path, (2,), np.float32).append(np.zeros((4, 3)))


def test_nested_steps_stop_the_outer_clock(monkeypatch):
    now = iter([0.0, 1.0, 3.0, 6.0, 10.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(now))
    watch = Stopwatch()
    with watch.step("outer"), watch.step("inner"):
        pass
    assert watch.seconds == {"outer": 2.0 + 4.0 - 0.0, "inner": 3.0}
