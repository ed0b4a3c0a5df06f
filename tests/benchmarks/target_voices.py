"""How often the voice that an enrolment names is the one that is given: mixtures and meetings of held-out speakers.

    python tests/benchmarks/target_voices.py SPEECH/manifest.tsv [--each 20] [--meetings 4] [--split dev]

SPEECH/manifest.tsv has the columns path, speaker, split and seconds. Two and three talkers speak at once for 4 to 8 s,
and two and three take turns for 30 s with half of the time overlapped (meetings.py, one microphone in a room). Each is
enrolled with other utterances, 6 s or what there is, and so is one who is not there. What is separated is what `avsep
separate` separates by sound; the right track of a talker is the one with the best SI-SDR against him.

Prints, for each kind: how often the most alike track is the right one when a talker alone is asked for; of all talkers
asked for together with the stranger, how many were given the right track, a wrong one, none; how many strangers were
given one, and would have been where nobody else is asked for; and similarities of the right tracks, of the most alike
wrong ones, and of strangers to their most alike. Talkers whose voice no track has to 1 dB above the mixture are left
out, and counted.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from bench import machine
from compose_rooms import read, write
from meetings import meeting

from avsep.embeddings.speaker import SAME_VOICE
from avsep.evaluation.metrics import si_sdr
from avsep.media.decode import probe
from avsep.modes.base import Options, Scene
from avsep.modes.by_sound import BySound
from avsep.modes.target import check_targets, choose_targets
from avsep.output.tracks import TrackReader
from avsep.pipeline import Separator, default_models
from avsep.signals import SAMPLE_RATE

LONGEST, ENROLLED = 8.0, 6.0
"""Seconds of a mixture, and of an enrolment."""
GAIN_DB = 1.0


@dataclass
class Found:
    """Of one kind of mixture."""

    alone: list[bool] = field(default_factory=list)
    together: list[str] = field(default_factory=list)
    strangers: list[bool] = field(default_factory=list)
    own: list[float] = field(default_factory=list)
    others: list[float] = field(default_factory=list)
    strange: list[float] = field(default_factory=list)
    left_out: int = 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("speech", type=Path, metavar="MANIFEST", help="of the speech")
    parser.add_argument("--each", type=int, default=20, help="mixtures of each number of talkers (default: 20)")
    parser.add_argument("--meetings", type=int, default=4, help="meetings of each number of talkers (default: 4)")
    parser.add_argument("--split", default="dev", help="of the speakers (default: dev)")
    args = parser.parse_args()

    print(machine())
    speakers = speech_of(args.speech, args.split)
    separator = Separator(device="cpu", threads=1)
    for kind, count, make in (("mixtures", args.each, mixture), ("meetings", args.meetings, turns)):
        for talkers in (2, 3):
            found = Found()
            for number in range(count):
                rng = np.random.default_rng([talkers, number])
                sound, references, names, used = make(speakers, talkers, number, rng)
                judge(separator, speakers, names, used, sound, references, rng, found)
            tell(f"{kind} of {talkers}", found)


def speech_of(manifest: Path, split: str) -> dict[str, list[Path]]:
    """Speaker -> utterances of 3 s or more; speakers with three or more of them."""
    found: dict[str, list[Path]] = {}
    with manifest.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if row["split"] == split and float(row["seconds"]) >= 3:
                found.setdefault(row["speaker"], []).append(manifest.parent / row["path"])
    return {name: files for name, files in found.items() if len(files) >= 3}


def mixture(speakers: dict[str, list[Path]], talkers: int, number: int, rng: np.random.Generator):
    """All speak from beginning to end, within 2.5 dB of each other."""
    names = [str(name) for name in rng.choice(sorted(speakers), talkers, replace=False)]
    used = {name: [speakers[name][rng.integers(len(speakers[name]))]] for name in names}
    voices = [read(used[name][0]) for name in names]
    length = min(round(LONGEST * SAMPLE_RATE), *map(len, voices))
    gains = 10 ** (rng.uniform(-2.5, 2.5, talkers) / 20)
    references = np.stack([0.05 * g * v[:length] / v[:length].std() for g, v in zip(gains, voices, strict=True)])
    return references.sum(0), references, names, used


def turns(speakers: dict[str, list[Path]], talkers: int, number: int, rng: np.random.Generator):
    """A meeting, with the second half of everybody's utterances."""
    second = {name: files[len(files) // 2 :] for name, files in speakers.items()}
    made = meeting(second, talkers, number, 30.0, 2)
    return made.mixture[0], made.references, made.names, {name: second[name] for name in made.names}


def judge(
    separator: Separator,
    speakers: dict[str, list[Path]],
    names: list[str],
    used: dict[str, list[Path]],
    sound: np.ndarray,
    references: np.ndarray,
    rng: np.random.Generator,
    found: Found,
) -> None:
    """Ask for everybody and for one who is not there."""
    stranger = str(rng.choice([name for name in sorted(speakers) if name not in names]))
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        write(place / "mixture.wav", sound[None])
        for name in (*names, stranger):
            others = [file for file in speakers[name] if file not in used.get(name, [])]
            said = np.concatenate([read(file) for file in rng.permutation(others)])  # type: ignore[arg-type]
            write(place / f"{name}.wav", said[None, : round(ENROLLED * SAMPLE_RATE)])
        options = Options(enroll={name: str(place / f"{name}.wav") for name in (*names, stranger)})
        scene = Scene(probe(place / "mixture.wav"), [], separator.models, options, folder=place)
        check_targets(scene, separator.models.separation(default_models(None)[0]).contract)
        tracks = BySound()(scene)
        chosen = choose_targets(scene, tracks)
        reader = TrackReader(tracks.sources, tracks.gains)
        separated = reader.read(0, len(tracks.sources))[:, 0]
    assert chosen.choice is not None
    *targets, last = chosen.choice.targets
    scores = si_sdr(separated[:, None], references[None]) - si_sdr(sound, references)
    found.strangers.append(last.found is not None)
    found.strange.append(best(last.similarity))
    for target, score in zip(targets, scores.T, strict=True):
        right = int(score.argmax())
        if score[right] < GAIN_DB:
            found.left_out += 1
            continue
        alike = np.array([-1.0 if value is None else value for value in target.similarity])
        found.alone.append(int(alike.argmax()) == right)
        found.together.append("none" if target.found is None else "right" if target.found == right else "wrong")
        found.own.append(alike[right])
        found.others.append(best(np.delete(alike, right)))


def best(values) -> float:
    return max((value for value in values if value is not None), default=-1.0)


def tell(kind: str, found: Found) -> None:
    count = max(1, len(found.alone))
    shares = ", ".join(f"{what} {found.together.count(what)}" for what in ("right", "wrong", "none"))
    alike = sum(value >= SAME_VOICE for value in found.strange)
    print(
        f"{kind}: {len(found.alone)} talkers ({found.left_out} left out). Alone: {sum(found.alone)} right "
        f"({sum(found.alone) / count:.2f}). Together: {shares}. Strangers given a track: {sum(found.strangers)} of "
        f"{len(found.strangers)}, alone {alike}"
    )
    for name, values in (("right", found.own), ("next", found.others), ("strangers", found.strange)):
        if values:
            quantiles = np.quantile(values, [0, 0.05, 0.25, 0.5, 0.75, 0.95, 1]).round(2).tolist()
            print(f"    similarity, {name}: {quantiles} (0, 5, 25, 50, 75, 95, 100 %)", flush=True)


if __name__ == "__main__":
    main()
