"""Turns from RTTM files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from avsep.errors import InputError, UsageError
from avsep.speech.turns import read_turns, speaking

MEETING = """\
;; made by hand
SPKR-INFO meeting 1 <NA> <NA> <NA> unknown ann <NA>
SPEAKER meeting 1 2.50 1.00 <NA> <NA> bob <NA> <NA>
SPEAKER meeting 1 0.30 2.00 <NA> <NA> ann <NA> <NA>

SPEAKER meeting 1 3.00 0.50 <NA> <NA> ann <NA>
"""


def rttm(folder: Path, text: str) -> Path:
    file = folder / "meeting.rttm"
    file.write_text(text, encoding="utf-8")
    return file


def test_turns_by_name_in_the_order_of_speaking(tmp_path):
    found = read_turns(rttm(tmp_path, MEETING), "meeting")
    assert {name: [(turn.start, turn.end) for turn in turns] for name, turns in found.items()} == {
        "ann": [(0.3, 2.3), (3.0, 3.5)],
        "bob": [(2.5, 3.5)],
    }
    assert list(found) == ["ann", "bob"]


def test_one_of_several_recordings(tmp_path):
    two = MEETING + "SPEAKER other 1 0 9 <NA> <NA> eve <NA> <NA>\n"
    file = rttm(tmp_path, two)
    assert list(read_turns(file, "other")) == ["eve"]
    assert list(read_turns(file, "meeting")) == ["ann", "bob"]
    with pytest.raises(InputError, match=r"no turns of 'talk'; it has those of meeting, other\. Name the clip"):
        read_turns(file, "talk")
    # A file about one recording is about the clip, whatever it is called.
    assert list(read_turns(rttm(tmp_path, MEETING), "talk")) == ["ann", "bob"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("SPEAKER meeting 1 0.3 2.0 <NA> <NA>", r"line 2: 7 fields, expected 8 or more: SPEAKER <recording>"),
        ("SPEAKER meeting 1 soon 2.0 <NA> <NA> ann <NA>", r"line 2: start is 'soon'; it must be seconds"),
        ("SPEAKER meeting 1 1.0 -2 <NA> <NA> ann <NA>", r"line 2: duration is '-2'; it must be seconds, .* 0 or more"),
        ("SPEAKER meeting 1 nan 2 <NA> <NA> ann <NA>", "line 2: start is 'nan'"),
        ("SPEAKER meeting 1 0 inf <NA> <NA> ann <NA>", "line 2: duration is 'inf'"),
        ("0.3 2.0 ann", r"line 2: begins with '0\.3'; a line of RTTM begins with SPEAKER"),
    ],
)
def test_a_line_that_is_wrong_is_told_with_its_number(tmp_path, line, message):
    good = "SPEAKER meeting 1 0.30 2.00 <NA> <NA> ann <NA> <NA>"
    with pytest.raises(InputError, match=message):
        read_turns(rttm(tmp_path, f"{good}\n{line}\n"), "meeting")


def test_files_that_are_no_rttm(tmp_path):
    with pytest.raises(UsageError, match=r"--turns .*none\.rttm: No such file or directory\. Give an RTTM file"):
        read_turns(tmp_path / "none.rttm", "meeting")
    with pytest.raises(InputError, match="no line begins with SPEAKER, so nobody speaks"):
        read_turns(rttm(tmp_path, ";; nothing\n"), "meeting")
    (tmp_path / "sound.rttm").write_bytes(b"RIFF\xff\xfe\x00")
    with pytest.raises(InputError, match=r"not text in UTF-8 \(byte 4\)"):
        read_turns(tmp_path / "sound.rttm", "meeting")


def test_speaking_is_the_part_of_each_picture(tmp_path):
    turns = read_turns(rttm(tmp_path, MEETING), "meeting")["ann"]
    found = speaking(turns, 100)
    assert found.dtype == np.float32
    expected = np.zeros(100)
    expected[8:57] = 1  # 0.3 to 2.3 s are pictures 7.5 to 57.5
    expected[[7, 57]] = 0.5
    expected[75:87] = 1
    expected[87] = 0.5
    np.testing.assert_allclose(found, expected, atol=1e-5)
    # The clip begins a second later.
    np.testing.assert_allclose(speaking(turns, 75, start=1.0), expected[25:], atol=1e-5)
    assert speaking(turns, 0).shape == (0,)
