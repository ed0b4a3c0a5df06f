"""The readers by name: how a file is read to its end, and what holds of what is returned.

A reader either returns something valid, which is asserted here, or raises one of the errors of avsep.errors.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import fuzz_seeds as seeds
import lightning  # noqa: F401 - configurations are checked against it: read here, before anything is timed
import numpy as np
import torch
import webdataset  # noqa: F401

import avsep.models.conv_tasnet
import avsep.training.separation  # noqa: F401
from avsep.checkpoint import load_model, read_card
from avsep.data.casts import Speakers
from avsep.data.corpus import Corpus
from avsep.data.lists import read_list, render
from avsep.data.manifest import SPLITS, read_manifest
from avsep.data.published import read_table
from avsep.data.recipe import Recipe
from avsep.data.rendered_rooms import read_rooms
from avsep.data.shards import StreamedMixtures
from avsep.data.sound import read_face, read_lips
from avsep.data.sound_file import SoundReader, sound_seconds, whole_seconds
from avsep.evaluation.folders import list_folder
from avsep.evaluation.labels import read_labels
from avsep.evaluation.table import read_pairs
from avsep.export.trained import read_trained, read_yaml
from avsep.export.weights import read_about
from avsep.importing import read_published
from avsep.media.array import read_positions
from avsep.media.audio import read_audio
from avsep.media.copied_pictures import copy_pictures, plan_copy
from avsep.media.mp4 import PersonVideo
from avsep.media.pictures import log_pictures
from avsep.media.probe import probe
from avsep.media.video import picture_at, read_video
from avsep.output.ownership import own_files
from avsep.people.library import open_library
from avsep.signals import Person
from avsep.speech.turns import read_turns, speaking
from avsep.timeline.transcripts import read_transcript
from avsep.training.configuration import check_configuration
from avsep.training.resume import check_checkpoint
from preprocessing.archives import unpack

MOST_PICTURES = 2000
"""Of a clip, that are read: one of a tenth of a second may tell of an hour."""


def _probe(path: Path) -> None:
    clip = probe(path)
    assert 0 < clip.duration_seconds < math.inf
    assert clip.audio.sample_rate > 0
    assert clip.audio.channels > 0
    if clip.video is not None:
        assert clip.video.width > 0
        assert clip.video.height > 0
        assert 0 < clip.video.fps < math.inf


def _clip_sound(path: Path) -> None:
    clip = probe(path)
    for number, block in enumerate(read_audio(clip, lambda _: None)):
        assert block.samples.shape[0] == clip.audio.channels
        assert np.isfinite(block.samples).all()
        if number * clip.audio.channels > 3600:
            break


def _pictures(path: Path) -> None:
    clip = probe(path)
    count = 0
    for frames in read_video(clip, lambda _: None):
        assert frames.luma.dtype == np.uint8
        assert len(frames.luma) == len(frames.preview)
        count += len(frames.luma)
        if count > MOST_PICTURES:
            break
    if clip.video is not None:
        assert picture_at(clip, 0.1).shape == (clip.video.height, clip.video.width, 3)


def _copied(path: Path) -> None:
    clip = probe(path)
    plan = None if clip.video is None else plan_copy(clip, log_pictures(clip))
    if plan is not None:
        out = _out(path)
        copy_pictures(clip, plan, [PersonVideo(out / "left.mp4", Person(()), path.parent / "a.wav")], lambda _: None)


def _sound(path: Path) -> None:
    whole_seconds(path)
    assert 0 < sound_seconds(path) < math.inf
    with SoundReader(path) as file:
        first = file.read(0, 16_000)
        assert first.shape[1] == file.channels
        assert first.dtype == np.float32
        file.read(max(0, file.frames - 100), file.frames)


def _weights(path: Path) -> None:
    read_card(path)
    model, card = load_model(path)
    assert card.class_path.startswith("avsep.models.")
    assert all(torch.isfinite(value).all() for value in model.state_dict().values() if value.is_floating_point())


def _manifest(path: Path) -> None:
    for row in read_manifest(path):
        assert row.audio.is_file()
        assert row.split in SPLITS
        assert 0 <= row.seconds < math.inf


def _corpus(path: Path) -> None:
    corpus = Corpus(path.parent, "train")
    for name in corpus.names:
        for entry in corpus.entries[name]:
            corpus.sound(entry, 0, min(100, corpus.samples(entry)))


def _list(path: Path) -> None:
    for spec in read_list(path):
        assert 0 < spec.seconds < math.inf
        assert spec.voices
        if spec.seconds < 10:
            mixture, sources = render(spec)
            assert mixture.shape[-1] == sources.shape[-1] == round(spec.seconds * 16_000)


def _turns(path: Path) -> None:
    found = read_turns(path, "clip")
    assert found
    for turns in found.values():
        assert all(0 <= turn.start <= turn.end < math.inf for turn in turns)
        assert np.isfinite(speaking(turns, 10)).all()


def _configuration(path: Path) -> None:
    check_configuration([path], ["--trainer.max_epochs=3"])


def _transcript(path: Path) -> None:
    for cue in read_transcript(path, "Ann", 2.0):
        assert 0 <= cue.start <= cue.end <= 2.0
        assert len(cue.text.splitlines()) == 1
        assert cue.text.encode("utf-8")


def _results(path: Path) -> None:
    names = own_files(path.parent)
    assert all(name == Path(name).name for name in names)
    list_folder(path.parent.parent)


def _people(path: Path) -> None:
    with open_library(path.parent) as library:
        assert len({entry.name for entry in library.entries}) == len(library.entries)


def _lips(path: Path) -> None:
    assert read_lips(path, 0.04, 5).shape == (5, 96, 96)
    read_face(path, 0.0, 2)


def _rooms(path: Path) -> None:
    rooms, rate = read_rooms(path)
    assert 0 < rate <= 10_000_000
    for room in rooms:
        assert room.taps.ndim == 3
        assert np.isfinite(room.taps).all()
        assert len(room.taps) > 0


def _shard(path: Path) -> None:
    data = StreamedMixtures(str(path), Recipe(Speakers(speakers=(1, 1)), 0.1), items=1, pool=2)
    for item in data:
        assert item["mixture"].shape[-1] == 1600


def _archive(path: Path) -> None:
    out = _out(path)
    unpack([path], out)
    assert all(file.resolve().is_relative_to(out.resolve()) for file in out.rglob("*"))


def _out(path: Path) -> Path:
    """A folder that may be written to."""
    folder = path.parent / "out"
    folder.mkdir(exist_ok=True)
    return folder


def _lightning_task() -> object:
    from avsep.models.build import build_model
    from avsep.training.separation import SeparationTask

    return SeparationTask(build_model(seeds.MODEL["class_path"], seeds.MODEL["init_args"]))


READERS: dict[str, Callable[[Path], object]] = {
    "probe": _probe,
    "clip_sound": _clip_sound,
    "pictures": _pictures,
    "copied_pictures": _copied,
    "sound": _sound,
    "weights": _weights,
    "checkpoint": read_trained,
    "resume": lambda path: check_checkpoint(path, _lightning_task()),
    "published": read_published,
    "manifest": _manifest,
    "packed": _corpus,
    "list": _list,
    "pairs": read_pairs,
    "labels": lambda path: read_labels(path, {"m": ["s1", "s2"]}),
    "table": read_table,
    "turns": _turns,
    "configuration": _configuration,
    "exported_yaml": read_yaml,
    "positions": lambda path: read_positions(path, 2),
    "lineage": read_about,
    "transcript": _transcript,
    "results": _results,
    "people": _people,
    "lips": _lips,
    "rooms": _rooms,
    "shard": _shard,
    "tar": _archive,
    "zip": _archive,
}
