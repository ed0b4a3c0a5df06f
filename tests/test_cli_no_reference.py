"""`avsep evaluate RESULT...`, `avsep separate --measure`: what they print and write, and all that is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import two_talkers
from sampled_results import write_result

from avsep.errors import InputError
from avsep.evaluation.no_reference import mos
from avsep.pipeline import Options, Separator
from avsep.results.result import read_result

RATE = 16_000


@pytest.fixture
def no_dnsmos(monkeypatch) -> None:
    """As where the extra is not installed."""
    monkeypatch.setattr(mos, "PACKAGES", ("no_such_package",))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two tracks of 4 s, the second of which is the first, softer, from 2 s on."""
    x = 0.1 * np.random.default_rng(0).standard_normal((2, 4 * RATE)).astype(np.float32)
    x[1, 2 * RATE :] = 0.5 * x[0, 2 * RATE :]
    return write_result(tmp_path / "talk", x, ([(0.0, 4.0)], [(0.0, 4.0)]))


def no_constant(name: str) -> None:
    pytest.fail(f"{name} is no JSON")


def test_a_result_gives_a_table(cli, folder, no_dnsmos) -> None:
    before = (folder / "manifest.json").read_bytes()
    code, out, err = cli("evaluate", folder)
    assert code == 0
    assert "no DNSMOS: no_such_package is not installed. pip install 'avsep[quality]'" in err
    lines = out.splitlines()
    assert lines[0] == str(folder)
    assert lines[1].split()[:4] == ["OVRL", "SIG", "BAK", "P.808"]
    assert lines[2].split()[:5] == ["speaker_00", "-", "-", "-", "-"]
    assert "speaker_01  doubtful 2.0-4.0 s: nearly the same sound as speaker_00" in out
    assert (folder / "manifest.json").read_bytes() == before
    assert not Path("evaluation").exists(), "nothing is written"


def test_json_has_null_for_what_is_not_known(cli, folder, no_dnsmos) -> None:
    code, out, _ = cli("evaluate", folder, "--json")
    assert code == 0
    (document,) = json.loads(out, parse_constant=no_constant)
    assert document["folder"] == str(folder)
    first = document["tracks"][0]
    assert first["measures"]["dnsmos"] is None
    assert first["measures"]["leak_db"] == {"speaker_01": None}
    assert 0 < first["measures"]["correlation"]["speaker_01"] < 1
    assert document["notes"] == ["no DNSMOS: no_such_package is not installed. pip install 'avsep[quality]'"]


def test_marks_go_to_the_manifest_and_are_read_back(cli, folder, no_dnsmos) -> None:
    assert read_result(folder).tracks[1].doubtful == ()
    assert cli("evaluate", folder, "--mark")[0] == 0
    once = (folder / "manifest.json").read_bytes()
    result = read_result(folder)
    found = {doubt.kind: doubt for doubt in result.tracks[1].doubtful}
    assert found["alike"][:2] == (2.0, 4.0)
    assert found["alike"].reason == "nearly the same sound as speaker_00"
    assert result.manifest["speakers"] == result.manifest["tracks"]
    assert cli("evaluate", folder, "--mark")[0] == 0
    assert (folder / "manifest.json").read_bytes() == once, "marks of an earlier time are replaced"


def test_several_results_and_their_labels(cli, folder, no_dnsmos, tmp_path) -> None:
    other = write_result(tmp_path / "short", np.zeros((1, 800), np.float32), ([],))
    content = json.loads((other / "manifest.json").read_text())
    content["tracks"][0]["label"] = "An\x1bn"
    (other / "manifest.json").write_text(json.dumps(content))
    code, out, _ = cli("evaluate", folder, other)
    assert code == 0
    assert f"{folder}\n" in out
    assert f"{other}\n" in out
    assert "\x1b" not in out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--metrics", "sdr"), "--metrics is for estimates that have references"),
        (("--limit", "2"), "--limit is for"),
        (("-o", "elsewhere"), "--output is for"),
        (("--no-pictures",), "--no-pictures is for"),
    ],
)
def test_options_of_references_are_refused(cli, folder, options, message) -> None:
    code, _, err = cli("evaluate", folder, *options)
    assert code == 2
    assert message in err


def test_what_is_no_result_is_told(cli, folder, tmp_path) -> None:
    (tmp_path / "other").mkdir()
    code, _, err = cli("evaluate", tmp_path / "other")
    assert code == 2
    assert "Without references, give results of avsep separate" in err
    code, _, err = cli("evaluate", folder, tmp_path / "other")
    assert code == 2
    assert f"{folder} is a result of avsep separate, {tmp_path / 'other'} is none" in err
    code, _, err = cli("evaluate", tmp_path / "other", "--mark")
    assert code == 2
    assert "--mark marks results" in err
    code, _, err = cli("evaluate", *[tmp_path / "other"] * 3)
    assert code == 2
    assert "2 folders of estimates are given" in err


def test_a_damaged_manifest_is_told(cli, folder) -> None:
    (folder / "manifest.json").write_text("{")
    code, _, err = cli("evaluate", folder)
    assert code == 1
    assert "manifest.json: cannot be read" in err


def test_a_missing_file_is_told_before_anything_is_measured(cli, folder, tmp_path) -> None:
    other = write_result(tmp_path / "other", np.zeros((1, RATE), np.float32), ([],))
    (other / "speaker_00.wav").unlink()
    code, out, err = cli("evaluate", folder, other, "--mark")
    assert (code, out) == (1, "")
    assert f"{other / 'speaker_00.wav'}: no such file" in err
    assert read_result(folder).tracks[1].doubtful == ()


def test_a_result_without_voices_is_told(cli, tmp_path) -> None:
    folder = write_result(tmp_path / "rain", np.zeros((1, RATE), np.float32), ([],), kinds=["sound"])
    code, _, err = cli("evaluate", folder)
    assert code == 1
    assert "no track is a voice (there are: sound)" in err


@pytest.mark.parametrize(
    "doubt",
    [
        {"start_seconds": 2, "end_seconds": 1, "reason": "x"},
        {"start_seconds": 0, "end_seconds": 1},
        {"start_seconds": 0, "end_seconds": float("inf"), "reason": "x"},
        {"start_seconds": 0, "end_seconds": 1, "reason": 7},
    ],
)
def test_a_damaged_doubt_is_one_clear_error(folder, doubt) -> None:
    content = json.loads((folder / "manifest.json").read_text())
    content["tracks"][0]["doubtful"] = [doubt]
    (folder / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=r"manifest\.json: is damaged"):
        read_result(folder)


def test_doubts_end_with_the_clip(folder) -> None:
    content = json.loads((folder / "manifest.json").read_text())
    content["tracks"][0]["doubtful"] = [{"start_seconds": 3, "end_seconds": 4.01, "reason": "x"}]
    (folder / "manifest.json").write_text(json.dumps(content))
    assert read_result(folder).tracks[0].doubtful[0][:2] == (3.0, 4.0)


def test_a_missing_extra_is_told_before_anything_is_separated(cli, no_dnsmos, tmp_path) -> None:
    soundfile.write(tmp_path / "talk.wav", np.zeros(RATE, np.float32), RATE)
    code, out, err = cli("separate", "talk.wav", "--measure")
    assert (code, out) == (2, "")
    assert "--measure: no DNSMOS: no_such_package is not installed. pip install 'avsep[quality]'" in err
    assert not Path("separated").exists()


@pytest.mark.slow
def test_separate_measures_inside_its_folder(tmp_path) -> None:
    pytest.importorskip("speechmos")
    pytest.importorskip("onnxruntime")
    clip = tmp_path / "talk.wav"
    soundfile.write(clip, two_talkers.voices(2.4, 5.0).sum(axis=0), RATE)
    separator = Separator(device="cpu")
    manifest = separator.separate(clip, tmp_path / "out", Options(speakers=2, measure=True))
    assert json.loads((tmp_path / "out" / "talk" / "manifest.json").read_text()) == manifest
    assert manifest["speakers"] == manifest["tracks"]
    assert manifest["timing"]["steps"]["measures"] > 0
    assert manifest["options"]["measure"] is True
    for track in manifest["tracks"]:
        assert 1 < track["measures"]["dnsmos"]["ovrl"] < 5
        assert track["measures"]["own_voice"] is not None
        assert isinstance(track["doubtful"], list)
