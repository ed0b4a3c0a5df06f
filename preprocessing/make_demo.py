"""Make the bundled demo clip from scratch: python -m preprocessing.make_demo OUT_FOLDER

Two portraits side by side talk at the same time. Writes demo.mp4, the voices left.flac and right.flac, whose sum is
the sound of the clip before coding, and SOURCES.txt. Needs the optional packages of avsep[portraits] and flite.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from avsep.errors import AvsepError
from avsep.safe_text import safe_line
from avsep.signals import SAMPLE_RATE
from preprocessing.jobs import add_seed
from preprocessing.portraits.motion import animate
from preprocessing.portraits.outline import find_landmarks
from preprocessing.portraits.puppet import Puppet, frame_portrait
from preprocessing.portraits.stock import read_picture, speak, stock_picture
from preprocessing.portraits.style import Style
from preprocessing.portraits.video import resample, write_mp4

SECONDS = 8.6
PANEL = (640, 720)
LEVEL = 0.1
"""Root mean square of each voice while it speaks."""


@dataclass(frozen=True)
class Part:
    """One of the two people: picture, voice, text, and when it starts to speak (seconds)."""

    name: str
    picture: str
    voice: str
    text: str
    start: float
    style: Style
    face: float


PARTS = (
    Part(
        "left",
        "hopper",
        "rms",
        "The library opens at nine in the morning, and closes late on Friday. "
        "Please bring your card, and return every book.",
        0.1,
        Style(gain=0.95, quality=24),
        270,
    ),
    Part(
        "right",
        "astronaut",
        "slt",
        "A good recording begins in a quiet room. Put the microphone close, and leave a short pause between sentences.",
        2.15,
        Style(gain=0.9, rounding=0.8, quality=24),
        265,
    ),
)

SOURCES = """\
The demo clip: where it comes from
==================================

Made by preprocessing/make_demo.py. Mouths, eyes and heads are moved by a program and the voices are synthetic: neither
of the two people shown ever said these words, and they do not endorse this software.

Pictures
  left   Rear Admiral Grace M. Hopper, official portrait of the United States Navy: work of the U.S. federal government,
         in the public domain; https://commons.wikimedia.org/wiki/File:Grace_Hopper.jpg
         Taken from the package matplotlib (mpl-data/sample_data/grace_hopper.jpg), whose comment names that page.
  right  Eileen Collins, astronaut, portrait by NASA; scikit-image (skimage.data.astronaut) states: "No known copyright
         restrictions, released into the public domain"; https://flic.kr/p/r9qvLn
         Taken from the package scikit-image (data/astronaut.png).

Voices
  flite, the speech synthesiser of Carnegie Mellon University (free software under a permissive licence), as packaged
  by Debian, http://cmuflite.org; voice "rms" (left) and "slt" (right), built from the CMU ARCTIC recordings, free for
  any use. The texts were written for this clip.

Files
  demo.mp4    1280x720, 25 pictures per second, H.264; mixture of both voices, AAC
  left.flac   voice of the left face, 16 kHz; left + right is the mixture before coding
  right.flac  voice of the right face, 16 kHz
"""


def place_voice(part: Part) -> np.ndarray:
    """The part's voice on the clip's time line: (time,) float32 at SAMPLE_RATE, silent before and after."""
    speech, rate = speak(part.text, part.voice)
    speech = resample(speech, rate, SAMPLE_RATE)
    loud = np.abs(speech) > 0.02 * np.abs(speech).max()
    speech = speech * (LEVEL / np.sqrt(np.mean(speech[loud] ** 2)))
    track = np.zeros(round(SECONDS * SAMPLE_RATE), dtype=np.float32)
    start = round(part.start * SAMPLE_RATE)
    speech = speech[: len(track) - start]
    track[start : start + len(speech)] = speech
    return track


def make_demo(folder: Path, seed: int = 1) -> None:
    """Write the demo's files into a folder; the same seed gives the same pictures and voices. Raises AvsepError."""
    puppets = []
    for part in PARTS:
        picture = read_picture(stock_picture(part.picture))
        framed, landmarks = frame_portrait(picture, find_landmarks(picture, part.picture), PANEL, part.face)
        puppets.append(Puppet(framed, landmarks))
    voices = [place_voice(part) for part in PARTS]
    # What is stored is what is summed: the references are rounded to 16 bit before they are mixed.
    voices = [np.round(voice * 32767).astype(np.float32) / 32768 for voice in voices]
    rngs = [np.random.default_rng([seed, number]) for number in range(len(PARTS))]
    motions = [animate(v, part.style, rng) for v, part, rng in zip(voices, PARTS, rngs, strict=True)]
    films = [p.render(m, part.style, rng) for p, m, part, rng in zip(puppets, motions, PARTS, rngs, strict=True)]
    folder.mkdir(parents=True, exist_ok=True)
    pictures = (np.hstack(pair) for pair in zip(*films, strict=True))
    write_mp4(
        folder / "demo.mp4", pictures, np.sum(voices, axis=0), SAMPLE_RATE, PARTS[0].style.quality, preset="veryslow"
    )
    for part, voice in zip(PARTS, voices, strict=True):
        soundfile.write(folder / f"{part.name}.flac", voice, SAMPLE_RATE, subtype="PCM_16")
    (folder / "SOURCES.txt").write_text(SOURCES, encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m preprocessing.make_demo", description="Make the demo clip from scratch."
    )
    parser.add_argument("folder", type=Path, metavar="OUT_FOLDER", help="where demo.mp4, left.flac and right.flac go")
    add_seed(parser, "of blinks and head motion", 1)
    options = parser.parse_args(arguments)
    try:
        make_demo(options.folder, options.seed)
    except AvsepError as error:
        print(f"make_demo: {safe_line(str(error))}", file=sys.stderr)
        return error.exit_code
    print(options.folder / "demo.mp4")
    return 0


if __name__ == "__main__":
    sys.exit(main())
