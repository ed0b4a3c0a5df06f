"""A checkpoint of Lightning becomes a weights file; every way in which it cannot is one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml

from avsep.checkpoint import load_model
from avsep.errors import UsageError, WeightsError
from avsep.export.trained import find_config, read_trained
from avsep.export.weights import read_about
from avsep.models.av_conv_tasnet import AVConvTasNet
from avsep.models.conv_tasnet import ConvTasNet

SMALL = {"filters": 16, "bottleneck": 8, "hidden": 12, "blocks": 2, "repeats": 2}
DATA = {"class_path": "avsep.data.mixtures.SpeechMixtures", "init_args": {"speech": "data/speech"}}


def config(**changes) -> dict:
    node = {"class_path": "avsep.models.conv_tasnet.ConvTasNet", "init_args": SMALL | changes}
    task = {"class_path": "avsep.training.separation.SeparationTask", "init_args": {"model": node}}
    return {"seed_everything": 0, "model": task, "data": DATA}


def checkpoint_of(model: torch.nn.Module, prefix: str = "model.") -> dict:
    state = {prefix + key: value for key, value in model.state_dict().items()}
    return {"state_dict": state, "global_step": 120, "epoch": 3, "loss": torch.zeros(())}


@pytest.fixture
def model() -> ConvTasNet:
    torch.manual_seed(0)
    return ConvTasNet(**SMALL).eval()


@pytest.fixture
def run(tmp_path: Path, model: ConvTasNet) -> Path:
    """A run as LightningCLI leaves it: the checkpoint, and the configuration in the logs."""
    (tmp_path / "tiny/checkpoints").mkdir(parents=True)
    (tmp_path / "tiny/lightning_logs/version_0").mkdir(parents=True)
    (tmp_path / "tiny/lightning_logs/version_0/config.yaml").write_text(yaml.safe_dump(config()))
    torch.save(checkpoint_of(model), tmp_path / "tiny/checkpoints/last.ckpt")
    return tmp_path / "tiny/checkpoints/last.ckpt"


def fails(outcome: tuple[int, str, str], *parts: str, code: int = 1) -> None:
    """One line on stderr with these parts, nothing on stdout."""
    found, out, err = outcome
    last = err.strip().splitlines()[-1]
    assert (found, out) == (code, ""), err
    assert "Traceback" not in err
    assert "internal fault" not in err
    assert last.startswith("avsep: error: ")
    for part in parts:
        assert part in last


def test_weights_are_those_of_the_checkpoint(cli, run: Path, model: ConvTasNet, tmp_path: Path) -> None:
    lineage = {
        "licence": "CC0",
        "lineage": {"data": ["tones"], "command": "avsep fit"},
        "scores": {"SI-SDRi (dB)": 4.5},
    }
    (tmp_path / "lineage.json").write_text(json.dumps(lineage))
    code, out, err = cli("export", run, "--lineage", "lineage.json", "--full-precision")
    assert (code, out) == (0, "tiny.safetensors\n")
    assert "ConvTasNet of step 120" in err
    again, card = load_model(tmp_path / "tiny.safetensors")
    assert (card.name, card.licence, card.lineage, card.scores) == ("tiny", *lineage.values())
    mixture = torch.randn(1, 1, 1111)
    assert torch.equal(again(mixture).estimates, model(mixture).estimates)
    assert {p.name for p in tmp_path.iterdir()} == {"tiny", "lineage.json", "tiny.safetensors"}


def test_half_precision_is_the_default(cli, run: Path, model: ConvTasNet) -> None:
    assert cli("export", run, "-o", "half.safetensors")[0] == 0
    again, _ = load_model("./half.safetensors")
    mixture = torch.randn(1, 1, 1111)
    found, expected = again(mixture).estimates, model(mixture).estimates
    torch.testing.assert_close(found, expected, atol=5e-3, rtol=0)
    assert not torch.equal(found, expected)


def test_without_a_lineage_the_run_speaks_for_itself(cli, run: Path) -> None:
    code, out, _ = cli("export", run, "--name", "mine", "--licence", "MIT", "--json")
    card = json.loads(out)
    assert code == 0
    assert (card["name"], card["licence"], card["path"]) == ("mine", "MIT", "mine.safetensors")
    assert card["lineage"] == {"data": DATA, "seed": 0, "steps": 120}


def test_averaged_weights_are_taken_unless_the_last_step_is_asked_for(run: Path, model: ConvTasNet) -> None:
    saved = checkpoint_of(model)
    # As Lightning's WeightAveraging saves them: the average is the state, the last step's weights lie beside it.
    saved["current_model_state"] = {key: value + 1 for key, value in saved["state_dict"].items()}
    saved["averaging_state"] = {"n_averaged": torch.tensor(5)}
    torch.save(saved, run)
    average, last = read_trained(run), read_trained(run, average=False)
    assert (average.averaged, last.averaged) == (True, False)
    bias = model.separator.enter[1].bias
    assert torch.equal(average.model.separator.enter[1].bias, bias)
    assert torch.equal(last.model.separator.enter[1].bias, bias + 1)


def test_the_mean_of_several_runs(cli, run: Path, model: ConvTasNet, tmp_path: Path) -> None:
    saved = checkpoint_of(model)
    other = tmp_path / "tiny/checkpoints/other.ckpt"
    torch.save(saved | {"state_dict": {key: value + 1 for key, value in saved["state_dict"].items()}}, other)
    code, out, err = cli("export", run, "--mean-with", other, "--full-precision", "--json")
    assert code == 0
    assert "mean with 1 more" in err
    assert json.loads(out)["lineage"]["mean_with"] == [str(other)]
    again, _ = load_model("./tiny.safetensors")
    for key, value in model.state_dict().items():
        torch.testing.assert_close(again.state_dict()[key], value + 0.5)
    wide = ConvTasNet(**SMALL | {"hidden": 6})
    own = {"class_path": wide.class_path, "init_args": wide.init_args}
    torch.save(checkpoint_of(wide) | {"avsep_model": own}, other)
    torch.save(saved | {"avsep_model": own | {"init_args": model.init_args}}, run)
    fails(cli("export", run, "--mean-with", other, "--overwrite"), str(other), "hidden=6", "they have no mean")


def test_a_compiled_model_has_the_same_weights(run: Path, model: ConvTasNet) -> None:
    torch.save(checkpoint_of(model, "model._orig_mod."), run)
    assert torch.equal(read_trained(run).model.encoder.conv.weight, model.encoder.conv.weight)


def test_the_configuration_is_found_beside_it(run: Path) -> None:
    logs = run.parents[1] / "lightning_logs/version_0/config.yaml"
    assert find_config(run) == logs
    (run.parents[1] / "config.yaml").write_text("{}")
    assert find_config(run) == run.parents[1] / "config.yaml"
    (run.parent / "config.yaml").write_text("{}")
    assert find_config(run) == run.parent / "config.yaml"


def test_a_checkpoint_that_names_its_model_needs_no_configuration(run: Path, model: ConvTasNet, cli) -> None:
    (run.parents[1] / "lightning_logs/version_0/config.yaml").unlink()
    own = {"class_path": model.class_path, "init_args": model.init_args}
    torch.save(checkpoint_of(model) | {"avsep_model": own}, run)
    trained = read_trained(run)
    assert torch.equal(trained.model.encoder.conv.weight, model.encoder.conv.weight)
    assert (trained.config, trained.config_path) == ({}, None)
    for damaged in ([], {"class_path": own["class_path"]}):
        torch.save(checkpoint_of(model) | {"avsep_model": damaged}, run)
        fails(cli("export", run), str(run), "--config")
    torch.save(checkpoint_of(model) | {"avsep_model": own | {"class_path": "os.system"}}, run)
    fails(cli("export", run), str(run), "'os.system' is not a model")


def test_a_checkpoint_from_before_a_class_moved_is_exported(run: Path) -> None:
    lip = {"channels": 4, "widths": [2, 2, 2, 2], "temporal_channels": 4, "temporal_blocks": 1}
    fused = AVConvTasNet(filters=8, bottleneck=4, hidden=4, blocks=1, repeats=2, lip=lip)
    own = {"class_path": "avsep.models.audio_visual.AudioVisual", "init_args": fused.init_args}
    old = checkpoint_of(fused) | {"avsep_model": own}
    old["state_dict"] = {key.replace("cue_encoder.", "lip_encoder."): v for key, v in old["state_dict"].items()}
    torch.save(old, run)
    trained = read_trained(run).model
    assert type(trained) is AVConvTasNet
    assert all(torch.equal(a, b) for a, b in zip(trained.parameters(), fused.parameters(), strict=True))


def test_no_configuration(run: Path, cli) -> None:
    (run.parents[1] / "lightning_logs/version_0/config.yaml").unlink()
    fails(cli("export", run), "there is no config.yaml beside", str(run), "--config")


def test_another_configuration_names_keys_and_shapes(cli, run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(yaml.safe_dump(config(filters=32)))
    fails(
        cli("export", run, "--config", other),
        f"{run} was not trained with {other}",
        "encoder.conv.weight is (16, 1, 40) in the checkpoint and (32, 1, 40) in the configuration",
        " more. Give the YAML",
    )
    other.write_text(yaml.safe_dump(config(repeats=3)))
    fails(cli("export", run, "--config", other), "the checkpoint lacks separator.repeats_after.2.")
    other.write_text(yaml.safe_dump(config(repeats=1)))
    fails(cli("export", run, "--config", other), "has separator.repeats_after.1.", "which the configuration has not")
    assert not list(tmp_path.glob("*.safetensors*"))


@pytest.mark.parametrize(
    ("document", "part"),
    [
        (
            config(filtres=3),
            "ConvTasNet cannot be built with its init_args: got an unexpected keyword argument 'filtres'",
        ),
        (config(norm="xLN"), "cannot be built with its init_args: norm is 'xLN'"),
        ({"model": {"class_path": "x"}}, "names no class at model.init_args.model.class_path"),
        ({"model": {"init_args": {"model": {"class_path": "os.system"}}}}, "'os.system' is not a model of avsep"),
    ],
)
def test_a_configuration_that_builds_nothing(cli, run: Path, tmp_path: Path, document: dict, part: str) -> None:
    (tmp_path / "bad.yaml").write_text(yaml.safe_dump(document))
    fails(cli("export", run, "--config", "bad.yaml"), "bad.yaml", part)


def test_a_configuration_that_is_no_yaml(cli, run: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("a: [1\nb: }")
    fails(cli("export", run, "--config", "bad.yaml"), "bad.yaml is not YAML", "line 2")
    fails(cli("export", run, "--config", "gone.yaml"), "gone.yaml cannot be read: No such file")


class Trap:
    """Unpickling this would run code."""

    def __reduce__(self):
        return Path.touch, (Path("sprung"),)


def test_a_checkpoint_runs_no_code(cli, run: Path, tmp_path: Path) -> None:
    torch.save({"state_dict": {"model.a": torch.zeros(1)}, "trap": Trap()}, run)
    fails(cli("export", run), str(run), "was not loaded", "could run code")
    assert not (tmp_path / "sprung").exists()


def test_checkpoints_that_cannot_be_used(cli, run: Path, model: ConvTasNet) -> None:
    fails(cli("export", run.parent / "gone.ckpt"), "gone.ckpt is not there")
    fails(cli("export", run.parent), "checkpoints is a folder")
    whole = run.read_bytes()
    run.write_bytes(whole[: len(whole) // 2])
    fails(cli("export", run), str(run), "damaged")
    run.write_bytes(b"")
    fails(cli("export", run), str(run), "damaged")
    torch.save(torch.zeros(3), run)
    fails(cli("export", run), "holds no state_dict")
    torch.save(checkpoint_of(model, "net."), run)
    fails(cli("export", run), "holds no weights under 'model.' (but: net)")


def test_a_diverged_training_is_not_exported(cli, run: Path, model: ConvTasNet, tmp_path: Path) -> None:
    saved = checkpoint_of(model)
    saved["state_dict"]["model.encoder.conv.weight"][0] = torch.nan
    torch.save(saved, run)
    fails(cli("export", run), "encoder.conv.weight holds values that are not finite", "earlier checkpoint")
    assert not list(tmp_path.glob("tiny*.*"))


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("{", "is not JSON"),
        ("[]", "holds a list"),
        ('{"license": "MIT"}', "has the key 'license'. Expected is an object with some of: licence, lineage, scores"),
        ('{"scores": 3}', "scores in the lineage"),
    ],
)
def test_a_lineage_that_cannot_be_read(tmp_path: Path, text: str, part: str) -> None:
    (tmp_path / "about.json").write_text(text)
    with pytest.raises(UsageError, match=part):
        read_about(tmp_path / "about.json")


def test_values_are_set_by_name(cli, run: Path, tmp_path: Path) -> None:
    (tmp_path / "about.json").write_text('{"values": {"slope": 3.0}}')
    fails(cli("export", run, "--lineage", "about.json"), "the lineage sets 'slope', which is no parameter of avsep")
    fails(cli("export", run, "--lineage", "gone.json"), "gone.json cannot be read", code=2)


NO_WEIGHTS = {"class_path": "avsep.models.auxiva.AuxIVA", "init_args": {"iterations": 5}}


@pytest.mark.parametrize("within", [False, True])
def test_a_model_without_weights_needs_no_checkpoint(cli, tmp_path: Path, within: bool) -> None:
    task = {"class_path": "avsep.training.separation.SeparationTask", "init_args": {"model": NO_WEIGHTS}}
    (tmp_path / "array.yaml").write_text(yaml.safe_dump({"model": task if within else NO_WEIGHTS}))
    code, out, err = cli("export", "array.yaml", "--licence", "MIT")
    assert (code, out) == (0, "array.safetensors\n")
    assert "AuxIVA without weights, configured by array.yaml" in err
    model, card = load_model(tmp_path / "array.safetensors")
    assert (card.name, card.licence, card.parameters) == ("array", "MIT", 0)
    assert card.lineage == {"data": "none: it has no weights"}
    assert model.init_args["iterations"] == 5


@pytest.mark.parametrize(
    ("document", "part", "code"),
    [
        (config(), "describes a ConvTasNet with 2,977 weights, which a training makes", 2),
        (config(), "Run avsep fit --config some.yaml and export its checkpoint (.ckpt)", 2),
        ({"model": NO_WEIGHTS | {"init_args": {"taps": 3}}}, "some.yaml: AuxIVA cannot be built with its init_args", 1),
        ({"model": {"class_path": "os.system"}}, "names no class at model.init_args.model.class_path", 1),
        ([1], "names no class", 1),
    ],
)
def test_a_yaml_that_cannot_be_exported(cli, tmp_path: Path, document, part: str, code: int) -> None:
    (tmp_path / "some.yaml").write_text(yaml.safe_dump(document))
    fails(cli("export", "some.yaml"), part, code=code)
    assert not (tmp_path / "some.safetensors").exists()


def test_options_of_checkpoints_are_refused_for_a_yaml(cli, tmp_path: Path) -> None:
    (tmp_path / "array.yaml").write_text(yaml.safe_dump({"model": NO_WEIGHTS}))
    outcome = cli("export", "array.yaml", "--last-step")
    fails(outcome, "--last-step is for checkpoints; array.yaml describes a model without weights", code=2)
    fails(cli("export", "gone.yaml"), "the configuration gone.yaml cannot be read")


def test_what_is_there_stays_without_overwrite(cli, run: Path, tmp_path: Path) -> None:
    (tmp_path / "tiny.safetensors").write_text("mine")
    fails(cli("export", run), "tiny.safetensors exists", "--overwrite")
    assert (tmp_path / "tiny.safetensors").read_text() == "mine"
    assert cli("export", run, "--overwrite")[0] == 0
    assert load_model(tmp_path / "tiny.safetensors")[1].name == "tiny"
    fails(cli("export", run, "-o", "no/tiny.safetensors"), "there is no folder no")


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["sync"], "sync is a weights file already"),
        (["sync", "--onnx", "--licence", "MIT"], "--licence is for checkpoints"),
        (["a.ckpt", "-o", "a.onnx"], "ends in .safetensors"),
        (["a.ckpt", "--onnx", "-o", "a.safetensors"], "ends in .onnx"),
        ([], "SOURCE"),
    ],
)
def test_wrong_usage(cli, arguments: list[str], part: str) -> None:
    fails(cli("export", *arguments), part, code=2)


def test_a_model_of_another_package_is_refused(tmp_path: Path) -> None:
    from avsep.checkpoint import save_model

    class Elsewhere(ConvTasNet):
        pass

    with pytest.raises(WeightsError, match="Elsewhere is no model of avsep"):
        save_model(tmp_path / "x.safetensors", Elsewhere(**SMALL), "x", "MIT", {})
    with pytest.raises(WeightsError, match="more than plain types"):
        save_model(tmp_path / "x.safetensors", ConvTasNet(**SMALL), "x", "MIT", {"data": Path("x")})
    assert not list(tmp_path.iterdir())
