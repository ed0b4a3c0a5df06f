"""What makes `avsep separate` fail? Two talkers side by side, made harder in one way at a time.

    python tests/benchmarks/robustness.py CLIPS PAIRS.tsv --speech SPEECH [--only babble] [--threads 2]

CLIPS is a folder of clips of one talker each; PAIRS.tsv has the columns name, left, right (clips, from CLIPS),
left_start, right_start, seconds and snr_db (left over right). SPEECH is a manifest.tsv (path, split) whose dev
recordings make the babble. Prints a table: SI-SDRi against the voice of the own face (in a room: against its
reverberant image), the share of tracks that are nearer to the own voice than to any other, the share of faces found.
The picture is 1280 x 720; each face is scaled to the height asked for, 160 pixels where nothing is said.
"""

from __future__ import annotations

import argparse
import csv
import functools
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import av
import cv2
import numpy as np
import soundfile as sf
from bench import machine
from scipy.signal import fftconvolve

from avsep.data.sound import read_sound
from avsep.evaluation.metrics import si_sdr
from avsep.media.codec import coded
from avsep.pipeline import DEFAULT_MODEL, Options, Separator
from avsep.signals import FRAME_RATE, HOP, SAMPLE_RATE

WIDTH, HEIGHT = 1280, 720
USUAL_FACE, TALLEST_FACE = 160.0, 200.0
"""Pixels from the top of a face's box to its bottom: where a row says nothing, and in any row."""


@dataclass(frozen=True, eq=False)
class Talker:
    """One face of a scene. pictures: (frames, height, width, 3). voice: (time,) at SAMPLE_RATE. box: of the face."""

    pictures: np.ndarray
    voice: np.ndarray
    box: Sequence[float]


@dataclass(frozen=True, eq=False)
class Scene:
    """What is filmed. place: (face height in pixels, degrees in the picture's plane, width to height). hidden: pictures
    in which a grey square covers the mouths. offset: pictures by which the sound is late. rest: more sound (time,)."""

    talkers: list[Talker]
    face: float = USUAL_FACE
    tilt: float = 0.0
    squeeze: float = 1.0
    hidden: range = field(default_factory=lambda: range(0))
    offset: int = 0
    rest: np.ndarray | float = 0.0


Change = Callable[[Scene, np.random.Generator], Scene]


def conditions(babble: Callable[[int, np.random.Generator], np.ndarray], third: Talker) -> dict[str, Change]:
    """What is done to a scene, by the name of the row."""
    rows: dict[str, Change] = {"as it is": lambda scene, rng: scene}
    for frames in (-3, -2, -1, 1, 2, 3):
        rows[f"sound {frames:+d} pictures late"] = functools.partial(shift, frames=frames)
    for face in (round(TALLEST_FACE), 100, 60, 40):
        rows[f"face {face} px"] = functools.partial(lambda scene, rng, face: replace(scene, face=face), face=face)
    rows["heads tilted by 25 degrees"] = lambda scene, rng: replace(scene, tilt=25.0)
    rows["faces squeezed to 0.7 of their width, as when turned"] = lambda scene, rng: replace(scene, squeeze=0.7)
    for level in (10, 5, 0):
        rows[f"babble, {level} dB"] = functools.partial(add_babble, level=level, babble=babble)
    for t60 in (0.3, 0.6):
        rows[f"room, T60 {t60} s"] = functools.partial(reverberate, t60=t60)
    for name in ("aac", "mp3", "opus"):
        rows[f"each voice through {name}, 32 kb/s"] = functools.partial(encode, name=name)
    rows["lips hidden for 1 s"] = hide
    rows["three faces, all speak"] = functools.partial(add_third, third=third)
    rows["left face still and silent (SI-SDR of the other)"] = functools.partial(silence, still=True)
    rows["left voice muted, the lips move on (SI-SDR of the other)"] = functools.partial(silence, still=False)
    return rows


def shift(scene: Scene, rng: np.random.Generator, frames: int) -> Scene:
    return replace(scene, offset=frames)


def add_babble(scene: Scene, rng: np.random.Generator, level: float, babble: Callable) -> Scene:
    voices = sum(talker.voice for talker in scene.talkers)
    noise = babble(len(voices), rng)
    return replace(scene, rest=noise * np.sqrt(np.mean(voices**2) / np.mean(noise**2)) * 10 ** (-level / 20))


def reverberate(scene: Scene, rng: np.random.Generator, t60: float) -> Scene:
    """Each voice through a response of its own: a direct sound and decaying noise of the same energy."""
    talkers = []
    for talker in scene.talkers:
        taps = round(t60 * SAMPLE_RATE)
        response = rng.standard_normal(taps) * 10 ** (-3 * np.arange(taps) / taps)
        response /= np.sqrt(np.sum(response**2))
        response[0] = 1.0
        talkers.append(replace(talker, voice=fftconvolve(talker.voice, response)[: len(talker.voice)]))
    return replace(scene, talkers=talkers)


def encode(scene: Scene, rng: np.random.Generator, name: str) -> Scene:
    """The voices are then those that are decoded."""
    return replace(
        scene,
        talkers=[replace(t, voice=coded(t.voice[None], SAMPLE_RATE, name, 32_000)[0]) for t in scene.talkers],
    )


def hide(scene: Scene, rng: np.random.Generator) -> Scene:
    middle = len(scene.talkers[0].pictures) // 2
    return replace(scene, hidden=range(middle - FRAME_RATE // 2, middle - FRAME_RATE // 2 + FRAME_RATE))


def add_third(scene: Scene, rng: np.random.Generator, third: Talker) -> Scene:
    frames = min(len(third.pictures), len(scene.talkers[0].pictures))
    talkers = [
        Talker(t.pictures[:frames], t.voice[: frames * HOP], t.box) for t in [*scene.talkers, loudness(third, -26.0)]
    ]
    return replace(scene, talkers=talkers)


def silence(scene: Scene, rng: np.random.Generator, still: bool) -> Scene:
    left, right = scene.talkers
    pictures = np.broadcast_to(left.pictures[:1], left.pictures.shape) if still else left.pictures
    return replace(scene, talkers=[replace(left, voice=np.zeros_like(left.voice), pictures=pictures), right])


def loudness(talker: Talker, level: float) -> Talker:
    power = np.mean(talker.voice**2) + 1e-12
    return replace(talker, voice=talker.voice * 10 ** (level / 20) / np.sqrt(power))


def read_talker(path: Path, start: float, seconds: float, separator: Separator) -> Talker:
    """A stretch of a clip: pictures at FRAME_RATE, each the newest at its time, and the sound on their clock."""
    people = separator.faces(path, options=Options(start=start, end=start + seconds))["people"]
    if not people:
        raise SystemExit(f"robustness: {path}: no face found from {start} s on. Take another stretch of it")
    box = np.array(max((person["box"] for person in people), key=lambda b: b[3] - b[1]))
    # All scenes are held in memory: no larger than they are shown.
    scale = min(1.0, TALLEST_FACE / (box[3] - box[1]))
    origin, times, pictures = None, [], []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            origin = frame.time if origin is None else origin
            if frame.time - origin <= start:
                times.clear(), pictures.clear()
            elif frame.time - origin > start + seconds:
                break
            times.append(frame.time - origin - start)
            picture = frame.to_ndarray(format="rgb24")
            pictures.append(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
    wanted = np.arange(round(seconds * FRAME_RATE)) / FRAME_RATE
    newest = (np.searchsorted(times, wanted + 1e-6, side="right") - 1).clip(0)
    with av.open(str(path)) as container:
        resampler = av.AudioResampler("flt", "mono", SAMPLE_RATE)
        first, blocks = None, []
        for frame in container.decode(audio=0):
            first = frame.time if first is None else first
            frame.pts = None
            blocks += [piece.to_ndarray().reshape(-1) for piece in resampler.resample(frame)]
    sound = np.concatenate(blocks)
    begin = round((start + origin - (first or 0.0)) * SAMPLE_RATE)
    sound = np.pad(sound, (max(0, -begin), max(0, begin + len(wanted) * HOP)))[max(0, begin) :][: len(wanted) * HOP]
    return Talker(np.stack([pictures[i] for i in newest]), sound.astype(np.float64), box * scale)


def film(scene: Scene, path: Path) -> list[np.ndarray]:
    """Write a scene; the voices (time,) as they are heard in it."""
    width = WIDTH // len(scene.talkers)
    views = [view(talker, scene, width) for talker in scene.talkers]
    late, length = scene.offset * HOP, len(scene.talkers[0].voice)
    moved = [np.pad(t.voice, (max(0, late), max(0, -late)))[max(0, -late) :][:length] for t in scene.talkers]
    mixture = sum(moved) + scene.rest
    gain = 0.9 / np.abs(mixture).max()
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=FRAME_RATE, options={"crf": "18", "preset": "veryfast"})
        video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        audio = container.add_stream("pcm_s16le", rate=SAMPLE_RATE, layout="mono")
        for number in range(len(scene.talkers[0].pictures)):
            picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
            for cell, (talker, matrix) in enumerate(zip(scene.talkers, views, strict=True)):
                shown = cv2.warpAffine(talker.pictures[number], matrix, (width, HEIGHT), flags=cv2.INTER_AREA)
                if number in scene.hidden:
                    side = round(0.5 * scene.face)
                    y, x = HEIGHT // 2 + side // 6, width // 2 - side // 2
                    shown[y : y + side, x : x + side] = 128
                picture[:, cell * width : (cell + 1) * width] = shown
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode())
        samples = np.round(mixture * gain * 32767).astype(np.int16)
        for begin in range(0, len(samples), SAMPLE_RATE):
            block = av.AudioFrame.from_ndarray(samples[None, begin : begin + SAMPLE_RATE], format="s16", layout="mono")
            block.sample_rate, block.pts = SAMPLE_RATE, begin
            container.mux(audio.encode(block))
        container.mux(audio.encode())
    return [voice * gain for voice in moved]


def view(talker: Talker, scene: Scene, width: int) -> np.ndarray:
    """The affine map (2, 3) that brings a face to the middle of its cell, in the size and the pose asked for."""
    x1, y1, x2, y2 = talker.box
    scale, turn = scene.face / (y2 - y1), np.radians(scene.tilt)
    linear = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    linear = np.diag([scene.squeeze, 1.0]) @ linear
    middle = np.array([width / 2, HEIGHT / 2]) - linear @ np.array([(x1 + x2) / 2, (y1 + y2) / 2])
    return np.concatenate([linear, middle[:, None]], axis=1)


def score(voices: list[np.ndarray], manifest: dict, folder: Path) -> tuple[list[float], list[bool], list[float]]:
    """SI-SDRi of each voice that is heard, whether its track is the own voice, level of silent faces' tracks in dB
    below the mixture."""
    length, width = len(voices[0]), WIDTH / len(voices)
    mixture = sum(sf.read(folder / s["audio"])[0] for s in manifest["speakers"])[:length]
    mixture = mixture + sf.read(folder / manifest["residual"])[0][:length]
    tracks: dict[int, np.ndarray] = {}
    for speaker in manifest["speakers"]:
        if speaker["box"]:
            cell = int((speaker["box"][0] + speaker["box"][2]) / 2 // width)
            tracks[cell] = tracks.get(cell, 0) + sf.read(folder / speaker["audio"])[0][:length]
    gains, own, below = [], [], []
    for cell, voice in enumerate(voices):
        if not voice.any():
            if cell in tracks:
                below.append(10 * np.log10((np.mean(tracks[cell] ** 2) + 1e-12) / np.mean(mixture**2)))
            continue
        track = tracks.get(cell)
        # A face that is not found leaves the mixture as it is.
        heard = [si_sdr(track if track is not None else mixture, v).item() for v in voices if v.any()]
        mine = [v is voice for v in voices if v.any()].index(True)
        # A voice that is alone in the sound can only be lost: there is nothing to gain over the mixture.
        gains.append(heard[mine] - (si_sdr(mixture, voice).item() if len(heard) > 1 else 0.0))
        own.append(track is not None and heard[mine] == max(heard))
    return gains, own, below


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path)
    parser.add_argument("pairs", type=Path)
    parser.add_argument("--speech", type=Path, required=True, help="manifest.tsv of recordings with a split dev")
    parser.add_argument("--only", nargs="+", metavar="ROW", help="rows whose names begin like this")
    parser.add_argument("--model", help="as of avsep separate")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()

    separator = Separator(args.model, threads=args.threads)
    with args.speech.open(newline="", encoding="utf-8") as file:
        dev = [args.speech.parent / r["path"] for r in csv.DictReader(file, delimiter="\t") if r["split"] == "dev"]
    with args.pairs.open(newline="", encoding="utf-8") as file:
        pairs = list(csv.DictReader(file, delimiter="\t"))
    scenes = []
    for row in pairs:
        seconds, snr = float(row["seconds"]), float(row["snr_db"])
        sides = [(args.clips / row[side], float(row[f"{side}_start"])) for side in ("left", "right")]
        talkers = [read_talker(path, start, seconds, separator) for path, start in sides]
        scenes.append(Scene([loudness(t, -26 + s * snr / 2) for t, s in zip(talkers, (1, -1), strict=True)]))

    def babble(length: int, rng: np.random.Generator) -> np.ndarray:
        chosen = [dev[i] for i in rng.choice(len(dev), 24, replace=False)]
        total = np.zeros(length)
        for start, file in enumerate(chosen):
            voice = np.resize(np.trim_zeros(read_sound(file, 0.0, 4 * SAMPLE_RATE)), length)
            total += np.roll(voice, start * SAMPLE_RATE) / (np.sqrt(np.mean(voice**2)) + 1e-9)
        return total

    print(machine())
    print(f"{len(scenes)} scenes of two faces, {args.model or DEFAULT_MODEL}")
    print("| | SI-SDRi mean | median | own voice | faces found | silent face's track |\n|---|---|---|---|---|---|")
    thirds = [scene.talkers[0] for scene in scenes]
    with tempfile.TemporaryDirectory() as folder:
        for name in conditions(babble, thirds[0]):
            if args.only and not any(name.startswith(begin) for begin in args.only):
                continue
            gains, own, below, found, faces = [], [], [], 0, 0
            for number, scene in enumerate(scenes):
                rng = np.random.default_rng(number)
                # The third face is one that is in neither of the two.
                third = next(t for k, t in enumerate(thirds) if differs(pairs, k, number))
                changed = conditions(babble, third)[name](scene, rng)
                clip = Path(folder, "scene.mov")
                voices = film(changed, clip)
                manifest = separator.separate(clip, folder, Options(video=False, overwrite=True))
                scores = score(voices, manifest, Path(folder, "scene"))
                gains, own, below = gains + scores[0], own + scores[1], below + scores[2]
                faces += len(voices)
                found += min(len(voices), sum(1 for speaker in manifest["speakers"] if speaker["box"]))
            quiet = f"{max(below):.0f} dB at most" if below else ""
            print(
                f"| {name} | {np.mean(gains):.1f} dB | {np.median(gains):.1f} dB | {np.mean(own):.2f} |"
                f" {found / faces:.2f} | {quiet} |",
                flush=True,
            )


def differs(pairs: list[dict[str, str]], one: int, other: int) -> bool:
    """Whether the left talker of pair `one` is in neither half of pair `other`."""
    return pairs[one]["left"] not in (pairs[other]["left"], pairs[other]["right"])


if __name__ == "__main__":
    main()
