"""Fixed lists of mixtures from a manifest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from corpus_factory import fails, skipped, specs_by_id, write_sound

from avsep.data.lists import FixedMixtures, read_list, render
from avsep.data.manifest import Utterance, read_manifest, write_manifest
from avsep.errors import InputError
from preprocessing.make_mixtures import Recipe, draw, main, place

ONE = ["--workers", "1"]


def corpus(folder: Path, split: str = "dev", speakers: int = 4, lips: bool = False, seconds: float = 3.0) -> Path:
    """A manifest of `speakers` with two utterances each; with lips, the mouth is seen in the second half only."""
    rows = []
    for number in range(2 * speakers):
        audio = folder / f"{split}_{number}.wav"
        write_sound(audio, seconds + number / 10, seed=number)
        clip = None
        if lips:
            clip = folder / f"{split}_{number}.npz"
            quality = np.repeat([0.0, 0.9], [10, 80]).astype(np.float32)
            crops = np.zeros((90, 96, 96), np.uint8) + np.arange(90, dtype=np.uint8)[:, None, None]
            np.savez(clip, lips=crops, quality=quality, first=np.array(2))
        rows.append(Utterance(f"u{number}", audio, clip, None, f"{split}{number // 2}", split, seconds + number / 10))
    write_manifest(folder / "manifest.tsv", rows)
    return folder / "manifest.tsv"


def decibels(sound: np.ndarray) -> float:
    return float(10 * np.log10(np.mean(sound.astype(np.float64) ** 2)))


def test_lists_as_in_the_literature(tmp_path: Path) -> None:
    manifest, out = corpus(tmp_path / "in", lips=True), tmp_path / "out"
    assert main([str(manifest), str(out), "--counts", "0,30,0", "--seed", "3", *ONE]) == 0
    specs = specs_by_id(out / "dev.tsv")
    assert len(specs) == 30
    assert not (out / "train.tsv").exists()
    differences, first_speakers, starts = [], set(), set()
    for spec in specs.values():
        assert 2 <= spec.seconds <= 4
        assert len({part.speaker for part in spec.parts}) == 2
        mixture, sources = render(spec)
        assert np.abs(mixture).max() <= 0.9 + 1e-6
        differences.append(decibels(sources[1]) - decibels(sources[0]))
        first_speakers.add(spec.parts[0].speaker)
        starts |= {part.start_seconds for part in spec.parts}
        assert all(part.start_seconds * 25 == pytest.approx(round(part.start_seconds * 25)) for part in spec.parts)
    assert max(np.abs(differences)) <= 5.01
    assert min(differences) < -2
    assert max(differences) > 2
    assert len(first_speakers) == 4


def test_same_seed_same_lists_in_any_order(tmp_path: Path) -> None:
    manifest = corpus(tmp_path / "in")
    lists = []
    for name, seed in (("a", "0"), ("b", "0"), ("c", "1")):
        assert main([str(manifest), str(tmp_path / name), "--counts", "0,20,0", "--seed", seed, *ONE]) == 0
        lists.append((tmp_path / name / "dev.tsv").read_bytes())
    assert lists[0] == lists[1] != lists[2]
    # Processes take the mixtures in any order, and a longer list begins with the shorter one.
    recipe = Recipe()
    draws = draw(read_manifest(manifest), [], "dev", 25, recipe)
    backwards = [place(drawn, recipe) for drawn in reversed(draws)][::-1]
    for made, listed in zip(backwards, read_list(tmp_path / "a" / "dev.tsv"), strict=False):
        assert (made.id, made.seconds) == (listed.id, listed.seconds)
        assert [(p.speaker, p.start_seconds, p.gain) for p in made.parts] == [
            (p.speaker, p.start_seconds, p.gain) for p in listed.parts
        ]


def test_faces_are_seen_and_lips_belong_to_the_sound(tmp_path: Path) -> None:
    manifest, out = corpus(tmp_path / "in", lips=True), tmp_path / "out"
    assert main([str(manifest), str(out), "--counts", "0,20,0", "--faces", "--seconds", "2,2", *ONE]) == 0
    items = FixedMixtures(out / "dev.tsv", faces=True)
    for number, spec in enumerate(items.specs):
        # Not seen before number 12 of the grid: at most 5 of 50 pictures may lie there.
        assert all(part.start_seconds >= 0.28 - 1e-9 for part in spec.parts)
        lips = items[number]["lips"]
        first = [round(part.start_seconds * 25) - 2 for part in spec.parts]
        assert np.allclose(np.asarray(lips)[:, 20, 0, 0] * 255, [f + 20 for f in first], atol=1e-3)


def test_another_utterance_enrols_each_speaker(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest, out = corpus(tmp_path / "in"), tmp_path / "out"
    arguments = [str(manifest), str(out), "--counts", "0,12,0", *ONE]
    assert main([*arguments, "--enrolment"]) == 0
    speakers = {row.audio.resolve(): row.speaker for row in read_manifest(manifest)}
    items = FixedMixtures(out / "dev.tsv", enrolment_seconds=4.0)
    for spec in items.specs:
        for part in spec.voices:
            assert part.enrolment is not None
            assert part.enrolment.resolve() != part.audio.resolve()
            assert speakers[part.enrolment.resolve()] == part.speaker
    first = items[0]["enrolment"].numpy()
    assert first.shape == (2, 64_000)
    # Utterances shorter than 4 s begin again.
    length = int(soundfile.info(items.specs[0].voices[0].enrolment).duration * 16_000)
    assert np.array_equal(first[0, : 64_000 - length], first[0, length:])
    assert "made with other options" in fails(main, capsys, *arguments)
    assert main([*arguments, "--overwrite"]) == 0
    with pytest.raises(InputError, match=r"mixture dev_000000: no enrolment for .*wav; a model of enrolment needs all"):
        FixedMixtures(out / "dev.tsv", enrolment_seconds=4.0)
    few = tmp_path / "few.tsv"
    rows = manifest.read_text().splitlines()
    few.write_text("\n".join(line.replace("\tdev_", "\tin/dev_") for line in rows[:3]) + "\n")
    message = fails(main, capsys, few, tmp_path / "other", "--counts", "0,1,0", "--enrolment")
    assert "utterances, two or more each, of 2 s or more by 1 speaker(s); 2 are needed" in message


def test_three_speakers_with_noise(tmp_path: Path) -> None:
    manifest = corpus(tmp_path / "in")
    sounds = corpus(tmp_path / "noise", speakers=2)
    out = tmp_path / "out"
    options = ["--speakers", "3", "--noise", str(sounds), "--snr", "10,12", "--counts", "0,10,0", *ONE]
    assert main([str(manifest), str(out), *options]) == 0
    for spec in specs_by_id(out / "dev.tsv").values():
        assert [part.role for part in spec.parts] == ["voice", "voice", "voice", "noise"]
        assert spec.parts[-1].audio.parent.name == "noise"
        mixture, sources = render(spec)
        assert 9.9 < decibels(sources[0]) - decibels(mixture - sources.sum(0)) < 12.1


def test_silent_sounds_are_skipped_and_short_ones_left_out(tmp_path: Path) -> None:
    manifest, out = corpus(tmp_path / "in", speakers=2), tmp_path / "out"
    for number in (0, 1):
        soundfile.write(tmp_path / "in" / f"dev_{number}.wav", np.zeros(16000 * 4), 16000)
    assert main([str(manifest), str(out), "--counts", "0,5,0", *ONE]) == 1
    assert len(skipped(out)) == 5
    assert "random stretches of" in skipped(out)["dev_000000"]
    assert not (out / "dev.tsv").exists()


def test_a_run_goes_on_and_keeps_what_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = tmp_path / "in"
    train = corpus(rows, "train").read_text().splitlines()
    manifest = corpus(rows, "dev")
    manifest.write_text("\n".join([*manifest.read_text().splitlines(), *train[1:]]) + "\n")
    arguments = [str(manifest), str(tmp_path / "out"), "--counts", "4,4,0", *ONE]
    assert main(arguments) == 0
    before = {name: (tmp_path / "out" / name).read_bytes() for name in ("train.tsv", "dev.tsv")}
    stamp = (tmp_path / "out" / "train.tsv").stat().st_mtime_ns
    (tmp_path / "out" / "dev.tsv").unlink()
    assert main(arguments) == 0
    assert {name: (tmp_path / "out" / name).read_bytes() for name in before} == before
    assert (tmp_path / "out" / "train.tsv").stat().st_mtime_ns == stamp
    message = fails(main, capsys, *arguments, "--seed", 5)
    assert "train.tsv is there already, made with other options" in message
    assert main([*arguments, "--seed", "5", "--overwrite"]) == 0
    assert (tmp_path / "out" / "dev.tsv").read_bytes() != before["dev.tsv"]


def test_messages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest, out = corpus(tmp_path / "in"), tmp_path / "out"
    some = ["--counts", "0,3,0"]
    assert "no such manifest" in fails(main, capsys, tmp_path / "none.tsv", out)
    message = fails(main, capsys, manifest, out)
    assert "split train has utterances of 2 s or more by 0 speaker(s); 2 are needed" in message
    assert "4 speaker(s); 5 are needed" in fails(main, capsys, manifest, out, *some, "--speakers", 5)
    assert "utterances with lips" in fails(main, capsys, manifest, out, *some, "--faces")
    assert "--seconds 4,2" in fails(main, capsys, manifest, out, *some, "--seconds", "4,2", code=2)
    assert "--speakers 0" in fails(main, capsys, manifest, out, *some, "--speakers", 0, code=2)
    sounds = corpus(tmp_path / "noise", "train", speakers=1)
    assert "split dev has no noise" in fails(main, capsys, manifest, out, *some, "--noise", sounds)
    for option, value in (("--counts", "1,2"), ("--counts", "1,-2,3"), ("--seconds", "a,b"), ("--snr", "1,inf")):
        with pytest.raises(SystemExit) as stop:
            main([str(manifest), str(out), option, value])
        assert stop.value.code == 2
        assert f"'{value}' is not" in capsys.readouterr().err
    (tmp_path / "in" / "dev_0.wav").unlink()
    assert "manifest.tsv, line 2: audio is" in fails(main, capsys, manifest, out, *some)
    assert not out.exists()


def test_shared_speech(shared: Path, tmp_path: Path) -> None:
    from preprocessing import speech_folder

    source = tmp_path / "speech"
    source.mkdir()
    lines = (shared / "speech" / "manifest.tsv").read_text().splitlines()
    kept = [line for line in lines[1:] if "\tdev\t" in line][::25]
    folder = shared / "speech"
    (source / "manifest.tsv").write_text("\n".join([lines[0], *(f"{folder}/{line}" for line in kept)]) + "\n")
    assert speech_folder.main([str(source), str(tmp_path / "list"), *ONE]) == 0
    assert main([str(tmp_path / "list" / "manifest.tsv"), str(tmp_path / "out"), "--counts", "0,5,0", *ONE]) == 0
    for spec in specs_by_id(tmp_path / "out" / "dev.tsv").values():
        assert np.abs(render(spec)[0]).max() > 0.01
