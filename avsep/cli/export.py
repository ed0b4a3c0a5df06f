"""`avsep export`: a training checkpoint, a model without weights, or several separators to a weights file; a separator
to ONNX."""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from avsep.cli.terminal import Terminal
from avsep.errors import OutputError, UsageError

if TYPE_CHECKING:
    from avsep.checkpoint import Card
    from avsep.export.trained import Trained
    from avsep.export.weights import About
    from avsep.models.base import Model

WEIGHTS, ONNX = ".safetensors", ".onnx"
YAML = (".yaml", ".yml")

NO_LINEAGE = {"data": "none: it has no weights"}

DESCRIPTION = """\
Turn a checkpoint of 'avsep fit' into one weights file that describes itself and runs no code when it is loaded; use it
with 'avsep separate --model FILE'. A model that has no weights needs no checkpoint: SOURCE is then the YAML that names
it (configs/auxiva.yaml). With --ensemble-with several weights files become one. With --onnx write the separator as ONNX
instead, for any length of sound (and any number of faces), checked against torch; SOURCE may then be a weights file or
a bundled name as well."""


def register(commands) -> None:
    parser = commands.add_parser(
        "export", help="turn a checkpoint into a weights file or ONNX", description=DESCRIPTION
    )
    parser.add_argument(
        "source", metavar="SOURCE", help="a checkpoint (.ckpt), a YAML, a weights file or a bundled name"
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="FILE",
        help="the file to write (default: the run's or model's name in the current folder)",
    )
    parser.add_argument("--onnx", action="store_true", help="write ONNX instead of a weights file")
    parser.add_argument(
        "--ensemble-with",
        nargs="+",
        default=[],
        metavar="WEIGHTS",
        help="one file of SOURCE and these separators (weights files or bundled names), which gives the mean of their "
        "estimates; with --quality fast, SOURCE separates alone",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier file")
    checkpoint = parser.add_argument_group("of a checkpoint")
    checkpoint.add_argument(
        "--config",
        type=Path,
        metavar="YAML",
        help="the configuration it was trained with (default: the config.yaml of its run)",
    )
    checkpoint.add_argument(
        "--mean-with",
        type=Path,
        nargs="+",
        default=[],
        metavar="CKPT",
        help="take the mean of its weights and these: runs with other seeds that began with the same weights",
    )
    checkpoint.add_argument(
        "--last-step",
        action="store_true",
        help="take the weights of the last step where the checkpoint holds averaged ones (EMA) too",
    )
    checkpoint.add_argument(
        "--full-precision", action="store_true", help="store 32 bits a number instead of 16 (twice the size)"
    )
    about = parser.add_argument_group("what the file says of itself")
    about.add_argument("--name", help="the model's name (default: that of the file)")
    about.add_argument("--licence", metavar="TEXT", help="of the weights (default: what --lineage says)")
    about.add_argument(
        "--lineage",
        type=Path,
        metavar="JSON",
        help="file with licence, lineage and scores (default: the run's data and steps)",
    )
    messages = parser.add_argument_group("messages")
    messages.add_argument("--json", action="store_true", help="print what the file says of itself as JSON")
    messages.add_argument("-v", "--verbose", action="store_true", help="show tracebacks")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    weights, untrained = _is_weights(args.source), Path(args.source).suffix in YAML
    out = _check(args, weights, untrained)
    if not weights:
        needs("train", ["yaml"])
    if args.onnx:
        needs("export", ["onnx", "onnxscript", "onnxruntime"])
    make = _from_yaml if untrained else _from_checkpoint
    if weights:
        make = _from_several if args.ensemble_with else _from_weights
    document = make(args, out, terminal)
    if args.json:
        terminal.result_json(document | {"path": str(out)})
    else:
        terminal.result(str(out))
    return 0


def needs(extra: str, modules: Iterable[str]) -> None:
    """Raise UsageError where a module of an extra is not installed."""
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        raise UsageError(
            f"this needs {', '.join(missing)}, which the extra {extra!r} brings: pip install 'avsep[{extra}]'"
        )


def _is_weights(source: str) -> bool:
    """A weights file by its suffix, or a name without one that is no file."""
    path = Path(source)
    return path.suffix == WEIGHTS or (len(path.parts) == 1 and not path.suffix and not path.exists())


def _check(args: argparse.Namespace, weights: bool, untrained: bool) -> Path:
    """What can be checked before anything is read, is; returns the file to write."""
    of_checkpoints = ["config", "mean_with", "last_step", "full_precision"]
    if args.ensemble_with:
        if not weights or args.onnx:
            raise UsageError(
                f"--ensemble-with joins weights files or bundled names, and SOURCE is {args.source}"
                f"{' with --onnx, which writes one model' if args.onnx else '. Export it first'}"
            )
        _refuse(args, of_checkpoints, "is a weights file")
    elif weights:
        if not args.onnx:
            raise UsageError(
                f"{args.source} is a weights file already. Give a checkpoint (.ckpt), --ensemble-with or --onnx"
            )
        _refuse(args, [*of_checkpoints, "lineage", "licence", "name"], "is a weights file and says this itself")
    elif untrained:
        _refuse(args, of_checkpoints, "describes a model without weights")
    suffix = ONNX if args.onnx else WEIGHTS
    out = args.output or Path(_run_name(Path(args.source), args.name, weights or untrained) + suffix)
    if out.suffix != suffix:
        raise UsageError(f"-o is {out}; the file written here ends in {suffix}")
    if not out.parent.is_dir():
        raise OutputError(f"cannot write {out}: there is no folder {out.parent}. Make it first")
    if out.is_dir() or (out.exists() and not args.overwrite):
        raise OutputError(f"{out} exists. Give --overwrite to replace it, or another -o")
    return out


def _refuse(args: argparse.Namespace, options: Iterable[str], why: str) -> None:
    """Raise UsageError where one of these options of checkpoints is given. why: what the source is instead."""
    given = [f"--{name.replace('_', '-')}" for name in options if vars(args)[name]]
    if given:
        raise UsageError(f"{given[0]} is for checkpoints; {args.source} {why}")


def _run_name(source: Path, name: str | None, own: bool) -> str:
    """The given name; else the source's own, or that of a checkpoint's run (runs/NAME/checkpoints/last.ckpt)."""
    if name or own:
        return name or source.stem
    folder = source.absolute().parent
    return folder.parent.name if folder.name == "checkpoints" else folder.name


def _from_checkpoint(args: argparse.Namespace, out: Path, terminal: Terminal) -> dict:
    from avsep.export.trained import mean_of, read_trained

    checkpoints = [Path(args.source), *args.mean_with]
    trained = mean_of([read_trained(one, args.config, average=not args.last_step) for one in checkpoints], checkpoints)
    terminal.say(
        f"{type(trained.model).__name__} of step {trained.steps:,}"
        f"{', averaged weights' if trained.averaged else ''}"
        f"{f', mean with {len(args.mean_with)} more' if args.mean_with else ''}"
        f"{f', configured by {trained.config_path}' if trained.config_path else ''}"
    )
    return _write(args, trained, out, {}, terminal)


def _from_yaml(args: argparse.Namespace, out: Path, terminal: Terminal) -> dict:
    from avsep.export.untrained import read_untrained

    trained = read_untrained(Path(args.source))
    terminal.say(f"{type(trained.model).__name__} without weights, configured by {args.source}")
    return _write(args, trained, out, NO_LINEAGE, terminal)


def _write(args: argparse.Namespace, trained: Trained, out: Path, lineage: dict, terminal: Terminal) -> dict:
    """lineage: where the options give none; {}: what the run itself knows."""
    from avsep.export.weights import About, describe, export_weights

    about = _about(args, About(lineage=lineage))
    if args.onnx:
        return _write_onnx(trained.model, out, describe(trained, about, args.name or out.stem), terminal)
    return asdict(export_weights(trained, out, about, args.name, half=not args.full_precision))


def _about(args: argparse.Namespace, known: About) -> About:
    """What the options say of the weights, else what is known."""
    from avsep.export.weights import read_about

    about = read_about(args.lineage) if args.lineage else known
    return replace(about, licence=args.licence) if args.licence else about


def _from_several(args: argparse.Namespace, out: Path, terminal: Terminal) -> dict:
    from avsep.checkpoint import save_model
    from avsep.export.ensemble import join

    model, about = join([args.source, *args.ensemble_with])
    about = _about(args, about)
    terminal.say(f"an ensemble of {len(model.members)} separators, {model.parameter_count:,} weights")
    name = args.name or out.stem
    return asdict(save_model(out, model, name, about.licence, about.lineage, about.scores))


def _from_weights(args: argparse.Namespace, out: Path, terminal: Terminal) -> dict:
    from avsep.checkpoint import load_model

    model, card = load_model(args.source)
    return _write_onnx(model, out, card, terminal)


def _write_onnx(model: Model, out: Path, card: Card, terminal: Terminal) -> dict:
    from avsep.export.onnx import TOLERANCE, export_onnx

    terminal.say("writing ONNX; this takes about half a minute")
    difference = export_onnx(model, out, card)
    terminal.say(
        f"checked against torch at several lengths: differs by {difference:.1e} at most (allowed {TOLERANCE:.0e})"
    )
    return asdict(card) | {"largest_difference": difference}
