"""How often is a talker whose mouth cannot be seen taken for silent, and a silent listener given a voice?

    python tests/benchmarks/score_hidden.py CLIPS PAIRS.tsv CACHE [--pairs p01 p02] [--only "microphone 1"]

CLIPS and PAIRS.tsv are those of robustness.py. The scenes are those of compose_hidden.py, without a video file between:
each face is shown to the detector at the size it has in the video, and each mixture is separated once, however many
faces go with it. Faces and voices are kept in CACHE, so that another run is a matter of seconds.

Prints a table of the variants, and both errors over a bias that is added to everybody's evidence, and over the log odds
of a face whose mouth is hidden. A talker is taken for silent where his track lies 15 dB below his voice. A listener is
given a voice where his track is less than 20 dB below the mixture.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from compose_hidden import VARIANTS, Faced, Stage
from robustness import HEIGHT, WIDTH, Scene, view

import avsep.modes.base as modes
from avsep.evaluation.metrics import si_sdr
from avsep.faces.find import find_faces
from avsep.matching.lips import HIDDEN, LipMatcher, odds_of_visible
from avsep.matching.synchrony import Scores, embed_lips
from avsep.matching.visible import mouths_visible
from avsep.media.probe import AudioInfo, ClipInfo
from avsep.modes.lips_match import share_out
from avsep.modes.people import SYNCHRONY_MODEL, VISIBILITY_MODEL
from avsep.modes.voices import Voices, separate_with_fitting_model
from avsep.output.tracks import TrackReader
from avsep.signals import LIP_SIZE, SAMPLE_RATE, FaceTrack, LipClip, Person, Tracks, VideoFrames
from avsep.storage.recording import Estimates, Recording
from avsep.storage.spool import Spool
from avsep.timing import Stopwatch

SILENT, VOICE = -15.0, -20.0
"""dB below the own voice at which a talker is taken for silent; dB below the mixture above which a listener is given a
voice."""
SHOWN = 200
"""Pixels from the middle of a face to the edge of what the detector is shown."""
CURVES = {"bias": (-4.0, -2.0, -1.0, 0.0, 1.0, 2.0, 4.0), "hidden": (-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 3.0)}
"""Log odds added to everybody's evidence; log odds of a face whose mouth is hidden (`avsep.matching.lips.HIDDEN`)."""


def read_tracks(file: Path, make: Callable[[], list[FaceTrack]]) -> list[FaceTrack]:
    """Face tracks from the cache, made and kept where they are not there."""
    if not file.exists():
        kept = {}
        for number, track in enumerate(make()):
            values = {"first": track.first, "boxes": track.boxes, "landmarks": track.landmarks, "best": track.best}
            values |= {"confidence": track.confidence, "quality": track.lips.quality}
            values["crops"] = track.lips.crops.read(0, len(track))
            kept |= {f"{number}/{key}": value for key, value in values.items()}
        np.savez(file, **kept)
    found, tracks = np.load(file), []
    for number in range(len({key.split("/")[0] for key in found})):
        own = {key.split("/")[1]: found[key] for key in found if key.startswith(f"{number}/")}
        first, crops = int(own["first"]), Spool(None, (LIP_SIZE, LIP_SIZE), np.uint8)
        crops.append(own["crops"])
        lips, none = LipClip(crops, own["quality"], first), np.zeros((0, 160, 160, 3), np.uint8)
        shape = own["boxes"], own["landmarks"], own["confidence"], none, int(own["best"])
        tracks.append(FaceTrack(first, *shape, lips))
    return tracks


def follow(faced: Faced, face: float) -> list[FaceTrack]:
    """The tracks of one face at a size in pixels, the longest first, none beside another."""
    scene = Scene([faced.talker], face=face)
    matrix = view(faced.talker, scene, WIDTH // 2)
    matrix[:, 2] += SHOWN - np.array([WIDTH / 4, HEIGHT / 2])
    luma, previews = [], []
    for picture in faced.talker.pictures:
        shown = cv2.warpAffine(picture, matrix, (2 * SHOWN, 2 * SHOWN), flags=cv2.INTER_AREA)
        shown = cv2.imdecode(cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, 90])[1], cv2.IMREAD_COLOR)
        luma.append(cv2.cvtColor(shown, cv2.COLOR_RGB2GRAY))
        # As of a picture of 1280 pixels.
        previews.append(cv2.resize(shown, (SHOWN, SHOWN), interpolation=cv2.INTER_AREA))
    found = find_faces([VideoFrames(np.stack(luma), np.stack(previews), 0)], device="cpu", folder=None).tracks
    kept: list[FaceTrack] = []
    for track in sorted(found, key=len, reverse=True):
        if all(track.first >= k.first + len(k) or k.first >= track.first + len(track) for k in kept):
            kept.append(track)
    return sorted(kept, key=lambda track: track.first)


def read_voices(file: Path, stage: Stage, mixture: Callable[[], np.ndarray]) -> Voices:
    """What `avsep separate` separates of a mixture (time,) with two faces, from the cache or made and kept."""
    if not file.exists():
        samples = mixture().astype(np.float32)
        sound = Recording.of(samples, SAMPLE_RATE)
        clip = ClipInfo(Path("mixture"), AudioInfo(0, SAMPLE_RATE, 1, "pcm"), None, 0.0, len(samples) / SAMPLE_RATE)
        scene = modes.Scene(clip, [], stage.separator.models, sound=sound)
        voices = separate_with_fitting_model(scene, None, most=2)
        sources = voices.sources.mono(0, len(voices.sources))
        np.savez(
            file, model=voices.model, sources=sources, speech=voices.speech, level=voices.level, active=voices.active
        )
    found = np.load(file)
    sources = Estimates.of(found["sources"], SAMPLE_RATE)
    return Voices(str(found["model"]), sources, found["speech"], found["level"], found["active"])


class Measured:
    """One scene with its evidence. sides: the references (time,) by side, of a listener none."""

    def __init__(self, stage: Stage, cache: Path, pair: str, variant: str) -> None:
        how = VARIANTS[variant]
        self.pair, self.variant, self.side = pair, variant, stage.side(pair, variant)
        self.talks = how.talks
        sides = ("left", "right")
        references = cache / f"{pair}_references.npz"
        if not references.exists():
            voices = {side: stage.faced(pair, side).talker.voice for side in sides}
            np.savez(references, rest=stage.beyond(pair), **voices)
        kept = np.load(references)
        heard = [side for side in sides if how.talks or side != self.side]
        self.voices = {side: kept[side] for side in heard}
        self.mixture = sum(self.voices.values()) + (kept["rest"] if how.beyond else 0.0)
        self.gain = 0.9 / np.abs(self.mixture).max()
        sound = "_".join([pair, *heard, *(["rest"] if how.beyond else [])])
        self.separated = read_voices(cache / f"{sound}.npz", stage, lambda: self.mixture * self.gain)
        self.people = []
        for side in sides:
            what = variant if side == self.side else "plain"
            file = cache / f"{pair}_{side}_{what.replace(', ', '_').replace(' ', '_')}_{how.face:.0f}.npz"
            make = stage.changed if side == self.side else lambda name, _, side=side: stage.faced(name, side)
            self.people.append(Person(tuple(read_tracks(file, lambda m=make: follow(m(pair, variant), how.face)))))

    def score(self, tracks: Tracks) -> dict[str, tuple[float, bool, bool]]:
        """By side: of a talker SI-SDRi, whether he is taken for silent, whether the track is his own voice; of a
        listener his level in dB below the mixture, whether he is given a voice, True."""
        sound = TrackReader(tracks.sources, tracks.gains).read(0, len(tracks.sources))[:, 0] / self.gain
        found = {}
        for track, side in zip(sound[:2], ("left", "right"), strict=True):
            if side not in self.voices:
                level = 10 * np.log10((np.mean(track**2) + 1e-12) / np.mean(self.mixture**2))
                found[side] = float(level), bool(level > VOICE), True
                continue
            own = self.voices[side]
            level = 10 * np.log10((np.mean(track**2) + 1e-12) / np.mean(own**2))
            likeness = {other: si_sdr(track, voice).item() for other, voice in self.voices.items()}
            # A voice that is alone in the sound can only be lost: there is nothing to gain over the mixture.
            before = si_sdr(self.mixture, own).item() if len(self.voices) > 1 else likeness[side]
            silent = bool(level < SILENT)
            # A track that is silent leaves the mixture as it is.
            gained = 0.0 if silent else likeness[side] - before
            found[side] = gained, silent, not silent and likeness[side] == max(likeness.values())
        return found


class Matcher(LipMatcher):
    """As in use, the embeddings of lips kept in the cache."""

    def __init__(self, stage: Stage, cache: Path, scene: Measured) -> None:
        self.synchrony = stage.separator.models.synchrony(SYNCHRONY_MODEL)
        self.people, self.device, self.av_offset, self.watch = scene.people, "cpu", None, Stopwatch()
        self._lips, tracks = {}, [track for person in scene.people for track in person.tracks]
        visible = mouths_visible(stage.separator.models.visibility(VISIBILITY_MODEL), tracks, "cpu")
        self._visible = {id(track): seen for track, seen in zip(tracks, visible, strict=True)}
        for track in tracks:
            crops = track.lips.crops.read(0, len(track))
            file = cache / f"lips_{hashlib.sha256(crops.tobytes()).hexdigest()[:16]}.npy"
            if not file.exists():
                np.save(file, embed_lips(self.synchrony, [track], "cpu")[0])
            self._lips[id(track)] = np.load(file)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path)
    parser.add_argument("pairs_file", metavar="PAIRS.tsv", type=Path)
    parser.add_argument("cache", type=Path)
    parser.add_argument("--pairs", nargs="+", help="names of pairs; all of the file by default")
    parser.add_argument("--only", nargs="+", choices=VARIANTS, default=list(VARIANTS), help="variants")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.cache.mkdir(parents=True, exist_ok=True)
    stage = Stage(args.clips, args.pairs_file)
    rows: dict[str, list[dict]] = {}
    sides: dict[str, list[str]] = {}
    for pair in stage.names(args.pairs):
        for variant in args.only:
            scene = Measured(stage, args.cache, pair, variant)
            match = Matcher(stage, args.cache, scene)
            scores = match(scene.separated.sources, scene.separated.active)
            over = {}
            for name, values in CURVES.items():
                for value in values:
                    odds = functools.partial(odds_with, match, **{name: value})
                    over[name, value] = scene.score(share_out(scene.people, scene.separated, scores, odds))
            over["as it is"] = scene.score(share_out(scene.people, scene.separated, scores, match.odds))
            rows.setdefault(variant, []).append(over)
            sides.setdefault(variant, []).append(scene.side)
            print(f"<!-- {pair} {variant}: {scene.side} {over['as it is']} -->", flush=True)

    print(f"{len(stage.names(args.pairs))} pairs. Of the face that is changed, and of the other one:\n")
    print("| | SI-SDRi | taken for silent | own voice | given a voice | other: SI-SDRi | silent | own voice |")
    print("|---|---|---|---|---|---|---|---|")
    for variant, scenes in rows.items():
        mine = np.array([over["as it is"][side] for over, side in zip(scenes, sides[variant], strict=True)], float)
        rest = [
            over["as it is"][{"left": "right", "right": "left"}[s]]
            for over, s in zip(scenes, sides[variant], strict=True)
        ]
        other = np.array(rest, float).mean(axis=0)
        gained, error, own = mine.mean(axis=0)
        first = f"{gained:.1f} dB | {error:.2f} | {own:.2f} | " if VARIANTS[variant].talks else f"| | | {error:.2f}"
        print(f"| {variant} | {first} | {other[0]:.1f} dB | {other[1]:.2f} | {other[2]:.2f} |")
    for name, values in CURVES.items():
        print(
            f"\n| {name} | mouth hidden: taken for silent | all talkers: taken for silent | listeners: given a voice |"
        )
        print("|---|---|---|---|")
        for value in values:
            print(f"| {value:+.1f} | {' | '.join(errors(rows, sides, (name, value)))} |")


def odds_with(match: LipMatcher, scores: Scores, bias: float = 0.0, hidden: float = HIDDEN) -> np.ndarray:
    """As `LipMatcher.odds`, with a bias for everybody whose face is there, or other odds of hidden mouths."""
    slope, zero = match.synchrony.slope.item(), match.synchrony.bias.item()
    odds = slope * scores.correlation + zero + scores.moving[:, :, None]
    return odds_of_visible(odds, scores.visible, hidden) + bias


def errors(rows: dict, sides: dict, key: tuple[str, float]) -> list[str]:
    """Shares of talkers with a hidden mouth and of all talkers that are taken for silent, of listeners that are given
    a voice."""
    hidden, talkers, listeners = [], [], []
    for variant, scenes in rows.items():
        how = VARIANTS[variant]
        for over, side in zip(scenes, sides[variant], strict=True):
            if not how.talks and not how.unjudged:
                listeners.append(over[key][side][1])
            talkers += [value[1] for s, value in over[key].items() if how.talks or s != side]
            if variant.startswith(("microphone", "hand", "small, microphone")):
                hidden.append(over[key][side][1])
    return [f"{np.mean(x):.3f}" if x else "" for x in (hidden, talkers, listeners)]


if __name__ == "__main__":
    main()
