"""`avsep fit`: train any model from a YAML of class_path and init_args."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from avsep.cli.terminal import Terminal
from avsep.errors import AvsepError, TrainingError, UsageError

DESCRIPTION = """\
usage: avsep fit --config FILE.yaml [--KEY VALUE ...]

Train the model that a configuration describes; configs/ has one for each mode, with its command in the first line.
Every key can be given here as well, e.g. --trainer.precision bf16-mixed --trainer.devices 4 --data.batch_size 16.

  --config FILE        YAML; give it twice to let a second file change the first
  --ckpt_path last     go on where the run was stopped (or: a .ckpt file)
  --checkpoint_every N steps between two checkpoints to go on from (default: 500)
  --overwrite true     replace an earlier run in the same folder
  --allow-modules A,B  let the configuration name classes of these modules, besides avsep's own
  --allow-pipe         let it read shards that a shell command prints (pipe:)
  --print_config       show the configuration with all defaults
  --model.help CLASS   the keys of a class (also --data.help, --model.init_args.model.help)
  -v, -q               say more, or errors only
  -h, --help           this text

Results: runs/NAME/ with config.yaml, checkpoints/ (last.ckpt, best-*.ckpt) and logs/ (metrics.csv, TensorBoard).
See docs/training.md for several GPUs and machines."""

VERBOSE, QUIET, HELP = {"-v", "--verbose"}, {"-q", "--quiet"}, {"-h", "--help"}


class _Split(argparse.Action):
    """Our own options out of those for LightningCLI."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: Any = None) -> None:
        given = set(values)
        namespace.verbose, namespace.quiet, namespace.help = (bool(given & own) for own in (VERBOSE, QUIET, HELP))
        namespace.arguments = [value for value in values if value not in VERBOSE | QUIET | HELP]


def register(commands) -> None:
    # No prefix is known to this parser, so that everything goes on to LightningCLI as it is.
    parser = commands.add_parser("fit", help="train a model from a configuration", prefix_chars="\0", add_help=False)
    parser.add_argument("arguments", nargs=argparse.REMAINDER, action=_Split)
    parser.set_defaults(run=run, verbose=False, quiet=False, help=False)


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    if args.help:
        terminal.result(DESCRIPTION)
        return 0
    if not args.arguments:
        raise UsageError("no configuration. Give one: avsep fit --config configs/NAME.yaml")
    try:
        return _fit(args, terminal)
    except SystemExit as stop:
        # Lightning's answer to Ctrl-C; otherwise the end of --print_config and its like.
        if isinstance(stop.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from stop
        return int(stop.code or 0)
    except AvsepError as error:
        raise type(error)(_without_worker(error)) from error


def _fit(args: argparse.Namespace, terminal: Terminal) -> int:
    try:
        import torch

        from avsep.training.cli import FitCLI, quiet_lightning
        from avsep.training.progress import Bar, EpochLines
    except ImportError as error:
        raise UsageError(f"training needs more packages ({error}). Install them: pip install 'avsep[train]'") from error
    if not args.verbose:
        quiet_lightning()
    watched = sys.stderr.isatty() and not args.quiet
    cli = FitCLI(args.arguments, [Bar()] if watched else [EpochLines(terminal.say)])
    say = terminal.say if cli.is_first else lambda text: None
    try:
        cli.train(say)
    except torch.OutOfMemoryError as error:
        raise TrainingError(
            "the GPU's memory is full. Take a smaller batch_size with more --trainer.accumulate_grad_batches, shorter "
            "segments (seconds) or --trainer.precision bf16-mixed"
        ) from error
    say(f"done at step {cli.trainer.global_step}; checkpoints in {cli.checkpoints}")
    if cli.best and cli.is_first:
        terminal.result(cli.best)
    return 0


def _without_worker(error: AvsepError) -> str:
    """The message itself, where a worker process of a loader wrapped it into its traceback."""
    text = str(error)
    if not text.startswith("Caught "):
        return text
    kind = type(error)
    return text.rpartition(f"{kind.__module__}.{kind.__qualname__}: ")[2].strip()
