"""Mouths put in a new order: the pictures that fit the sound best and follow on each other."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import soundfile
from corpus_factory import fails, rows_by_id, skipped

from avsep.data.manifest import Utterance, write_manifest
from avsep.data.sound import read_lips
from avsep.signals import HOP
from preprocessing import reanimate_mouths
from preprocessing.reanimate_mouths import choose_pictures, features, jump_costs


def test_a_film_s_own_sound_gives_its_own_pictures() -> None:
    rng = np.random.default_rng(0)
    sound = rng.standard_normal((40, 6))
    jumps = jump_costs(rng.integers(0, 255, (40, 96, 96), dtype=np.uint8), ends=[39])
    assert choose_pictures(sound, sound, jumps).tolist() == list(range(40))


def test_the_choice_is_the_cheapest_of_all() -> None:
    rng = np.random.default_rng(1)
    wanted, sound = rng.standard_normal((4, 2)), rng.standard_normal((3, 2))
    jumps = rng.uniform(0, 2, (3, 3))

    def cost(path: tuple[int, ...]) -> float:
        away = sum(((wanted[t] - sound[k]) ** 2).sum() for t, k in enumerate(path))
        return away + sum(jumps[a, b] for a, b in itertools.pairwise(path))

    best = min(np.ndindex(3, 3, 3, 3), key=cost)
    assert tuple(choose_pictures(wanted, sound, jumps)) == best


def test_jumps_cost_more_the_less_alike_and_nothing_within_a_film() -> None:
    lips = np.full((4, 96, 96), 100, np.uint8)
    lips[3, 48:] = 200
    jumps = jump_costs(lips, ends=[1, 3])
    assert jumps[0, 1] == jumps[2, 3] == 0
    assert jumps[0, 2] == reanimate_mouths.BROKEN  # looks like picture 1, but was not filmed next
    assert jumps[0, 3] > jumps[0, 2]
    assert jumps[1, 2] > 0  # the next film


def test_features_follow_the_pictures() -> None:
    sound = np.random.default_rng(2).standard_normal(20 * HOP + 100)
    assert features(sound).shape == (20, 39)
    later = features(np.concatenate([np.zeros(2 * HOP), sound]))
    correlation = [np.corrcoef(later[k : k + 18, 13], features(sound)[:18, 13])[0, 1] for k in (1, 2, 3)]
    assert np.argmax(correlation) == 1


def write_faces(folder: Path) -> None:
    """Two talkers, one in training and one held out, whose pictures tell talker and number."""
    rows = []
    for number, (name, split) in enumerate((("ann", "train"), ("bob", "dev"))):
        lips = np.zeros((30, 96, 96), np.uint8)
        lips[:, 0, 0], lips[:, 0, 1] = number + 1, np.arange(30)
        audio = np.random.default_rng(number).integers(-3000, 3000, 30 * HOP).astype(np.int16)
        folder.mkdir(exist_ok=True)
        np.savez(folder / f"{name}.npz", lips=lips, quality=np.ones(30, np.float32), first=np.int64(0), audio=audio)
        soundfile.write(folder / f"{name}.flac", audio, 16_000)
        rows.append(
            Utterance(name, folder / f"{name}.flac", folder / f"{name}.npz", None, name, split, 30 * HOP / 16_000)
        )
    write_manifest(folder / "manifest.tsv", rows)


def write_speech(folder: Path) -> None:
    folder.mkdir()
    lines = ["path\tspeaker\tsplit"]
    for number, (seconds, split) in enumerate(((1.0, "train"), (2.0, "dev"), (0.3, "train"), (1.0, "test"))):
        sound = np.random.default_rng(number).uniform(-0.3, 0.3, round(seconds * 16_000))
        soundfile.write(folder / f"r{number}.wav", sound, 16_000)
        lines.append(f"r{number}.wav\tv{number}\t{split}")
    (folder / "manifest.tsv").write_text("\n".join(lines) + "\n")


def test_every_recording_is_spoken_by_a_talker_of_its_split(tmp_path: Path) -> None:
    write_faces(tmp_path / "faces")
    write_speech(tmp_path / "speech")
    command = [str(tmp_path / "faces"), str(tmp_path / "out"), "--speech", str(tmp_path / "speech"), "--workers", "1"]
    assert reanimate_mouths.main([*command, "--seconds", "1.5"]) == 0
    rows = rows_by_id(tmp_path / "out" / "manifest.tsv")
    # No talker is of split test; one recording is too short.
    assert {(row.id, row.speaker, row.split) for row in rows.values()} == {
        ("000000_ann_r0", "v0", "train"),
        ("000001_bob_r1", "v1", "dev"),
    }
    assert skipped(tmp_path / "out").keys() == {"000002_ann_r2"}
    for row, talker, pictures in ((rows["000000_ann_r0"], 1, 25), (rows["000001_bob_r1"], 2, 37)):
        assert row.lips is not None
        lips = read_lips(row.lips, 0.0, pictures)
        assert (lips[:, 0, 0] == talker).all()
        assert soundfile.info(row.audio).frames == (16_000 if talker == 1 else 24_000)
    before = (tmp_path / "out" / "000000_ann_r0.npz").stat().st_mtime_ns
    assert reanimate_mouths.main([*command, "--seconds", "1.5"]) == 0
    assert (tmp_path / "out" / "000000_ann_r0.npz").stat().st_mtime_ns == before
    assert reanimate_mouths.main([*command, "--seconds", "0.8"]) == 0
    assert [soundfile.info(row.audio).frames for row in rows.values()] == [12_800, 12_800], "other options"


def test_wrong_use_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_faces(tmp_path / "faces")
    write_speech(tmp_path / "speech")
    faces, out, speech = tmp_path / "faces", tmp_path / "out", ("--speech", tmp_path / "speech")
    line = fails(reanimate_mouths.main, capsys, faces, out, *speech, "--seconds", "0.1", code=2)
    assert "--seconds 0.1: give 0.5 or more" in line
    line = fails(reanimate_mouths.main, capsys, tmp_path / "none", out, *speech)
    assert "none: no such manifest" in line
    table = tmp_path / "speech" / "manifest.tsv"
    table.write_text("path\tspeaker\tsplit\nr3.wav\tv3\ttest\n")
    line = fails(reanimate_mouths.main, capsys, faces, out, *speech, code=2)
    assert "has mouths in the splits train, dev, and no recording is of one of them" in line
