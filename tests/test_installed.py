"""The wheel alone is enough: installed into an environment of its own, it separates a clip outside the checkout."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest
import soundfile as sf
from two_talkers import voices

from avsep.version import __version__

ROOT = Path(__file__).parents[1]
UV = shutil.which("uv", path=f"{os.environ.get('PATH', '')}{os.pathsep}{ROOT / '.uv' / 'bin'}")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the checkout as it is."""
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", out]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (found,) = out.glob("*.whl")
    return found


@pytest.mark.slow
def test_the_wheel_has_every_file(wheel: Path) -> None:
    """Weights, the demo clip and whatever else lies between the modules."""
    names = set(zipfile.ZipFile(wheel).namelist())
    files = [path for path in (ROOT / "avsep").rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert len(files) > 200
    assert not [path for path in files if path.relative_to(ROOT).as_posix() not in names]


@pytest.mark.slow
@pytest.mark.skipif(UV is None, reason="uv, which makes environments, is not installed")
def test_an_environment_of_its_own(wheel: Path, tmp_path: Path) -> None:
    """As `pipx install` and `uvx` make one, except that the packages it needs, some GB, are those of the tests: a path
    file leads to them. Path files of theirs, such as that of an editable avsep, are not followed."""
    environment = tmp_path / "environment"
    python = environment / "bin" / "python"
    assert UV is not None
    uv = [UV, "--offline", "--quiet", "--no-config"]
    subprocess.run([*uv, "venv", "--python", sys.executable, environment], check=True)
    subprocess.run([*uv, "pip", "install", "--python", python, "--no-deps", wheel], check=True)
    (packages,) = (environment / "lib").glob("python*/site-packages")
    (packages / "packages_of_the_tests.pth").write_text(sysconfig.get_path("purelib") + "\n")
    outside = tmp_path / "outside"
    outside.mkdir()
    sf.write(outside / "call.wav", voices(2.4, 1.5).sum(axis=0), 16_000)

    def run(*command: str) -> str:
        clean = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
        path = f"{environment / 'bin'}{os.pathsep}/usr/bin{os.pathsep}/bin"
        done = subprocess.run(command, cwd=outside, env=clean | {"PATH": path}, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert run("avsep", "--version") == f"avsep {__version__}\n"
    where = "import avsep, preprocessing; print(avsep.__file__, preprocessing.__file__)"
    for file in run(str(python), "-c", where).split():
        assert Path(file).is_relative_to(packages)
    assert "audio-2spk" in {card["name"] for card in json.loads(run("avsep", "models", "--json"))}
    run("avsep", "separate", "call.wav", "--speakers", "2")
    result = outside / "separated" / "call"
    assert {file.name for file in result.iterdir()} == {
        "manifest.json", "residual.wav", "speaker_00.wav", "speaker_01.wav",
    }  # fmt: skip


def test_the_dockerfile_finds_its_files_and_versions(tmp_path: Path) -> None:
    """What can be told without Docker: the files that it copies are let in, and each package has its locked version."""
    folder = ROOT / "docs" / "docker"
    text = (folder / "Dockerfile").read_text()
    let_in = (folder / "Dockerfile.dockerignore").read_text().splitlines()
    copied = [name for line in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE) for name in line.split()]
    assert {"avsep", "preprocessing", "pyproject.toml"} < set(copied)
    for name in copied:
        assert (ROOT / name).exists()
        assert f"!{name}" in let_in
    (command,) = re.findall(r"^RUN (sed .*)$", text, re.MULTILINE)
    constraints = tmp_path / "constraints.txt"
    subprocess.run(command.replace("/constraints.txt", str(constraints)), shell=True, cwd=ROOT, check=True)  # noqa: S602
    locked = {re.split("[=;]", line)[0]: line for line in constraints.read_text().splitlines() if line[:1].isalpha()}
    assert all(re.fullmatch(r"[\w.-]+==[\w.+-]+( ; .*)?", line) for line in locked.values())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = [*project["dependencies"], *project["optional-dependencies"]["array"]]
    assert {re.match(r"[\w.-]+", one)[0] for one in needed} <= locked.keys()  # type: ignore[index]
    assert text.rindex("USER avsep") < text.rindex("ENTRYPOINT")
