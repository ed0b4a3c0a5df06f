"""Corpora of mixtures, from miniature trees and lists as they are published to fixed lists."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from corpus_factory import fails, noise, rows_by_id, skipped, specs_by_id, write_sound, write_tree

from avsep.data.lists import render
from avsep.data.sound import read_sound
from preprocessing import fuss, librimix, wham, wsj0_mix
from preprocessing.active_level import active_level
from preprocessing.librimix import continue_noise

NAME = "40na010x_1.9857_01xo031a_-1.9857"


def wsj0(folder: Path) -> Path:
    """Four utterances on a disc, as .wav and .flac."""
    for number, (name, seconds) in enumerate(
        {"si_tr_s/40n/40na010x.wav": 0.8, "si_tr_s/01x/01xo031a.flac": 1.2, "si_tr_s/02a/02ac0101.wav": 1.0}.items()
    ):
        write_sound(folder / "11-1.1" / "wsj0" / name, seconds, seed=number)
    write_sound(folder / "11-14.1" / "wsj0" / "si_et_05/440/440c0201.wav", 0.7, seed=9)
    return folder


def lists(folder: Path) -> Path:
    folder.mkdir()
    (folder / "mix_2_spk_tr.txt").write_text(
        "wsj0/si_tr_s/40n/40na010x.wav 1.9857 wsj0/si_tr_s/01x/01xo031a.wav -1.9857\n"
    )
    (folder / "mix_2_spk_cv.txt").write_text("wsj0/si_tr_s/02a/02ac0101.wav 0 wsj0/si_tr_s/40n/40na010y.wav 0\n")
    (folder / "mix_2_spk_tt.txt").write_text("wsj0/si_et_05/440/440c0201.wav 3 wsj0/si_et_05/440/440c0201.wav -3\n")
    (folder / "mix_3_spk_tr.txt").write_text(
        "wsj0/si_tr_s/40n/40na010x.wav 2 wsj0/si_tr_s/01x/01xo031a.wav -2 wsj0/si_tr_s/02a/02ac0101.wav 0\n"
    )
    return folder


@pytest.mark.parametrize(("mode", "seconds"), [("min", 0.8), ("max", 1.2)])
def test_wsj0_2mix_from_its_lists(tmp_path: Path, mode: str, seconds: float) -> None:
    source, out = wsj0(tmp_path / "wsj0"), tmp_path / "out"
    arguments = ["--lists", str(lists(tmp_path / "lists")), "--mode", mode, "--workers", "1"]
    assert wsj0_mix.main([str(source), str(out), *arguments]) == 0
    (spec,) = specs_by_id(out / "train.tsv").values()
    assert (spec.id, spec.seconds) == (NAME, seconds)
    assert [part.speaker for part in spec.parts] == ["40n", "01x"]
    mixture, sources = render(spec)
    assert mixture.shape == (1, round(seconds * 16000))
    assert np.allclose(mixture, sources.sum(0), atol=1e-6)
    # As published: 3.97 dB between the active levels, and the loudest of mixture and sources at 0.9.
    levels = [
        part.gain * active_level(read_sound(part.audio, 0, length, 8000), 8000)
        for part, length in zip(spec.parts, (6400, 9600), strict=True)
    ]
    assert 20 * np.log10(levels[0] / levels[1]) == pytest.approx(2 * 1.9857, abs=1e-3)
    loudest = max(np.abs(signal).max() for signal in (*render(spec, 8000)[1], render(spec, 8000)[0]))
    assert loudest == pytest.approx(0.9, abs=0.01)
    assert list(specs_by_id(out / "test.tsv")) == ["440c0201_3_440c0201_-3"]
    assert not (out / "dev.tsv").exists()
    assert "40na010y.wav: no such file" in skipped(out)["dev/02ac0101_0_40na010y_0"]
    utterances = rows_by_id(out / "utterances" / "manifest.tsv")
    assert utterances["si_tr_s/01x/01xo031a"].audio.suffix == ".flac"
    assert utterances["si_tr_s/01x/01xo031a"].speaker == "01x"


def test_wsj0_3mix_and_wrong_lists(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out, folder = wsj0(tmp_path / "wsj0"), tmp_path / "out", lists(tmp_path / "lists")
    three = ["--speakers", "3", "--workers", "1"]
    assert wsj0_mix.main([str(source), str(out), "--lists", str(folder), *three]) == 0
    (spec,) = specs_by_id(out / "train.tsv").values()
    assert spec.id == "40na010x_2_01xo031a_-2_02ac0101_0"
    assert len(spec.voices) == 3
    other = tmp_path / "other"
    message = fails(wsj0_mix.main, capsys, source, other, "--lists", source)
    assert f"{source}: expected lists mix_2_spk_tr.txt" in message
    assert "found 11-1.1/, 11-14.1/" in message
    message = fails(wsj0_mix.main, capsys, folder, other, "--lists", folder)
    assert "expected utterances such as wsj0/si_tr_s/40n/40na010x.wav" in message
    (folder / "mix_2_spk_tr.txt").write_text("wsj0/si_tr_s/40n/40na010x.wav loud wsj0/si_tr_s/01x/01xo031a.wav 1\n")
    message = fails(wsj0_mix.main, capsys, source, other, "--lists", folder)
    assert "mix_2_spk_tr.txt, line 1" in message
    assert "is not a path and a level in dB for each of 2 speakers" in message
    assert not other.exists()


def tree(folder: Path, name: str, splits: tuple[str, ...], suffix: str = "", with_noise: bool = True) -> Path:
    for number, split in enumerate(splits):
        s1, s2, n = (noise(0.5, seed=10 * number + k) for k in range(3))
        parts = {f"mix_clean{suffix}": s1 + s2, f"s1{suffix}": s1, f"s2{suffix}": s2}
        if with_noise:
            parts |= {f"mix_both{suffix}": s1 + s2 + n, f"mix_single{suffix}": s1 + n, "noise": n}
        write_tree(folder / split, parts, f"{name}.wav")
    return folder


def test_generated_trees_are_the_sum_of_their_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wsj = tree(tmp_path / "2speakers" / "wav8k" / "min", NAME, ("tr", "cv", "tt"), with_noise=False)
    for split in ("tr", "cv", "tt"):
        (wsj / split / "mix_clean").rename(wsj / split / "mix")
    out = tmp_path / "out"
    assert wsj0_mix.main([str(tmp_path / "2speakers"), str(out), "--workers", "1"]) == 0
    spec = specs_by_id(out / "dev.tsv")[NAME]
    assert [part.speaker for part in spec.parts] == ["40n", "01x"]
    stored, _ = soundfile.read(wsj / "cv" / "mix" / f"{NAME}.wav", dtype="float32")
    assert np.abs(render(spec)[0] - stored).max() < 1e-4
    write_sound(wsj / "cv" / "mix" / f"{NAME}.wav", 0.5, seed=77)
    message = fails(wsj0_mix.main, capsys, wsj, tmp_path / "other")
    assert f"{wsj / 'cv' / 'mix' / NAME}.wav: differs by" in message
    message = fails(wsj0_mix.main, capsys, tmp_path, tmp_path / "other")
    assert f"{tmp_path}: expected folders SPLIT/mix, SPLIT/s1, SPLIT/s2" in message


@pytest.mark.parametrize(
    ("options", "roles", "mixture"),
    [([], ["voice", "voice", "noise"], "mix_both"), (["--mixtures", "clean"], ["voice", "voice"], "mix_clean"),
     (["--mixtures", "single"], ["voice", "noise"], "mix_single")],
)  # fmt: skip
def test_wham_mixtures(tmp_path: Path, options: list[str], roles: list[str], mixture: str) -> None:
    source = tree(tmp_path / "wham", NAME, ("tr", "tt"))
    assert wham.main([str(source), str(tmp_path / "out"), *options, "--workers", "1"]) == 0
    spec = specs_by_id(tmp_path / "out" / "test.tsv")[NAME]
    assert [part.role for part in spec.parts] == roles
    stored, _ = soundfile.read(source / "tt" / mixture / f"{NAME}.wav", dtype="float32")
    assert np.abs(render(spec)[0] - stored).max() < 1e-4


def test_whamr_rooms(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tree(tmp_path / "whamr" / "wav16k" / "min", NAME, ("tr",), "_reverb")
    arguments = [str(tmp_path / "whamr"), str(tmp_path / "out"), "--workers", "1"]
    assert wham.main([*arguments, "--room", "reverb"]) == 0
    spec = specs_by_id(tmp_path / "out" / "train.tsv")[NAME]
    assert spec.parts[0].audio.resolve() == source / "tr" / "s1_reverb" / f"{NAME}.wav"
    assert "SPLIT/s1_anechoic" in fails(wham.main, capsys, *arguments, "--room", "anechoic")


def libri(folder: Path) -> tuple[Path, Path, Path]:
    """LibriSpeech, wham_noise and the metadata of two mixtures."""
    speech, wham_noise, metadata = folder / "LibriSpeech", folder / "wham_noise", folder / "metadata" / "Libri2Mix"
    write_sound(speech / "test-clean/7127/75947/7127-75947-0007.flac", 0.5, seed=1)
    write_sound(speech / "test-clean/5683/32866/5683-32866-0022.flac", 0.9, seed=2)
    write_sound(wham_noise / "tt/441c020k_0.31137_447c020y_-0.31137.wav", 0.6, channels=2, seed=3)
    metadata.mkdir(parents=True)
    (metadata / "libri2mix_test-clean_info.csv").write_text("mixture_ID,speaker_1_ID\n")
    pair = "test-clean/7127/75947/7127-75947-0007.flac,0.5,test-clean/5683/32866/5683-32866-0022.flac,1.25"
    (metadata / "libri2mix_test-clean.csv").write_text(
        "mixture_ID,source_1_path,source_1_gain,source_2_path,source_2_gain,noise_path,noise_gain\n"
        f"7127-75947-0007_5683-32866-0022,{pair},tt/441c020k_0.31137_447c020y_-0.31137.wav,2.0\n"
        f"7127-75947-0007_5683-32866-0023,{pair.replace('0022', '0023')},tt/none.wav,2.0\n"
    )
    return speech, wham_noise, metadata


@pytest.mark.parametrize(("mode", "seconds"), [("min", 0.5), ("max", 0.9)])
def test_librimix_from_its_metadata(tmp_path: Path, mode: str, seconds: float) -> None:
    speech, wham_noise, metadata = libri(tmp_path)
    arguments = [str(speech), "--metadata", str(metadata), "--mode", mode, "--workers", "1"]
    for out, extra in ((tmp_path / "clean", []), (tmp_path / "noisy", ["--noise", str(wham_noise)])):
        assert librimix.main([arguments[0], str(out), *arguments[1:], *extra]) == 0
        (spec,) = specs_by_id(out / "test.tsv").values()
        assert (spec.id, spec.seconds) == ("7127-75947-0007_5683-32866-0022", seconds)
        assert [(part.speaker, part.gain) for part in spec.voices] == [("7127", 0.5), ("5683", 1.25)]
        assert "0023.flac: no such file" in skipped(out)["test/7127-75947-0007_5683-32866-0023"]
    # The first channel alone, and as long as the longest voice.
    stored, _ = soundfile.read(wham_noise / "tt/441c020k_0.31137_447c020y_-0.31137.wav", dtype="float32")
    mixture, sources = render(spec)
    added = (mixture - sources.sum(0))[0] / 2.0
    assert np.abs(added[:1000] - stored[:1000, 0]).max() < 1e-4
    assert np.abs(added[-1000:]).max() > 0.05
    if mode == "max":
        noise_file = spec.parts[-1].audio
        assert noise_file == tmp_path / "noisy/noise/test/7127-75947-0007_5683-32866-0022.flac"
        assert soundfile.info(noise_file).frames == 14400


def test_librimix_continues_a_noise_that_is_another_one_now(tmp_path: Path) -> None:
    speech, wham_noise, metadata = libri(tmp_path)
    out = tmp_path / "out"
    arguments = [str(speech), str(out), "--metadata", str(metadata), "--noise", str(wham_noise), "--workers", "1"]
    frames = []
    for rate in (16_000, 8_000):
        write_sound(wham_noise / "tt/441c020k_0.31137_447c020y_-0.31137.wav", 0.6, rate, channels=2, seed=3)
        assert librimix.main(arguments) == 0
        frames.append(soundfile.info(out / "noise/test/7127-75947-0007_5683-32866-0022.flac").frames)
    assert frames == [14_400, 7_200]


def test_a_noise_follows_itself_without_a_seam() -> None:
    sound = np.ones(1000, np.float32)
    longer = continue_noise(sound, 2500, 100)
    assert longer.shape == (2500,)
    assert np.allclose(longer, 1, atol=1e-6)
    assert np.array_equal(continue_noise(np.arange(1000.0), 300, 100), np.arange(300.0))


def test_librimix_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    speech, wham_noise, metadata = libri(tmp_path)
    out, main = tmp_path / "out", librimix.main
    message = fails(main, capsys, wham_noise, out, "--metadata", metadata)
    assert f"{wham_noise}: expected the folders of LibriSpeech (test-clean); found tt/" in message
    assert "expected tables such as" in fails(main, capsys, speech, out, "--metadata", speech)
    assert "give the folder wham_noise" in fails(main, capsys, speech, out, "--metadata", metadata, "--noise", code=2)
    assert "have their own noise" in fails(main, capsys, speech, out, "--noise", wham_noise, code=2)
    assert "expected folders SPLIT/mix_clean" in fails(main, capsys, speech, out)
    table = metadata / "libri2mix_test-clean.csv"
    table.write_text(table.read_text().replace(",1.25,", ",loud,"))
    message = fails(main, capsys, speech, out, "--metadata", metadata)
    assert "libri2mix_test-clean.csv, line 2: source_2_gain is 'loud'" in message
    table.write_text("mixture_ID,source_1_path\n")
    assert "no column source_1_gain" in fails(main, capsys, speech, out, "--metadata", metadata)
    assert not out.exists()


def test_librimix_generated(tmp_path: Path) -> None:
    name = "7127-75947-0007_5683-32866-0022"
    tree(tmp_path / "Libri2Mix" / "wav16k" / "min", name, ("train-100", "train-360", "dev"))
    assert librimix.main([str(tmp_path / "Libri2Mix"), str(tmp_path / "out"), "--noise", "--workers", "1"]) == 0
    spec = specs_by_id(tmp_path / "out" / "dev.tsv")[name]
    assert [(part.role, part.speaker) for part in spec.parts] == [
        ("voice", "7127"),
        ("voice", "5683"),
        ("noise", "noise"),
    ]


def test_fuss(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = tmp_path / "ssdata", tmp_path / "out"
    lines = []
    for number, kinds in enumerate((["background0"], ["background0", "foreground0", "foreground1"])):
        folder = f"validation/example{number:05d}"
        sounds = [
            write_sound(source / f"{folder}_sources/{kind}_sound.wav", 0.4, seed=k) for k, kind in enumerate(kinds)
        ]
        soundfile.write(source / f"{folder}.wav", np.sum(sounds, axis=0), 16000)
        lines.append("\t".join([f"{folder}.wav", *(f"{folder}_sources/{kind}_sound.wav" for kind in kinds)]))
    lines.append("validation/example00002.wav\tvalidation/example00002_sources/background0_sound.wav")
    (source / "validation_example_list.txt").write_text("\n".join(lines) + "\n")
    assert fuss.main([str(source), str(out), "--workers", "1"]) == 0
    specs = specs_by_id(out / "dev.tsv")
    assert [len(spec.voices) for spec in specs.values()] == [1, 3]
    assert [part.speaker for part in specs["example00001"].parts] == ["background0", "foreground0", "foreground1"]
    stored, _ = soundfile.read(source / "validation/example00001.wav", dtype="float32")
    assert np.abs(render(specs["example00001"])[0] - stored).max() < 1e-4
    assert list(skipped(out)) == ["dev/example00002"]
    assert "expected train_example_list.txt" in fails(fuss.main, capsys, source / "validation", out)
    (source / "validation_example_list.txt").write_text("validation/example00000.wav a.wav\n")
    assert "line 1: no source after" in fails(fuss.main, capsys, source, out)


def test_lists_as_editors_save_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mix_2_spk_tr.txt").write_text("wsj0/a/b/c.wav 1 wsj0/a/b/d.wav -1\n", encoding="utf-8-sig")
    assert [paths for _, paths, _ in wsj0_mix.read_rows(tmp_path / "mix_2_spk_tr.txt", 2)] == [
        ["wsj0/a/b/c.wav", "wsj0/a/b/d.wav"]
    ]
    (tmp_path / "train_example_list.txt").write_text("train/a.wav\ttrain/b.wav\n", encoding="utf-8-sig")
    (mix,) = fuss.list_examples(tmp_path)
    assert mix.parts[0].audio == tmp_path / "train/b.wav"
    for name in ("mix_2_spk_tr.txt", "train_example_list.txt"):
        (tmp_path / name).write_text("train/\u00e9.wav\ttrain/b.wav\n", encoding="latin-1")
    message = fails(wsj0_mix.main, capsys, tmp_path, tmp_path / "out", "--lists", tmp_path)
    assert "mix_2_spk_tr.txt: cannot be read" in message
    assert "Save the list as UTF-8" in message
    assert "train_example_list.txt: cannot be read" in fails(fuss.main, capsys, tmp_path, tmp_path / "out")


def test_active_level_leaves_pauses_out() -> None:
    rate = 8000
    time = np.arange(4 * rate) / rate
    speech = np.sin(2 * np.pi * 300 * time) * (time % 2 < 1)
    # Half of the time is silent, but a hangover of 0.2 s after each second counts as speech: -0.8 dB.
    expected = 0.5 / 1.2
    assert active_level(speech, rate) ** 2 == pytest.approx(expected, rel=0.1)
    assert active_level(0.1 * speech, rate) == pytest.approx(0.1 * active_level(speech, rate), rel=1e-3)
    whole = np.random.default_rng(0).standard_normal(4 * rate)
    assert active_level(0.05 * whole, rate) == pytest.approx(0.05, rel=0.03)
    assert active_level(np.zeros(rate), rate) == 0
