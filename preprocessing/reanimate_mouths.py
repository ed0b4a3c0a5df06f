"""Real mouths that speak other people's recordings: the pictures of a talker in the order the sound asks for.

    python -m preprocessing.reanimate_mouths FACES OUT_FOLDER --speech recordings/ --count 500

FACES is the manifest.tsv (or its folder) of a module that cuts out mouths, such as preprocessing.grid. Every recording
is spoken by one talker of its own split: to each of its pictures a picture of the talker is chosen whose sound is alike
and which follows well on the one before (unit selection: Hunt and Black, 1996; for mouths, Bregler et al., Video
Rewrite, 1997). The choice is the best one over the whole recording.

OUT_FOLDER gets manifest.tsv (speaker and split are those of the recording), and for each recording the mouth (ID.npz)
and the sound (ID.flac), as preprocessing.extract_lips writes them; skipped.tsv tells what gave nothing, and why. The
talker is drawn from the seed and the number of the recording; a run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import functools
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
import torchaudio

from avsep.data.manifest import Utterance, read_manifest
from avsep.data.sound import read_sound, read_talking
from avsep.data.sound_file import sound_seconds
from avsep.errors import InputError, UsageError
from avsep.jobs.options import add_engine, engine_of
from avsep.jobs.run import run_jobs
from avsep.signals import HOP, SAMPLE_RATE
from avsep.storage.files import write_whole
from preprocessing.animate_portraits import SHORTEST_SECONDS, find_recordings, speakers_in_turn
from preprocessing.command import add_count, add_seed, command
from preprocessing.corpus import Sound
from preprocessing.faces_corpus import clip_files, write_clips

BROKEN = 12.0
"""What a jump between two pictures costs at least, in the unit of `features`: else the mouth would flicker."""
UNLIKE = 60.0
"""What a jump costs more for pictures that differ as much as two of the talker's do on average."""
SMALL = 8
"""Crops are compared as squares of SMALL x SMALL pixels of their lower half, where the mouth is."""


@dataclass(frozen=True, eq=False)
class Talker:
    """Pictures to choose from. lips: (n, 96, 96) uint8. sound: (n, features) of the same time. jumps: (n, n) cost of
    picture j after picture i."""

    lips: np.ndarray
    sound: np.ndarray
    jumps: np.ndarray


@dataclass(frozen=True, eq=False)
class Speech:
    """A recording to be spoken, and the files of the talker who does."""

    id: str
    recording: Sound
    faces: tuple[Path, ...]


def features(sound: np.ndarray) -> np.ndarray:
    """What a mouth has to do with a sound: (time,) at SAMPLE_RATE -> (pictures, 39), cepstra of each picture, of the
    one before and of the one after, each free of its mean and of unit deviation over the recording."""
    pictures = len(sound) // HOP
    mfcc = torchaudio.transforms.MFCC(
        SAMPLE_RATE, 13, melkwargs={"n_fft": 512, "hop_length": HOP // 4, "n_mels": 40, "center": False}
    )
    padded = np.pad(sound[: pictures * HOP].astype(np.float32), (512 - HOP // 4) // 2)
    cepstra = mfcc(torch.from_numpy(padded)).numpy().T[: 4 * pictures].reshape(pictures, 4, 13).mean(axis=1)
    cepstra = (cepstra - cepstra.mean(axis=0)) / (cepstra.std(axis=0) + 1e-3)
    edged = np.pad(cepstra, ((1, 1), (0, 0)), mode="edge")
    return np.concatenate([edged[:-2], edged[1:-1], edged[2:]], axis=1)


@functools.lru_cache(maxsize=4)
def load_talker(files: tuple[Path, ...]) -> Talker:
    """The pictures of a talker's clips. Raises InputError when there are none with sound."""
    lips, sound, ends = [], [], []
    for file in files:
        seen, audio = read_talking(file)
        voice = features(audio)
        count = min(len(seen), len(voice))
        lips.append(seen[:count])
        sound.append(voice[:count])
        ends.append(sum(map(len, lips)) - 1)
    if not sum(map(len, lips)):
        raise InputError(f"{files[0]}: no picture with sound in it")
    pictures = np.concatenate(lips)
    return Talker(pictures, np.concatenate(sound), jump_costs(pictures, ends))


def jump_costs(lips: np.ndarray, ends: list[int]) -> np.ndarray:
    """Cost of every picture after every other: (n, 96, 96) uint8, last pictures of the clips -> (n, n) float32.

    Nothing for the one that was filmed next, else BROKEN and more the less the two are alike.
    """
    side = lips.shape[1] // 2 // SMALL
    mouth = lips[:, -SMALL * side :, lips.shape[2] // 2 - SMALL * side // 2 :][:, :, : SMALL * side]
    small = mouth.reshape(len(lips), SMALL, side, SMALL, side).mean(axis=(2, 4)).reshape(len(lips), -1)
    power = (small**2).sum(axis=1)
    unlike = np.maximum(power[:, None] + power[None] - 2 * small @ small.T, 0)
    successor = np.minimum(np.arange(len(lips)) + 1, len(lips) - 1)
    successor[ends] = ends
    # Picture j comes well after i when it looks like the one that did.
    costs = BROKEN + UNLIKE * unlike[successor] / max(float(unlike.mean()), 1e-9)
    before = np.setdiff1d(np.arange(len(lips)), ends)
    costs[before, before + 1] = 0
    return costs.astype(np.float32)


def choose_pictures(wanted: np.ndarray, sound: np.ndarray, jumps: np.ndarray) -> np.ndarray:
    """The cheapest sequence of a talker's pictures (Viterbi): wanted (time, features), sound (n, features), jumps
    (n, n) -> (time,) numbers of pictures."""
    away = ((wanted**2).sum(1)[:, None] + (sound**2).sum(1)[None] - 2 * wanted @ sound.T).astype(np.float32)
    # One row for each picture that may come next: the least of a row is found much faster than that of a column.
    into = np.ascontiguousarray(jumps.T, np.float32)
    cost, origins = away[0], np.zeros(away.shape, int)
    for time in range(1, len(away)):
        total = into + cost
        origins[time] = total.argmin(axis=1)
        cost = total[np.arange(len(sound)), origins[time]] + away[time]
    path = np.empty(len(away), int)
    path[-1] = cost.argmin()
    for time in range(len(away) - 1, 0, -1):
        path[time - 1] = origins[time, path[time]]
    return path


def assign_talkers(faces: Path, recordings: list[Sound], count: int | None, seed: int) -> list[Speech]:
    """Who speaks what: recordings, speakers in turn, each by a talker of its split drawn with chances as the root of
    the number of the talker's clips. Raises UsageError where no face is of a split that has recordings."""
    manifest = faces / "manifest.tsv" if faces.is_dir() else faces
    files: dict[str, dict[str, list[Path]]] = {}
    for row in read_manifest(manifest):
        if row.lips is not None:
            files.setdefault(row.split, {}).setdefault(row.speaker, []).append(row.lips)
    recordings = [recording for recording in speakers_in_turn(recordings) if recording.split in files]
    if not recordings:
        have = ", ".join(files) or "(none)"
        raise UsageError(f"{manifest} has mouths in the splits {have}, and no recording is of one of them")
    jobs = []
    for number in range(len(recordings) if count is None else count):
        recording = recordings[number % len(recordings)]
        talkers = files[recording.split]
        chances = np.sqrt([len(clips) for clips in talkers.values()])
        rng = np.random.default_rng([seed, number])
        talker = list(talkers)[rng.choice(len(talkers), p=chances / chances.sum())]
        name = f"{number:06d}_{talker.replace('/', '-')}_{recording.file.stem}"
        jobs.append(Speech(name, recording, tuple(talkers[talker])))
    return jobs


def make_speech(speech: Speech, out: Path, seconds: float) -> Utterance:
    """Write the files of one recording. Raises InputError for one that is too short."""
    lips, audio, _ = clip_files(out, speech.id)
    length = sound_seconds(speech.recording.file)
    if length < SHORTEST_SECONDS:
        raise InputError(f"{speech.recording.file} lasts {length:.2f} s, at least {SHORTEST_SECONDS} s are needed")
    sound = read_sound(speech.recording.file, 0.0, round(min(length, seconds) * SAMPLE_RATE), SAMPLE_RATE)
    talker = load_talker(speech.faces)
    chosen = talker.lips[choose_pictures(features(sound), talker.sound, talker.jumps)]
    samples = (sound * 32767).round().clip(-32768, 32767).astype(np.int16)
    arrays = {"lips": chosen, "quality": np.ones(len(chosen), np.float32), "first": np.int64(0), "audio": samples}
    write_whole(audio, lambda path: soundfile.write(path, samples, SAMPLE_RATE, subtype="PCM_16"))
    write_whole(lips, lambda path: np.savez(path, **arrays))  # type: ignore[arg-type]
    seconds = len(samples) / SAMPLE_RATE
    return Utterance(speech.id, audio, lips, None, speech.recording.speaker, speech.recording.split, seconds)


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("faces", type=Path, metavar="FACES", help="manifest.tsv of mouths, or the folder it lies in")
    parser.add_argument("out", type=Path, metavar="OUT_FOLDER", help="where manifest.tsv and the clips go")
    parser.add_argument(
        "--speech", type=Path, nargs="+", required=True, metavar="PATH", help="recordings, folders or manifests of them"
    )
    add_seed(parser, "of the choice of talkers")
    parser.add_argument("--seconds", type=float, default=4.0, help="longest clip (default: %(default)s)")
    add_count(parser, "--count", "clips to make, speakers in turn (default: one a recording)")
    add_engine(parser)


def _run(options: argparse.Namespace) -> int:
    if options.seconds < SHORTEST_SECONDS:
        raise UsageError(f"--seconds {options.seconds}: give {SHORTEST_SECONDS} or more")
    jobs = assign_talkers(options.faces, find_recordings(options.speech), options.count, options.seed)
    work = functools.partial(make_speech, out=options.out, seconds=options.seconds)
    rows = list(run_jobs(jobs, work, options.out, name=lambda job: job.id, engine=engine_of(options)).values())
    write_clips(options.out, rows, len(jobs) - len(rows))
    return len(rows)


main = command(__doc__ or "", "reanimate_mouths", _configure, _run)

if __name__ == "__main__":
    sys.exit(main())
