"""`avsep demo`: its figures follow the tracks, checked with tracks whose quality is known."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import soundfile
from fake_pipeline import person, separated

from avsep.cli.demo import ASSETS, CLIP
from avsep.pipeline import Options

pytestmark = pytest.mark.skipif(not CLIP.exists(), reason="the demo clip is not in this copy")


def voices() -> tuple[np.ndarray, np.ndarray]:
    left, right = (soundfile.read(ASSETS / f"{side}.flac")[0] for side in ("left", "right"))
    return left, right


@pytest.fixture
def tracks(monkeypatch: pytest.MonkeyPatch):
    """Let the separation give these tracks: a list of (side of the face, samples)."""

    def use(found: list[tuple[str, np.ndarray]]) -> list[Options]:
        """Options of the calls are added to the list that is returned."""
        asked: list[Options] = []

        class Separator:
            def __init__(self, **settings) -> None: ...

            def separate(self, path: Path, output: Path, options: Options, progress=None) -> dict:
                asked.append(options)
                folder = output / path.stem
                folder.mkdir(parents=True)
                people = []
                for number, (side, samples) in enumerate(found):
                    x = 200 if side == "left" else 900
                    soundfile.write(folder / f"speaker_{number:02d}.wav", samples, 16000, subtype="FLOAT")
                    people.append(person((x, 100, x + 200, 400), seconds=8.0))
                return separated(path, people)

        module = types.ModuleType("avsep.pipeline")
        module.__dict__.update(Separator=Separator, Options=Options)
        monkeypatch.setitem(sys.modules, "avsep.pipeline", module)
        return asked

    return use


def test_known_quality_is_reported(cli, tracks) -> None:
    left, right = voices()
    tracks([("left", left + 0.1 * right), ("right", right + 0.1 * left)])
    code, out, _ = cli("demo", "--json")
    scores = json.loads(out)["scores"]
    assert code == 0
    assert [s["face"] for s in scores] == ["left", "right"]
    # The other voice at a tenth of its amplitude: 20 dB better than the mixture.
    assert [s["improvement_db"] for s in scores] == pytest.approx([20, 20], abs=0.3)


def test_swapped_voices_score_badly(cli, tracks) -> None:
    left, right = voices()
    tracks([("left", right), ("right", left)])
    code, out, _ = cli("demo")
    assert code == 0
    assert "mean improvement -" in out


def test_a_face_that_is_not_found_gains_nothing(cli, tracks) -> None:
    left, _ = voices()
    tracks([("left", left)])
    _, out, _ = cli("demo")
    assert "right face  not found" in out
    assert "+0.0 dB" in out


def test_the_demo_clip_is_its_references() -> None:
    """left + right is the mixture that the picture carries, so the figures compare like with like."""
    left, right = voices()
    assert len(left) == len(right)
    assert np.abs(left + right).max() <= 1.0
    assert sum(f.stat().st_size for f in ASSETS.iterdir()) < 1.5e6


def test_the_videos_may_be_marked(cli, tracks) -> None:
    asked = tracks([])
    for options in ((), ("--mark",), ("--no-video",)):
        assert cli("demo", "-o", f"out{len(asked)}", *options)[0] == 0
    assert [(wanted.mark, wanted.video) for wanted in asked] == [(False, True), (True, True), (False, False)]
