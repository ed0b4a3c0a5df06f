"""Fixed lists of mixtures from a manifest, as the audio-visual literature makes them.

    python -m preprocessing.make_mixtures MANIFEST OUT_FOLDER --faces
    python -m preprocessing.make_mixtures MANIFEST OUT_FOLDER --speakers 3 --counts 0,1000,1000 --noise NOISE_MANIFEST

OUT_FOLDER gets train.tsv, dev.tsv and test.tsv of avsep.data.lists, of 20000, 5000 and 3000 mixtures by default (the
sizes of VoxCeleb2-2mix), and skipped.tsv. A mixture has different speakers of one split, each equally likely; it lasts
as long as its shortest utterance, from 2 to 4 s, and takes a random stretch of each. The first voice keeps its level;
each other one is set to a level between -5 and +5 dB of the first, noise to one between -6 and +15 dB below it. What
would clip is scaled down. With --faces only utterances with lips take part, in stretches where the mouth is seen. With
--enrolment the list names another utterance of each speaker.

The same seed gives the same lists, whatever the number of processes. A split that is there is kept when it was made
with the same options, so that a run that was stopped goes on with the next.
"""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from avsep.data.lists import MixtureSpec, Part, read_list, write_list
from avsep.data.manifest import SPLITS, Utterance, read_manifest
from avsep.data.sound import read_sound
from avsep.errors import InputError, UsageError
from avsep.jobs.engine import IN_PROCESS, Engine
from avsep.jobs.options import engine_of
from avsep.jobs.run import run_jobs
from avsep.signals import FRAME_RATE, HOP, SAMPLE_RATE
from avsep.storage.damaged import refused
from avsep.storage.files import write_lines
from preprocessing.command import add_seed, command
from preprocessing.corpus import add_folders

COUNTS = (20_000, 5_000, 3_000)
SECONDS = (2.0, 4.0)
LEVEL_DB = 5.0
SNR_DB = (-6.0, 15.0)
PEAK = 0.9

SILENCE = 1e-3
"""Root mean square below which a stretch counts as silent: 60 dB below full scale."""

SEEN = 0.9
"""Share of a stretch's pictures in which the mouth must be usable."""

TRIES = 20
SKIPPED = "skipped.tsv"


@dataclass(frozen=True)
class Recipe:
    """How mixtures are made. seconds: shortest and longest; level_db: how far others are from the first voice;
    snr_db: lowest and highest level of the first voice above the noise; faces: whether the mouths must be seen;
    enrolment: whether other utterances of the speakers are named."""

    speakers: int = 2
    seconds: tuple[float, float] = SECONDS
    level_db: float = LEVEL_DB
    snr_db: tuple[float, float] = SNR_DB
    faces: bool = False
    seed: int = 0
    # Left out of the note on the options of lists that were made before there was this one.
    enrolment: bool = field(default=False, repr=False)


@dataclass(frozen=True)
class Draw:
    """Who is in a mixture: made for all mixtures at once, before their sounds are read."""

    id: str
    number: tuple[int, int, int]  # seed, split, mixture: what its random numbers come from
    voices: tuple[Utterance, ...]
    noise: Utterance | None
    enrolments: tuple[Utterance | None, ...]


def draw(rows: Sequence[Utterance], noises: Sequence[Utterance], split: str, count: int, recipe: Recipe) -> list[Draw]:
    """Choose speakers and utterances of `count` mixtures of a split. Raises InputError for too few speakers."""
    by_speaker: dict[str, list[Utterance]] = {}
    for row in rows:
        if row.split == split and row.seconds >= recipe.seconds[0] and not (recipe.faces and row.lips is None):
            by_speaker.setdefault(row.speaker, []).append(row)
    if recipe.enrolment:
        by_speaker = {name: utterances for name, utterances in by_speaker.items() if len(utterances) > 1}
    if len(by_speaker) < recipe.speakers:
        lips = " with lips" if recipe.faces else ""
        lips += ", two or more each," if recipe.enrolment else ""
        raise InputError(
            f"split {split} has utterances{lips} of {recipe.seconds[0]:g} s or more by {len(by_speaker)} speaker(s);"
            f" {recipe.speakers} are needed. Set its number in --counts to 0, or give a larger corpus"
        )
    quiet = [noise for noise in noises if noise.split == split]
    if noises and not quiet:
        raise InputError(f"split {split} has no noise. Set its number in --counts to 0, or give noise of all splits")
    names, draws = sorted(by_speaker), []
    for number in range(count):
        seed = (recipe.seed, SPLITS.index(split), number)
        rng = np.random.default_rng(seed)
        chosen = rng.choice(len(names), recipe.speakers, replace=False)
        voices = [by_speaker[names[i]] for i in chosen]
        voice = tuple(utterances[rng.integers(len(utterances))] for utterances in voices)
        sound = quiet[rng.integers(len(quiet))] if quiet else None
        enrolments: tuple[Utterance | None, ...] = (None,) * len(voice)
        if recipe.enrolment:
            others = ([u for u in of if u is not said] for of, said in zip(voices, voice, strict=True))
            enrolments = tuple(some[rng.integers(len(some))] for some in others)
        draws.append(Draw(f"{split}_{number:06d}", seed, voice, sound, enrolments))
    return draws


def place(drawn: Draw, recipe: Recipe) -> MixtureSpec:
    """Choose the stretches and set the levels. Raises InputError when one of the sounds has no usable stretch."""
    rng = np.random.default_rng((*drawn.number, 1))
    seconds = min(recipe.seconds[1], *(voice.seconds for voice in drawn.voices))
    seconds = int(seconds * FRAME_RATE) / FRAME_RATE
    parts: list[Part] = []
    sounds: list[np.ndarray] = []
    for number, voice in enumerate((*drawn.voices, *([drawn.noise] if drawn.noise else []))):
        role = "voice" if number < len(drawn.voices) else "noise"
        start, sound = _stretch(voice, seconds, rng, recipe.faces and role == "voice")
        if number == 0:
            decibels = 0.0
        elif role == "voice":
            decibels = rng.uniform(-recipe.level_db, recipe.level_db)
        else:
            decibels = -rng.uniform(*recipe.snr_db)
        gain = 1.0 if number == 0 else 10 ** (decibels / 20) * _level(sounds[0]) / _level(sound)
        sounds.append(sound * gain)
        lips = voice.lips if role == "voice" else None
        other = drawn.enrolments[number] if role == "voice" else None
        parts.append(Part(voice.audio, lips, voice.speaker, role, start, gain, other and other.audio))
    peak = max(float(np.abs(sound).max()) for sound in (*sounds, np.sum(sounds, axis=0)))
    scale = min(1.0, PEAK / peak)
    return MixtureSpec(drawn.id, seconds, tuple(replace(part, gain=float(part.gain * scale)) for part in parts))


def _stretch(row: Utterance, seconds: float, rng: np.random.Generator, seen: bool) -> tuple[float, np.ndarray]:
    """A start, on the grid of pictures, at which the sound is not silent and the mouth is seen; and the sound there."""
    pictures = round(seconds * FRAME_RATE)
    usable = _seen(row, pictures) if seen else None
    last = max(0, int((row.seconds - seconds) * FRAME_RATE))
    for _ in range(TRIES):
        first = int(rng.integers(last + 1))
        if usable is not None and usable[first : first + pictures].mean() < SEEN:
            continue
        sound = read_sound(row.audio, first / FRAME_RATE, pictures * HOP, SAMPLE_RATE, at_least=row.seconds)
        if _level(sound) > SILENCE:
            return first / FRAME_RATE, sound
    what = "silent, or its mouth not seen" if seen else "silent"
    raise InputError(f"{row.audio}: {TRIES} random stretches of {seconds:g} s are {what}")


def _seen(row: Utterance, pictures: int) -> np.ndarray:
    """For each number of the grid from the start of the sound on, whether the mouth is usable there."""
    assert row.lips is not None
    advice = "preprocessing.extract_lips makes such files"
    with refused(f"{row.lips}: no lips can be read", advice), np.load(row.lips) as arrays:
        quality, first = arrays["quality"], int(arrays["first"])
    length = int(row.seconds * FRAME_RATE) + pictures + 1
    usable = np.zeros(length, bool)
    begin = max(0, first)
    rows = quality[begin - first :][: length - begin] > 0
    usable[begin : begin + len(rows)] = rows
    return usable


def _level(sound: np.ndarray) -> float:
    return float(np.sqrt(np.mean(sound.astype(np.float64) ** 2)))


def _numbers(kind: type, count: int, lowest: float | None = None) -> Callable[[str], tuple]:
    """The type of an option that takes `count` numbers, separated by commas."""

    def parse(text: str) -> tuple:
        try:
            numbers = tuple(kind(piece) for piece in text.split(","))
        except ValueError:
            numbers = ()
        if len(numbers) != count or not all(np.isfinite(n) and (lowest is None or n >= lowest) for n in numbers):
            least = "" if lowest is None else f" of {lowest:g} or more"
            raise argparse.ArgumentTypeError(f"{text!r} is not {count} number(s){least}, separated by commas")
        return numbers

    return parse


def _configure(parser: argparse.ArgumentParser) -> None:
    add_folders(parser, "MANIFEST")
    parser.add_argument("--speakers", type=int, default=2, help="voices in a mixture (default: 2)")
    parser.add_argument(
        "--counts", type=_numbers(int, 3, 0), default=COUNTS, metavar="TRAIN,DEV,TEST", help="default: 20000,5000,3000"
    )
    parser.add_argument(
        "--seconds", type=_numbers(float, 2, 0.1), default=SECONDS, metavar="MIN,MAX", help="length (default: 2,4)"
    )
    parser.add_argument("--level", type=float, default=LEVEL_DB, metavar="DB", help="+/- range (default: 5)")
    parser.add_argument(
        "--noise", type=Path, metavar="MANIFEST", help="add a sound of this manifest, of the same split"
    )
    parser.add_argument(
        "--snr", type=_numbers(float, 2), default=SNR_DB, metavar="MIN,MAX", help="dB above the noise (default: -6,15)"
    )
    parser.add_argument("--faces", action="store_true", help="only utterances with lips; the list names them")
    parser.add_argument("--enrolment", action="store_true", help="name another utterance of each speaker")
    add_seed(parser)
    parser.add_argument("--overwrite", action="store_true", help="make again what is there already")


def make(
    source: Path,
    out: Path,
    recipe: Recipe,
    counts: Sequence[int] = COUNTS,
    noise: Path | None = None,
    *,
    overwrite: bool = False,
    engine: Engine = IN_PROCESS,
) -> int:
    """Write the lists of all splits whose count is not 0; returns how many mixtures they hold."""
    rows = read_manifest(source)
    noises = read_manifest(noise) if noise else []
    chosen = [(split, count) for split, count in zip(SPLITS, counts, strict=True) if count]
    draws = {split: draw(rows, noises, split, count, recipe) for split, count in chosen}
    enrolment = "enrolment " if recipe.enrolment else ""
    options = f"{enrolment}{recipe} counts={tuple(counts)} source={source.resolve()} noise={noise and noise.resolve()}"
    note = out / "options.txt"
    there = [split for split, _ in chosen if (out / f"{split}.tsv").is_file()]
    if there and not overwrite and not (note.is_file() and note.read_text(encoding="utf-8") == options + "\n"):
        raise InputError(
            f"{out / there[0]}.tsv is there already, made with other options. Choose another folder, or --overwrite"
        )
    if overwrite:
        for name in (*(f"{split}.tsv" for split in SPLITS), SKIPPED):
            (out / name).unlink(missing_ok=True)
        there = []
    write_lines(note, [options])
    made = 0
    for split, _ in chosen:
        if split in there:
            print(f"{out / split}.tsv is there already", file=sys.stderr)
            made += len(read_list(out / f"{split}.tsv"))
            continue
        work = functools.partial(place, recipe=recipe)
        earlier = [line for line in _skipped(out) if not line.startswith(f"{split}_")]
        specs = list(run_jobs(draws[split], work, out, name=lambda drawn: drawn.id, engine=engine).values())
        # A run lists its own; those of the other splits still hold.
        write_lines(out / SKIPPED, ["name\treason", *earlier, *_skipped(out)])
        if specs:
            write_list(out / f"{split}.tsv", specs)
        made += len(specs)
    return made


def _skipped(out: Path) -> list[str]:
    file = out / SKIPPED
    return file.read_text(encoding="utf-8").splitlines()[1:] if file.is_file() else []


def _run(options: argparse.Namespace) -> int:
    if options.speakers < 1:
        raise UsageError(f"--speakers {options.speakers}: give 1 or more")
    for name in ("seconds", "snr"):
        low, high = getattr(options, name)
        if low > high:
            raise UsageError(f"--{name} {low:g},{high:g}: the first must not be above the second")
    level = abs(options.level)
    recipe = Recipe(
        options.speakers, options.seconds, level, options.snr, options.faces, options.seed, options.enrolment
    )
    return make(
        options.source,
        options.out,
        recipe,
        options.counts,
        options.noise,
        overwrite=options.overwrite,
        engine=engine_of(options),
    )


main = command(__doc__ or "", "make_mixtures", _configure, _run)

if __name__ == "__main__":
    sys.exit(main())
