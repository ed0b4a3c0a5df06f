"""The README's commands work as they stand there: every fenced block marked `test` is run."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DEMO_CLIP = ROOT / "avsep" / "assets" / "demo" / "demo.mp4"
BLOCKS = re.findall(r"^```(sh|python) test\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run with this environment's commands first on the PATH; whatever ends the test ends all it started."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=os.environ | {"PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = process.communicate()
    except BaseException:
        os.killpg(process.pid, signal.SIGTERM)
        raise
    return subprocess.CompletedProcess(command, process.returncode, out, err)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not DEMO_CLIP.exists(), reason="the demo clip is not made yet")
def test_marked_blocks_run(tmp_path: Path) -> None:
    shutil.copy(DEMO_CLIP, tmp_path / "talk.mp4")
    assert [kind for kind, _ in BLOCKS] == ["sh", "sh", "python", "python"]
    for kind, code in BLOCKS:
        command = ["bash", "-e", "-c", code] if kind == "sh" else [sys.executable, "-c", code]
        done = run(command, tmp_path)
        assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"
    for name in ("separated/talk/manifest.json", "part/talk/residual.wav", "faces/talk/people.json", "tracks/talk"):
        assert (tmp_path / name).exists(), name
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize("target", re.findall(r"`?make (\w+)", README))
def test_make_targets_exist(target: str) -> None:
    done = run(["make", "--dry-run", target], ROOT)
    assert done.returncode == 0, done.stderr


def test_options_named_exist() -> None:
    shown = run([sys.executable, "-m", "avsep", "separate", "--help"], ROOT).stdout
    table = README.split("## Options that matter")[1].split("## ")[0]
    for option in set(re.findall(r"--[a-z][a-z-]+", table)):
        assert option in shown, f"{option} is in the README but not in the help"


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", README):
        if not target.startswith(("http", "#")):
            assert (ROOT / target).exists(), target
