"""How often a people library names the right person: held-out speakers, and real clips with a face.

    python tests/benchmarks/people.py [--speech SPEECH/manifest.tsv] [--clips FOLDER] [--mixtures 12] [--no-clean]

SPEECH/manifest.tsv has the columns path, speaker, split and seconds. Ten of the speakers of the split are in the
library, the others are strangers, in several draws. Enrolled is what a speaker says in other utterances. "clean":
utterances as they are. "separated": tracks that `avsep separate` separates of two voices at once; of each talker the
track with the best SI-SDR, 1 dB or more above the mixture.

FOLDER has videos of one talking face each, all of other people (those that --alike names are left out). Each is
enrolled with a picture and the sound of its first half, and its second half is separated; with everybody in the
library, and once more without him.

Prints for each: how many of the known were given the right name, a wrong one, none, and how many strangers were given
one.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import soundfile
from bench import machine
from compose_rooms import read, write
from target_voices import GAIN_DB, mixture

from avsep.embeddings.speaker import MODEL, embed
from avsep.errors import InputError
from avsep.evaluation.metrics import si_sdr
from avsep.inference.models import ModelStore
from avsep.media.decode import picture_at, probe, read_audio
from avsep.modes.base import Options, Scene
from avsep.modes.by_sound import BySound
from avsep.modes.lips_match import LipsMatch
from avsep.output.tracks import TrackReader
from avsep.people.enrol import enrolled
from avsep.people.matching import match
from avsep.people.naming import traits_of, traits_of_tracks
from avsep.people.traits import Traits
from avsep.pipeline import Separator, find_people
from avsep.signals import SAMPLE_RATE

PEOPLE = 10
"""In a library."""
ENROLLED, TESTED = (6.0, 12.0, 30.0), (3.0, 6.0, 12.0)
"""Seconds."""
DRAWS = 5

Told = Counter[str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", type=Path, metavar="MANIFEST", help="of the speech")
    parser.add_argument("--split", default="dev", help="of the speakers (default: dev)")
    parser.add_argument("--no-clean", action="store_true", help="leave out utterances as they are")
    parser.add_argument("--mixtures", type=int, default=12, help="that are separated (default: 12)")
    parser.add_argument("--clips", type=Path, metavar="FOLDER", help="with videos of one talking face each")
    parser.add_argument("--alike", nargs="*", default=[], metavar="NAME", help="videos that are left out")
    args = parser.parse_args()
    print(machine())
    models = ModelStore("cpu")
    if args.speech:
        speakers = speech_of(args.speech, args.split)
        print(f"{len(speakers)} speakers, {PEOPLE} of them in the library")
        if not args.no_clean:
            clean(models, speakers)
        if args.mixtures:
            separated(models, speakers, args.mixtures)
    if args.clips:
        faces(sorted(file for file in args.clips.iterdir() if file.name not in args.alike))


def speech_of(manifest: Path, split: str) -> dict[str, list[Path]]:
    """Speaker -> utterances; speakers who speak for long enough to be enrolled and tested."""
    found: dict[str, list[Path]] = {}
    seconds: Counter[str] = Counter()
    with manifest.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if row["split"] == split:
                found.setdefault(row["speaker"], []).append(manifest.parent / row["path"])
                seconds[row["speaker"]] += float(row["seconds"])
    return {name: files for name, files in found.items() if seconds[name] > max(ENROLLED) + max(TESTED)}


def clean(models: ModelStore, speakers: dict[str, list[Path]]) -> None:
    rng = np.random.default_rng(0)
    said = {name: np.concatenate([read(file) for file in rng.permutation(files)]) for name, files in speakers.items()}
    for enrolled_seconds in ENROLLED:
        known = {name: voice(models, samples[: seconds(enrolled_seconds)]) for name, samples in said.items()}
        for tested in TESTED:
            heard = {
                name: [
                    voice(models, samples[at : at + seconds(tested)])
                    for at in range(seconds(max(ENROLLED)), len(samples) - seconds(tested), seconds(tested))
                ][:4]
                for name, samples in said.items()
            }
            told: Told = Counter()
            for draw in range(DRAWS):
                drawn = np.random.default_rng(draw).permutation(sorted(said))[:PEOPLE].tolist()
                for name, tracks in heard.items():
                    for track in tracks:
                        (made,) = match([track], [known[one] for one in drawn])
                        judge(told, name, drawn, made.who)
            tell(f"clean, enrolled with {enrolled_seconds:g} s, {tested:g} s spoken", told)


def separated(models: ModelStore, speakers: dict[str, list[Path]], count: int) -> None:
    told: Told = Counter()
    tracks: dict[tuple[str, str], list[tuple[str, Traits]]] = {}
    for number in range(count):
        sound, references, names, used = mixture(speakers, 2, number, np.random.default_rng([2, number]))
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder, "mixture.wav"), sound[None])
            scene = Scene(probe(Path(folder, "mixture.wav")), [], models, folder=Path(folder))
            made = BySound()(scene)
            separate = TrackReader(made.sources, made.gains).read(0, len(made.sources))[:, 0]
            traits = traits_of_tracks(scene, made, range(len(made.tracks)))
        score = si_sdr(separate[:, None], references[None]) - si_sdr(sound, references)
        best = [int(one.argmax()) for one in score.T]
        if len(set(best)) < 2 or score.max(axis=0).min() < GAIN_DB:
            told["left out"] += 2
            continue
        tracks[names[0], names[1]] = [(name, traits[one]) for name, one in zip(names, best, strict=True)]
        used_files = {file for files in used.values() for file in files}
        speakers = {name: [file for file in files if file not in used_files] for name, files in speakers.items()}
    rng = np.random.default_rng(0)
    said = {name: np.concatenate([read(file) for file in rng.permutation(files)]) for name, files in speakers.items()}
    known = {name: voice(models, samples[: seconds(30.0)]) for name, samples in said.items()}
    for draw in range(DRAWS):
        drawn = np.random.default_rng(draw).permutation(sorted(known))[:PEOPLE].tolist()
        for pair in tracks.values():
            found = match([one for _, one in pair], [known[one] for one in drawn])
            for (name, _), made_of in zip(pair, found, strict=True):
                judge(told, name, drawn, made_of.who)
    tell("separated of two at once, enrolled with 30 s", told)


def faces(clips: list[Path]) -> None:
    """Each clip with the library of all, and with that of all others."""
    separator = Separator(device="cpu", threads=1)
    library, shown = {}, {}
    for clip in clips:
        whole = probe(clip)
        half = whole.start_seconds + whole.duration_seconds / 2
        with tempfile.TemporaryDirectory() as folder:
            picture, sound = Path(folder, "face.png"), Path(folder, "voice.wav")
            first = probe(clip, end=half)
            cv2.imwrite(
                str(picture), cv2.cvtColor(picture_at(first, half / 2 - whole.start_seconds), cv2.COLOR_RGB2BGR)
            )
            blocks = [block.samples.mean(axis=0) for block in read_audio(first, lambda said: None)]
            soundfile.write(sound, np.concatenate(blocks), first.audio.sample_rate, subtype="FLOAT")
            try:
                library[clip.stem] = traits_of(enrolled(clip.stem, [str(picture)], [str(sound)], "cpu"))
            except InputError as error:  # too little is said in half of the clip
                print(f"{clip.stem}: by face alone, {error}")
                library[clip.stem] = traits_of(enrolled(clip.stem, [str(picture)], [], "cpu"))
            scene = Scene(
                probe(clip, start=half, end=min(half + 8, whole.start_seconds + whole.duration_seconds)),
                [],
                separator.models,
                Options(),
                folder=Path(folder),
                searched=False,
            )
            find_people(scene)
            made = LipsMatch()(scene)
            people = [n for n, track in enumerate(made.tracks) if track.person is not None]
            shown[clip.stem] = traits_of_tracks(scene, made, people)
        faces_and_voices = [(one.face is not None, round(one.seconds, 1)) for one in shown[clip.stem]]
        print(f"{clip.stem}: face, seconds of voice of each track: {faces_and_voices}", flush=True)
    for what, keep in (
        ("face and voice", {}),
        ("face alone", {"voice": None}),
        ("voice alone", {"face": None}),
    ):
        told: Told = Counter()
        for name, tracks in shown.items():
            changed = [replace(one, **keep) for one in tracks]
            for drawn in (list(library), [other for other in library if other != name]):
                found = match(changed, [library[one] for one in drawn])
                # One face talks; what else is found in the picture must not be named.
                right = [made for made in found if made.who is not None]
                judge(told, name, drawn, right[0].who if right else None)
        tell(f"clips, {what}, {len(library)} people", told)


def voice(models: ModelStore, samples: np.ndarray) -> Traits:
    return Traits(None, embed(models.voice(MODEL), [samples.astype(np.float32)])[0], len(samples) / SAMPLE_RATE)


def seconds(wanted: float) -> int:
    return round(wanted * SAMPLE_RATE)


def judge(told: Told, name: str, library: list[str], who: int | None) -> None:
    given = None if who is None else library[who]
    if name in library:
        told["right" if given == name else "none" if given is None else "wrong"] += 1
    else:
        told["stranger" if given is None else "stranger named"] += 1


def tell(what: str, told: Told) -> None:
    known = max(1, told["right"] + told["wrong"] + told["none"])
    strange = max(1, told["stranger"] + told["stranger named"])
    print(
        f"{what}: known {known}: right {told['right'] / known:.3f}, wrong {told['wrong'] / known:.3f}, none "
        f"{told['none'] / known:.3f}; strangers {strange}: named {told['stranger named'] / strange:.3f}"
        + (f"; left out {told['left out']}" if told["left out"] else ""),
        flush=True,
    )


if __name__ == "__main__":
    main()
