"""Two talkers in simulated rooms with a microphone array: a fixed list of recordings with their references.

    python tests/benchmarks/compose_rooms.py SPEECH/manifest.tsv OUT [--count 50] [--microphones 4] [--first FIRST]
        [--dry DRY]

SPEECH/manifest.tsv has the columns path, speaker, split and seconds. Recording n is drawn from a fixed seed and n
alone: two speakers of the split dev, an utterance each, begun together and cut to the shorter one (4 to 8 s), the
second -2.5 to +2.5 dB against the first at microphone 0; a room with a T60 of 0.15 to 0.5 s; talkers 0.8 to 2 m from
the array and 20 degrees or more apart; an array that is linear where n is even (neighbours 3 to 8 cm apart) and
circular where it is odd (radius 3 to 10 cm); white noise of the microphones 30 dB below the talkers. Writes 16 kHz
float:

    OUT/NNN.wav             what the microphones record
    OUT/NNN/s1.wav, s2.wav  the early image (50 ms from the direct sound on) of each talker at microphone 0, mono
    OUT/NNN.json            positions in m of microphones and talkers, size and T60 of the room, shape of the array
    FIRST/NNN.wav, NNN/     microphone 0 alone with the same references: for models of one channel
    DRY/NNN/s1.wav, s2.wav  the talkers without any room: for `avsep evaluate --dry DRY`

    avsep separate OUT/*.wav -o SEPARATED --model auxiva
    avsep evaluate OUT SEPARATED
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import fftconvolve

from avsep.data.image_rooms import ImageRooms
from avsep.data.microphone_arrays import Shape
from avsep.data.sound_file import SoundReader
from avsep.signals import SAMPLE_RATE

SEED = 15
SHAPES: tuple[Shape, ...] = ("linear", "circular")
SHORTEST, LONGEST = 4.0, 8.0
"""Of a recording, in s."""
EARLY_SECONDS = 0.05
NOISE_DB = -30.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("speech", type=Path, metavar="MANIFEST", help="of preprocessing.speech_folder")
    parser.add_argument("out", type=Path, metavar="OUT")
    parser.add_argument("--count", type=int, default=50, help="recordings (default: 50)")
    parser.add_argument("--microphones", type=int, default=4, help="(default: 4)")
    parser.add_argument("--first", type=Path, metavar="FIRST", help="where the same goes with microphone 0 alone")
    parser.add_argument("--dry", type=Path, metavar="DRY", help="where the talkers go as they spoke")
    options = parser.parse_args()

    speakers = find_speech(options.speech)
    for number in range(options.count):
        compose(options.out, number, speakers, options.microphones, options.first, options.dry)


def find_speech(manifest: Path) -> dict[str, list[Path]]:
    """Speaker -> utterances of the split dev that are long enough."""
    found: dict[str, list[Path]] = {}
    with manifest.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            if row["split"] == "dev" and float(row["seconds"]) >= SHORTEST:
                found.setdefault(row["speaker"], []).append(manifest.parent / row["path"])
    return found


def compose(
    out: Path,
    number: int,
    speakers: dict[str, list[Path]],
    microphones: int,
    first: Path | None,
    dry: Path | None,
) -> None:
    """Write recording `number`."""
    rng = np.random.default_rng((SEED, number))
    names = rng.choice(sorted(speakers), 2, replace=False)
    files = [speakers[name][rng.integers(len(speakers[name]))] for name in names]
    voices = [read(file) for file in files]
    length = min(min(map(len, voices)), round(LONGEST * SAMPLE_RATE))
    gains = 1.0, 10 ** (rng.uniform(-2.5, 2.5) / 20)
    shape = SHAPES[number % len(SHAPES)]
    room = ImageRooms(
        arrays=(shape,),
        microphones=microphones,
        spacing=(0.03, 0.08),
        radius=(0.03, 0.1),
        t60=(0.15, 0.5),
        distance=(0.8, 2.0),
        order=60,
        decay_db=60.0,
        early_seconds=EARLY_SECONDS,
    )
    layout = room.layout(rng, 2)
    responses = room.responses(layout, rng, SAMPLE_RATE)
    mixture = np.zeros((microphones, length))
    references = []
    for place, (voice, gain) in enumerate(zip(voices, gains, strict=True)):
        image = fftconvolve(voice[None, :length], responses.taps[place], axes=1)[:, :length]
        early = fftconvolve(voice[:length], room.early(responses, place, SAMPLE_RATE)[0])[:length]
        scale = gain / np.sqrt(np.mean(image[0] ** 2))
        mixture += scale * image
        references.append(scale * early)
    mixture += 10 ** (NOISE_DB / 20) * np.sqrt(np.mean(mixture[0] ** 2)) * rng.standard_normal(mixture.shape)
    level = 0.9 / np.abs(mixture).max()

    name = f"{number:03d}"
    for folder, channels in ((out, mixture), (first, mixture[:1])):
        if folder is None:
            continue
        write(folder / f"{name}.wav", level * channels)
        for source, reference in enumerate(references, 1):
            write(folder / name / f"s{source}.wav", level * reference[None])
    for source, voice in enumerate(voices if dry else [], 1):
        write(dry / name / f"s{source}.wav", voice[None, :length])
    facts = {
        "shape": shape,
        "microphones": layout.array.round(4).tolist(),
        "talkers": layout.places.round(4).tolist(),
        "room": layout.size.round(3).tolist(),
        "t60": round(layout.t60, 3),
        "utterances": [file.name for file in files],
    }
    (out / f"{name}.json").write_text(json.dumps(facts) + "\n", encoding="utf-8")


def read(file: Path) -> np.ndarray:
    """(time,) at 16 kHz."""
    with SoundReader(file) as sound:
        if sound.sample_rate != SAMPLE_RATE:
            raise SystemExit(f"{file}: is at {sound.sample_rate} Hz, expected {SAMPLE_RATE}")
        return sound.read().mean(axis=1)


def write(file: Path, samples: np.ndarray) -> None:
    """(channels, time) as a file of floats."""
    file.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(file, samples.T.astype(np.float32), SAMPLE_RATE, subtype="FLOAT")


if __name__ == "__main__":
    main()
