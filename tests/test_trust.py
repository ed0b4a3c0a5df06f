"""What SECURITY.md promises, as far as no other test holds it: what a file holds is not run, builds are the same."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from avsep.checkpoint import read_card
from avsep.data.rendered_rooms import read_rooms
from avsep.data.sound import read_lips
from avsep.errors import InputError, WeightsError
from avsep.importing import read_published
from avsep.models.build import build_model
from avsep.storage.spool import Spool

ROOT = Path(__file__).parents[1]


def calls(name: str) -> Iterator[tuple[str, dict[str, object]]]:
    """Where avsep and preprocessing call a function of this dotted name, and the plain keywords it is given."""
    for file in sorted([*ROOT.glob("avsep/**/*.py"), *ROOT.glob("preprocessing/**/*.py")]):
        text = file.read_text(encoding="utf-8")
        if name not in text:  # to take all apart takes seconds
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == name:
                keywords = {k.arg: k.value.value for k in node.keywords if k.arg and isinstance(k.value, ast.Constant)}
                yield f"{file.relative_to(ROOT)}:{node.lineno}", keywords


def test_torch_reads_tensors_and_plain_values_alone():
    found = dict(calls("torch.load"))
    assert found
    assert {where for where, keywords in found.items() if keywords.get("weights_only") is not True} == set()


def test_arrays_are_read_without_pickles():
    found = dict(calls("np.load"))
    assert found
    assert {where for where, keywords in found.items() if keywords.get("allow_pickle", False) is not False} == set()


class Evil:
    """Unpickling this makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def test_no_pickle_in_a_file_is_run(tmp_path):
    made = tmp_path / "made"
    arrays = np.array([Evil(made)], object)
    np.savez(tmp_path / "a.npz", lips=arrays, first=arrays, taps=arrays, ends=arrays)
    torch.save({"model": Evil(made)}, tmp_path / "a.pt")
    for read, file, kind in (
        (lambda path: read_lips(path, 0.0, 1), "a.npz", InputError),
        (read_rooms, "a.npz", InputError),
        (read_published, "a.pt", WeightsError),
    ):
        with pytest.raises(kind):
            read(tmp_path / file)
    assert not made.exists()


@pytest.mark.parametrize("class_path", ["os.system", "avsep.models.base.Part", "avsep.models.build.build_model"])
def test_a_description_makes_parts_of_models_alone(class_path):
    with pytest.raises(WeightsError, match="is not a model of avsep"):
        build_model(class_path, {})


def test_headers_have_bounds(tmp_path):
    from safetensors.numpy import save_file

    for number, lineage in enumerate(("x" * 1_000_000, [[]])):
        for _ in range(60 * number):
            lineage = [lineage]
        header = {
            "name": "a", "class_path": "avsep.models.conv_tasnet.ConvTasNet", "init_args": {}, "parameters": 1,
            "licence": "", "lineage": {"data": lineage}, "scores": {}, "format": 1,
        }  # fmt: skip
        save_file({"a": np.zeros(1, np.float32)}, tmp_path / "a.safetensors", {"avsep": json.dumps(header)})
        with pytest.raises(WeightsError, match="no avsep header that can be read"):
            read_card(tmp_path / "a.safetensors")


def test_sound_on_disk_has_no_name(tmp_path):
    spool = Spool(tmp_path, (2,), np.float32)
    spool.append(np.ones((10, 2), np.float32))
    assert list(tmp_path.iterdir()) == []
    spool.close()


@pytest.fixture
def commit() -> str:
    """The last commit, of which releases are made."""
    try:
        found = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no git repository: releases are built of commits")
    return found.stdout.strip()


@pytest.mark.skipif(not (shutil.which("make") and shutil.which("git")), reason="needs make and git")
def test_a_release_is_of_one_commit(tmp_path):
    """The Makefile with programs that build nothing."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    (tmp_path / ".gitignore").write_text("/build/\n/dist/\n/.venv/\n")
    for name, text in (
        ("requirements.lock", ""),
        ("pyproject.toml", ""),
        (".ci/build", '#!/bin/sh\nmkdir -p "$2" && echo new > "$2/avsep-2.whl"\n'),
        (".venv/.installed", ""),
        ("dist/avsep-1.whl", "old"),
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / ".ci/build").chmod(0o755)
    identity = {f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, cwd=tmp_path, env=os.environ | identity, capture_output=True, text=True)

    for command in (("init",), ("add", "."), ("commit", "-m", "x")):
        assert run("git", *command).returncode == 0
    release = ("make", "release", "UV=/bin/sh", "TOOL=true")
    (tmp_path / "requirements.lock").write_text("other==1\n")
    done = run(*release, "-o", ".venv/.installed")
    assert done.returncode != 0
    assert "files differ from the last commit" in done.stderr
    assert (tmp_path / "dist/avsep-1.whl").is_file()
    assert run("git", "checkout", ".").returncode == 0
    (tmp_path / ".venv/.installed").touch()
    done = run(*release)
    assert done.returncode == 0, done.stderr
    assert [line.split()[1] for line in (tmp_path / "dist/SHA256SUMS").read_text().splitlines()] == ["avsep-2.whl"]
    assert not (tmp_path / "dist/avsep-1.whl").exists()


@pytest.mark.slow
def test_two_builds_are_the_same(commit, tmp_path):
    hashes = []
    for name, mask, zone in (("first", 0o022, "UTC"), ("second", 0o077, "Asia/Tokyo")):
        subprocess.run(
            [ROOT / ".ci" / "build", sys.executable, tmp_path / name, commit],
            env=os.environ | {"TZ": zone, "TMPDIR": str(tmp_path)}, umask=mask, check=True, capture_output=True,
        )  # fmt: skip
        hashes.append(
            {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in (tmp_path / name).iterdir()}
        )
    assert hashes[0] == hashes[1]
    (wheel,) = (tmp_path / "first").glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "avsep/assets/weights/audio-2spk.safetensors" in names
    assert {name.partition("/")[0] for name in names if ".dist-info" not in name} == {"avsep", "preprocessing"}
