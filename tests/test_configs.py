"""Every configuration is parsed as it is, and one step of it, or of its small one of the same classes, is run on
generated data."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import yaml

pytest.importorskip("lightning")
pytest.importorskip("jsonargparse")

from avsep.data.image_rooms import ImageRooms
from avsep.data.manifest import read_manifest
from avsep.data.rendered_rooms import write_rooms
from avsep.training.cli import FitCLI
from avsep.training.configuration import check_configuration
from preprocessing import make_smoke
from preprocessing.render_rooms import render

ROOT = Path(__file__).parents[1]
UNTRAINED = [ROOT / "configs" / name for name in ("auxiva.yaml", "arrays/fastica.yaml", "arrays/delay_and_sum.yaml")]
"""Models without weights: the YAML is exported as it is."""
CONFIGS = sorted(set((ROOT / "configs").rglob("*.yaml")) - set(UNTRAINED))

SMALL_DATA = {
    "seconds": 1.0,
    "speakers": [1, 2],
    "events": [1, 2],
    "batch_size": 2,
    "epoch_items": 2,
    "items": 2,
    "workers": 0,
    "precision": "32-true",
    "rooms": 2,
    "order": 2,
}
SMALL_MODEL = {
    "filters": 8,
    "bottleneck": 8,
    "hidden": 8,
    "blocks": 2,
    "repeats": 2,
    "widths": [2, 2, 2, 2],
    "temporal_channels": 4,
    "temporal_blocks": 1,
    "channels": 4,
    "heads": 2,
    "dims": 4,
    "width": 4,
    "size": 24,
}
"""What makes a step of any configuration quick, wherever the key stands. Models of *_smoke.yaml are small already."""


def classes(config: Path) -> set[str]:
    """Class paths that a configuration names, wherever."""
    return set(re.findall(r"class_path: ([\w.]+)", config.read_text()))


def is_told_by_its_small_one(config: Path) -> bool:
    """Whether the *_smoke.yaml beside it is made of all its classes: a step of one is a step of the other."""
    tiny = config.with_name(f"{config.stem}_smoke.yaml")
    return tiny.exists() and classes(config) <= classes(tiny)


STEPPED = [config for config in CONFIGS if not is_told_by_its_small_one(config)]

QUICK = (
    "conv_tasnet_smoke",
    "audio_visual_smoke",
    "mc_split_tasnet_smoke",
    "open_unmix_smoke",
    "sound_classifier_smoke",
)
"""One of each kind of training; the others take a minute together."""


@pytest.fixture(scope="module")
def smoke(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("smoke")
    make_smoke.make(folder, talkers=4, utterances=2, seconds=3.0, seed=0)
    make_smoke.make_songs(folder / "songs", songs=2, seconds=1.5, seed=0)
    rooms = [render(n, ImageRooms(microphones=8, order=2), 2, 16_000) for n in range(2)]
    write_rooms(folder / "rooms.npz", rooms, 16_000)
    return folder


def smaller(value: Any, size: Any) -> Any:
    """The size, where it is of the kind of the value and no larger."""
    if type(value) is not type(size):
        return value
    return min(value, size) if isinstance(size, int | float) else size


def small(node: Any, smoke: Path, sizes: dict[str, Any]) -> Any:
    """A copy of a configuration with small sizes and generated data."""
    if isinstance(node, list):
        return [small(item, smoke, sizes) for item in node]
    if not isinstance(node, dict):
        return node
    out = {key: smaller(value, sizes[key]) if key in sizes else value for key, value in node.items()}
    out = {key: small(value, smoke, sizes) for key, value in out.items()}
    for key in ("voices", "unseen", "sounds", "speech", "faces"):
        if isinstance(out.get(key), str):
            out[key] = str(smoke / "manifest.tsv")
        elif isinstance(out.get(key), list):
            out[key] = [str(smoke / "manifest.tsv") for _ in out[key]]
    if isinstance(out.get("songs"), str):
        out["songs"] = str(smoke / "songs" / "manifest.tsv")
    out.pop("warm_start", None)  # trained parts have other sizes
    if "compile" in out:
        out["compile"] = False  # test_fit.py compiles; here it would take longer than all the rest
    if "names" in out:
        out["names"] = sorted({*out["names"], *(f"talker{number:02}" for number in range(4))})
    if "held_out" in out:
        out["held_out"] = ["talker00", "talker02"]
    if str(out.get("path", "")).endswith(".npz"):
        out["path"] = str(smoke / "rooms.npz")
    if isinstance(out.get("classes"), dict):
        out["classes"] = {name: str(smoke / "manifest.tsv") for name in out["classes"]}
    if "events" in out:
        out["repeated"] = True  # there are fewer talkers than classes of sounds
    return out


@pytest.mark.parametrize("config", CONFIGS, ids=lambda p: p.stem)
def test_first_line_is_the_command_that_runs_it(config):
    line = config.read_text().splitlines()[0]
    assert line.startswith("# ")
    *before, command = line[2:].split(" && ")
    assert shlex.split(command) == ["avsep", "fit", "--config", config.relative_to(ROOT).as_posix()]
    for step in before:
        assert shlex.split(step) == ["python", "-m", "preprocessing.make_smoke", "data/smoke"]


@pytest.mark.parametrize("config", UNTRAINED, ids=lambda p: p.stem)
def test_a_model_without_weights_is_the_bundled_one_of_its_name(config, cli):
    """The first line is the command that made the bundled file."""
    command = shlex.split(config.read_text().splitlines()[0].removeprefix("# "))
    name = config.stem
    lineage = f"configs/lineage/{name}.json"
    bundled = f"avsep/assets/weights/{name}.safetensors"
    source = config.relative_to(ROOT).as_posix()
    assert command == ["avsep", "export", source, "-o", bundled, "--lineage", lineage]
    code, out, err = cli("export", config, "-o", f"{name}.safetensors", "--lineage", ROOT / lineage)
    assert (code, out) == (0, f"{name}.safetensors\n"), err
    assert Path(f"{name}.safetensors").read_bytes() == (ROOT / bundled).read_bytes()


@pytest.mark.parametrize("config", CONFIGS, ids=lambda p: p.stem)
def test_keys_are_those_of_the_classes(config):
    check_configuration([config])


@pytest.mark.parametrize(
    "config",
    [pytest.param(c, marks=[] if c.stem in QUICK else [pytest.mark.slow]) for c in STEPPED],
    ids=lambda p: p.stem,
)
def test_one_step(config, smoke, tmp_path, one_thread):
    file = tmp_path / config.name
    sizes = SMALL_DATA if config.stem.endswith("_smoke") else SMALL_DATA | SMALL_MODEL
    file.write_text(yaml.safe_dump(small(yaml.safe_load(config.read_text()), smoke, sizes), sort_keys=False))
    changes = {"fast_dev_run": 1, "val_check_interval": 1.0, "log_every_n_steps": 1, "default_root_dir": tmp_path}
    cli = FitCLI(["--config", str(file), *(f"--trainer.{k}={v}" for k, v in changes.items())])
    before = [p.detach().clone() for p in cli.model.parameters()]
    cli.train(lambda text: None)
    assert cli.trainer.global_step == 1
    assert all(p.isfinite().all() for p in cli.model.parameters())
    assert any((a != b).any() for a, b in zip(before, cli.model.parameters(), strict=True))


@pytest.mark.parametrize(
    ("name", "millions"),
    [("conv_tasnet", 5.1), ("conv_tasnet_causal", 5.1)],
)
def test_conv_tasnet_has_the_papers_size(name, millions):
    node = yaml.safe_load((ROOT / "configs" / f"{name}.yaml").read_text())["model"]["init_args"]["model"]
    from avsep.models.conv_tasnet import ConvTasNet

    assert ConvTasNet(**node["init_args"]).parameter_count == pytest.approx(millions * 1e6, rel=0.02)


def test_full_and_smoke_differ_in_sizes_and_data_only():
    pairs = [(c, c.with_name(f"{c.stem}_smoke.yaml")) for c in CONFIGS]
    pairs = [pair for pair in pairs if pair[1] in CONFIGS]
    assert len(pairs) >= 4
    for pair in pairs:
        full, tiny = (yaml.safe_load(file.read_text()) for file in pair)
        classes = [node["model"]["init_args"]["model"]["class_path"] for node in (full, tiny)]
        assert classes[0] == classes[1]
        assert full["model"]["init_args"]["schedule"] == tiny["model"]["init_args"]["schedule"]


def test_stems_of_a_synthetic_song_are_stereo_and_of_one_length(smoke):
    rows = read_manifest(smoke / "songs" / "manifest.tsv")
    assert {row.split for row in rows} == {"train", "dev"}
    assert [row.speaker for row in rows] == ["vocals", "drums", "bass", "other"] * 2
    for row in rows:
        samples, rate = soundfile.read(row.audio)
        assert (samples.shape, rate) == ((38 * 640, 2), 16_000)
        left, right = samples.T
        # At a place of its own, the same in all of the song.
        assert np.corrcoef(left, right)[0, 1] > 0.99
        assert 0.01 < samples.std() < 0.2


def test_synthetic_mouths_open_with_the_voice(smoke):
    for file in smoke.glob("*/*.npz"):
        with np.load(file) as data:
            lips, sound = data["lips"].astype(float), data["audio"].astype(float)
        dark = (lips < 60).mean((1, 2))
        loudness = np.sqrt((sound.reshape(len(lips), -1) ** 2).mean(1))
        assert np.corrcoef(dark, loudness)[0, 1] > 0.5
