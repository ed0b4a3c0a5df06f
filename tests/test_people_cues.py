"""Cues of people by time: lips, embeddings of faces, delays; and the mode that gives them to a model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from stub_models import Gains, Lips
from stub_scenes import Store, both, person, scene
from talking_videos import PICTURES, FaceAt, write_video

import avsep.modes.lips_condition as lips_condition
from avsep.embeddings import face as face_module
from avsep.errors import UsageError
from avsep.faces import find_faces
from avsep.faces.embed import embed_tracks
from avsep.media.decode import probe, read_video
from avsep.models.base import Contract, Output
from avsep.modes.lips_condition import LipsCondition, longest_delay
from avsep.modes.people_cues import Delays, Embeddings, PeopleCues, face_embeddings, lips
from avsep.output.tracks import TrackReader
from avsep.signals import VideoFrames
from avsep.storage.recording import Estimates, Recording
from avsep.storage.spool import Spool

FACE = Contract(16_000, cues=("face",), sources=None, order="cue", joint=True)
TARGET = Contract(16_000, (2, 8), cues=("lips", "delays"), sources=None, order="cue")


def shades(portraits: np.ndarray) -> np.ndarray:
    """In place of FaceNet: (n, 160, 160, 3) -> (n, 512), the mean of each picture."""
    return portraits.mean((1, 2, 3), dtype=np.float32)[:, None].repeat(512, 1)


def chunks(first: int, count: int, size: int = 3) -> list[VideoFrames]:
    """Picture number k has the shade k, or 100 + k to the right of the middle."""
    previews = np.zeros((count, 40, 80, 3), np.uint8)
    for k in range(count):
        previews[k, :, :40], previews[k, :, 40:] = first + k, 100 + first + k
    lumas = np.zeros((count, 80, 160), np.uint8)
    return [VideoFrames(lumas[i : i + size], previews[i : i + size], first + i) for i in range(0, count, size)]


def at(first: int, pictures: int, left: float):
    """A track of a face 40 pixels wide."""
    (track,) = person(first, pictures).tracks
    track.boxes[:] = [left, 20, left + 40, 60]
    return track


def test_every_picture_of_every_track_is_embedded():
    tracks = [at(1, 5, 10.0), at(3, 9, 100.0), at(40, 2, 10.0)]
    done: list[float] = []
    found = embed_tracks(chunks(0, 10), tracks, shades, progress=done.append)
    assert [len(rows) for rows in found] == [5, 7, 0]
    np.testing.assert_array_equal(found[0].read(0, 5)[:, 0], [1, 2, 3, 4, 5])
    np.testing.assert_array_equal(found[1].read(1, 3)[:, 511], [104, 105])
    assert done == [3 / 25, 6 / 25, 9 / 25, 10 / 25]


def test_a_video_gives_embeddings_of_the_pictures_its_face_was_found_in(tmp_path: Path):
    clip = probe(write_video(tmp_path / "a.mp4"))
    (track,) = find_faces(read_video(clip, pytest.fail), device="cpu", folder=None, detector=FaceAt()).tracks
    (found,) = embed_tracks(read_video(clip, pytest.fail), [track], shades, tmp_path)
    assert len(found) == len(track) == PICTURES
    assert found.read(0, PICTURES).std(0).max() < 2  # the picture stands still
    assert list(tmp_path.iterdir()) == [clip.path]


def rows(values: list[float]) -> Spool:
    spool = Spool(None, (512,), np.float32)
    spool.append(np.float32(values)[:, None].repeat(512, 1))
    return spool


def test_embeddings_are_zero_where_there_is_no_face():
    one, other = person(2, 3), person(0, 1)
    tracks = [*one.tracks, *other.tracks]
    show = Embeddings(tracks, [rows([1, 2, 3]), rows([9])])
    np.testing.assert_array_equal(show(one, 0, 7)[:, 5], [0, 0, 1, 2, 3, 0, 0])
    np.testing.assert_array_equal(show(one, 3, 4)[:, 0], [2])
    assert not show(one, 10, 12).any()
    np.testing.assert_array_equal(show(other, -1, 2)[:, 0], [0, 9, 0])


def test_of_nobody_cues_have_the_right_shape():
    people = [person(0, 10), person(30, 10)]
    show = Embeddings([p.tracks[0] for p in people], [rows([1] * 10), rows([2] * 10)])
    cues = PeopleCues(people, [0, 0], {"lips": lips, "face": show})
    present, found = cues.read(0.6, 0.8)
    assert present == []
    assert {name: cue.shape for name, cue in found.items()} == {"lips": (0, 5, 96, 96), "face": (0, 5, 512)}
    present, found = cues.read(0.0, 2.0)
    assert present == [0, 1]
    np.testing.assert_array_equal(found["face"].sum(1)[:, 0], [10, 20])


def array_of_two(late: int = 3) -> tuple[Recording, TrackReader]:
    """Two noises, of which the first is `late` samples behind at each further microphone, the second as much earlier;
    only the first sounds in the second half."""
    sources = np.random.default_rng(0).standard_normal((2, 16_000)).astype(np.float32)
    sources[1, 8000:] = 0
    images = np.stack([[np.roll(s, way * late * m) for m in range(3)] for s, way in zip(sources, (1, -1), strict=True)])
    voices = Estimates.of(sources + 0.1 * sources[::-1], 16_000)
    return Recording.of(images.sum(0), 16_000), TrackReader(
        voices, np.eye(2, dtype=np.float32)[:, :, None].repeat(25, 2)
    )


def test_delays_are_those_of_the_bins_in_which_each_voice_is_the_louder():
    delays = Delays(*array_of_two())
    np.testing.assert_allclose(16_000 * delays.read(0.0, 0.5), [[0, 3, 6], [0, -3, -6]], atol=0.1)
    later = delays.read(0.75, 1.0)
    np.testing.assert_allclose(16_000 * later[0], [0, 3, 6], atol=0.1)
    assert later.dtype == np.float32
    # No further than the array is wide.
    assert abs(Delays(*array_of_two(), longest=1e-4).read(0.0, 0.5)).max() <= 1.01e-4


def test_a_model_is_steered_by_embeddings_of_all_faces_at_once(speech, monkeypatch):
    speech(0.9, 0.9, 0.0, 0.0, 0.0)
    people = [person(shade=51) for _ in range(5)]
    found = Embeddings([p.tracks[0] for p in people], [rows([n] * 100) for n in range(5)])
    monkeypatch.setattr(lips_condition, "lip_matcher", lambda scene: Lips(5, [0, 1]))
    monkeypatch.setattr(lips_condition, "face_embeddings", lambda scene: found)

    class Steered(Gains):
        def forward(self, mixture, **cues):
            self.given.append((mixture, cues))
            return Output(cues["face"][:, :, 5, :1].unsqueeze(3) * mixture.unsqueeze(1))

    model = Steered([1.0], cues=FACE.cues, sources=None, order="cue", joint=True)
    made = scene(Store(**both().models, fused=model), people=people, model="fused")
    tracks = LipsCondition()(made)
    assert [cues["face"].shape for _, cues in model.given] == [(1, 5, 100, 512)]
    x = made.mixture().read(0, 64_000)
    np.testing.assert_allclose(tracks.sources.read(0, 64_000)[3], 3 * x, atol=1e-4)
    assert tracks.mode == "audio-visual"


def test_a_model_of_an_array_is_told_where_each_person_is(speech, monkeypatch):
    speech(0.9, 0.9, 0.0)
    monkeypatch.setattr(lips_condition, "lip_matcher", lambda scene: Lips(2, [1, 0]))

    class Steered(Gains):
        def forward(self, mixture, **cues):
            self.given.append((mixture, cues))
            return Output(torch.ones(1, 2, 1, 1) * mixture[:, None, :1])

    model = Steered([1.0], cues=TARGET.cues, sources=None, order="cue", channels=(2, 8))
    store = Store(
        **{
            "ensemble-2spk": Gains([0.9, 0.1]),
            "audio-2spk": Gains([0.9, 0.1]),
            "split-3spk": Gains([0.9, 0.1, 0.0]),
            "fused": model,
        }
    )
    made = scene(store, people=[person(), person()], model="fused", channels=4)
    x = made._recordings[(16_000, False)].read(0, 64_000)[:1]
    made._recordings[(16_000, False)] = Recording.of(np.concatenate([np.roll(x, 2 * m, 1) for m in range(4)]), 16_000)
    made._recordings[(16_000, True)] = Recording.of(x[0], 16_000)
    LipsCondition()(made)
    ((mixture, cues),) = model.given
    assert mixture.shape == (1, 4, 64_000)
    assert cues["lips"].shape == (1, 2, 100, 96, 96)
    # The louder of the two is the second person's; the other's is louder in no bin.
    np.testing.assert_allclose(16_000 * cues["delays"][0].numpy(), [[0, 0, 0, 0], [0, 2, 4, 6]], atol=0.1)


def test_the_array_tells_how_long_a_delay_may_be(tmp_path: Path):
    made = scene(Store(), channels=3)
    assert longest_delay(made) == {}
    (tmp_path / "array.json").write_text('{"positions": [[0, 0, 0], [0.343, 0, 0], [0, 0.1, 0]]}')
    made = scene(Store(), channels=3, array=str(tmp_path / "array.json"))
    assert longest_delay(made)["longest"] == pytest.approx((0.343**2 + 0.1**2) ** 0.5 / 343)


@pytest.mark.parametrize(
    ("contract", "faces", "channels", "expected"),
    [
        (FACE, 1, 1, None),
        (FACE, 0, 1, "it needs faces, and the clip shows none"),
        (TARGET, 1, 4, None),
        (TARGET, 1, 1, "it takes 2 to 8 channels, and the clip has 1"),
        (Contract(16_000, cues=("lips", "enrolment"), order="cue", sources=None), 1, 1, ""),
        (Contract(16_000, cues=("delays",), order="cue", sources=None), 1, 1, ""),
        (Contract(16_000), 1, 1, ""),
    ],
)
def test_what_the_mode_is_for(contract, faces, channels, expected):
    made = scene(Store(), people=[person()] * faces, channels=channels)
    assert LipsCondition().misfit(made, contract) == expected


def test_without_weights_of_facenet_it_says_so(monkeypatch):
    monkeypatch.setattr(face_module, "load_face_embedder", lambda device: (None, "no FaceNet weights (off)"))
    with pytest.raises(UsageError, match=r"the model needs embeddings of the faces, and no FaceNet weights \(off\)"):
        face_embeddings(scene(Store(), people=[person()]))
