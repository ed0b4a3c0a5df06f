"""`avsep separate CLIP...`: one clean track per visible speaker."""

from __future__ import annotations

import argparse
from collections.abc import Sequence, Set
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from avsep.cli import checks, options, report, summary
from avsep.cli.inputs import Input, find_inputs, is_search
from avsep.cli.overall import Overall, overall
from avsep.cli.tally import Tally
from avsep.cli.terminal import Terminal
from avsep.errors import AvsepError, InputError, OutputError
from avsep.inference.quality import Quality
from avsep.jobs.options import add_engine, engine_of
from avsep.media.array import Channels
from avsep.timeline.formats import FORMATS, check_formats, files_of

if TYPE_CHECKING:
    from avsep.cli.separate_many import Many
    from avsep.media.decode import ClipInfo
    from avsep.pipeline import Options
    from avsep.results.request import Request
    from avsep.results.result import Result

DEFAULT_OUTPUT = Path("separated")

DESCRIPTION = """\
Separate each clip into one track per person. For CLIP the folder DIR/<clip's name>/ gets speaker_00.wav, .mp4 and .jpg
for each person, residual.wav (the sound without all tracks) and manifest.json. Where no face can be used, the sound
alone is separated, and it says so. With --model universal any sounds are separated and named: source_00.wav, ...

CLIP may be a folder, which is searched for sound and video with all that lies below it, or a pattern in quotes, such as
'talks/**/*.mp4'. The results then lie as the clips do, and DIR gets a summary.csv."""


def register(commands) -> None:
    parser = commands.add_parser("separate", help="one clean track per person", description=DESCRIPTION)
    parser.add_argument("clips", nargs="+", type=Path, metavar="CLIP", help="video or audio file, folder, or pattern")
    options.add_output(parser, DEFAULT_OUTPUT, "the folders go")
    parser.add_argument("--overwrite", action="store_true", help="replace output of an earlier run")
    parser.add_argument(
        "--skip-done",
        action="store_true",
        help="leave alone what an earlier run made of the same clip with the same options",
    )
    options.add_videos(parser)
    parser.add_argument(
        "--also",
        type=options.names,
        default=(),
        metavar="FORMATS",
        help=f"write these, too, as 'avsep timeline' does: {', '.join(FORMATS)}, with commas between them",
    )
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
    separation.add_argument(
        "--measure",
        action="store_true",
        help="measure the voices without references (DNSMOS, leak, swaps) and mark what is not to be trusted",
    )
    _add_array(parser)
    _add_sounds(parser)
    _add_targets(parser)
    _add_people(parser)
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
        "One of --only, --without and --span writes one track; the rest of the sound is the residual. LABELS are those "
        "of sounds and the names of people (--people, --enroll, --target), with commas between them; one with a comma "
        "of its own stands in double quotes.",
    )
    group.add_argument(
        "--residual",
        metavar="NAME",
        help="split what people and voices leave with this model of sounds, such as universal",
    )
    choice = group.add_mutually_exclusive_group()
    choice.add_argument("--only", type=options.names, metavar="LABELS", help="the tracks with these labels")
    choice.add_argument(
        "--without", type=options.names, metavar="LABELS", help="everything but the tracks with these labels"
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


def _add_people(parser: argparse.ArgumentParser) -> None:
    """Who is known."""
    group = parser.add_argument_group(
        "people library",
        "Who is known by face and voice ('avsep people add') names the tracks. The names may be given to --only and "
        "--without.",
    )
    group.add_argument(
        "--people",
        nargs="?",
        const="",
        metavar="LIB",
        help="name the tracks by the library in this folder; without LIB, which is possible behind the clips, by that "
        "of the user",
    )
    group.add_argument(
        "--learn",
        action="store_true",
        help="add who is unknown to the library, as person-1, person-2, ...: the same name in every clip",
    )


@dataclass(frozen=True)
class Job:
    """A clip that passed all checks. output: the folder in which its own folder goes, the target."""

    clip: Path
    info: ClipInfo
    output: Path
    target: Path


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    options.check_span(args)
    check_formats(args.also)
    if args.measure:
        from avsep.evaluation.no_reference.mos import check_installed

        check_installed("--measure")
    inputs = find_inputs(args.clips, args.output, terminal.say)
    checks.check_folders(inputs)
    args.enroll, args.target = checks.by_name("--enroll", args.enroll), checks.by_name("--target", args.target)
    args.people = _library_of(args)
    many = len(inputs) > 1 or any(map(is_search, args.clips))
    if many and not args.dry_run:
        summary.check_place(args.output)
    tally = Tally(terminal, [each.path for each in inputs], many=many, as_json=args.json)
    engine = _engine(args, len(inputs))
    try:
        with overall(terminal, len(inputs), len(inputs), "checking") as bar:
            jobs, exit_code = _check_clips(args, inputs, tally, engine.finished(inputs) if engine else set(), bar)
        if jobs and (exit_code == 0 or args.keep_going):
            seconds = sum(job.info.duration_seconds for job in jobs)
            folders = {job.output for job in jobs}
            with checks.no_empty_folders(*folders), overall(terminal, len(jobs), seconds) as bar:
                code = engine.run(jobs, tally, bar, args.keep_going) if engine else _each(args, jobs, tally, bar)
            exit_code = max(exit_code, code)
    finally:
        tally.close(None if args.dry_run else args.output)
    return exit_code


def _library_of(args: argparse.Namespace) -> str | None:
    """The folder of the people library; None where nobody is to be named."""
    if args.people is None and not args.learn:
        return None
    from avsep.people.library import default_folder

    return args.people or str(default_folder())


def _engine(args: argparse.Namespace, clips: int) -> Many | None:
    """None where the clips are separated here, one after the other."""
    engine = engine_of(args)
    if engine.in_process or args.dry_run:
        return None
    from avsep.cli.separate_many import Many

    return Many(args.output, _options(args), engine, clips, model=args.model, device=args.device, threads=args.threads)


def _check_clips(
    args: argparse.Namespace, inputs: Sequence[Input], tally: Tally, finished: Set[Path], bar: Overall
) -> tuple[list[Job], int]:
    """Probe every clip and look at its output folder, before any decoding; that of a `finished` one may be there. With
    --skip-done those that are done are told and left out."""
    from avsep.media.decode import probe
    from avsep.output.ownership import SEPARATION
    from avsep.output.workspace import folders_of, result_folder
    from avsep.results.handwork import handwork

    jobs, exit_code, kind = [], 0, SEPARATION.with_files(files_of(args.also))
    array = None if args.array in ("auto", "off") else args.array
    named = [name for name in (args.model, args.residual, args.turns, array, args.people) if name]
    clips = [each.path for each in inputs]
    folders = folders_of([*clips, *named, *args.enroll.values(), *args.target.values()])
    request = _request(args)
    for each in inputs:
        bar.done(1)
        try:
            if each.error is not None:
                raise each.error
            output = args.output / each.place
            target = result_folder(output, each.path)
            done = _done(args, request, each.path, target) if request else None
            if done is None:
                info = probe(each.path, audio_stream=args.audio_stream, start=args.start, end=args.end)
                if each.path not in finished:
                    checks.check_target(target, folders, overwrite=args.overwrite, kind=kind)
                    if lost := handwork(target):
                        tally.terminal.say(f"warning: {target}: is replaced, which loses {lost}")
        except AvsepError as error:
            tally.failed(each.path, str(error))
            exit_code = max(exit_code, error.exit_code)
        else:
            if done is None:
                jobs.append(Job(each.path, info, output, target))
            else:
                tally.separated(each.path, target, done.manifest, before=True)
    # With several clips one that cannot be used is an input that failed, not wrong usage of them all.
    return jobs, min(exit_code, 1) if args.keep_going else exit_code


def _request(args: argparse.Namespace) -> Request | None:
    """What --skip-done looks for."""
    if not args.skip_done:
        return None
    from avsep.results.request import Request

    return Request.of(_options(args), args.model)


def _done(args: argparse.Namespace, request: Request, clip: Path, target: Path) -> Result | None:
    """The result that an earlier run made of a clip in the same way. Raises OutputError where it was made in another
    way and is not to be replaced."""
    if not (clip.is_file() and target.is_dir()):
        return None
    try:
        return request.result(target, clip)
    except InputError:  # no result of ours, or a damaged one
        return None
    except OutputError:
        if args.overwrite:
            return None
        raise


def _each(args: argparse.Namespace, jobs: Sequence[Job], tally: Tally, bar: Overall) -> int:
    """Separate every clip, or say what would be done with it."""
    from avsep.pipeline import Separator

    separator = Separator(args.model, device=args.device, threads=args.threads)
    wanted = _options(args)
    exit_code = 0
    for job in jobs:
        try:
            if args.dry_run:
                models = separator.check(job.clip, wanted)
            else:
                with bar.clip(job.clip.name) as hook:
                    manifest = separator.separate(job.clip, job.output, wanted, hook)
        except AvsepError as error:
            tally.failed(job.clip, str(error))
            if not args.keep_going:
                return max(exit_code, error.exit_code)
            exit_code = 1
        else:
            if args.dry_run:
                _tell_plan(args, job, models, tally)
            else:
                tally.separated(job.clip, job.target, manifest)
        bar.done(job.info.duration_seconds)
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
        also=args.also,
        overwrite=args.overwrite,
        av_offset=args.av_offset,
        quality=args.quality,
        array=args.array,
        channels=args.channels,
        turns=args.turns,
        residual=args.residual,
        people=args.people,
        learn=args.learn,
        only=args.only,
        without=args.without,
        span=args.span,
        enroll=args.enroll,
        target=args.target,
        measure=args.measure,
    )


def _tell_plan(args: argparse.Namespace, job: Job, model: str, tally: Tally) -> None:
    if args.residual:
        from avsep.checkpoint import find_weights, read_card

        model += f", then {read_card(find_weights(args.residual)).name}"
    plan = asdict(job.info) | {"path": str(job.clip), "output": str(job.target), "model": model}
    tally.planned(job.clip, job.target, job.info.duration_seconds, plan, report.plan(job.info, job.target, model))
