"""Standard streams that are closed, full or no longer read: what was done counts, and nobody sees a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full here")


@pytest.fixture(params=[True, False], ids=["buffered", "unbuffered"])
def avsep(request: pytest.FixtureRequest):
    """Run a command line of the shell, $avsep being the command: avsep("$avsep models") -> (code, stdout, stderr)."""

    def run(line: str) -> tuple[int, str, str]:
        environment = {**os.environ, "avsep": f"{sys.executable} -m avsep", "PYTHONUNBUFFERED": "1"}
        if request.param:
            del environment["PYTHONUNBUFFERED"]
        done = subprocess.run(["bash", "-c", line], env=environment, capture_output=True, text=True)
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.mark.slow
@pytest.mark.parametrize(
    "line",
    [
        "$avsep models >&-",
        "$avsep models --json >&-",
        "$avsep models audio-2spk >&- 2>&- <&-",
        "$avsep models 1</dev/null",  # open, but not for writing
        "$avsep --help >&-",
        "$avsep models | true; exit ${PIPESTATUS[0]}",
        "$avsep --help | true; exit ${PIPESTATUS[0]}",
    ],
)
def test_nobody_reads_the_results(avsep, line: str) -> None:
    assert avsep(line) == (0, "", "")


@pytest.mark.slow
@pytest.mark.parametrize("end", ["2>&-", "2</dev/null", pytest.param("2>/dev/full", marks=FULL)])
def test_nobody_reads_the_messages(avsep, end: str) -> None:
    code, out, _ = avsep(f"$avsep models {end}")
    assert code == 0
    assert "audio-2spk" in out
    assert avsep(f"$avsep models nonesuch {end}") == (1, "", "")
    assert avsep(f"$avsep nonesuch {end}") == (2, "", "")


@FULL
def test_results_that_cannot_be_printed(avsep) -> None:
    code, _, err = avsep("$avsep models >/dev/full")
    assert code == 1
    assert err == (
        "avsep: error: the results cannot be printed (No space left on device). Send standard output somewhere else\n"
    )


def test_a_closed_number_is_not_given_to_a_file(tmp_path: Path) -> None:
    """What a library prints must not end up in a file of results."""
    program = (
        "import os; from avsep.cli.main import main; assert main(['models', 'audio-2spk']) == 0;"
        f"file = open({str(tmp_path / 'result.wav')!r}, 'w'); assert file.fileno() > 2, file.fileno();"
        "os.write(1, b'noise'); os.write(2, b'noise'); os.system('echo noise'); file.write('samples')"
    )
    done = subprocess.run(["bash", "-c", f'{sys.executable} -c "{program}" <&- >&- 2>&-'])
    assert done.returncode == 0
    assert (tmp_path / "result.wav").read_text() == "samples"
