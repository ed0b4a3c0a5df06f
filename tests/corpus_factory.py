"""Miniature corpora for the tests: short sounds of noise under the names that a corpus gives them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from avsep.data.lists import MixtureSpec, read_list
from avsep.data.manifest import Utterance, read_manifest


def noise(seconds: float, rate: int = 16_000, channels: int = 1, seed: int = 0) -> np.ndarray:
    """(time,) or (time, channels) float32, uniform in +-0.2, rounded to 16 bit."""
    values = np.random.default_rng(seed).uniform(-0.2, 0.2, (round(seconds * rate), channels))
    return (np.round(values * 32768) / 32768).astype(np.float32).squeeze(-1 if channels == 1 else ())


def write_sound(path: Path, seconds: float = 0.5, rate: int = 16_000, channels: int = 1, seed: int = 0) -> np.ndarray:
    """Write such a sound, folders included, and return it."""
    samples = noise(seconds, rate, channels, seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate)
    return samples


def write_tree(folder: Path, parts: dict[str, np.ndarray], name: str, rate: int = 16_000) -> None:
    """Write FOLDER/PART/NAME of every part."""
    for part, samples in parts.items():
        (folder / part).mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / part / name, samples, rate)


def rows_by_id(manifest: Path) -> dict[str, Utterance]:
    return {row.id: row for row in read_manifest(manifest)}


def specs_by_id(table: Path) -> dict[str, MixtureSpec]:
    return {spec.id: spec for spec in read_list(table)}


def skipped(folder: Path) -> dict[str, str]:
    """skipped.tsv as name: reason."""
    lines = (folder / "skipped.tsv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "name\treason"
    return dict(line.split("\t") for line in lines[1:])


def fails(
    main: Callable[[list[str]], int], capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 1
) -> str:
    """Run a module's command that must fail with `code` and one line on stderr; returns that line."""
    capsys.readouterr()
    assert main([str(a) for a in arguments]) == code
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("[")]
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: ")
    return lines[0]
