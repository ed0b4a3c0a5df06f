"""LibriCSS: utterances of LibriSpeech replayed in a meeting room and recorded with seven microphones.

    python -m preprocessing.libricss for_release OUT_FOLDER

The folder holds 0L, 0S, OV10, OV20, OV30 and OV40, in each of them sessions overlap_ratio_*/ with
record/raw_recording.wav and transcription/meeting_info.txt (start_time, end_time, speaker, utterance_id,
transcription).

A row of OUT_FOLDER/manifest.tsv is the stretch of a recording in which one utterance was played, cut out to
OUT_FOLDER/audio with all seven channels. It is an observation, not a voice: others may speak in it, the room sounds
along, and there is no clean reference at the microphones; it is there to be separated and transcribed, never to train
on. utterances.tsv gives for each row what LibriCSS knows about it: condition, recording, start and end in seconds in
the recording, the share of its time in which somebody else speaks (overlap), and the words. Session 0 of each condition
is dev, the others are test, as the corpus proposes.
"""

from __future__ import annotations

import argparse
import functools
import re
import sys
from pathlib import Path
from typing import NamedTuple

import soundfile

from avsep.data.manifest import Utterance, write_manifest
from avsep.errors import InputError
from avsep.jobs.options import engine_of
from avsep.jobs.run import run_jobs
from avsep.storage.files import write_lines, write_whole
from preprocessing.command import command
from preprocessing.corpus import add_folders, read_table, wrong_layout

CONDITIONS = ("0L", "0S", "OV10", "OV20", "OV30", "OV40")
COLUMNS = ("start_time", "end_time", "speaker", "utterance_id", "transcription")
SHORTEST_SECONDS = 0.01


class Stretch(NamedTuple):
    """Where one utterance lies in a recording (seconds), and what is known about it."""

    id: str
    recording: Path
    condition: str
    start: float
    end: float
    speaker: str
    utterance: str
    overlap: float
    text: str


def list_stretches(folder: Path) -> list[Stretch]:
    """The utterances of all sessions. Raises InputError for a wrong layout or a damaged table."""
    sessions = [path for condition in CONDITIONS for path in sorted((folder / condition).glob("overlap_ratio_*"))]
    if not sessions:
        raise wrong_layout(folder, f"folders {', '.join(CONDITIONS)} with sessions overlap_ratio_*")
    return [stretch for session in sessions for stretch in _session(session)]


def _session(session: Path) -> list[Stretch]:
    table = session / "transcription" / "meeting_info.txt"
    recording = session / "record" / "raw_recording.wav"
    if not table.is_file() or not recording.is_file():
        raise wrong_layout(session, "record/raw_recording.wav and transcription/meeting_info.txt")
    rows, times = [], []
    for line, row in read_table(table, COLUMNS, "\t"):
        try:
            start, end = float(row["start_time"]), float(row["end_time"])
        except ValueError as error:
            raise InputError(
                f"{table}, line {line}: times are {row['start_time']!r} and {row['end_time']!r}; they must be seconds"
            ) from error
        rows.append(row)
        times.append((start, end))
    stretches = []
    for number, (row, (start, end)) in enumerate(zip(rows, times, strict=True)):
        others = [time for n, time in enumerate(times) if n != number]
        stretches.append(
            Stretch(
                f"{session.parent.name}/{session.name}/{number:03d}_{row['utterance_id']}",
                recording,
                session.parent.name,
                start,
                end,
                row["speaker"],
                row["utterance_id"],
                covered(start, end, others),
                row["transcription"],
            )
        )
    return stretches


def covered(start: float, end: float, spans: list[tuple[float, float]]) -> float:
    """The share of start..end that lies in at least one of the spans."""
    total, reached = 0.0, start
    for first, last in sorted(spans):
        first, last = max(first, reached), min(last, end)
        if last > first:
            total += last - first
            reached = last
    return total / (end - start) if end > start else 0.0


def cut(stretch: Stretch, out: Path) -> Utterance:
    """Write a stretch's channels to out/audio. Raises InputError outside the recording."""
    target = out / "audio" / f"{stretch.id}.flac"
    try:
        with soundfile.SoundFile(stretch.recording) as file:
            rate = file.samplerate
            first, last = round(stretch.start * rate), min(round(stretch.end * rate), file.frames)
            if not 0 <= first < last - SHORTEST_SECONDS * rate:
                raise InputError(
                    f"{stretch.recording}: {stretch.start:g} to {stretch.end:g} s is no stretch of its"
                    f" {file.frames / rate:.2f} s"
                )
            file.seek(first)
            samples = file.read(last - first, dtype="int16", always_2d=True)
        write_whole(target, lambda path: soundfile.write(path, samples, rate, subtype="PCM_16"))
    except soundfile.LibsndfileError as error:
        raise InputError(f"{stretch.recording}: cannot be read as sound ({error})") from error
    session = re.search(r"session(\d+)", stretch.recording.parents[1].name)
    split = "dev" if session and int(session.group(1)) == 0 else "test"
    return Utterance(stretch.id, target, None, None, stretch.speaker, split, len(samples) / rate)


def _run(options: argparse.Namespace) -> int:
    stretches = list_stretches(options.source)
    work = functools.partial(cut, out=options.out)
    done = run_jobs(stretches, work, options.out, name=lambda stretch: stretch.id, engine=engine_of(options))
    write_manifest(options.out / "manifest.tsv", done.values())
    lines = ["\t".join(Stretch._fields)]
    for stretch in stretches:
        if stretch.id not in done:
            continue
        place = stretch.recording.relative_to(options.source)
        numbers = {"start": f"{stretch.start:.3f}", "end": f"{stretch.end:.3f}", "overlap": f"{stretch.overlap:.3f}"}
        lines.append("\t".join(map(str, {**stretch._asdict(), "recording": place, **numbers}.values())))
    write_lines(options.out / "utterances.tsv", lines)
    return len(done)


main = command(__doc__ or "", "libricss", lambda parser: add_folders(parser, "FOR_RELEASE"), _run)

if __name__ == "__main__":
    sys.exit(main())
