"""`avsep stream`: separates while the sound comes in."""

from __future__ import annotations

import argparse
import os
import signal
import stat
import sys
from typing import TYPE_CHECKING

from avsep.cli import options
from avsep.cli.terminal import Terminal
from avsep.errors import UsageError
from avsep.live import HIGHEST_RATE

if TYPE_CHECKING:
    from avsep.live.loop import Report
    from avsep.live.separator import LiveSeparator
    from avsep.live.sinks import Sink, Sound
    from avsep.live.source import Source
    from avsep.live.stopping import Stopping

BUNDLED = {2: "audio-causal"}
"""Causal weights by their number of sources."""
CHUNK_MS = 16.0
FORMATS = ("auto", "wav", "s16le", "s24le", "s32le", "f32le", "f64le")

DESCRIPTION = """\
Separate voices while they come in: WAV or raw samples on standard input, the separated voices as the channels of
standard output, or each to an --out of its own. Takes any sample rate; of several channels the mean is separated."""


def register(commands) -> None:
    parser = commands.add_parser("stream", help="separate live sound", description=DESCRIPTION)
    parser.add_argument("--sources", type=options.whole(1, 64), metavar="N", help="how many voices (default: 2)")
    parser.add_argument("--model", metavar="NAME|FILE", help="causal weights (default: audio-causal)")
    parser.add_argument(
        "--keep-order",
        action="store_true",
        help="leave the outputs as the model gives them (default: a memory of voices keeps each at its output)",
    )
    group = parser.add_argument_group("what comes in")
    group.add_argument(
        "--format",
        choices=FORMATS,
        default="auto",
        help="of the samples (default: auto, a WAV if there is the head of one, else s16le)",
    )
    group.add_argument(
        "--rate", type=options.whole(1000, HIGHEST_RATE), metavar="HZ", help="of raw samples (default: 16000)"
    )
    group.add_argument("--channels", type=options.whole(1, 64), metavar="N", help="of raw samples (default: 1)")
    group.add_argument("--device", metavar="NAME|N", help="record from a microphone instead, by its name or number")
    group = parser.add_argument_group("what goes out")
    group.add_argument(
        "--out",
        action="append",
        metavar="FILE|FD",
        help="a file, the number of an open file descriptor, or - for standard output, where all voices go; given once"
        " for each voice, one goes to each",
    )
    group.add_argument(
        "--to", choices=("auto", "wav", "raw"), default="auto", help="default: as it came in, a file by its name"
    )
    group.add_argument("--play", metavar="NAME|N", help="play each voice on a channel of this device")
    group.add_argument("--overwrite", action="store_true", help="replace files of --out")
    group = parser.add_argument_group("machine")
    group.add_argument(
        "--chunk",
        type=_milliseconds,
        default=CHUNK_MS,
        metavar="MS",
        help=f"sound that is separated at a time; more costs less and is later (default: {CHUNK_MS:g})",
    )
    group.add_argument(
        "--threads", type=options.whole(1, options.MOST_THREADS), default=1, metavar="N", help="default: 1"
    )
    group = parser.add_argument_group("messages")
    loudness = group.add_mutually_exclusive_group()
    loudness.add_argument(
        "-v", "--verbose", action="store_true", help="say latency and speed on stderr, show tracebacks"
    )
    loudness.add_argument("-q", "--quiet", action="store_true", help="only errors on stderr")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    _check(args)
    import torch

    from avsep.live.loop import Report, separate_stream
    from avsep.live.sinks import check_outs
    from avsep.live.stopping import Stopped, Stopping

    torch.set_num_threads(args.threads)
    with Stopping() as stopping:
        try:
            # Loaded first: until then nothing is read that would have to wait.
            model, voice = _models(args)
            check_outs(_outs(args), model.contract.sources)
            source, sound = _source(args, stopping, terminal)
            separator = _separator(args, model, voice, source.rate)
            sinks = _sinks(args, separator, sound, stopping)
        except Stopped as end:
            return _ended(Report(signal=end.number), terminal)
        terminal.detail(
            f"{source.rate} Hz, {source.channels} channel(s) in; {separator.sources} voices out; latency "
            f"{separator.latency(args.chunk / 1000)}"
        )
        report = separate_stream(source, separator, sinks, terminal.say, live=_is_live(args))
    _tell(report, source, separator, sinks, terminal)
    return _ended(report, terminal) if report.signal else 0


def _check(args: argparse.Namespace) -> None:
    """What can be told from the options alone."""
    if args.device is not None and args.format != "auto":
        raise UsageError(f"--format {args.format} is of standard input, and --device records. Give one of them")
    if args.device is None and args.format == "wav" and (args.rate or args.channels):
        raise UsageError("--rate and --channels are of raw samples; a WAV tells its own. Leave them out")
    if args.device is None and sys.stdin is not None and sys.stdin.isatty():
        raise UsageError(
            "standard input is a terminal. Pipe sound into it, e.g. ffmpeg -i FILE -f wav - | avsep stream, or give"
            " --device"
        )
    if args.model is None and args.sources is not None and args.sources not in BUNDLED:
        raise UsageError(
            f"no weights that come with avsep separate {args.sources} voices of a stream, but "
            f"{', '.join(map(str, BUNDLED))}. Give causal ones with --model FILE"
        )
    if "-" in _outs(args) and os.isatty(1):
        raise UsageError("standard output is a terminal. Pipe it on, send it to a file, or give --out or --play")


def _outs(args: argparse.Namespace) -> list[str]:
    return args.out if args.out is not None else [] if args.play is not None else ["-"]


def _models(args: argparse.Namespace):
    """The weights that separate and those that tell voices apart, or None for these."""
    from avsep.inference.models import ModelStore

    store = ModelStore("cpu")
    name = args.model or BUNDLED[args.sources or 2]
    model = store.separation(name)
    found = model.contract.sources
    if args.sources is not None and found != args.sources:
        raise UsageError(
            f"--sources {args.sources}, but model {store.card(name).name!r} separates {found or 'as many as its cues'}."
            " Leave it out, or give another --model"
        )
    return model, None if args.keep_order else store.voice("voice")


def _source(args: argparse.Namespace, stopping: Stopping, terminal: Terminal) -> tuple[Source, Sound]:
    """Where sound comes from, and how it is written unless an --out says otherwise."""
    from avsep.live.samples import FORMATS
    from avsep.live.sinks import Sound
    from avsep.live.source import PipeSource, Raw

    if args.device is not None:
        from avsep.live.devices import DeviceSource

        device = DeviceSource(args.device, args.chunk / 1000, stopping, args.rate, args.channels)
        return device, Sound("wav" if args.to == "auto" else args.to, FORMATS["f32le"], device.rate)
    raw = Raw(args.format, args.rate, args.channels)
    pipe = PipeSource(0, args.chunk / 1000, stopping, terminal.say, raw)
    return pipe, Sound(pipe.container if args.to == "auto" else args.to, pipe.format, pipe.rate)


def _separator(args: argparse.Namespace, model, voice, rate: int) -> LiveSeparator:
    from avsep.live.places import Places
    from avsep.live.separator import LiveSeparator

    contract = model.contract
    places = None
    if voice is not None and contract.order == "any" and contract.kind == "voice" and contract.sources in (2, 3):
        places = Places(voice, contract.sources, contract.sample_rate)
    return LiveSeparator(model, rate, places, args.model or "audio-causal")


def _sinks(args: argparse.Namespace, separator: LiveSeparator, sound: Sound, stopping: Stopping) -> list[Sink]:
    from avsep.live.sinks import open_sinks

    sinks: list[Sink] = []
    if args.play is not None:
        from avsep.live.devices import DeviceSink

        sinks.append(DeviceSink(args.play, separator.sources, separator.rate, args.chunk / 1000))
    source = -1 if args.device is not None else 0
    sinks += open_sinks(
        _outs(args),
        separator.sources,
        sound,
        stopping,
        overwrite=args.overwrite,
        source=source,
        by_name=args.to == "auto",
    )
    return sinks


def _is_live(args: argparse.Namespace) -> bool:
    """A file is read as fast as it is separated; what comes in otherwise may be recorded just now."""
    return args.device is not None or not stat.S_ISREG(os.fstat(0).st_mode)


def _tell(report: Report, source: Source, separator: LiveSeparator, sinks: list[Sink], terminal: Terminal) -> None:
    terminal.detail(
        f"{report.seconds:.2f} s separated, real-time factor {report.real_time_factor:.3f}, at most "
        f"{report.most_behind:.2f} s behind the input"
    )
    if separator.places is not None and separator.places.changes:
        terminal.detail(f"outputs were changed {separator.places.changes} times, so that each voice keeps its own")
    if source.lost:
        terminal.say(f"the device threw sound away {source.lost} times, because it was not taken in time")
    late = sum(sink.late for sink in sinks)
    if late:
        terminal.say(f"there was nothing to play {late} times")
    if report.unread:
        terminal.say(f"nobody reads the output any more; stopped after {report.seconds:.2f} s")


def _ended(report: Report, terminal: Terminal) -> int:
    """The exit code after a signal."""
    what = "interrupted" if report.signal == signal.SIGINT else "terminated"
    written = "some of the output was not taken by its reader, and is lost" if report.cut else "all of it is written"
    if report.seconds or report.cut:
        terminal.error(f"{what} after {report.seconds:.2f} s of sound; {written}")
    else:
        terminal.error(f"{what} before any sound was separated")
    return 128 + report.signal


def _milliseconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 1 <= value <= 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of milliseconds from 1 to 1000")
    return value
