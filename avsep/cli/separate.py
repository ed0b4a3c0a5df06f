"""`avsep separate CLIP...`: one clean track per visible speaker."""

from __future__ import annotations

import argparse
from collections.abc import Set
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from avsep.cli import checks, options, report
from avsep.cli.terminal import Terminal
from avsep.errors import AvsepError
from avsep.inference.quality import Quality
from avsep.jobs.options import add_engine, engine_of
from avsep.media.array import Channels

if TYPE_CHECKING:
    from avsep.cli.separate_many import Many
    from avsep.media.decode import ClipInfo
    from avsep.pipeline import Options

DEFAULT_OUTPUT = Path("separated")

Results = dict[Path, dict[str, Any]]
"""What --json shows of each clip."""

DESCRIPTION = """\
Separate each clip into one track per person. For CLIP the folder DIR/<clip's name>/ gets speaker_00.wav, .mp4 and .jpg
for each person, residual.wav (the sound without all tracks) and manifest.json. Where no face can be used, the sound
alone is separated, and it says so. With --model universal any sounds are separated and named: source_00.wav, ..."""


def register(commands) -> None:
    parser = commands.add_parser("separate", help="one clean track per person", description=DESCRIPTION)
    parser.add_argument("clips", nargs="+", type=Path, metavar="CLIP", help="video or audio file")
    options.add_output(parser, DEFAULT_OUTPUT, "the folders go")
    parser.add_argument("--overwrite", action="store_true", help="replace output of an earlier run")
    options.add_videos(parser)
    parser.add_argument(
        "--dry-run", action="store_true", help="check everything, say what would be done, write nothing"
    )
    parser.add_argument("--keep-going", action="store_true", help="after a clip that fails go on with the next")
    separation = parser.add_argument_group("separation")
    separation.add_argument(
        "--model", metavar="NAME", help="name of a bundled model (see 'avsep models') or a weights file"
    )
    separation.add_argument(
        "--speakers",
        type=options.whole_or_auto(1),
        default="auto",
        metavar="auto|N",
        help="number of speakers where there is no face; auto estimates it (default: auto)",
    )
    separation.add_argument(
        "--av-offset",
        type=options.number(),
        metavar="S",
        help="seconds by which the sound comes after the picture (default: estimated)",
    )
    separation.add_argument(
        "--quality",
        choices=get_args(Quality),
        default="normal",
        help="how much work the separation is: the better, the slower (default: normal)",
    )
    _add_array(parser)
    _add_sounds(parser)
    _add_targets(parser)
    options.add_span(parser)
    options.add_machine(parser)
    add_engine(parser, workers=1)
    options.add_messages(parser).add_argument(
        "--progress-json", action="store_true", help="tell the progress on stderr as lines of JSON"
    )
    parser.set_defaults(run=run)


def _add_array(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "microphone arrays",
        "Sound of 3 to 8 channels is that of an array unless the file says 5.1 or 7.1; two channels are stereo.",
    )
    group.add_argument(
        "--array",
        default="auto",
        metavar="auto|off|FILE",
        help="whether the channels are microphones (default: auto); a JSON file with their positions in metres says "
        "that they are",
    )
    group.add_argument(
        "--channels",
        choices=get_args(Channels),
        default="reference",
        help="what is written of an array: the reference microphone's channel, which is the first, or all (default: "
        "reference)",
    )
    group.add_argument(
        "--turns",
        metavar="RTTM",
        help="who speaks when, to guide the separation: a track for each name in this file",
    )


def _add_sounds(parser: argparse.ArgumentParser) -> None:
    """What is done with sounds other than voices, and which track is asked for."""
    group = parser.add_argument_group(
        "sounds",
        "One of --only, --without and --span writes one track; the rest of the sound is the residual. LABELS have "
        "commas between them; one with a comma of its own stands in double quotes.",
    )
    group.add_argument(
        "--residual",
        metavar="NAME",
        help="split what people and voices leave with this model of sounds, such as universal",
    )
    choice = group.add_mutually_exclusive_group()
    choice.add_argument("--only", type=options.names, metavar="LABELS", help="the sounds with these labels")
    choice.add_argument(
        "--without", type=options.names, metavar="LABELS", help="everything but the sounds with these labels"
    )
    choice.add_argument(
        "--span", type=options.span, metavar="A-B", help="the sound or voice between these seconds, such as 3.1-4.7"
    )


def _add_targets(parser: argparse.ArgumentParser) -> None:
    """Whose voice is asked for."""
    group = parser.add_argument_group(
        "somebody's voice",
        "Each may be given several times. NAME is the label of the track, by default the file's name. The rest of the "
        "sound is the residual.",
    )
    group.add_argument(
        "--enroll",
        type=options.named_file,
        action="append",
        default=[],
        metavar="[NAME=]FILE",
        help="the voice that speaks in this recording, which should hold 5 s or more of it alone",
    )
    group.add_argument(
        "--target",
        type=options.named_file,
        action="append",
        default=[],
        metavar="[NAME=]FILE",
        help="the voice of the person whose face this picture shows",
    )


@dataclass(frozen=True)
class Job:
    """A clip that passed all checks and where its output goes."""

    clip: Path
    info: ClipInfo
    target: Path


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    options.check_span(args)
    checks.check_stems(args.clips)
    args.enroll, args.target = checks.by_name("--enroll", args.enroll), checks.by_name("--target", args.target)
    results: Results = {}
    many = _many(args)
    jobs, exit_code = _check_clips(args, terminal, results, many.finished() if many else set())
    try:
        if exit_code == 0 or (args.keep_going and jobs):
            with checks.no_empty_folders(args.output):
                if many:
                    clips, as_json = [job.clip for job in jobs], args.json
                    code = many.run(clips, terminal, results, as_json=as_json, keep_going=args.keep_going)
                else:
                    code = _each(args, jobs, terminal, results)
                exit_code = max(exit_code, code)
    finally:
        if args.json:
            terminal.result_json([results[clip] for clip in args.clips if clip in results])
    return exit_code


def _many(args: argparse.Namespace) -> Many | None:
    """None where the clips are separated here, one after the other."""
    engine = engine_of(args)
    if engine.in_process or args.dry_run:
        return None
    from avsep.cli.separate_many import Many

    machine = {"model": args.model, "device": args.device, "threads": args.threads}
    return Many(args.clips, args.output, _options(args), engine, **machine)


def _check_clips(
    args: argparse.Namespace, terminal: Terminal, results: Results, finished: Set[Path]
) -> tuple[list[Job], int]:
    """Probe every clip and look at its output folder, before any decoding; that of a `finished` one may be there."""
    from avsep.media.decode import probe
    from avsep.output.workspace import folders_of, result_folder

    jobs, exit_code = [], 0
    array = None if args.array in ("auto", "off") else args.array
    named = [name for name in (args.model, args.residual, args.turns, array) if name]
    inputs = folders_of([*args.clips, *named, *args.enroll.values(), *args.target.values()])
    for clip in args.clips:
        try:
            info = probe(clip, audio_stream=args.audio_stream, start=args.start, end=args.end)
            target = result_folder(args.output, clip)
            if clip not in finished:
                checks.check_target(target, inputs, overwrite=args.overwrite)
        except AvsepError as error:
            exit_code = max(exit_code, _failed(clip, error, terminal, results))
        else:
            jobs.append(Job(clip, info, target))
    # With several clips one that cannot be used is an input that failed, not wrong usage of them all.
    return jobs, min(exit_code, 1) if args.keep_going else exit_code


def _each(args: argparse.Namespace, jobs: list[Job], terminal: Terminal, results: Results) -> int:
    """Separate every clip, or say what would be done with it."""
    from avsep.pipeline import Separator

    separator = Separator(args.model, device=args.device, threads=args.threads)
    wanted = _options(args)
    exit_code = 0
    for number, job in enumerate(jobs, 1):
        count = f"({number}/{len(jobs)}) " if len(jobs) > 1 else ""
        try:
            if args.dry_run:
                models = separator.check(job.clip, wanted)
            else:
                with terminal.progress(f"{count}{job.clip.name}") as hook:
                    manifest = separator.separate(job.clip, args.output, wanted, hook)
        except AvsepError as error:
            exit_code = max(exit_code, _failed(job.clip, error, terminal, results))
            if not args.keep_going:
                return exit_code
            exit_code = 1
            continue
        if args.dry_run:
            _tell_plan(args, job, models, terminal, results)
            continue
        terminal.say(report.mode_line(manifest))
        if args.json:
            results[job.clip] = manifest | {"folder": str(job.target)}
        else:
            terminal.result(report.separated(manifest, job.target))
    return exit_code


def _options(args: argparse.Namespace) -> Options:
    from avsep.pipeline import Options

    return Options(
        speakers=args.speakers,
        audio_stream=args.audio_stream,
        start=args.start,
        end=args.end,
        video=not args.no_video,
        mark=args.mark,
        overwrite=args.overwrite,
        av_offset=args.av_offset,
        quality=args.quality,
        array=args.array,
        channels=args.channels,
        turns=args.turns,
        residual=args.residual,
        only=args.only,
        without=args.without,
        span=args.span,
        enroll=args.enroll,
        target=args.target,
    )


def _tell_plan(args: argparse.Namespace, job: Job, model: str, terminal: Terminal, results: Results) -> None:
    if args.residual:
        from avsep.checkpoint import find_weights, read_card

        model += f", then {read_card(find_weights(args.residual)).name}"
    if args.json:
        plan = asdict(job.info) | {"path": str(job.clip), "output": str(job.target), "model": model}
        results[job.clip] = {"input": str(job.clip), "plan": plan}
    else:
        terminal.result(report.plan(job.info, job.target, model))


def _failed(clip: Path, error: AvsepError, terminal: Terminal, results: Results) -> int:
    terminal.error(str(error))
    results[clip] = {"input": str(clip), "error": str(error)}
    return error.exit_code
