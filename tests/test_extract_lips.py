"""preprocessing.extract_lips and extract_face_embeddings: a folder of videos to mouths, sound and faces."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from media_factory import tone, write_media
from talking_videos import PICTURES, FaceAt, write_video

from avsep.data.manifest import read_manifest
from avsep.data.sound import read_face
from avsep.signals import LIP_SIZE, SAMPLE_RATE
from preprocessing import extract_face_embeddings, extract_lips, faces_corpus


def test_no_folder_or_no_videos_is_one_clear_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "videos"
    for _ in range(2):
        assert extract_lips.main([str(source), str(tmp_path / "out")]) == 1
        message = capsys.readouterr().err
        assert message.startswith("error: ")
        assert message.count("\n") == 1
        assert str(source) in message
        assert not (tmp_path / "out").exists()
        source.mkdir(exist_ok=True)


def test_videos_without_a_face_are_skipped_with_a_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = tmp_path / "videos", tmp_path / "out"
    source.mkdir()
    (source / "text.mp4").write_text("no video")
    write_media(source / "blank.mp4", times=[k / 25 for k in range(10)], sound=tone(0.4))
    assert extract_lips.main([str(source), str(out), "--workers", "1"]) == 1
    assert "0 clips, 2 skipped" in capsys.readouterr().out
    skipped = (out / "skipped.tsv").read_text().splitlines()
    assert [line.split("\t")[0] for line in skipped] == ["name", "blank.mp4", "text.mp4"]
    assert "no face" in skipped[1]
    assert read_manifest(out / "manifest.tsv") == []


def test_folders_are_speakers_and_training_reads_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faces_corpus, "_mtcnn", lambda device: FaceAt())
    source, out = tmp_path / "videos", tmp_path / "out"
    for name in ("ann/1.mp4", "ann/1.avi", "bob/1.mp4", "carol.mpg"):
        write_video(source / name)
    assert extract_lips.main([str(source), str(out), "--dev", "bob", "--test", "carol.mpg", "--workers", "1"]) == 0
    rows = read_manifest(out / "manifest.tsv")
    assert [(r.id, r.speaker, r.split) for r in rows] == [
        ("ann/1.avi", "ann", "train"),
        ("ann/1.mp4", "ann", "train"),
        ("bob/1.mp4", "bob", "dev"),
        ("carol.mpg", "carol.mpg", "test"),
    ]
    from avsep.data.talking import TalkingFaces

    groups = [(group, len(lips), len(audio)) for group, lips, audio in TalkingFaces(out, held_out=["bob"]).clips]
    # Of the speakers that are not held out, those of split train.
    assert {group for group, _, _ in groups} == {"ann", "bob"}
    assert all(audio == lips * 640 for _, lips, audio in groups)


def test_a_real_talker_gives_mouths_and_sound_on_one_clock(shared: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "videos" / "s1", tmp_path / "out"
    source.mkdir(parents=True)
    shutil.copy(shared / "clips" / "grid" / "s1" / "bbaf3s.mpg", source)
    assert extract_lips.main([str(source.parent), str(out), "--workers", "1"]) == 0
    (row,) = read_manifest(out / "manifest.tsv")
    assert row.id == "s1/bbaf3s.mpg"
    assert row.lips is not None
    with np.load(row.lips) as arrays:
        lips, quality, first, audio, portraits = (
            arrays[name] for name in ("lips", "quality", "first", "audio", "portraits")
        )
    assert lips.shape[1:] == (LIP_SIZE, LIP_SIZE)
    assert lips.dtype == np.uint8
    assert quality.shape == (len(lips),)
    assert quality.min() > 0.9
    assert int(first) == 0
    assert audio.dtype == np.int16
    assert len(audio) / SAMPLE_RATE == pytest.approx(row.seconds, abs=1e-3)
    assert row.seconds == pytest.approx(len(lips) / 25, abs=0.1)
    assert np.abs(audio.astype(float)).max() > 500
    assert len(portraits)


EMBEDDED: list[int] = []


def fake_embedding(portraits: np.ndarray) -> np.ndarray:
    """(n, 512): the mean light of the left and right half, and zeros."""
    EMBEDDED.append(len(portraits))
    vectors = np.zeros((len(portraits), 512), np.float32)
    vectors[:, 0] = portraits[:, :, :80].mean(axis=(1, 2, 3))
    vectors[:, 1] = portraits[:, :, 80:].mean(axis=(1, 2, 3))
    return vectors


@pytest.fixture
def faces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A corpus of three clips, the second of which was made without portraits."""
    monkeypatch.setattr(faces_corpus, "_mtcnn", lambda device: FaceAt())
    for name in "abc":
        write_video(tmp_path / "videos" / f"{name}.mp4")
    out = tmp_path / "out"
    assert extract_lips.main([str(tmp_path / "videos"), str(out), "--workers", "1"]) == 0
    with np.load(out / "b.mp4.npz") as arrays:
        kept = {name: arrays[name] for name in arrays.files if name != "portraits"}
    np.savez(out / "b.mp4.npz", **kept)
    return out


def test_embeddings_become_a_column(faces: Path) -> None:
    before = read_manifest(faces / "manifest.tsv")
    assert extract_face_embeddings.embed_corpus(faces, embed=fake_embedding) == 2
    rows = read_manifest(faces / "manifest.tsv")
    assert [(r.id, r.audio, r.lips) for r in rows] == [(r.id, r.audio, r.lips) for r in before]
    assert [r.face for r in rows] == [faces / "a.mp4.npy", None, faces / "c.mp4.npy"]
    vector = np.load(faces / "a.mp4.npy")
    assert vector.shape == (512,)
    assert vector.dtype == np.float32
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
    assert vector[1] > vector[0] > 0.1
    skipped = (faces / "skipped_faces.tsv").read_text()
    assert "b.mp4.npz: holds no portraits" in skipped
    assert (faces / "skipped.tsv").read_text() == "name\treason\n", "the clips' own list was overwritten"


def test_embeddings_go_on_and_survive_the_corpus_made_again(faces: Path, tmp_path: Path) -> None:
    def embedded() -> int:
        EMBEDDED.clear()
        assert extract_face_embeddings.embed_corpus(faces, embed=fake_embedding) == 2
        return len(EMBEDDED)

    assert embedded() == 2
    assert embedded() == 0
    with np.load(faces / "a.mp4.npz") as arrays:
        np.savez(faces / "a.mp4.npz", **{**arrays, "portraits": arrays["portraits"][:1]})
    assert embedded() == 1, "of other portraits"
    assert extract_lips.main([str(tmp_path / "videos"), str(faces), "--workers", "1"]) == 0
    assert [r.face is None for r in read_manifest(faces / "manifest.tsv")] == [False, True, False]


def test_the_face_of_every_picture_is_embedded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def embed(portraits: np.ndarray) -> np.ndarray:
        calls.append(len(portraits))
        return np.full((len(portraits), 512), len(calls), np.float32)

    monkeypatch.setattr(faces_corpus, "_mtcnn", lambda device: FaceAt())
    monkeypatch.setattr(faces_corpus, "face_net", lambda device: embed)
    source, out = tmp_path / "videos", tmp_path / "out"
    write_video(source / "ann/1.mp4")
    command = [str(source), str(out), "--workers", "1"]
    assert extract_lips.main(command) == 0
    (row,) = read_manifest(out / "manifest.tsv")
    with np.load(row.lips) as arrays:
        assert "face" not in arrays
    # What was made without them is made again, but only once.
    for _ in range(2):
        assert extract_lips.main([*command, "--face-embeddings"]) == 0
        assert calls == [PICTURES]
    with np.load(row.lips) as arrays:
        assert (arrays["face"].shape, arrays["face"].dtype) == ((PICTURES, 512), np.float32)
        assert len(arrays["lips"]) == PICTURES
    assert read_face(row.lips, 0.2, 2).tolist() == [[1.0] * 512] * 2


def test_without_a_manifest_or_weights_there_is_one_message(
    faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert extract_face_embeddings.main([str(tmp_path / "nowhere")]) == 1
    assert f"error: {tmp_path / 'nowhere' / 'manifest.tsv'}: no such manifest" in capsys.readouterr().err
    monkeypatch.setattr(faces_corpus, "load_face_embedder", lambda device: (None, "off"))
    faces_corpus.face_net.cache_clear()
    assert extract_face_embeddings.main([str(faces), "--workers", "1"]) == 1
    message = capsys.readouterr().err
    assert message.startswith("error: no FaceNet weights")
    assert extract_lips.main([str(tmp_path / "videos"), str(tmp_path / "embedded"), "--face-embeddings"]) == 1
    assert capsys.readouterr().err.startswith("error: no FaceNet weights")
    assert not (faces / "skipped_faces.tsv").exists()
