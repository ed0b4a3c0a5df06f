"""Corpora of voices and sounds, from miniature trees of their published layout to their manifests."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from corpus_factory import fails, rows_by_id, skipped, specs_by_id, write_sound
from media_factory import tone, write_media

from avsep.data.lists import render
from avsep.data.sound import read_sound
from avsep.errors import InputError
from preprocessing import dns, libricss, musdb18, sound_folder, speech_folder, wham
from preprocessing.corpus import folder_split, hashed_split

MODULES = (
    "speech_folder wsj0_mix librimix wham libricss dns musdb18 sound_folder fuss pack_audio make_mixtures"
    " animate_portraits make_demo render_rooms chime sms_wsj rerecorded"
)


@pytest.mark.parametrize("name", MODULES.split())
def test_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        importlib.import_module(f"preprocessing.{name}").main(["--help"])
    assert stop.value.code == 0
    assert f"python -m preprocessing.{name}" in capsys.readouterr().out


def librispeech(folder: Path) -> Path:
    for split, speaker in (("train-clean-100", 103), ("dev-clean", 84), ("test-clean", 61)):
        for number in range(2):
            write_sound(folder / split / f"{speaker}/1240/{speaker}-1240-{number:04d}.flac", 0.4 + number / 10)
    return folder


@pytest.mark.slow
def test_librispeech_by_its_folders(tmp_path: Path) -> None:
    source, out = librispeech(tmp_path / "LibriSpeech"), tmp_path / "out"
    # Two processes: what they are given can be pickled.
    rules = ["--split", "folder", "--speaker", "1", "--workers", "2"]
    assert speech_folder.main([str(source), str(out), *rules]) == 0
    rows = rows_by_id(out / "manifest.tsv")
    row = rows["dev-clean/84/1240/84-1240-0001.flac"]
    assert (row.speaker, row.split, row.seconds) == ("84", "dev", 0.5)
    assert row.audio.resolve() == source / "dev-clean/84/1240/84-1240-0001.flac"
    assert {row.split: row.speaker for row in rows.values()} == {"train": "103", "dev": "84", "test": "61"}
    assert skipped(out) == {}
    assert sorted(path.name for path in out.iterdir()) == ["jobs.jsonl", "manifest.tsv", "skipped.tsv"]


def test_files_that_cannot_be_used_are_listed_and_others_decoded(tmp_path: Path) -> None:
    source, out = tmp_path / "speech", tmp_path / "out"
    write_sound(source / "anna" / "a.wav", 0.5, 44100, 2)
    write_media(source / "anna" / "b.m4a", sound=tone(0.6, 44100), sample_rate=44100)
    (source / "anna" / "c.wav").write_text("no sound")
    # Whole by its header, but the rest of it was never downloaded.
    write_sound(source / "anna" / "f.flac", 4.0)
    (source / "anna" / "f.flac").write_bytes((source / "anna" / "f.flac").read_bytes()[:40_000])
    (source / "anna" / "d.flac").write_bytes(b"")
    soundfile.write(source / "anna" / "e.wav", np.zeros(0), 16000)
    write_sound(source / "anna" / ".hidden.wav")
    (source / "anna" / "notes.txt").write_text("not listed")
    assert speech_folder.main([str(source), str(out), "--workers", "1"]) == 0
    rows = rows_by_id(out / "manifest.tsv")
    assert set(rows) == {"anna/a.wav", "anna/b.m4a"}
    assert rows["anna/a.wav"].seconds == 0.5
    decoded = rows["anna/b.m4a"].audio
    assert decoded == out / "audio/anna/b.m4a.flac"
    assert soundfile.info(decoded).samplerate == 16000
    assert rows["anna/b.m4a"].seconds == pytest.approx(0.6, abs=0.05)
    reasons = skipped(out)
    assert set(reasons) == {"anna/c.wav", "anna/d.flac", "anna/e.wav", "anna/f.flac"}
    assert "f.flac: " in reasons["anna/f.flac"]
    assert "cut off" in reasons["anna/f.flac"] or "could not be decoded" in reasons["anna/f.flac"]
    assert "holds no samples" in reasons["anna/e.wav"]
    # Started again, what was decoded stays.
    stamp = decoded.stat().st_mtime_ns
    assert speech_folder.main([str(source), str(out), "--workers", "1"]) == 0
    assert decoded.stat().st_mtime_ns == stamp
    write_media(source / "anna" / "b.m4a", sound=tone(0.9, 44100), sample_rate=44100)
    assert speech_folder.main([str(source), str(out), "--workers", "1"]) == 0
    assert rows_by_id(out / "manifest.tsv")["anna/b.m4a"].seconds == pytest.approx(0.9, abs=0.05), "another sound"
    assert not list(out.rglob(".*"))


def test_manifests_as_editors_save_them(tmp_path: Path) -> None:
    write_sound(tmp_path / "a.wav")
    ours = "id\taudio\tlips\tface\tspeaker\tsplit\tseconds\na\ta.wav\t\t\tanna\ttrain\t1\n"
    for text in (ours, "path\tspeaker\tsplit\na.wav\tanna\ttrain\n"):
        (tmp_path / "manifest.tsv").write_text(text, encoding="utf-8-sig")
        (sound,) = speech_folder.list_speech(tmp_path)
        assert (sound.file, sound.speaker) == (tmp_path / "a.wav", "anna")
        (tmp_path / "manifest.tsv").write_text(text.replace("anna", "Ren\u00e9"), encoding="latin-1")
        with pytest.raises(InputError, match="is no UTF-8"):
            speech_folder.list_speech(tmp_path)


def test_a_hash_splits_speakers_and_keeps_them_together(tmp_path: Path) -> None:
    names = [f"speaker{n}" for n in range(2000)]
    splits = [hashed_split(name) for name in names]
    assert splits[:3] == [hashed_split(name) for name in names[:3]]
    assert splits.count("dev") / 2000 == pytest.approx(0.05, abs=0.02)
    assert splits.count("test") / 2000 == pytest.approx(0.05, abs=0.02)
    assert {hashed_split(name, (0, 1, 0)) for name in names} == {"dev"}
    # A literal: the rule must never change, or old lists and new ones would mix voices.
    assert [hashed_split(f"id{n:05d}", (0.4, 0.3, 0.3)) for n in range(6)] == EXPECTED
    for n in range(8):
        write_sound(tmp_path / "in" / f"{n}" / "one.wav", 0.1)
        write_sound(tmp_path / "in" / f"{n}" / "two.wav", 0.1)
    sounds = speech_folder.list_speech(tmp_path / "in", shares=(0.4, 0.3, 0.3))
    assert len({(sound.speaker, sound.split) for sound in sounds}) == 8
    assert len({sound.split for sound in sounds}) > 1


EXPECTED = ["train", "train", "train", "train", "test", "dev"]


@pytest.mark.parametrize(
    ("name", "split"),
    [("train-clean-100", "train"), ("tr", "train"), ("cv", "dev"), ("tt", "test"), ("valid", "dev"), ("eval", "test"),
     ("dev_other", "dev"), ("Validation", "dev"), ("trial", None), ("speaker1", None)],
)  # fmt: skip
def test_splits_by_folder(name: str, split: str | None) -> None:
    assert folder_split(name) == split


def test_speech_folder_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main, out = speech_folder.main, tmp_path / "out"
    source = librispeech(tmp_path / "LibriSpeech")
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "none: no such folder" in fails(main, capsys, tmp_path / "none", out)
    assert "it is empty" in fails(main, capsys, empty, out)
    (empty / "cover.jpg").write_bytes(b"")
    assert "expected sound files" in fails(main, capsys, empty, out)
    assert "found cover.jpg" in fails(main, capsys, empty, out)
    assert "--speaker 7 asks for a folder" in fails(main, capsys, source, out, "--speaker", 7)
    assert "finds no group" in fails(main, capsys, source, out, "--speaker", "x(y)z")
    assert "no regular expression" in fails(main, capsys, source, out, "--speaker", "(", code=2)
    message = fails(main, capsys, source / "dev-clean", out, "--split", "folder")
    assert "named after splits" in message
    assert "84/1240/84-1240-0000.flac" in message
    # A chapter is no speaker: it is in all three splits.
    assert "1240 is in two splits" in fails(main, capsys, source, out, "--split", "folder")
    (source / "manifest.tsv").write_text("path\tspeaker\tsplit\nx.wav\tanna\teval\n")
    assert "manifest.tsv, line 2: split is 'eval'" in fails(main, capsys, source, out)
    (source / "manifest.tsv").write_text("file\tspeaker\nx.wav\tanna\n")
    assert "no column path, split" in fails(main, capsys, source, out)
    with pytest.raises(SystemExit):
        main([str(source), str(out), "--shares", "0.5,0.1"])
    assert "three shares" in capsys.readouterr().err
    assert not out.exists()


def test_esc50_by_its_table(tmp_path: Path) -> None:
    source, out = tmp_path / "ESC-50", tmp_path / "out"
    lines = ["filename,fold,target,category,esc10,src_file,take"]
    for fold, label in ((1, "dog"), (4, "rain"), (5, "dog")):
        name = f"{fold}-10003{fold}-A-0.wav"
        write_sound(source / "audio" / name, 0.2, 44100)
        lines.append(f"{name},{fold},0,{label},True,10003{fold},A")
    lines.append("5-9999-B-3.wav,5,3,cow,False,9999,B")
    (source / "meta").mkdir()
    (source / "meta" / "esc50.csv").write_text("\n".join(lines) + "\n")
    assert sound_folder.main([str(source), str(out), "--workers", "1"]) == 0
    rows = rows_by_id(out / "manifest.tsv")
    assert [(r.speaker, r.split) for r in rows.values()] == [("dog", "train"), ("rain", "dev"), ("dog", "test")]
    assert "no such file" in skipped(out)["5-9999-B-3.wav"]


def test_folders_of_sounds_by_class(tmp_path: Path) -> None:
    source = tmp_path / "sounds"
    write_sound(source / "001_dog_bark" / "5-30226-a.wav", 0.1)
    write_sound(source / "002 - Rain" / "thunder_1.wav", 0.1)
    write_sound(source / "002 - Rain" / "thunder_2.wav", 0.1)
    sounds = sound_folder.list_sounds(source)
    assert [(s.speaker, s.split) for s in sounds[:1]] == [("dog_bark", "test")]
    assert sounds[1].speaker == "Rain"
    assert sounds[1].split == sounds[2].split  # pieces of one recording
    (tmp_path / "a").mkdir()
    with pytest.raises(InputError, match=r"a: expected meta/esc50.csv and audio/, or folders of sounds.*it is empty"):
        sound_folder.list_sounds(tmp_path / "a")
    with pytest.raises(InputError, match="named after splits"):
        sound_folder.list_sounds(source, "folder")


def test_dns_challenge(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = tmp_path / "datasets", tmp_path / "out"
    clean = ("read_speech/book_00000_chp_0009_reader_06709_0_seg_1.wav", "vctk_wav48_silence_trimmed/p225/p225_001.wav")
    for name in clean:
        write_sound(source / "clean" / name, 0.1)
    for number in (1, 2):
        write_sound(source / "noise" / f"door_Freesound_validated_382032_{number}.wav", 0.1)
    write_sound(source / "impulse_responses/SLR26/simulated_rirs_16k/smallroom/Room001/Room001-00001.wav", 0.1)
    assert dns.main([str(source), str(out), "--workers", "1"]) == 0
    speech = rows_by_id(out / "speech" / "manifest.tsv")
    assert [row.speaker for row in speech.values()] == ["reader_06709", "p225"]
    noises = rows_by_id(out / "noise" / "manifest.tsv").values()
    assert {row.speaker for row in noises} == {"noise"}
    assert len({row.split for row in noises}) == 1
    (room,) = rows_by_id(out / "rooms" / "manifest.tsv").values()
    assert room.speaker == "SLR26/simulated_rirs_16k/smallroom/Room001"
    message = fails(dns.main, capsys, source / "clean", tmp_path / "other")
    assert f"{source / 'clean'}: expected folders clean, noise" in message
    assert "found read_speech/, vctk_wav48_silence_trimmed/" in message


def test_musdb18_hq_is_referred_to_in_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = tmp_path / "musdb18hq", tmp_path / "out"
    for part, song in (("train", "A - One"), ("train", "ANiMAL - Rockshow"), ("test", "B - Two")):
        stems = [write_sound(source / part / song / f"{s}.wav", 0.3, 44100, 2, n) for n, s in enumerate(musdb18.STEMS)]
        soundfile.write(source / part / song / "mixture.wav", np.sum(stems, axis=0), 44100)
    write_sound(source / "test" / "C - Three" / "drums.wav", 0.3, 44100, 2)
    assert musdb18.main([str(source), str(out), "--workers", "1"]) == 0
    rows = rows_by_id(out / "stems" / "manifest.tsv")
    assert len(rows) == 13
    assert rows["train/ANiMAL - Rockshow/vocals"].split == "dev"
    assert rows["train/A - One/bass"].audio.resolve() == source / "train/A - One/bass.wav"
    (spec,) = specs_by_id(out / "test.tsv").values()
    assert [part.speaker for part in spec.parts] == list(musdb18.STEMS)
    mixture, _ = render(spec)
    whole = read_sound(source / "test/B - Two/mixture.wav", 0, mixture.shape[-1])
    assert np.abs(mixture - whole).max() < 1e-4
    assert "C - Three" in " ".join(skipped(out))
    assert "expected train/ and test/" in fails(musdb18.main, capsys, source / "train", tmp_path / "other")


def test_stems_of_an_mp4_are_decoded(tmp_path: Path) -> None:
    source, out = tmp_path / "musdb18", tmp_path / "out"
    (source / "test").mkdir(parents=True)
    streams = [tone(0.8, 44100, 2, frequency) for frequency in (100, 300, 500, 700, 900)]
    write_media(source / "test" / "D - Four.stem.mp4", sound=streams, sample_rate=44100)
    (source / "test" / "E - Five.stem.mp4").write_bytes(b"cut")
    assert musdb18.main([str(source), str(out), "--workers", "1"]) == 0
    rows = rows_by_id(out / "stems" / "manifest.tsv")
    for stem, frequency in zip(musdb18.STEMS, (300, 500, 700, 900), strict=True):
        samples, rate = soundfile.read(rows[f"test/D - Four/{stem}"].audio)
        assert rate == 44100
        # Two channels, a fifth apart, as in the file.
        peaks = np.abs(np.fft.rfft(samples[4410:26460], axis=0)).argmax(axis=0) * 2
        assert peaks.tolist() == pytest.approx([frequency, 1.5 * frequency], abs=4)
    assert len(skipped(out / "stems")) == 4
    assert list(specs_by_id(out / "test.tsv")) == ["test/D - Four"]
    assert "test/E - Five" in skipped(out).popitem()[0]


def libricss_session(folder: Path, number: int, recorded: float = 3.0) -> Path:
    session = folder / "OV20" / f"overlap_ratio_20.0_sil0.1_0.5_session{number}_actual20.1"
    write_sound(session / "record" / "raw_recording.wav", recorded, channels=7, seed=number)
    rows = [("0.5", "1.5", "1089", "1089-134686-0000", "HE HOPED"), ("1.0", "2.0", "121", "121-121726-0001", "ALSO")]
    lines = ["start_time\tend_time\tspeaker\tutterance_id\ttranscription", *("\t".join(row) for row in rows)]
    (session / "transcription").mkdir()
    (session / "transcription" / "meeting_info.txt").write_text("\n".join(lines) + "\n")
    return session


def test_libricss_cuts_what_was_recorded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = tmp_path / "for_release", tmp_path / "out"
    first = libricss_session(source, 0)
    libricss_session(source, 1, recorded=0.9)
    assert libricss.main([str(source), str(out), "--workers", "1"]) == 0
    rows = rows_by_id(out / "manifest.tsv")
    assert [(row.speaker, row.split) for row in rows.values()] == [("1089", "dev"), ("121", "dev"), ("1089", "test")]
    row = rows[f"OV20/{first.name}/001_121-121726-0001"]
    heard, rate = soundfile.read(row.audio, dtype="int16")
    recording, _ = soundfile.read(first / "record" / "raw_recording.wav", dtype="int16")
    assert rate == 16000
    assert np.array_equal(heard, recording[16000:32000])
    table = [line.split("\t") for line in (out / "utterances.tsv").read_text().splitlines()]
    assert table[0] == ["id", "recording", "condition", "start", "end", "speaker", "utterance", "overlap", "text"]
    recorded = f"OV20/{first.name}/record/raw_recording.wav"
    assert table[1][1:] == [recorded, "OV20", "0.500", "1.500", "1089", "1089-134686-0000", "0.500", "HE HOPED"]
    assert "1 to 2 s is no stretch of its 0.90 s" in next(iter(skipped(out).values()))
    assert "expected folders 0L, 0S" in fails(libricss.main, capsys, source / "OV20", out)
    os.unlink(first / "record" / "raw_recording.wav")
    message = fails(libricss.main, capsys, source, out)
    assert f"{first}: expected record/raw_recording.wav" in message
    assert "found record/, transcription/" in message


def test_libricss_cuts_anew_where_the_times_are_others(tmp_path: Path) -> None:
    source, out = tmp_path / "for_release", tmp_path / "out"
    table = libricss_session(source, 0) / "transcription" / "meeting_info.txt"
    for end, frames in (("1.5", 16_000), ("1.25", 12_000)):
        table.write_text(table.read_text().replace("0.5\t1.5", f"0.5\t{end}"))
        assert libricss.main([str(source), str(out), "--workers", "1"]) == 0
        first = next(iter(rows_by_id(out / "manifest.tsv").values()))
        assert (soundfile.info(first.audio).frames, first.seconds) == (frames, frames / 16_000)


def test_time_that_others_cover() -> None:
    assert libricss.covered(1, 3, []) == 0
    assert libricss.covered(1, 3, [(0, 2), (1.5, 2.5), (5, 6)]) == 0.75
    assert libricss.covered(1, 3, [(0, 9), (1, 2)]) == 1


def test_wham_noises(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = tmp_path / "wham_noise", tmp_path / "out"
    for folder in ("tr", "cv", "tt"):
        write_sound(source / folder / f"{folder}_01aa010b_0.97482_209a010p_-0.97482.wav", 0.2, channels=2)
    (source / "metadata").mkdir()
    assert wham.main([str(source), str(out), "--workers", "1"]) == 0
    rows = rows_by_id(out / "manifest.tsv")
    assert [row.split for row in rows.values()] == ["dev", "train", "test"]
    assert {row.speaker for row in rows.values()} == {"wham_noise"}
    message = fails(wham.main, capsys, source / "metadata", out)
    assert "expected folders tr, cv and tt with noises or mixtures; it is empty" in message


def test_shared_speech_and_sounds(shared: Path) -> None:
    sounds = speech_folder.list_speech(shared / "speech")
    assert len({s.speaker for s in sounds if s.split == "dev"}) == 40
    classes = sound_folder.list_sounds(shared / "sounds")
    assert len(classes) == len(list((shared / "sounds").rglob("*.opus"))) >= 320
    assert len({sound.speaker for sound in classes}) == 10
    assert "dog_bark" in {sound.speaker for sound in classes}
