"""Cuts the mouths out of a folder of videos of one talker each, together with their sound, to train lip models on.

    python -m preprocessing.extract_lips VIDEO_FOLDER OUT_FOLDER

Every video below VIDEO_FOLDER gives, under OUT_FOLDER/<same path>, the mouth of its largest face, cut by the same code
that `avsep separate` uses (.npz: lips (n, 96, 96) uint8 at 25 pictures a second, quality (n,) float32 in 0..1, first,
which is the number on the 25-per-second grid of the first picture, 0 being the first audio sample, audio (time,) int16
at 16 kHz, portraits (up to 3, 160, 160, 3) uint8) and its sound (.flac, 16 kHz, mono). manifest.tsv lists them;
the folder that a video is in stands for the speaker, or else its own name. --dev and --test name speakers that are not
split train. With --face-embeddings the .npz also has face (n, 512) float32, the FaceNet embedding of every picture,
for models of the cue face. skipped.tsv lists what gave nothing, and why. A run that was stopped goes on where it was;
--overwrite begins anew.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from avsep.errors import InputError
from preprocessing.faces_corpus import Clip, add_speaker_splits, faces_command, split_speakers

SUFFIXES = {".mpg", ".mpeg", ".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".ts"}


def list_videos(folder: Path, dev: Sequence[str] = (), test: Sequence[str] = ()) -> Iterator[Clip]:
    """Every video below a folder. Raises InputError when there is none."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder. Give the folder that holds the videos")
    videos = sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
    if not videos:
        raise InputError(f"{folder}: no videos in it (looked for {', '.join(sorted(SUFFIXES))})")
    names = [video.relative_to(folder) for video in videos]
    speakers = [name.parent.name or name.name for name in names]
    splits = split_speakers(folder, speakers, dev, test)
    for name, video, speaker in zip(names, videos, speakers, strict=True):
        yield Clip(name.as_posix(), video, speaker, splits[speaker])


main = faces_command(__doc__ or "", "extract_lips", lambda o: list_videos(o.corpus, o.dev, o.test), add_speaker_splits)

if __name__ == "__main__":
    sys.exit(main())
