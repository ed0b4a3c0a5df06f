"""Figures of signals with several channels: microphone 0 of an array, spatial images, and sources without the room."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from scipy.signal import fftconvolve

from avsep.cli.main import main
from avsep.data.lists import MixtureSpec, Part
from avsep.errors import UsageError
from avsep.evaluation import bss
from avsep.evaluation.metrics import si_sdr
from avsep.evaluation.model import ListTrial, estimate, load_engine
from avsep.evaluation.score import Row, Scoring, aligned, score
from avsep.evaluation.trial import make_trial

RATE = 16_000
SI_SDR = Scoring(groups=("si_sdr",))


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal(shape)


def column(rows: list[Row], key: str) -> list[float]:
    return [row.figures[key] for row in rows]


def test_arrays_are_compared_at_microphone_0_and_stereo_by_its_mean() -> None:
    for channels, first in ((4, True), (2, False)):
        images, estimates = noise(2, channels, RATE), noise(2, channels, RATE, seed=1)
        estimates += 3 * images
        wanted = images[:, 0] if first else images.mean(axis=1)
        found = estimates[:, 0] if first else estimates.mean(axis=1)
        rows = score(make_trial(images, estimates, sample_rate=RATE), SI_SDR)
        assert column(rows, "si_sdr") == pytest.approx(si_sdr(found, wanted))
        for how, single in (("first", lambda x: x[:, 0]), ("mean", lambda x: x.mean(axis=1))):
            rows = score(make_trial(images, estimates, sample_rate=RATE), Scoring(("si_sdr",), channels=how))
            assert column(rows, "si_sdr") == pytest.approx(si_sdr(single(estimates), single(images)))


def test_one_channel_is_held_against_microphone_0_of_several() -> None:
    images, mixed = noise(2, 4, RATE), noise(4, RATE, seed=2)
    mixed += images.sum(axis=0)
    clean = images[:, :1] + 0.01 * noise(2, 1, RATE, seed=3)
    for references in (images, images[:, :1]):
        rows = score(make_trial(references, clean, mixed, sample_rate=RATE), SI_SDR)
        assert column(rows, "si_sdr") == pytest.approx(si_sdr(clean[:, 0], images[:, 0]))
        assert column(rows, "input_si_sdr") == pytest.approx(si_sdr(mixed[0], images[:, 0]))


def test_isr_of_images_at_wrong_levels_is_what_it_must_be() -> None:
    # A gain on one of two channels is a filter on the image: all of the error is spatial, and its energy is known.
    source = noise(1, 1, 4 * RATE)
    images = np.repeat(source, 2, axis=1)
    for gain in (0.5, 0.9, 2.0):
        ratio = bss.isr(images, images * np.array([[[1.0], [gain]]]))[0]
        assert ratio == pytest.approx(10 * np.log10(2 / (gain - 1) ** 2), abs=0.01)


def test_dry_sources_are_found_however_late_they_arrive() -> None:
    dry = noise(2, 2 * RATE)
    response = np.zeros(1200)
    response[[400, 700, 1100]] = 1.0, 0.4, 0.3
    images = np.stack([fftconvolve(source, response)[: 2 * RATE] for source in dry])
    early = np.stack([np.pad(source, (400, 0))[: 2 * RATE] for source in dry])
    for source, there in zip(dry, early, strict=True):
        assert np.array_equal(aligned(source, there), there)
        assert np.array_equal(aligned(there, source)[: -400 or None], source[:-400])
    trial = make_trial(early, images, sample_rate=RATE, dry=dry)
    rows = score(trial, Scoring(groups=("si_sdr", "sdr", "dry")))
    assert column(rows, "dry_si_sdr") == pytest.approx(column(rows, "si_sdr"))
    # Of the echoes one lies within the 512 taps that are forgiven.
    assert all(row.figures["dry_sdr"] > row.figures["dry_si_sdr"] + 2 for row in rows)
    assert column(rows, "dry_sdri") == pytest.approx(column(rows, "sdri"), abs=0.2)
    with pytest.raises(ValueError, match=r"dry sources \(1, 32000\); expected one of each reference, as long"):
        make_trial(early, images, sample_rate=RATE, dry=dry[:1])


def write(file: Path, samples: np.ndarray) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    sf.write(file, samples.T, RATE, subtype="FLOAT")


def test_the_command_takes_recordings_of_arrays_and_dry_sources(tmp_path: Path) -> None:
    references, estimates, dry, out = (tmp_path / name for name in ("references", "estimates", "dry", "out"))
    images = noise(2, 4, RATE)
    write(references / "a.wav", images.sum(axis=0))
    for n in range(2):
        write(references / "a" / f"s{n}.wav", images[n, :1])
        write(estimates / "a" / f"s{n}.wav", images[n, :1] + noise(1, RATE, seed=5 + n) / 10)
    command = ["evaluate", str(references), str(estimates), "-o", str(out), "--metrics", "sdr", "--no-pictures"]
    for n in range(2):
        write(dry / "a" / f"s{n}.wav", images[n, :1])
    assert main([*command, "--dry", str(dry)]) == 0
    summary = json.loads((out / "summary.json").read_text())
    figures = {key: value["mean"] for key, value in summary["systems"]["estimate"].items()}
    assert figures["si_sdr"] == pytest.approx(20, abs=0.5)
    assert figures["input_si_sdr"] == pytest.approx(0, abs=0.5)  # one of two voices at microphone 0
    assert figures["dry_si_sdr"] == pytest.approx(figures["si_sdr"])
    assert figures["dry_sdri"] == pytest.approx(figures["sdri"])
    assert summary["options"]["channels"] == "auto"
    assert "dry_sdr" in (out / "results.csv").read_text().split("\n")[0].split(",")
    # A list has them in a column.
    rows = ["mixture\tsource\treference\testimate\tdry"]
    rows += [f"a\ts{n}\treferences/a/s{n}.wav\testimates/a/s{n}.wav\tdry/a/s{n}.wav" for n in range(2)]
    (tmp_path / "pairs.tsv").write_text("\n".join(rows) + "\n")
    assert main(["evaluate", str(tmp_path / "pairs.tsv"), *command[3:], "--overwrite"]) == 0
    listed = json.loads((out / "summary.json").read_text())["systems"]["estimate"]
    assert listed["dry_si_sdr"]["mean"] == pytest.approx(figures["dry_si_sdr"])


def test_dry_sources_that_are_missing_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in ("references", "estimates"):
        write(tmp_path / folder / "a" / "s1.wav", noise(1, 800))
    write(tmp_path / "dry" / "a" / "s2.wav", noise(1, 800))
    command = ["evaluate", str(tmp_path / "references"), str(tmp_path / "estimates"), "-o", str(tmp_path / "out")]
    assert main([*command, "--dry", str(tmp_path / "dry")]) == 1
    assert f"expected {tmp_path / 'dry' / 'a' / 's1.wav'}" in capsys.readouterr().err
    (tmp_path / "pairs.tsv").write_text("mixture\tsource\treference\testimate\n")
    assert main(["evaluate", str(tmp_path / "pairs.tsv"), "-o", str(tmp_path / "out"), "--dry", str(tmp_path)]) == 2
    assert "has a column dry instead" in capsys.readouterr().err


def test_models_get_all_channels_of_a_list_or_the_one_that_is_compared(tmp_path: Path) -> None:
    images = noise(2, 3, RATE)
    for n in range(2):
        write(tmp_path / f"s{n}.wav", images[n])
    parts = tuple(Part(tmp_path / f"s{n}.wav", None, f"s{n}", "voice", 0.0, 1.0) for n in range(2))
    spec = MixtureSpec("a", 1.0, parts)
    array, _ = load_engine("auxiva", plain=True)
    trial = ListTrial(spec, RATE, array).load()
    assert trial.mixture.shape == (3, RATE)
    assert trial.references.shape == (2, 3, RATE)
    assert trial.estimates.shape == (3, 3, RATE)
    assert np.allclose(trial.references, images, atol=1e-6)
    with pytest.raises(UsageError, match="the sound has 1 channel, and the model takes 2 to 8"):
        estimate(array, trial.mixture[:1], RATE)
    single, _ = load_engine("audio-2spk", quality="fast")
    mixture = trial.mixture[:, : RATE // 4]
    assert np.array_equal(estimate(single, mixture, RATE), estimate(single, mixture[:1], RATE))
    mean = estimate(single, mixture, RATE, channels="mean")
    assert np.array_equal(mean, estimate(single, mixture.mean(axis=0, keepdims=True), RATE))
    assert mean.shape == (2, 1, RATE // 4)
