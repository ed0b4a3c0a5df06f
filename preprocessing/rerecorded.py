"""Mixtures that were played through loudspeakers and recorded again, as a fixed list.

    python -m preprocessing.rerecorded RECORDINGS OUT_FOLDER
    python -m preprocessing.rerecorded RECORDINGS OUT_FOLDER --references FOLDER

RECORDINGS holds the recorded mixtures with their references, in a layout that `avsep evaluate` reads (NAME/mixture.wav
with NAME/s1.wav, NAME/s2.wav, ..., or mix/NAME.wav with s1/NAME.wav, s2/NAME.wav, ...) or in that of RealTalkLibri
(Mobin et al., 2018): in folders of any depth A_B_*mixed*.wav, and beside it the other files A_B_*.wav. With
--references it holds the recordings alone, NAME.wav, and their references lie in the other folder in one of the first
two layouts.

References are what was played, or what was recorded when each source was played alone. How much later than the file
the source begins in the recording, and how loud it is there, is measured for each: OUT_FOLDER/test.tsv has it as the
start and the gain of the voice, the recording being the mixture. No sound is copied. alignment.tsv tells of each
source:

delay_ms    how much later it begins, as its direct sound arrives, to a part of a sample
gain_db     its level in the recording against that of its file; polarity "-" where the recording has it upside down
likeness    correlation with the recording, 0..1: about 0.7 for each of two equally loud sources without a room
clearness   height of the peak at the delay, in standard deviations of what is not near it
drift_ms    by how much more the second half of it is late than the first; empty where a half is not found by itself.
            Clocks of player and recorder that run apart are not made up for

A source whose clearness is below 12 is not in the recording, or is there at another delay than was looked for; its
mixture is in skipped.tsv.
"""

from __future__ import annotations

import argparse
import functools
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from avsep.data.lists import MixtureSpec, Part, write_list
from avsep.data.manifest import SPLITS
from avsep.data.sound_file import SoundReader
from avsep.dsp.alignment import Placed, delay_of, place
from avsep.dsp.resample import resample
from avsep.errors import InputError
from avsep.evaluation.channels import one_channel, takes_first
from avsep.evaluation.folders import list_folder
from avsep.jobs.options import engine_of
from avsep.jobs.run import run_jobs
from avsep.storage.files import write_lines
from preprocessing.command import command
from preprocessing.corpus import SUFFIXES, add_folders, find_sounds, wrong_layout

CLEAR = 12.0
"""Sounds that are in a recording stand out by more: by 19 at least in 24 mixtures of two voices in simulated rooms, T60
up to 0.8 s and noise 5 dB or more below them. Those that are not reach 8 there."""

MOST_DRIFT_MS = 0.25
"""More is told of: a quarter of a period at 1 kHz, where references are no longer what estimates should be."""

COLUMNS = ("mixture", "source", "delay_ms", "gain_db", "polarity", "likeness", "clearness", "drift_ms")


class Recorded(NamedTuple):
    """A recorded mixture and the files of its sources, by their names."""

    name: str
    recording: Path
    sources: dict[str, Path]


class Aligned(NamedTuple):
    """A mixture as a list has it, and what was found of each source: its place in the recording, and the drift in ms or
    None."""

    spec: MixtureSpec
    places: list[Placed]
    drifts: list[float | None]
    sample_rate: int


def list_recorded(folder: Path, references: Path | None = None) -> list[Recorded]:
    """The mixtures of a folder, in order of name. Raises InputError for a wrong layout."""
    if references is not None:
        return _beside(folder, references)
    if found := _by_name(folder):
        return found
    entries = list_folder(folder)
    for name, entry in entries.items():
        if entry.mixture is None:
            raise InputError(
                f"{folder}: no recording of {name}, only its sources {', '.join(entry.sources)}. Expected "
                f"{folder / name / 'mixture.wav'}, {folder / f'{name}.wav'} or {folder / 'mix' / f'{name}.wav'}"
            )
    return [Recorded(name, entry.mixture, entry.sources) for name, entry in sorted(entries.items()) if entry.mixture]


def _beside(folder: Path, references: Path) -> list[Recorded]:
    """Recordings NAME.wav, and sources of that name in another folder."""
    entries = list_folder(references)
    recordings = {path.stem: path for path in find_sounds(folder) if path.parent == folder}
    if not recordings:
        raise wrong_layout(folder, "recordings NAME.wav")
    if absent := sorted(set(recordings) - set(entries)):
        raise InputError(
            f"{references}: no sources of {absent[0]}, which {recordings[absent[0]]} is a recording of ({len(absent)} "
            f"of {len(recordings)} have none). Expected {references / absent[0]}/ with a file for each source"
        )
    return [Recorded(name, path, entries[name].sources) for name, path in sorted(recordings.items())]


def _by_name(folder: Path) -> list[Recorded]:
    """As RealTalkLibri lies: A_B_*mixed*.wav with A_B_*.wav; none in other layouts."""
    found = []
    for path in find_sounds(folder):
        if "mixed" not in path.stem or path.stem.count("_") < 2:
            continue
        pair = "_".join(path.stem.split("_")[:2])
        beside = sorted(p for p in path.parent.glob(f"{pair}_*") if p.suffix.lower() in SUFFIXES)
        sources = {p.stem: p for p in beside if "mixed" not in p.stem}
        # Folders of estimates are named after mixtures, and lie side by side.
        found.append(Recorded("-".join((*path.parent.relative_to(folder).parts, path.stem)), path, sources))
    return found


def align(mixture: Recorded, most_seconds: float) -> Aligned:
    """Find the sources of a recording. Raises InputError where one is not found, or a file cannot be read."""
    if not mixture.sources:
        raise InputError(f"{mixture.recording}: there are no files of its sources beside it")
    recording, rate = _read(mixture.recording)
    sources = [resample(samples[None], own, rate)[0] for samples, own in map(_read, mixture.sources.values())]
    places = place(sources, recording, rate, most_seconds)
    for path, found in zip(mixture.sources.values(), places, strict=True):
        if found.clearness < CLEAR:
            raise InputError(
                f"{path}: is not found in {mixture.recording}: the best place within {most_seconds:g} s has a "
                f"clearness of {found.clearness:.1f}, expected {CLEAR:g} or more. Give a larger --most-delay, or the "
                "sources that were played"
            )
    parts = [Part(mixture.recording, None, "recording", "recording", 0.0, 1.0)]
    for (name, path), found in zip(mixture.sources.items(), places, strict=True):
        parts.append(Part(path, None, name, "voice", -found.delay / rate, found.gain))
    drifts = [drift_ms(source, recording, rate, most_seconds) for source in sources]
    return Aligned(MixtureSpec(mixture.name, len(recording) / rate, tuple(parts)), places, drifts, rate)


def drift_ms(source: np.ndarray, recording: np.ndarray, rate: int, most_seconds: float) -> float | None:
    """How much later the second half of a source is in the recording than the first says; None where one of them is not
    found."""
    half = len(source) // 2
    most = most_seconds + half / rate
    early, late = (delay_of(part, recording, rate, most) for part in (source[:half], source[half:]))
    return 1000 * (late[0] - half - early[0]) / rate if min(early[1], late[1]) >= CLEAR else None


def _read(path: Path) -> tuple[np.ndarray, int]:
    """The channel that figures are of (time,), and the rate."""
    with SoundReader(path) as file:
        samples, rate = file.read().T, file.sample_rate
    return one_channel(samples, takes_first("auto", len(samples))), rate


def table(found: Sequence[Aligned]) -> list[str]:
    """The lines of alignment.tsv."""
    lines = ["\t".join(COLUMNS)]
    for spec, places, drifts, rate in found:
        for part, placed, drift in zip(spec.voices, places, drifts, strict=True):
            row = (
                spec.id,
                part.speaker,
                f"{1000 * placed.delay / rate:.3f}",
                f"{decibels(placed.gain):.2f}",
                "-" if placed.gain < 0 else "+",
                f"{placed.likeness:.3f}",
                f"{placed.clearness:.1f}",
                "" if drift is None else f"{drift:.3f}",
            )
            lines.append("\t".join(row))
    return lines


def decibels(gain: float) -> float:
    return 20 * math.log10(max(abs(gain), 1e-5))


def summary(found: Sequence[Aligned]) -> str:
    """What a reader of the list should know, in one line."""
    delays = [1000 * placed.delay / one.sample_rate for one in found for placed in one.places]
    gains = [decibels(placed.gain) for one in found for placed in one.places]
    drifts = [abs(drift) for one in found for drift in one.drifts if drift is not None]
    text = (
        f"sources begin {min(delays):.1f} to {max(delays):.1f} ms after their recordings, at gains of {min(gains):.1f} "
        f"to {max(gains):.1f} dB"
    )
    if many := sum(drift > MOST_DRIFT_MS for drift in drifts):
        text += f"; {many} of {len(drifts)} drift, by up to {max(drifts):.1f} ms"
    return text


def _configure(parser: argparse.ArgumentParser) -> None:
    add_folders(parser, "RECORDINGS")
    parser.add_argument("--references", type=Path, metavar="FOLDER", help="sources, where they lie in another folder")
    parser.add_argument(
        "--most-delay",
        type=_seconds,
        default=2.0,
        metavar="SECONDS",
        help="how much earlier or later than its recording a source may begin (default: %(default)s)",
    )
    parser.add_argument("--split", choices=SPLITS, default="test", help="name of the list (default: %(default)s)")


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= 3600:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds above 0 and up to 3600")
    return value


def _run(options: argparse.Namespace) -> int:
    mixtures = list_recorded(options.source, options.references)
    work = functools.partial(align, most_seconds=options.most_delay)
    aligned = run_jobs(mixtures, work, options.out, name=lambda mixture: mixture.name, engine=engine_of(options))
    found = list(aligned.values())
    if found:
        write_list(options.out / f"{options.split}.tsv", [one.spec for one in found])
        print(f"{options.out}: {summary(found)}")
    write_lines(options.out / "alignment.tsv", table(found))
    print(f"{options.out}: {len(found)} mixtures, {len(mixtures) - len(found)} skipped")
    return len(found)


main = command(__doc__ or "", "rerecorded", _configure, _run)

if __name__ == "__main__":
    sys.exit(main())
