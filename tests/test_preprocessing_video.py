"""The video corpora: miniature trees of their true layouts become manifests."""

from __future__ import annotations

import functools
import importlib
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from talking_videos import PICTURES, FaceAt, write_sound, write_video

from avsep.data.manifest import Utterance, read_manifest
from avsep.errors import AvsepError
from avsep.jobs.engine import Engine
from avsep.signals import LIP_SIZE
from preprocessing import faces_corpus
from preprocessing.faces_corpus import Clip, make_clip, make_corpus

MODULES = ("lrs2", "lrs3", "voxceleb2", "avspeech", "grid", "lrw", "extract_lips", "extract_face_embeddings")

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """run("lrs3", CORPUS, OUT, ...) in this process with a face in the middle: (exit code, stdout, stderr)."""
    monkeypatch.setattr(faces_corpus, "_mtcnn", lambda device: FaceAt())

    def start(module: str, *arguments: object) -> tuple[int, str, str]:
        main = importlib.import_module(f"preprocessing.{module}").main
        code = main([*map(str, arguments), "--workers", "1"])
        return code, *capsys.readouterr()

    return start


def skipped(out: Path) -> dict[str, str]:
    lines = (out / "skipped.tsv").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "name\treason"
    return dict(line.split("\t") for line in lines[1:])  # type: ignore[misc]


def pitch(row: Utterance) -> float:
    """Hz of the strongest tone of a row's sound."""
    samples, rate = soundfile.read(row.audio)
    return float(np.abs(np.fft.rfft(samples)).argmax() * rate / len(samples))


def test_lrs3_gives_lips_sound_transcripts_and_splits(tmp_path: Path, run: Run) -> None:
    corpus, out = tmp_path / "lrs3", tmp_path / "out"
    for name in ("pretrain/Xk1/00001", "trainval/Xk1/50001", "trainval/q-_b/50002", "test/Zz9/00003"):
        video = write_video(corpus / f"{name}.mp4")
        video.with_suffix(".txt").write_text("Text:  HELLO THERE\nConf:  4\nRef:   Xk1\n")
    (corpus / "trainval/q-_b/50003.mp4").write_bytes(b"\0" * 100)
    code, shown, progress = run("lrs3", corpus, out)
    assert code == 0
    assert f"{out / 'manifest.tsv'}: 4 clips, 1 skipped" in shown
    assert "[5/5] test/Zz9/00003" in progress
    assert list(skipped(out)) == ["trainval/q-_b/50003"]
    rows = read_manifest(out / "manifest.tsv")
    assert [(r.id, r.speaker, r.split) for r in rows] == [
        ("pretrain/Xk1/00001", "Xk1", "train"),
        ("trainval/Xk1/50001", "Xk1", "train"),
        ("trainval/q-_b/50002", "q-_b", "train"),
        ("test/Zz9/00003", "Zz9", "test"),
    ]
    assert (out / "trainval/Xk1/50001.txt").read_text().startswith("Text:  HELLO")
    lips = rows[0].lips
    assert lips == out / "pretrain/Xk1/00001.npz"
    with np.load(lips) as arrays:
        assert arrays["lips"].shape == (PICTURES, LIP_SIZE, LIP_SIZE)
        assert arrays["lips"].dtype == np.uint8
        assert arrays["quality"].shape == (PICTURES,)
        assert int(arrays["first"]) == 0
        assert arrays["portraits"].shape[1:] == (160, 160, 3)
        stored = arrays["audio"]
    samples, rate = soundfile.read(rows[0].audio, dtype="int16")
    assert rate == 16_000
    np.testing.assert_array_equal(samples, stored)
    assert rows[0].seconds == pytest.approx(len(samples) / rate, abs=1e-3)
    assert pitch(rows[0]) == pytest.approx(440, abs=5)
    assert rows[0].face is None


def test_a_stopped_run_goes_on_and_overwrite_begins_anew(tmp_path: Path, run: Run) -> None:
    corpus, out = tmp_path / "lrs3", tmp_path / "out"
    videos = [write_video(corpus / f"trainval/a/5000{n}.mp4") for n in (1, 2)]
    arguments = ("lrs3", corpus, out, "--parts", "trainval")
    assert run(*arguments)[0] == 0
    first, second = out / "trainval/a/50001.npz", out / "trainval/a/50002.npz"
    (out / "trainval/a/50002.flac").unlink()
    (out / "manifest.tsv").unlink()
    times = first.stat().st_mtime_ns, second.stat().st_mtime_ns
    assert run(*arguments)[0] == 0
    assert first.stat().st_mtime_ns == times[0], "what was there was made again"
    assert second.stat().st_mtime_ns != times[1], "half of a clip counted as made"
    assert len(read_manifest(out / "manifest.tsv")) == 2
    assert not list(out.rglob("*.partial*"))
    time = second.stat().st_mtime_ns
    run(*arguments, "--overwrite")
    assert second.stat().st_mtime_ns != time
    time = second.stat().st_mtime_ns
    write_video(videos[0], frequency=660)
    assert run(*arguments)[0] == 0
    assert pitch(read_manifest(out / "manifest.tsv")[0]) == pytest.approx(660, abs=5), "of another video"
    assert second.stat().st_mtime_ns == time


def test_lrs3_holds_the_same_talks_out_of_both_training_sets(tmp_path: Path) -> None:
    from preprocessing.lrs3 import list_lrs3

    for part in ("pretrain", "trainval", "test"):
        for talk in range(40):
            file = tmp_path / part / f"talk{talk}" / "00001.mp4"
            file.parent.mkdir(parents=True)
            file.touch()
    clips = list(list_lrs3(tmp_path, dev_share=0.25))
    talks = {
        split: {c.speaker for c in clips if c.split == split and "test/" not in c.id} for split in ("train", "dev")
    }
    assert not talks["train"] & talks["dev"]
    assert 4 <= len(talks["dev"]) <= 16
    assert sum(c.split == "dev" for c in clips) == 2 * len(talks["dev"])
    assert {c.split for c in clips if c.id.startswith("test/")} == {"test"}
    assert not [c for c in list_lrs3(tmp_path, dev_share=0.0) if c.split == "dev"]


@pytest.mark.parametrize("inside", [False, True])
def test_lrs2_follows_its_lists(tmp_path: Path, run: Run, inside: bool) -> None:
    corpus, out = tmp_path / "lrs2", tmp_path / "out"
    folder = corpus / "mvlrs_v1"
    for name in ("pretrain/5535/00003", "main/5535/00004", "main/6330/00011", "main/6331/00012", "main/9999/00001"):
        write_video(folder / f"{name}.mp4").with_suffix(".txt").write_text("Text:  WHEN\n")
    lists = {"train": "5535/00004\n5535/00099\n", "val": "6331/00012\n", "test": "6330/00011 NF\n"}
    for name, text in lists.items():
        (folder / f"{name}.txt" if inside else corpus / f"{name}.txt").write_text(text)
    assert run("lrs2", corpus, out)[0] == 0
    assert [(r.id, r.speaker, r.split) for r in read_manifest(out / "manifest.tsv")] == [
        ("pretrain/5535/00003", "5535", "train"),
        ("main/5535/00004", "5535", "train"),
        ("main/6331/00012", "6331", "dev"),
        ("main/6330/00011", "6330", "test"),
    ]
    assert "no such file" in skipped(out)["main/5535/00099"]


def test_lrs2_without_its_lists_says_which_and_where(tmp_path: Path, run: Run) -> None:
    write_video(tmp_path / "mvlrs_v1/main/5535/00004.mp4")
    code, _, message = run("lrs2", tmp_path, tmp_path / "out", "--parts", "main")
    assert code == 1
    assert "train.txt" in message
    assert "--lists" in message
    (tmp_path / "train.txt").write_text("5535_00004\n")
    code, _, message = run("lrs2", tmp_path, tmp_path / "out", "--parts", "main")
    assert "train.txt, line 1: '5535_00004' is not PROGRAMME/NNNNN" in message
    assert not (tmp_path / "out").exists()


def test_voxceleb2_takes_the_sound_beside_the_pictures(tmp_path: Path, run: Run) -> None:
    corpus, out = tmp_path / "vox2", tmp_path / "out"
    names = (
        "dev/{}/id00012/21Uxsk56VDQ/00001",
        "dev/{}/id00012/21Uxsk56VDQ/00002",
        "test/{}/id00017/01dfn2spqyE/00001",
    )
    write_video(corpus / f"{names[0]}.mp4".format("mp4"))
    write_video(corpus / f"{names[1]}.mp4".format("mp4"), silent=True)
    write_video(corpus / f"{names[2]}.mp4".format("mp4"))
    for name in names[:2]:
        write_sound(corpus / f"{name}.m4a".format("aac"))
    assert run("voxceleb2", corpus, out, "--dev-share", "1")[0] == 0
    rows = read_manifest(out / "manifest.tsv")
    assert [(r.id, r.speaker, r.split) for r in rows] == [
        ("dev/id00012/21Uxsk56VDQ/00001", "id00012", "dev"),
        ("dev/id00012/21Uxsk56VDQ/00002", "id00012", "dev"),
        ("test/id00017/01dfn2spqyE/00001", "id00017", "test"),
    ]
    assert [pitch(row) for row in rows] == pytest.approx([880, 880, 440], abs=5)
    for row in rows:
        assert row.lips is not None
        with np.load(row.lips) as arrays:
            assert int(arrays["first"]) == 0
            assert len(arrays["lips"]) == PICTURES


def test_lrw_maps_its_splits(tmp_path: Path, run: Run) -> None:
    corpus, out = tmp_path / "lrw", tmp_path / "out"
    for name in ("ABOUT/train/ABOUT_00001", "ABOUT/val/ABOUT_00001", "YOUNG/test/YOUNG_00002"):
        write_video(corpus / "lipread_mp4" / f"{name}.mp4").with_suffix(".txt").write_text("Duration: 0.3 seconds\n")
    assert run("lrw", corpus, out)[0] == 0
    rows = read_manifest(out / "manifest.tsv")
    assert [(r.id, r.split) for r in rows] == [
        ("ABOUT/train/ABOUT_00001", "train"),
        ("ABOUT/val/ABOUT_00001", "dev"),
        ("YOUNG/test/YOUNG_00002", "test"),
    ]
    assert len({r.speaker for r in rows}) == 3
    assert (out / "YOUNG/test/YOUNG_00002.txt").is_file()


def test_grid_tells_speakers_splits_and_alignments(tmp_path: Path, run: Run) -> None:
    corpus, out = tmp_path / "grid", tmp_path / "out"
    for name in ("s1/bbaf2n", "s3/video/mpg_6000/bbaf2n", "s7/lgwm5n", "s7/lgwm6s", "loose"):
        write_video(corpus / f"{name}.mpg")
    for name in ("align/s1/bbaf2n", "s7/align/lgwm5n"):
        (corpus / name).parent.mkdir(parents=True, exist_ok=True)
        (corpus / f"{name}.align").write_text("0 23750 sil\n23750 29500 bin\n")
    assert run("grid", corpus, out)[0] == 0
    expected = {
        "s1/bbaf2n": ("s1", "test"),
        "s3/video/mpg_6000/bbaf2n": ("s3", "dev"),
        "s7/lgwm5n": ("s7", "train"),
        "s7/lgwm6s": ("s7", "train"),
        "loose": ("loose", "train"),
    }
    assert {r.id: (r.speaker, r.split) for r in read_manifest(out / "manifest.tsv")} == expected
    assert {str(f.relative_to(out)) for f in out.rglob("*.align")} == {"s1/bbaf2n.align", "s7/lgwm5n.align"}
    assert run("grid", corpus, out, "--dev", "loose", "--test", "s7", "--limit", "1")[0] == 0
    rows = read_manifest(out / "manifest.tsv")
    assert {(r.speaker, r.split) for r in rows} == {("loose", "dev"), ("s1", "train"), ("s7", "test")}
    code, _, message = run("grid", corpus, out, "--test", "s77")
    assert code == 2
    assert "s77 is no speaker of" in message
    assert "loose, s1, s3, s7" in message


@pytest.mark.parametrize("module", MODULES)
def test_help_tells_how_to_call_it(module: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        importlib.import_module(f"preprocessing.{module}").main(["--help"])
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    assert f"python -m preprocessing.{module} " in shown
    for word in ("manifest.tsv", "--workers", "--overwrite", "OUT_FOLDER", "skipped"):
        assert word in shown


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("lrs2", "mvlrs_v1/"),
        ("lrs3", "pretrain, trainval, test"),
        ("voxceleb2", "dev/mp4, test/mp4"),
        ("avspeech", "avspeech_train.csv and avspeech_test.csv"),
        ("grid", "s1 to s34"),
        ("lrw", "lipread_mp4/"),
    ],
)
def test_a_wrong_folder_is_one_message_and_nothing_is_written(
    tmp_path: Path, run: Run, module: str, expected: str
) -> None:
    corpus, out = tmp_path / "corpus", tmp_path / "out"
    code, _, message = run(module, corpus, out)
    assert code == 1
    assert message.startswith(f"error: {corpus}: expected ")
    assert "no such folder" in message
    (corpus / "Holiday").mkdir(parents=True)
    (corpus / "notes.txt").touch()
    code, _, message = run(module, corpus, out)
    assert code == 1
    assert message.count("\n") == 1
    for part in (str(corpus), expected, "found Holiday/, notes.txt"):
        assert part in message
    assert not out.exists()


def test_a_tree_without_clips_is_the_wrong_layout_too(tmp_path: Path, run: Run) -> None:
    for part in ("pretrain", "trainval", "test"):
        (tmp_path / part).mkdir()
    (tmp_path / "pretrain" / "00001.mp4").touch()
    code, _, message = run("lrs3", tmp_path, tmp_path / "out")
    assert code == 1
    assert f"{tmp_path / 'pretrain'}: expected TALK/NNNNN.mp4" in message
    assert "found 00001.mp4" in message


def make_with_a_face(clip: Clip, out: Path) -> Utterance:
    return make_clip(clip, out, detector=FaceAt())


@pytest.mark.slow
def test_workers_give_the_same_as_one_process(tmp_path: Path) -> None:
    clips = [
        Clip(f"s1/{n}", write_video(tmp_path / f"{n}.mp4", frequency=300 + 100 * n), "s1", "train") for n in range(3)
    ]
    clips.append(Clip("s1/gone", tmp_path / "gone.mp4", "s1", "train"))
    for workers in (1, 2):
        work = functools.partial(make_with_a_face, out=tmp_path / str(workers))
        assert make_corpus(clips, tmp_path / str(workers), work, Engine(workers)) == 3
    for name in ("manifest.tsv", "skipped.tsv", "s1/0.flac", "s1/2.flac"):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()
    assert "no such file" in skipped(tmp_path / "2")["s1/gone"]


@pytest.mark.parametrize("share", ["2", "-0.1", "some"])
def test_a_share_is_from_0_to_1(tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str], share: str) -> None:
    with pytest.raises(SystemExit) as stop:
        run("lrs3", tmp_path, tmp_path / "out", "--dev-share", share)
    assert stop.value.code == 2
    assert f"'{share}' is not a share from 0 to 1" in capsys.readouterr().err


def test_two_clips_of_one_name_are_refused(tmp_path: Path) -> None:
    clip = Clip("a/1", tmp_path / "1.mp4", "a", "train")
    with pytest.raises(AvsepError, match="listed twice, the first is a/1"):
        make_corpus([clip, clip], tmp_path, functools.partial(make_clip, out=tmp_path))


def test_a_clip_half_written_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk is full in the middle of the lips."""
    video, out = write_video(tmp_path / "a.mp4"), tmp_path / "out"

    def fail(file: Path, **arrays: np.ndarray) -> None:
        file.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", fail)
    clip = Clip("a", video, "a", "train")
    assert make_corpus([clip], out, functools.partial(make_clip, out=out, detector=FaceAt())) == 0
    assert "No space left" in skipped(out)["a"]
    assert sorted(f.name for f in out.iterdir()) == ["a.flac", "jobs.jsonl", "manifest.tsv", "skipped.tsv"]


def test_the_detector_of_the_separation_finds_a_face_of_a_real_picture(tmp_path: Path) -> None:
    """No stand-in: MTCNN on a still portrait, cut out and written."""
    cv2 = pytest.importorskip("cv2")
    from media_factory import tone, write_media

    from preprocessing.portraits.stock import stock_picture

    try:
        portrait = stock_picture("hopper")
    except AvsepError as error:
        pytest.skip(str(error))
    picture = cv2.resize(cv2.imread(str(portrait))[:, :, ::-1], (160, 192), interpolation=cv2.INTER_AREA)
    times = [k / 25 for k in range(PICTURES)]
    write_media(
        tmp_path / "a.mp4", times=times, size=(160, 192), draw=lambda *_: np.ascontiguousarray(picture), sound=tone(0.4)
    )
    row = make_clip(Clip("a", tmp_path / "a.mp4", "hopper", "train"), tmp_path / "out")
    assert row.lips is not None
    with np.load(row.lips) as arrays:
        assert arrays["lips"].shape == (PICTURES, LIP_SIZE, LIP_SIZE)
        assert arrays["quality"].min() > 0.5
        assert 1 <= len(arrays["portraits"]) <= 3
    shutil.rmtree(tmp_path / "out")
