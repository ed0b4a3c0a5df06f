"""Weights files describe themselves, load without running their code, and refuse what they are not."""

import functools
import json
import re

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from avsep import checkpoint
from avsep.checkpoint import find_weights, list_weights, load_model, load_weights, read_card, save_model
from avsep.errors import OutputError, WeightsError
from avsep.models.av_conv_tasnet import AVConvTasNet
from avsep.models.conv_tasnet import ConvTasNet

SMALL = {"filters": 16, "bottleneck": 8, "hidden": 12, "blocks": 2, "repeats": 2}


def test_a_saved_model_comes_back(tmp_path):
    torch.manual_seed(0)
    model = ConvTasNet(**SMALL).half().float().eval()
    path = tmp_path / "small.safetensors"
    save_model(path, model, "small", "MIT", {"data": "none"}, {"si_sdr_i_db": 1.5})
    again, card = load_model(path)
    x = torch.randn(1, 1, 2000)
    torch.testing.assert_close(again(x).estimates, model(x).estimates)
    assert (card.name, card.licence, card.parameters) == ("small", "MIT", model.parameter_count)
    assert card.scores == {"si_sdr_i_db": 1.5}
    assert [p.name for p in tmp_path.iterdir()] == ["small.safetensors"]


def test_bundled_weights_load_and_say_where_they_come_from():
    cards = list_weights()
    assert {"audio-2spk", "sync"} <= {card.name for card in cards}
    total = 0
    for card in cards:
        model, _ = load_model(card.name)
        assert model.parameter_count == card.parameters
        assert card.licence
        assert card.lineage["data"]
        assert card.lineage["command"]
        total += find_weights(card.name).stat().st_size
    assert total <= 48e6


def header(tmp_path, **changes):
    """A file with a good header but for the changes."""
    good = {
        "format": 1,
        "name": "x",
        "class_path": "avsep.models.conv_tasnet.ConvTasNet",
        "init_args": SMALL,
        "parameters": 1,
        "licence": "MIT",
        "lineage": {},
        "scores": {},
    }
    path = tmp_path / "x.safetensors"
    save_file({"a": np.zeros(1, np.float32)}, path, metadata={"avsep": json.dumps(good | changes)})
    return path


def test_other_classes_are_never_loaded(tmp_path):
    with pytest.raises(WeightsError, match=r"asks for class 'os.system'; only classes under avsep.models."):
        load_model(header(tmp_path, class_path="os.system"))


@pytest.mark.parametrize(
    "class_path",
    [
        "avsep.models.base.nn.Module",  # by way of what a module of ours imports
        "avsep.models.base.inspect",
        "avsep.models.conv_tasnet.SAMPLE_RATE",
        "avsep.models.parts.layers.PReLU",  # ours, but no part that describes itself
        "avsep.models.nothing.ConvTasNet",
        "avsep.models..ConvTasNet",
        "avsep.models.",
    ],
)
def test_nothing_but_models_of_ours_is_called(tmp_path, class_path):
    with pytest.raises(WeightsError, match="is not a model of avsep"):
        load_model(header(tmp_path, class_path=class_path))


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"init_args": [1]}, "init_args in its header is not of type dict"),
        ({"name": 3}, "name in its header is not of type str"),
        ({"parameters": "many"}, "parameters in its header is not of type int"),
        ({"surprise": 1}, "not one of avsep's"),
        ({"format": None}, "format None"),
    ],
)
def test_a_header_of_other_types(tmp_path, change, part):
    with pytest.raises(WeightsError, match=part):
        read_card(header(tmp_path, **change))


@pytest.mark.parametrize("levels", [60, 5000])
def test_a_header_that_is_nested_too_deeply(tmp_path, levels):
    path = header(tmp_path, lineage={"a": "deep"})
    with safe_open(path, framework="np") as file:
        text = file.metadata()["avsep"].replace('"deep"', "[" * levels + "]" * levels)
    save_file({"a": np.zeros(1, np.float32)}, path, metadata={"avsep": text})
    with pytest.raises(WeightsError, match="not one of avsep's"):
        read_card(path)


def test_a_header_that_is_too_long(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "LONGEST", 1000)
    with pytest.raises(WeightsError, match="not one of avsep's"):
        read_card(header(tmp_path, licence="x" * 1000))


@pytest.mark.parametrize(
    ("lineage", "message"),
    [
        ({"a": "x" * 1_000_001}, r"characters; at most 1,000,000 are allowed"),
        ({"a": functools.reduce(lambda inner, _: [inner], range(60), [])}, "50 levels deep"),
    ],
)
def test_a_header_that_could_not_be_read_again_is_not_written(tmp_path, lineage, message):
    with pytest.raises(WeightsError, match=message):
        save_model(tmp_path / "x.safetensors", ConvTasNet(**SMALL), "x", "MIT", lineage)
    assert not list(tmp_path.iterdir())


def test_differences_are_named_by_key_and_shape():
    model = ConvTasNet(**SMALL)
    weights = ConvTasNet(**SMALL | {"filters": 8}).state_dict()
    weights["extra"] = weights.pop("decoder.conv.weight")
    with pytest.raises(WeightsError) as caught:
        load_weights(model, weights, "the file")
    message = str(caught.value)
    assert "the file lacks decoder.conv.weight; the file has extra, which" in message
    assert "encoder.conv.weight is (8, 1, 40) in the file and (16, 1, 40) in the configuration" in message
    assert "\n" not in message


def test_values_beyond_half_precision_are_kept(tmp_path):
    lip = {"channels": 4, "widths": [2, 2, 2, 2], "temporal_channels": 4, "temporal_blocks": 1}
    model = AVConvTasNet(**SMALL, lip=lip)
    variance = model.get_buffer("cue_encoder.stem.1.running_var").fill_(1e6)
    save_model(tmp_path / "big.safetensors", model, "big", "MIT", {})
    again = load_model(tmp_path / "big.safetensors")[0]
    assert torch.equal(again.get_buffer("cue_encoder.stem.1.running_var"), variance)


@pytest.mark.parametrize(("value", "part"), [(float("nan"), "that are not finite"), (60_000.0, "beyond +-30000")])
def test_values_that_no_training_leaves_are_refused(tmp_path, value, part):
    path, model = tmp_path / "wild.safetensors", ConvTasNet(**SMALL)
    save_model(path, model, "wild", "MIT", {})
    weights = load_file(path)
    weights["encoder.conv.weight"][0, 0, 0] = value
    with safe_open(path, framework="np") as file:
        metadata = file.metadata()
    save_file(weights, path, metadata=metadata)
    with pytest.raises(WeightsError, match=f"encoder.conv.weight holds values {re.escape(part)} in .*wild.safetensors"):
        load_model(path)
    model.encoder.conv.weight.data[0, 0, 0] = value
    with pytest.raises(WeightsError, match="Take an earlier checkpoint, or other weights"):
        save_model(tmp_path / "new.safetensors", model, "new", "MIT", {})
    assert not (tmp_path / "new.safetensors").exists()


def test_weights_of_another_type_are_not_silently_made_floats(tmp_path):
    path = tmp_path / "whole.safetensors"
    save_model(path, ConvTasNet(**SMALL), "whole", "MIT", {})
    weights = load_file(path)
    weights["encoder.conv.weight"] = weights["encoder.conv.weight"].astype(np.int32)
    with safe_open(path, framework="np") as file:
        metadata = file.metadata()
    save_file(weights, path, metadata=metadata)
    with pytest.raises(WeightsError, match=r"encoder.conv.weight is of type torch.int32 in the file, expected"):
        load_model(path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("avsep.models.audio_only.AudioOnly", "ConvTasNet"),
        ("avsep.models.audio_visual.AudioVisual", "AVConvTasNet"),
    ],
)
def test_files_of_earlier_versions_load(old, new):
    found = [card for card in list_weights() if card.class_path == old]
    assert found, "the bundled files keep the names they were written with"
    for card in found:
        assert type(load_model(card.name)[0]).__name__ == new


def test_a_header_that_asks_for_more_than_the_file_holds_is_refused_before_memory_is_taken(tmp_path):
    with pytest.raises(WeightsError, match=r"asks for [\d,]+ numbers in .* more than the 10,000,003"):
        load_model(header(tmp_path, init_args={"filters": 10**6, "bottleneck": 10**6}))


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(OutputError, match=r"cannot write .*gone/x.safetensors: No such file"):
        save_model(tmp_path / "gone" / "x.safetensors", ConvTasNet(**SMALL), "x", "MIT", {})


def test_others_may_read_what_is_written(tmp_path):
    save_model(tmp_path / "x.safetensors", ConvTasNet(**SMALL), "x", "MIT", {})
    (tmp_path / "plain").touch()
    assert (tmp_path / "x.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_newer_format_is_named(tmp_path):
    with pytest.raises(WeightsError, match="format 2; this version reads format 1"):
        read_card(header(tmp_path, format=2))


def test_weights_that_do_not_fit_their_description(tmp_path):
    with pytest.raises(WeightsError, match="do not fit their own description"):
        load_model(header(tmp_path))


def test_a_foreign_safetensors_file(tmp_path):
    path = tmp_path / "foreign.safetensors"
    save_file({"a": np.zeros(1, np.float32)}, path)
    with pytest.raises(WeightsError, match="not one of avsep's"):
        load_model(path)


def test_a_damaged_file(tmp_path):
    path = tmp_path / "damaged.safetensors"
    path.write_bytes(b"\x10\x00nonsense")
    with pytest.raises(WeightsError, match="damaged"):
        load_model(path)


def test_an_unknown_name_lists_the_known_ones(tmp_path):
    with pytest.raises(WeightsError, match=r"unknown model 'nope'. Bundled: .*audio-2spk"):
        load_model("nope")
    with pytest.raises(WeightsError, match="no weights file at"):
        load_model(tmp_path / "gone.safetensors")
