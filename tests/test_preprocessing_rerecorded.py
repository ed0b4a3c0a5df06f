"""Recorded mixtures, from folders in the layouts they come in to a list that `avsep evaluate` scores."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from corpus_factory import fails, skipped, specs_by_id
from scipy.signal import resample_poly
from two_talkers import in_a_room, voices

from avsep.dsp.alignment import moved
from preprocessing import rerecorded

RATE, DELAYS, GAINS = 16_000, (1600.25, 2000.5), (0.5, -0.25)


def recording(sources: np.ndarray, seed: int = 0) -> np.ndarray:
    """(2, time) -> what a microphone gets of them, 0.25 s longer: late, fainter, the second upside down, with noise."""
    time = sources.shape[1] + 4000
    total = sum(g * moved(s, d, time) for s, d, g in zip(sources, DELAYS, GAINS, strict=True))
    return total + 1e-3 * np.random.default_rng(seed).standard_normal(time)


def write(path: Path, samples: np.ndarray, rate: int = RATE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples.T, rate, subtype="FLOAT")


def make(folder: Path, layout: str) -> str:
    """One mixture in a layout; its name in the list."""
    sources = voices(3.5, 1.5)
    mixed = recording(sources)
    if layout == "a folder a mixture":
        files = {"a/mixture.wav": mixed, "a/s1.wav": sources[0], "a/s2.wav": sources[1]}
    elif layout == "a folder a source":
        files = {"mix/a.wav": mixed, "s1/a.wav": sources[0], "s2/a.wav": sources[1]}
    else:
        files = {"x/2/2_7_mixed.wav": mixed, "x/2/2_7_121.wav": sources[0], "x/2/2_7_908.wav": sources[1]}
    for name, samples in files.items():
        write(folder / name, samples)
    return "x-2-2_7_mixed" if layout == "RealTalkLibri" else "a"


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "alignment.tsv").open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


@pytest.mark.parametrize("layout", ["a folder a mixture", "a folder a source", "RealTalkLibri"])
def test_delays_and_levels_are_measured_and_told(tmp_path: Path, layout: str, capsys) -> None:
    name = make(tmp_path / "in", layout)
    assert rerecorded.main([str(tmp_path / "in"), str(tmp_path / "out"), "--workers", "1"]) == 0
    assert "sources begin 100.0 to 125.0 ms after their recordings, at gains of -12.0 to -6.0 dB" in (
        capsys.readouterr().out
    )
    (spec,) = specs_by_id(tmp_path / "out" / "test.tsv").values()
    assert (spec.id, spec.seconds) == (name, 1.75)
    assert [-part.start_seconds * RATE for part in spec.voices] == pytest.approx(DELAYS, abs=0.1)
    assert [part.gain for part in spec.voices] == pytest.approx(GAINS, rel=0.02)
    rows = table(tmp_path / "out")
    assert [float(row["delay_ms"]) for row in rows] == pytest.approx([d / 16 for d in DELAYS], abs=0.01)
    assert [float(row["gain_db"]) for row in rows] == pytest.approx([-6.02, -12.04], abs=0.2)
    assert [row["polarity"] for row in rows] == ["+", "-"]
    assert all(float(row["clearness"]) > rerecorded.CLEAR for row in rows)
    assert [abs(float(row["drift_ms"] or 0)) < 0.1 for row in rows] == [True, True]
    assert skipped(tmp_path / "out") == {}


def test_references_of_another_rate_lie_in_another_folder(tmp_path: Path) -> None:
    sources = voices(3.5, 1.5)
    write(tmp_path / "in" / "a.wav", recording(sources))
    for number, source in enumerate(sources):
        write(tmp_path / "ref" / f"s{number + 1}" / "a.wav", resample_poly(source, 3, 1), 48_000)
    arguments = [str(tmp_path / "in"), str(tmp_path / "out"), "--references", str(tmp_path / "ref"), "--workers", "1"]
    assert rerecorded.main([*arguments, "--split", "dev"]) == 0
    (spec,) = specs_by_id(tmp_path / "out" / "dev.tsv").values()
    assert [-part.start_seconds * RATE for part in spec.voices] == pytest.approx(DELAYS, abs=0.1)


def test_what_is_not_in_a_recording_is_skipped_with_its_reason(tmp_path: Path, capsys) -> None:
    make(tmp_path / "in", "a folder a mixture")
    out = tmp_path / "out"
    assert rerecorded.main([str(tmp_path / "in"), str(out), "--workers", "1", "--most-delay", "0.05"]) == 1
    assert "is not found in" in skipped(out)["a"]
    assert "Give a larger --most-delay" in skipped(out)["a"]
    write(tmp_path / "in" / "a" / "s2.wav", voices(0.5, 1.5)[0])
    assert rerecorded.main([str(tmp_path / "in"), str(out), "--workers", "1"]) == 1
    assert "a/s2.wav: is not found in" in skipped(out)["a"]
    assert not (out / "test.tsv").exists()


def test_clocks_that_run_apart_are_told(tmp_path: Path, capsys) -> None:
    sources = voices(0.5, 6.0)
    # A recorder whose clock runs 200 ppm fast: 1.2 ms in 6 s.
    apart = np.stack([resample_poly(source, 5001, 5000)[: sources.shape[1]] for source in sources])
    write(tmp_path / "in" / "a" / "mixture.wav", recording(apart))
    for number, source in enumerate(sources):
        write(tmp_path / "in" / "a" / f"s{number}.wav", source)
    assert rerecorded.main([str(tmp_path / "in"), str(tmp_path / "out"), "--workers", "1"]) == 0
    assert "2 of 2 drift, by up to" in capsys.readouterr().out
    assert [float(row["drift_ms"]) for row in table(tmp_path / "out")] == pytest.approx([0.6, 0.6], abs=0.4)


def test_wrong_layouts_are_named(tmp_path: Path, capsys) -> None:
    make(tmp_path / "in", "a folder a mixture")
    (tmp_path / "in" / "a" / "mixture.wav").unlink()
    message = fails(rerecorded.main, capsys, tmp_path / "in", tmp_path / "out")
    assert "in: no recording of a, only its sources s1, s2. Expected" in message
    message = fails(rerecorded.main, capsys, tmp_path / "in", tmp_path / "out", "--references", tmp_path / "in")
    assert "expected recordings NAME.wav; found a/" in message
    write(tmp_path / "other" / "b.wav", np.zeros(100))
    message = fails(rerecorded.main, capsys, tmp_path / "other", tmp_path / "out", "--references", tmp_path / "in")
    assert "in: no sources of b, which" in message
    with pytest.raises(SystemExit):
        rerecorded.main([str(tmp_path), str(tmp_path / "out"), "--most-delay", "0"])
    assert "'0' is not a number of seconds above 0 and up to 3600" in capsys.readouterr().err


def test_a_list_of_recordings_is_scored(cli, tmp_path: Path) -> None:
    """What is best of all estimates is what the references say: late, fainter and upside down."""
    sources = voices(3.5, 1.5)
    make(tmp_path / "in", "a folder a mixture")
    assert rerecorded.main([str(tmp_path / "in"), str(tmp_path / "lists"), "--workers", "1"]) == 0
    for number, (source, delay, gain) in enumerate(zip(sources, DELAYS, GAINS, strict=True)):
        write(tmp_path / "est" / "a" / f"{number}.wav", gain * moved(source, delay, 28_000))
    code, out, err = cli("evaluate", "lists/test.tsv", "est", "--metrics", "si_sdr,snr", "--no-pictures", "--json")
    assert code == 0, err
    note = "references of 1 recorded mixture were moved by 100.0 to 125.0 ms and scaled by -12.0 to -6.0 dB"
    assert note in err
    summary = json.loads(out)
    assert any(note in line for line in summary["notes"])
    figures = summary["systems"]["estimate"]
    assert figures["si_sdr"]["mean"] > 25
    assert figures["snr"]["mean"] > 25
    # As they were played, they are at another place.
    for number, source in enumerate(sources):
        write(tmp_path / "est" / "a" / f"{number}.wav", np.pad(source, (0, 4000)))
    code, out, err = cli(
        "evaluate", "lists/test.tsv", "est", "--metrics", "si_sdr", "--no-pictures", "--json", "--overwrite"
    )
    assert code == 0, err
    assert json.loads(out)["systems"]["estimate"]["si_sdr"]["mean"] < 0


@pytest.mark.slow
def test_a_room_and_a_model(cli, tmp_path: Path) -> None:
    """Played in a room, at once and one by one, and separated by a bundled model."""
    images = in_a_room(voices(2.5, 4.0), 1)[:, 0]
    write(tmp_path / "in" / "a" / "mixture.wav", np.pad(images.sum(0), (3000, 500)))
    for number, image in enumerate(images):
        write(tmp_path / "in" / "a" / f"s{number}.wav", 0.5 * image)
    assert rerecorded.main([str(tmp_path / "in"), str(tmp_path / "lists"), "--workers", "1"]) == 0
    code, out, err = cli(
        *("evaluate", "lists/test.tsv", "--model", "audio-2spk", "--quality", "fast"),
        *("--metrics", "si_sdr", "--oracle", "PSM", "--no-pictures", "--json"),
    )
    assert code == 0, err
    systems = json.loads(out)["systems"]
    assert np.isfinite(systems["estimate"]["si_sdri"]["mean"])
    # The references lie where they are in the recording: masks made of them separate it.
    assert systems["PSM"]["si_sdri"]["mean"] > 8
