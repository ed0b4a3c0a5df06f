"""A configuration that somebody else wrote makes objects of avsep, and of what the command line allows: nothing else is
imported, called or run before it is refused."""

from __future__ import annotations

import io
import json
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
import yaml
from data_factory import speech
from tiny_training import write_config

from avsep.cli.main import main
from avsep.data.addresses import commands_allowed
from avsep.data.shards import StreamedMixtures, find_shards
from avsep.errors import UsageError
from avsep.training import allowed
from avsep.training.cli import FitCLI


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module `trap` that leaves a file when it is imported, with a class `Trap`."""
    (tmp_path / "trap.py").write_text(
        "from pathlib import Path\n"
        "Path(__file__).with_name('imported').touch()\n"
        "class Trap:\n    def __init__(self, *a, **k): Path(__file__).with_name('called').touch()\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "trap", raising=False)
    return tmp_path / "imported"


def refused(*arguments: object) -> str:
    with pytest.raises(UsageError) as caught:
        FitCLI([str(a) for a in arguments])
    assert "\n" not in str(caught.value)
    return str(caught.value)


NODE: dict[str, Any] = {"class_path": "trap.Trap"}


@pytest.mark.parametrize(
    "changes",
    [
        {"model": NODE},
        {"data": NODE},
        {"trainer__callbacks": [NODE]},
        {"trainer__logger": NODE},
        {"trainer__plugins": [NODE]},
        {"model__init_args__model": NODE},
        {"model__init_args__objective": NODE},
        {"model__init_args__objective": "trap.Trap"},
        {"model__init_args__optimizer": NODE},
        {"model__init_args__model": {"class_path": "avsep.models.conv_tasnet.ConvTasNet", "init_args": {"x": NODE}}},
    ],
    ids=str,
)
def test_no_module_is_imported_before_it_is_refused(tmp_path: Path, trap: Path, changes: dict[str, Any]) -> None:
    message = refused("--config", write_config(tmp_path, **changes))
    assert not trap.exists()
    assert "--allow-modules trap" in message or "unknown key" in message


@pytest.mark.parametrize(
    "options",
    [
        ["--model", "trap.Trap"],
        ["--model.help", "trap.Trap"],
        ["--model.help=trap.Trap"],
        ["--data.help", "trap.Trap"],
        ["--model.objective", "trap.Trap"],
        ["--model.objective", '{"class_path": "trap.Trap"}'],
        ["--model.init_args.model.class_path", "trap.Trap"],
        ["--trainer.callbacks+", "trap.Trap"],
        ["--trainer.callbacks+=trap.Trap"],
    ],
    ids=" ".join,
)
def test_nor_by_an_option(tmp_path: Path, trap: Path, options: list[str]) -> None:
    message = refused("--config", write_config(tmp_path), *options)
    assert not trap.exists()
    assert "--allow-modules trap" in message


@pytest.mark.parametrize("path", ["os.system", "subprocess.run", "builtins.eval", "torch.hub.load", "torch.load"])
def test_nothing_of_what_is_imported_anyway(tmp_path: Path, path: str) -> None:
    node = {"class_path": path, "init_args": {}}
    assert "--allow-modules" in refused("--config", write_config(tmp_path, model__init_args__objective=node))


def test_nothing_that_avsep_only_imported(tmp_path: Path) -> None:
    """avsep.data.sound_file.Path is pathlib's."""
    node = {"class_path": "avsep.storage.files.Path", "init_args": {}}
    assert "pathlib.Path" in refused("--config", write_config(tmp_path, model__init_args__objective=node))


def test_modules_that_were_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allowed, "ALLOWED", ("avsep",))
    config = write_config(tmp_path)
    assert "--allow-modules tiny_training" in refused("--config", config)
    assert FitCLI(["--config", str(config), "--allow-modules", "tiny_training"]).modules == ["tiny_training"]
    assert FitCLI(["--allow-modules=other,tiny_training", "--config", str(config)]).datamodule
    assert "--allow-modules tiny_training" in refused("--config", config), "it was allowed for one run"
    for bad in ("", "a b", "../x", "--config"):
        assert "give names of modules" in refused("--config", config, "--allow-modules", bad)


def test_others_in_the_process_keep_their_settings() -> None:
    from jsonargparse._common import check_import_path, parsing_settings

    before = dict(parsing_settings)
    with allowed.allowed(["tiny_models"], pipe=False):
        check_import_path("tiny_models.Model")
        with pytest.raises(ValueError, match="not allowed"):
            check_import_path("collections.Counter")
    assert parsing_settings == before
    check_import_path("collections.Counter")


def test_the_names_of_modules_are_compared_whole() -> None:
    with pytest.raises(UsageError):
        allowed.check_module("avseparate.Model", "model")
    allowed.check_module("avsep.models.conv_tasnet.ConvTasNet", "model")


@pytest.mark.parametrize(
    "shards",
    [
        "pipe:touch {mark}",
        "PIPE:touch {mark}",
        "pip{{e..e}}:touch {mark}",
        "x-{{000..001}}.tar::pipe:touch {mark}",
    ],
)
def test_shards_run_no_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shards: str) -> None:
    pytest.importorskip("webdataset")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="--allow-pipe"):
        find_shards(shards.format(mark=tmp_path / "mark"))
    assert not (tmp_path / "mark").exists()


def write_shard(path: Path, key: str) -> None:
    flac = io.BytesIO()
    sf.write(flac, np.zeros(16_000, np.int16), 16_000, format="FLAC")
    about = json.dumps({"id": "a", "speaker": "ada", "seconds": 1.0}).encode()
    with tarfile.open(path, "w") as archive:
        for suffix, data in (("flac", flac.getvalue()), ("json", about)):
            info = tarfile.TarInfo(f"{key}.{suffix}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


def utterances(shards: str):
    return StreamedMixtures(shards, speech(None, 1.0), pool=2)._utterances(0, 0, 1)


def test_a_command_runs_where_it_was_asked_for(tmp_path: Path) -> None:
    pytest.importorskip("webdataset")
    write_shard(tmp_path / "a.tar", "0")
    with commands_allowed(True):
        found = next(utterances(f"pipe:cat {tmp_path / 'a.tar'}"))
    assert found.speaker == "ada"


def test_an_address_is_expanded_once(tmp_path: Path) -> None:
    """Braces that are escaped are left after the first time; a second one would make a command of them."""
    pytest.importorskip("webdataset")
    for shards in (rf"\{{pipe:touch {tmp_path}/mark,http://\}}", f"{{{{pipe:touch {tmp_path}/mark,x}},http://}}"):
        with pytest.raises(Exception):  # noqa: B017, PT011 (what it says is webdataset's)
            next(utterances(shards))
        assert not (tmp_path / "mark").exists()


def test_members_of_a_shard_write_nothing(tmp_path: Path) -> None:
    """They are read into memory, whatever path they have."""
    pytest.importorskip("webdataset")
    (tmp_path / "shards").mkdir()
    write_shard(tmp_path / "shards" / "a.tar", "../../escaped")
    before = set(tmp_path.rglob("*"))
    assert next(utterances(str(tmp_path / "shards"))).seconds == 1.0
    assert set(tmp_path.rglob("*")) == before
    assert not (tmp_path.parent / "escaped.json").exists()


def fit(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main(["fit", *map(str, arguments)]) != 0
    err = capsys.readouterr().err
    assert err.startswith("avsep: error: ")
    assert "internal fault" not in err
    assert err.count("\n") == 1, err
    return err


def test_a_document_that_is_nested_without_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "deep.yaml").write_text("model: " + "[" * 5000 + "]" * 5000)
    assert "levels deep" in fit(capsys, "--config", tmp_path / "deep.yaml")
    (tmp_path / "deep.yaml").write_text("model: " + "- " * 5000 + "x")
    fit(capsys, "--config", tmp_path / "deep.yaml")
    deep = "[" * 5000 + "]" * 5000
    fit(capsys, "--config", write_config(tmp_path), "--model.init_args.freeze", deep)


def test_references_that_multiply(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    (tmp_path / "laughs.yaml").write_text("\n".join(lines))
    assert "more than 100,000 values" in fit(capsys, "--config", tmp_path / "laughs.yaml")


def test_a_folder_where_nothing_can_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(tmp_path)
    document = yaml.safe_load(config.read_text())
    document["trainer"]["default_root_dir"] = "/proc/x"
    config.write_text(yaml.safe_dump(document))
    assert "/proc/x" in fit(capsys, "--config", config)
