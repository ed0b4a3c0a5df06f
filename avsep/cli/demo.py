"""`avsep demo`: separate the bundled clip and compare with its known voices."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avsep.cli import checks, options, report
from avsep.cli.separate import DEFAULT_OUTPUT
from avsep.cli.terminal import Terminal
from avsep.errors import InputError
from avsep.output.workspace import folders_of, result_folder

if TYPE_CHECKING:
    import numpy as np

ASSETS = Path(__file__).parents[1] / "assets" / "demo"
CLIP = ASSETS / "demo.mp4"
SIDES = ("left", "right")

DESCRIPTION = """\
Separate the bundled clip of two people who talk at once, and say how much closer each track is to its person's own
voice than the mixture was. Writes DIR/demo/, replacing that of an earlier run."""


def register(commands) -> None:
    parser = commands.add_parser(
        "demo",
        help="separate the bundled clip",
        description=DESCRIPTION,
    )
    options.add_output(parser, DEFAULT_OUTPUT)
    options.add_videos(parser)
    options.add_machine(parser)
    options.add_messages(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    missing = [path.name for path in (CLIP, *map(_reference, SIDES)) if not path.is_file()]
    if missing:
        raise InputError(f"this copy of avsep lacks the demo's {', '.join(missing)} in {ASSETS}. Install avsep again")
    target = result_folder(args.output, CLIP)
    checks.check_target(target, folders_of([CLIP]), overwrite=True)

    from avsep.pipeline import Options, Separator

    separator = Separator(device=args.device, threads=args.threads)
    with checks.no_empty_folders(args.output), terminal.progress(CLIP.name) as hook:
        wanted = Options(video=not args.no_video, mark=args.mark, overwrite=True)
        manifest = separator.separate(CLIP, args.output, wanted, hook)
    terminal.say(report.mode_line(manifest))
    scores = score(manifest, target)
    if args.json:
        terminal.result_json(manifest | {"folder": str(target), "scores": scores})
    else:
        terminal.result(report.separated(manifest, target) + "\n\n" + _table(scores, target))
    return 0


def score(manifest: dict[str, Any], folder: Path) -> list[dict[str, Any]]:
    """SI-SDR in dB of each face's track, and of the mixture, against that face's own voice.

    A face that was not found scores as the mixture: no improvement.
    """
    import numpy as np

    from avsep.evaluation.metrics import si_sdr

    references = {side: _voice(_reference(side)) for side in SIDES}
    mixture = references["left"] + references["right"]
    middle = manifest["input"]["video"]["width"] / 2
    scores = []
    for side in SIDES:
        own = [
            s
            for s in manifest["speakers"]
            if s.get("box") and ((s["box"][0] + s["box"][2]) / 2 < middle) == (side == "left")
        ]
        before = float(si_sdr(mixture, references[side]))
        after = before
        if own:
            track = np.sum([_voice(folder / speaker["audio"], len(mixture)) for speaker in own], axis=0)
            after = float(si_sdr(track, references[side]))
        scores.append(
            {
                "face": side,
                "speakers": [s["id"] for s in own],
                "mixture_db": before,
                "separated_db": after,
                "improvement_db": after - before,
            }
        )
    return scores


def _table(scores: list[dict[str, Any]], folder: Path) -> str:
    lines = [f"The tracks lie in {folder}. SI-SDR against each person's own voice, known for this clip:"]
    for row in scores:
        name = " + ".join(row["speakers"]) or "not found"
        lines.append(
            f"  {row['face']:5} face  {name:12} {row['mixture_db']:+6.1f} dB in the mixture,"
            f" {row['separated_db']:+6.1f} dB separated: {row['improvement_db']:+.1f} dB"
        )
    mean = sum(row["improvement_db"] for row in scores) / len(scores)
    return "\n".join([*lines, f"  mean improvement {mean:+.1f} dB"])


def _reference(side: str) -> Path:
    return ASSETS / f"{side}.flac"


def _voice(path: Path, length: int | None = None) -> np.ndarray:
    """A sound file as one channel at SAMPLE_RATE: (time,), cut or padded to length."""
    import numpy as np
    import soundfile
    from scipy.signal import resample_poly

    from avsep.signals import SAMPLE_RATE

    samples, rate = soundfile.read(path, dtype="float64", always_2d=True)
    mono = samples.mean(axis=1)
    if rate != SAMPLE_RATE:
        mono = resample_poly(mono, SAMPLE_RATE, rate)
    return mono if length is None else np.pad(mono, (0, max(0, length - len(mono))))[:length]
