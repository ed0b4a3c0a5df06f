"""Fixtures that several test files share."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the helpers beside the tests

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real clips beside the repository; skips where there is none."""
    folder = ROOT.parent / "shared"
    if not (folder / "clips").is_dir():
        pytest.skip(f"no real clips: {folder / 'clips'} does not exist")
    return folder


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Run the command line in this process, in an empty folder: cli("models") -> (exit code, stdout, stderr)."""
    from avsep.cli.main import main

    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> tuple[int, str, str]:
        capfd.readouterr()
        code = main([str(a) for a in arguments])
        return code, *capfd.readouterr()

    return run


@pytest.fixture(autouse=True, scope="session")
def modules_of_the_tests() -> Iterator[None]:
    """Configurations of the tests name classes that lie beside them, as --allow-modules would let them."""
    from allowed_modules import TEST_MODULES

    from avsep.training import allowed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(allowed, "ALLOWED", (*allowed.ALLOWED, *TEST_MODULES))
        yield


@pytest.fixture
def one_thread() -> Iterator[None]:
    """torch with one thread: small networks are no faster with more, and much slower where others use the cores."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def talk_result(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A result of two people in a picture, not to be written to."""
    from page_results import make_result

    return make_result(tmp_path_factory.mktemp("made") / "talk", people=2)


@pytest.fixture
def speech(monkeypatch):
    """Sets the probability of speech of each source, in place of the detector: speech(0.9, 0.0)."""
    import numpy as np

    import avsep.modes.lips_condition as lips_condition
    import avsep.modes.voices as voices_module

    def probabilities(*values: float) -> None:
        def found(sources, progress=None):
            pictures = -(-len(sources) * 25 // 16_000)
            rows = np.array([values[n] for n in range(sources.count)], np.float32)[:, None]
            return rows.repeat(pictures, 1), np.full((sources.count, pictures), -20.0, np.float32)

        for module in (voices_module, lips_condition):
            monkeypatch.setattr(module, "speech_and_level", found)

    return probabilities
