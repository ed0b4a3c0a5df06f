"""CHiME-3 to CHiME-6, and any folder with one file for each microphone: recordings of arrays, joined.

    python -m preprocessing.chime isolated OUT_FOLDER
    python -m preprocessing.chime CHiME6/audio OUT_FOLDER --channels 1,2,3,4

The files of one recording are named NAME.CH1.wav, NAME.CH2.wav, ... and lie in one folder. Each recording becomes one
file of OUT_FOLDER/audio with all its microphones, in the order of their numbers, and one row of
OUT_FOLDER/manifest.tsv. CH0, the microphone at the speaker's mouth, is left out, as are files without CH in their name.
A row is an observation, not a voice: noise and other people are in it; it is there to be separated and transcribed,
never to train on. The speaker is what comes before the first "_" of the name (a session in CHiME-5 and 6); the split is
that of a folder on the way (tr05_bus_real, dt05..., et05..., train, dev, eval), else test.
"""

from __future__ import annotations

import argparse
import functools
import re
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile

from avsep.data.manifest import Utterance, write_manifest
from avsep.errors import InputError, UsageError
from avsep.jobs.options import engine_of
from avsep.jobs.run import run_jobs
from avsep.storage.files import write_whole
from preprocessing.command import command
from preprocessing.corpus import add_folders, find_sounds, folder_split, wrong_layout

CHANNEL = re.compile(r"(.+)\.CH(\d+)", re.IGNORECASE)
"""Name of a recording, number of a microphone."""

SPLITS = {"tr": "train", "dt": "dev", "et": "test"}
"""Of folders such as dt05_bus_real, by their first letters."""

MOST_IN_FLAC = 8
"""Channels that a FLAC file may have; more go into WAV."""

BLOCK_SECONDS = 30


class Recording(NamedTuple):
    """The files of one recording, one for each microphone."""

    id: str
    split: str
    files: tuple[Path, ...]

    @property
    def speaker(self) -> str:
        return self.id.rsplit("/", 1)[-1].split("_")[0]


def list_recordings(folder: Path, channels: tuple[int, ...] | None = None) -> list[Recording]:
    """What lies in the folder, with those microphones, or all but 0. Raises InputError where nothing does."""
    found: dict[Path, dict[int, Path]] = {}
    for file in find_sounds(folder):
        match = CHANNEL.fullmatch(file.stem)
        if match:
            found.setdefault(file.parent / match[1], {})[int(match[2])] = file
    if not found:
        raise wrong_layout(folder, "files NAME.CH1.wav, NAME.CH2.wav, ... of one recording each")
    recordings = []
    for name, files in found.items():
        wanted = sorted(n for n in files if n) if channels is None else channels
        place = name.relative_to(folder)
        chosen = tuple(files.get(n, name.parent / f"{name.name}.CH{n}.wav") for n in wanted)
        recordings.append(Recording(place.as_posix(), split_of(place.parts[:-1]), chosen))
    return recordings


def split_of(folders: tuple[str, ...]) -> str:
    """By the innermost folder that tells one."""
    for name in reversed(folders):
        split = folder_split(name) or SPLITS.get(re.split(r"[\d_]", name)[0].lower())
        if split:
            return split
    return "test"


def join(recording: Recording, out: Path) -> Utterance:
    """Write the channels to out/audio. Raises InputError for fewer than two, and for files that do not go together."""
    files = recording.files
    if len(files) < 2:
        raise InputError(f"{recording.id}: {len(files)} microphone; an array has two or more")
    target = out / "audio" / f"{recording.id}.{'flac' if len(files) <= MOST_IN_FLAC else 'wav'}"
    for file in files:
        if not file.is_file():
            raise InputError(
                f"{file}: no such file, though {recording.id} has others. Choose --channels that are there"
            )
    try:
        infos = [soundfile.info(file) for file in files]
        first = infos[0]
        for file, info in zip(files, infos, strict=True):
            if (info.samplerate, info.frames, info.channels) != (first.samplerate, first.frames, 1):
                raise InputError(
                    f"{file}: {info.channels} channels, {info.frames} samples at {info.samplerate} Hz; expected 1, "
                    f"{first.frames} and {first.samplerate} as {files[0]}"
                )
        write_whole(target, lambda partial: _write(partial, files, first.samplerate))
    except soundfile.LibsndfileError as error:
        raise InputError(f"{recording.id}: cannot be read as sound ({error})") from error
    seconds = first.frames / first.samplerate
    return Utterance(recording.id, target, None, None, recording.speaker, recording.split, seconds)


def _write(target: Path, files: tuple[Path, ...], rate: int) -> None:
    """Block by block: a party of CHiME-5 lasts for hours."""
    size = round(BLOCK_SECONDS * rate)
    with soundfile.SoundFile(target, "w", rate, len(files), subtype="PCM_16") as joined:
        readers = [soundfile.blocks(file, size, dtype="int16") for file in files]
        for blocks in zip(*readers, strict=True):
            joined.write(np.stack(blocks, axis=1))


def _channels(text: str) -> tuple[int, ...]:
    try:
        channels = tuple(int(number) for number in text.split(","))
    except ValueError:
        channels = ()
    if len(set(channels)) < max(2, len(channels)) or min(channels) < 0:
        raise argparse.ArgumentTypeError(f"{text!r}; expected numbers of two or more microphones, such as 1,3,4,5,6")
    return channels


def _configure(parser: argparse.ArgumentParser) -> None:
    add_folders(parser, "CHIME")
    parser.add_argument(
        "--channels", type=_channels, metavar="LIST", help="microphones in this order, such as 1,3,4,5,6 (default: all)"
    )


def _run(options: argparse.Namespace) -> int:
    if options.out.resolve() == options.source.resolve():
        raise UsageError(f"{options.out}: is the corpus itself. Choose another OUT_FOLDER")
    recordings = list_recordings(options.source, options.channels)
    work = functools.partial(join, out=options.out)
    made = run_jobs(recordings, work, options.out, name=lambda recording: recording.id, engine=engine_of(options))
    rows = list(made.values())
    write_manifest(options.out / "manifest.tsv", rows)
    print(f"{options.out / 'manifest.tsv'}: {len(rows)} recordings, {len(recordings) - len(rows)} skipped")
    return len(rows)


main = command(__doc__ or "", "chime", _configure, _run)

if __name__ == "__main__":
    sys.exit(main())
