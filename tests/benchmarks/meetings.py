"""Meetings in simulated rooms: separation guided by turns, against what needs no guide.

    python tests/benchmarks/meetings.py SPEECH/manifest.tsv [--each 3] [--keep FOLDER]
        [--methods guided again array auxiva fastica mono]

SPEECH/manifest.tsv has the columns path, speaker, split and seconds. Two and three talkers of the split dev take turns
for 30 s; half of the time in which anybody speaks two or more do. Rooms and arrays are those of compose_rooms.py: T60
of 0.15 to 0.5 s, 4 microphones on a line or a circle with noise 30 dB below, talkers 20 degrees or more apart.
References are the early images (50 ms) at the first microphone. With --keep the meetings stay: FOLDER/<name>/ with
meeting.wav, meeting.rttm and reference_<talker>.wav.

SI-SDRi is of the tracks' first channel against the references, over the whole meeting. Methods: `guided` is told the
turns (--turns) and names its tracks; `again` gives each of those to `audio-2spk` and keeps the voice that is most like
it; `array`, the default for a sound file of an array, `auxiva`, `fastica`, and
`mono`, which gets the first microphone alone, are told the number of talkers (--speakers), and their tracks go to the
talkers in the best order.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
from bench import machine
from compose_rooms import EARLY_SECONDS, NOISE_DB, SHAPES, find_speech, read
from scipy.optimize import linear_sum_assignment
from scipy.signal import fftconvolve

from avsep import Separator
from avsep.checkpoint import load_model
from avsep.data.image_rooms import ImageRooms
from avsep.evaluation.metrics import si_sdr
from avsep.inference.sliding import SlidingSeparator
from avsep.pipeline import Options
from avsep.signals import SAMPLE_RATE
from avsep.storage.recording import Recording

TALKERS = (2, 3)
OVERLAPPED = 0.5
"""Of the time in which anybody speaks."""
TURN_SECONDS = (2.0, 6.0)
"""Shortest and longest turn."""
METHODS = ("guided", "again", "array", "auxiva", "fastica", "mono")


@dataclass(frozen=True, eq=False)
class Meeting:
    """names: of the talkers. mixture (microphones, time); references (talkers, time) at the first microphone; turns:
    (talker, start, end) in seconds."""

    names: list[str]
    mixture: np.ndarray
    references: np.ndarray
    turns: list[tuple[str, float, float]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("speech", type=Path, metavar="MANIFEST", help="of the speech")
    parser.add_argument("--each", type=int, default=3, help="meetings of each number of talkers (default: 3)")
    parser.add_argument("--seconds", type=float, default=30.0, help="length of a meeting (default: 30)")
    parser.add_argument("--microphones", type=int, default=4, help="(default: 4)")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS, help="default: all")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="keep the meetings here")
    args = parser.parse_args()

    speakers = find_speech(args.speech)
    print(machine())
    print(f"{'meeting':12} {'overlap':>7} {'input':>6}  " + " ".join(f"{name:>7}" for name in args.methods) + "  (dB)")
    gains: dict[str, dict[str, list[float]]] = {}
    taken = dict.fromkeys(args.methods, 0.0)
    for talkers in TALKERS:
        for number in range(args.each):
            name = f"{talkers}-talkers-{number}"
            made = meeting(speakers, talkers, number, args.seconds, args.microphones)
            with tempfile.TemporaryDirectory() as folder:
                place = (args.keep or Path(folder)) / name
                write(made, place)
                before = si_sdr(made.mixture[0], made.references)
                row = []
                for method in args.methods:
                    began = time.perf_counter()
                    found = separate(method, place, talkers, Path(folder, "tracks"))
                    taken[method] += time.perf_counter() - began
                    gain = scores(found, made) - before
                    gains.setdefault(method, {}).setdefault(str(talkers), []).extend(gain.tolist())
                    row.append(f"{gain.mean():7.2f}")
            overlap = overlapped(made.turns, args.seconds)
            print(f"{name:12} {overlap:7.2f} {before.mean():6.1f}  " + " ".join(row), flush=True)
    length = args.seconds * args.each * len(TALKERS)
    for method, of in gains.items():
        means = ", ".join(f"{count} talkers {np.mean(of[count]):.2f}" for count in of)
        every = np.concatenate(list(of.values()))
        print(
            f"{method}: {every.mean():.2f} dB ({means}), worst track {every.min():.2f}; "
            f"real-time factor {taken[method] / length:.2f}"
        )


def meeting(speakers: dict[str, list[Path]], talkers: int, number: int, seconds: float, microphones: int) -> Meeting:
    """Meeting `number` of so many talkers, whose levels are within 3 dB of each other."""
    rng = np.random.default_rng([talkers, number])
    room = ImageRooms(
        arrays=(SHAPES[number % len(SHAPES)],),
        microphones=microphones,
        spacing=(0.03, 0.08),
        radius=(0.03, 0.1),
        t60=(0.15, 0.5),
        distance=(0.8, 2.0),
        order=60,
        decay_db=60.0,
        early_seconds=EARLY_SECONDS,
    )
    responses = room.simulate(rng, talkers, SAMPLE_RATE)
    samples = round(seconds * SAMPLE_RATE)
    names = [str(name) for name in rng.choice(sorted(speakers), talkers, replace=False)]
    dry, turns = turns_of({name: speakers[name] for name in names}, samples, rng)
    mixture = fftconvolve(dry[:, None], responses.taps, axes=2)[..., :samples].sum(axis=0)
    mixture += 10 ** (NOISE_DB / 20) * mixture.std() * rng.standard_normal(mixture.shape)
    early = [room.early(responses, place, SAMPLE_RATE)[0] for place in range(talkers)]
    references = np.stack([fftconvolve(voice, taps)[:samples] for voice, taps in zip(dry, early, strict=True)])
    return Meeting(names, mixture.astype(np.float32), references.astype(np.float32), turns)


def turns_of(
    speakers: dict[str, list[Path]], time: int, rng: np.random.Generator
) -> tuple[np.ndarray, list[tuple[str, float, float]]]:
    """What each talker says (talkers, time), and when. Every turn begins so long before the end of another talker's
    that OVERLAPPED of the time has several. Who spoke least speaks next, more or less."""
    said = {name: np.concatenate([read(file) for file in files]) for name, files in speakers.items()}
    level = {name: 0.05 * 10 ** (rng.uniform(-1.5, 1.5) / 20) / sound.std() for name, sound in said.items()}
    used, spoken, free = dict.fromkeys(said, 0), dict.fromkeys(said, 0), dict.fromkeys(said, 0)
    dry = {name: np.zeros(time, np.float32) for name in said}
    busy = np.zeros(time, int)
    turns: list[tuple[str, float, float]] = []
    talker, end = "", round(0.3 * SAMPLE_RATE)
    while end < time - SAMPLE_RATE:
        others = [name for name in said if name != talker]
        talker = min(others, key=lambda name: spoken[name] + rng.uniform(0, TURN_SECONDS[1]) * SAMPLE_RATE)
        length = round(rng.uniform(*TURN_SECONDS) * SAMPLE_RATE)
        # So much of the turn lies in what is said already that the overlap comes to what it should be.
        shared = (OVERLAPPED * ((busy > 0).sum() + length) - (busy > 1).sum()) / (1 + OVERLAPPED)
        start = max(end - round(max(0.0, shared)), free[talker]) if turns else end
        stop = min(start + length, time)
        piece = np.take(said[talker], used[talker] + np.arange(stop - start), mode="wrap")
        dry[talker][start:stop] += level[talker] * piece
        busy[start:stop] += 1
        used[talker] += stop - start
        spoken[talker] += stop - start
        free[talker] = stop
        turns.append((talker, start / SAMPLE_RATE, stop / SAMPLE_RATE))
        end = max(end, stop)
    return np.stack(list(dry.values())), turns


def overlapped(turns: list[tuple[str, float, float]], seconds: float) -> float:
    """Part of the time in which anybody speaks that several do."""
    busy = np.zeros(round(100 * seconds), int)
    for _, start, end in turns:
        busy[round(100 * start) : round(100 * end)] += 1
    return float((busy > 1).sum() / (busy > 0).sum())


def write(made: Meeting, folder: Path) -> None:
    """meeting.wav, first.wav of the first microphone alone, meeting.rttm and the references."""
    folder.mkdir(parents=True, exist_ok=True)
    soundfile.write(folder / "meeting.wav", made.mixture.T, SAMPLE_RATE, subtype="FLOAT")
    soundfile.write(folder / "first.wav", made.mixture[0], SAMPLE_RATE, subtype="FLOAT")
    for name, reference in zip(made.names, made.references, strict=True):
        soundfile.write(folder / f"reference_{name}.wav", reference, SAMPLE_RATE, subtype="FLOAT")
    lines = [
        f"SPEAKER meeting 1 {start:.3f} {end - start:.3f} <NA> <NA> {name} <NA> <NA>\n"
        for name, start, end in made.turns
    ]
    (folder / "meeting.rttm").write_text("".join(lines), encoding="utf-8")


def separate(method: str, meeting: Path, talkers: int, output: Path) -> dict[str, np.ndarray]:
    """The first channel of every track, by its label or, where it has none, its number."""
    model, options = None, Options(speakers=talkers, overwrite=True)
    if method == "again":
        return {name: separated(track) for name, track in separate("guided", meeting, talkers, output).items()}
    if method == "guided":
        options = Options(turns=str(meeting / "meeting.rttm"), overwrite=True)
    elif method in ("auxiva", "fastica"):
        model = method
    clip = meeting / ("first.wav" if method == "mono" else "meeting.wav")
    manifest = Separator(model, device="cpu", threads=1).separate(clip, output, options)
    folder = output / clip.stem
    files = {track["label"] or track["id"]: folder / track["audio"] for track in manifest["tracks"]}
    return {name: soundfile.read(f, dtype="float32", always_2d=True)[0][:, 0] for name, f in files.items()}


def separated(track: np.ndarray) -> np.ndarray:
    """Of the two voices that `audio-2spk` separates of a track, the one that is most like it."""
    engine = SlidingSeparator(load_model("audio-2spk")[0], torch.device("cpu"), "normal")
    voices = engine.separate(Recording.of(track, SAMPLE_RATE)).mono(0, len(track))
    return voices[np.argmax(np.abs(voices @ track) / (np.linalg.norm(voices, axis=1) + 1e-9))]


def scores(tracks: dict[str, np.ndarray], made: Meeting) -> np.ndarray:
    """SI-SDR of each talker's track, (talkers,): the one with his name, else in the best order."""
    if set(tracks) == set(made.names):
        return si_sdr(np.stack([tracks[name] for name in made.names]), made.references)
    found = si_sdr(np.stack(list(tracks.values()))[:, None], made.references[None])
    order, of = linear_sum_assignment(-found)
    return found[order[np.argsort(of)], np.sort(of)]


if __name__ == "__main__":
    main()
