"""How far measures without references can be trusted, on mixtures whose truth is known.

    python tests/benchmarks/no_reference.py SPEECH/manifest.tsv CACHE [--each 4] [--first 0]

SPEECH/manifest.tsv has the columns path, speaker, split and seconds. Two talkers as in count_voices.py, all of the time
for 8 s or taking turns for 20 s, clean or in rooms; --each of these four kinds, from number --first on. What is
separated is kept in CACHE.

Prints, in this order:
- swaps: of separations in which every track is 5 dB or more, and of the same with both tracks exchanged for 2 s while
  somebody speaks, how many are marked there, and how much is marked of those that nobody exchanged;
- marks of shared sound: of all 2 s in which both are to be heard, how many of those that are marked are below 5 dB
  SI-SDR, and how many of those below 3 dB are marked;
- the rank correlation of each measure with the SI-SDR of its track;
- DNSMOS of what is spoken by the talkers alone, separated, and in the mixture, the mean over mixtures without turns.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
from bench import machine
from compose_rooms import find_speech
from count_voices import MANNERS, PLACES, Kind, record
from scipy.stats import spearmanr

from avsep import Separator
from avsep.evaluation.metrics import si_sdr
from avsep.evaluation.no_reference.measure import Measures, measure
from avsep.evaluation.no_reference.mos import Mos, load_dnsmos
from avsep.pipeline import Options
from avsep.results.result import MANIFEST, Result, read_result
from avsep.signals import SAMPLE_RATE

RIGHT_DB = 5.0
"""SI-SDR of all tracks from which on a separation counts as one without swaps, and below which 2 s are bad."""
BAD_DB = 3.0
SWAP_SECONDS = 2.0
HEARD_DB = -17.0
"""Below the louder talker, a talker is not to be heard."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("speech", type=Path, metavar="MANIFEST", help="of the speech")
    parser.add_argument("cache", type=Path, metavar="CACHE", help="folder for mixtures and what is separated of them")
    parser.add_argument("--each", type=int, default=4, help="mixtures of each kind (default: 4)")
    parser.add_argument("--first", type=int, default=0, help="number of the first (default: 0)")
    args = parser.parse_args()

    print(machine())
    separator = Separator(device="cpu", threads=1)
    models, dnsmos = separator.models, load_dnsmos()
    figures: list[tuple[float, Measures]] = []
    windows: list[tuple[float, bool]] = []
    heard: list[tuple[Mos, Mos, Mos]] = []
    swaps: list[bool] = []
    alarms: list[float] = []
    for name, manner, mixture, talkers in mixtures(args):
        folder = separated(separator, args.cache, name, mixture)
        result = read_result(folder)
        tracks = np.stack([read(track.audio) for track in result.tracks])
        found = measure(result, models, dnsmos)
        own = talkers[si_sdr(tracks[:, None], talkers[None]).argmax(axis=1)]
        quality = si_sdr(tracks, own)
        figures += zip(quality.tolist(), found.values(), strict=True)
        windows += marks(tracks, own, list(found.values()))
        if manner == "overlapped":
            scored = [mean([dnsmos(x) for x in talkers]), mean([one.dnsmos for one in found.values()])]
            heard.append((*scored, mean([dnsmos(mixture)])))
        if quality.min() >= RIGHT_DB:
            alarms += [marked_seconds(one) / result.seconds for one in found.values()]
            start = somewhere(result)
            with tempfile.TemporaryDirectory() as place:
                exchanged = exchange(result, tracks, start, Path(place, "result"))
                swaps.append(any(is_marked(one, start) for one in measure(exchanged, models, None).values()))
        print(
            f"{name:22} SI-SDR {quality.min():5.1f} dB, marked {[len(one.doubtful) for one in found.values()]}",
            flush=True,
        )
    tell(figures, windows, heard, swaps, alarms)


def tell(
    figures: list[tuple[float, Measures]],
    windows: list[tuple[float, bool]],
    heard: list[tuple[Mos, Mos, Mos]],
    swaps: list[bool],
    alarms: list[float],
) -> None:
    print(f"swaps: {sum(swaps)} of {len(swaps)} found; without: {np.mean(alarms):.1%} of the time marked")
    quality, marked = np.array([w[0] for w in windows]), np.array([w[1] for w in windows])
    bad = quality < BAD_DB
    print(
        f"shared sound: {len(windows)} times 2 s; of {marked.sum()} marked {(quality[marked] < RIGHT_DB).mean():.0%} "
        f"are below {RIGHT_DB:g} dB; of {bad.sum()} below {BAD_DB:g} dB {marked[bad].mean():.0%} are marked"
    )
    truth = np.array([value for value, _ in figures])
    told = {
        "correlation": [one.worst_correlation for _, one in figures],
        "leak": [one.worst_leak_db for _, one in figures],
        "idle": [one.idle_db for _, one in figures],
        "own less other voice": [
            None if one.own_voice is None or one.other_voice is None else one.own_voice - one.other_voice
            for _, one in figures
        ],
        **{f"DNSMOS {name}": [one.dnsmos and getattr(one.dnsmos, name) for _, one in figures] for name in Mos._fields},
    }
    for name, values in told.items():
        x = np.array([np.nan if value is None else value for value in values], float)
        there = ~np.isnan(x)
        print(f"{name:21} rank correlation with SI-SDR {spearmanr(x[there], truth[there])[0]:5.2f} (n {there.sum()})")
    for what, scores in zip(("alone", "separated", "mixture"), zip(*heard, strict=True), strict=True):
        print(f"DNSMOS {what:10}", ", ".join(f"{n} {v:.2f}" for n, v in mean(scores)._asdict().items()))
    for name in Mos._fields:
        values = np.array([[getattr(score, name) for score in one] for one in heard])
        order = [(values[:, a] > values[:, b]).sum() for a, b in ((0, 1), (1, 2))]
        print(f"{name}: alone above separated in {order[0]}, separated above mixture in {order[1]} of {len(heard)}")


def mixtures(args: argparse.Namespace) -> Iterator[tuple[str, str, np.ndarray, np.ndarray]]:
    """Name, manner, (time,) and (talkers, time)."""
    speakers = find_speech(args.speech)
    for manner, seconds in MANNERS.items():
        for place in PLACES:
            for number in range(args.first, args.first + args.each):
                kind = Kind(manner, place, 2, seconds)
                yield (f"{manner}-{place}-{number:02d}", manner, *record(speakers, kind, number))


def separated(separator: Separator, cache: Path, name: str, mixture: np.ndarray) -> Path:
    clip = cache / f"{name}.wav"
    if not (cache / "out" / name / MANIFEST).is_file():
        cache.mkdir(parents=True, exist_ok=True)
        soundfile.write(clip, mixture, SAMPLE_RATE, subtype="FLOAT")
        separator.separate(clip, cache / "out", Options(speakers=2))
    return cache / "out" / name


def exchange(result: Result, tracks: np.ndarray, start: float, folder: Path) -> Result:
    """The result with its two tracks exchanged for SWAP_SECONDS, also as to who speaks."""
    shutil.copytree(result.folder, folder)
    end, made = start + SWAP_SECONDS, tracks.copy()
    span = slice(round(start * SAMPLE_RATE), round(end * SAMPLE_RATE))
    made[:, span] = tracks[::-1, span]
    content = json.loads((folder / MANIFEST).read_text())
    for number, entry in enumerate(content["tracks"]):
        soundfile.write(folder / entry["audio"], made[number], SAMPLE_RATE, subtype="FLOAT")
        own, other = result.tracks[number].speaking or (), result.tracks[1 - number].speaking or ()
        spoken = [cut for a, b in own for cut in ((a, min(b, start)), (max(a, end), b))]
        spoken += [(max(a, start), min(b, end)) for a, b in other]
        entry["speaking"] = [{"start_seconds": a, "end_seconds": b} for a, b in sorted(spoken) if b > a]
    (folder / MANIFEST).write_text(json.dumps(content))
    return read_result(folder)


def somewhere(result: Result) -> float:
    """A start of SWAP_SECONDS in which somebody speaks for most of them, drawn from the name of the result alone."""
    rng = np.random.default_rng(list(result.folder.name.encode()))
    while True:
        start = float(rng.uniform(0, result.seconds - SWAP_SECONDS))
        spoken = [
            sum(max(0.0, min(b, start + SWAP_SECONDS) - max(a, start)) for a, b in track.speaking or ())
            for track in result.tracks
        ]
        if max(spoken) > 0.75 * SWAP_SECONDS:
            return start


def is_marked(one: Measures, start: float) -> bool:
    """Whether half of an exchange is marked as one."""
    end = start + SWAP_SECONDS
    return any(
        min(doubt.end, end) - max(doubt.start, start) >= SWAP_SECONDS / 2
        for doubt in one.doubtful
        if doubt.kind == "swap"
    )


def marked_seconds(one: Measures) -> float:
    return sum(doubt.end - doubt.start for doubt in one.doubtful if doubt.kind == "swap")


def marks(tracks: np.ndarray, own: np.ndarray, found: list[Measures]) -> Iterator[tuple[float, bool]]:
    """Of each 2 s in which both talkers are to be heard and each track: SI-SDR, and whether shared sound is marked."""
    size = 2 * SAMPLE_RATE
    for start in range(0, tracks.shape[1] - size + 1, size):
        x, y = tracks[:, start : start + size], own[:, start : start + size]
        power = np.square(y, dtype=np.float64).sum(axis=1)
        if power.min() < power.max() * 10 ** (HEARD_DB / 10) or power.min() == 0:
            continue
        middle = start / SAMPLE_RATE + 1
        for value, one in zip(si_sdr(x, y).tolist(), found, strict=True):
            kinds = {doubt.kind for doubt in one.doubtful if doubt.start < middle < doubt.end}
            yield value, bool(kinds & {"shared", "leak", "alike"})


def mean(scores) -> Mos:
    return Mos(*np.mean([score for score in scores if score is not None], axis=0).tolist())


def read(file: Path) -> np.ndarray:
    return soundfile.read(file, dtype="float32")[0]


if __name__ == "__main__":
    main()
