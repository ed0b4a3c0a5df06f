"""`avsep evaluate REFERENCES [ESTIMATES]`: how good a separation is, as a table, a CSV, a JSON summary and pictures.
`avsep evaluate RESULT...`: what can be told without references."""

from __future__ import annotations

import argparse
import importlib.util
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from avsep.cli import checks, evaluate_results, options
from avsep.cli.terminal import Terminal
from avsep.errors import UsageError
from avsep.inference.quality import Quality

if TYPE_CHECKING:
    from avsep.evaluation.run import Outcome
    from avsep.evaluation.score import Scoring
    from avsep.evaluation.trial import TrialSource

DEFAULT_OUTPUT = Path("evaluation")
FORMAT = 1
"""Of summary.json."""

DESCRIPTION = """\
Measure a separation. REFERENCES and ESTIMATES are folders with REFERENCES/<mixture>/<source>.wav and
ESTIMATES/<mixture>/*.wav, as 'avsep separate' writes them, or s1/<mixture>.wav, s2/<mixture>.wav, ... as in WSJ0-mix
and LibriMix. REFERENCES may also be a list: of references and estimates (columns mixture, source, reference,
estimate), or a test list of mixtures. With --model the mixtures are separated first.

DIR gets results.csv (a row for each source), summary.json (means with 95 % intervals) and pictures.

RESULT... are folders that 'avsep separate' wrote for a clip. Without references it is measured how the speech sounds,
how much the tracks have in common and whether each stays one voice; no files are written, but see --mark."""


def register(commands) -> None:
    parser = commands.add_parser(
        "evaluate",
        help="measure estimates against references, or results without any",
        usage="%(prog)s [options] REFERENCES [ESTIMATES]\n       %(prog)s [options] RESULT...",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("references", type=Path, metavar="REFERENCES", help="folder of references, or a list")
    parser.add_argument("estimates", nargs="*", type=Path, metavar="ESTIMATES", help="folder of estimates")
    parser.add_argument(
        "--model", metavar="NAME", help="separate with this bundled model or weights file instead of ESTIMATES"
    )
    parser.add_argument(
        "--mark",
        action="store_true",
        help="write measures and what is not to be trusted into the manifest of each RESULT",
    )
    options.add_output(parser, DEFAULT_OUTPUT, "the results go")
    parser.add_argument("--overwrite", action="store_true", help="replace the results of an earlier run")
    parser.add_argument("--no-pictures", action="store_true", help="write no pictures")
    measures = parser.add_argument_group("measures")
    measures.add_argument(
        "--metrics",
        default="default",
        metavar="LIST",
        help="of si_sdr, snr, sdr (with SIR, SAR), isr, pesq, stoi (with ESTOI), mask (precision and recall), with "
        "commas; or all (default: all but isr)",
    )
    measures.add_argument(
        "--oracle",
        default="",
        metavar="LIST",
        help="rows for ideal masks beside the estimates: of IBM, IRM, WFM, PSM, binary, and mixture (unprocessed), "
        "with commas; or all (default: none)",
    )
    measures.add_argument(
        "--match",
        choices=("best", "name", "face"),
        help="which estimate belongs to which reference: the best permutation, the same name, or the place of the "
        "face (default: best; name for lists of estimates and models of lips)",
    )
    measures.add_argument(
        "--mask-threshold",
        type=_decibels,
        default=0.0,
        metavar="DB",
        help="a bin of a binary mask is a source's where it is louder than the rest by this (default: 0)",
    )
    measures.add_argument("--seed", type=options.whole(0), default=0, metavar="N", help="of the intervals (default: 0)")
    signals = parser.add_argument_group("signals")
    signals.add_argument(
        "--channels",
        choices=("auto", "mean", "first"),
        default="auto",
        help="what is compared of signals with several channels: their mean, or the first of each (microphone 0 of an "
        "array) (default: the mean of two, the first of more)",
    )
    signals.add_argument(
        "--dry",
        type=Path,
        metavar="FOLDER",
        help="sources without any room, in folders and files named like the references: adds SI-SDR and SDR against "
        "them (a list has a column dry)",
    )
    signals.add_argument("--limit", type=options.whole(1), metavar="N", help="only the first N mixtures")
    signals.add_argument(
        "--sample-rate",
        type=options.whole(1000),
        metavar="HZ",
        help="resample every file to this rate (default: all must have the same)",
    )
    signals.add_argument(
        "--plain",
        action="store_true",
        help="with --model: one pass over whole mixtures, estimates as the model gives them, as papers do (default: as "
        "'avsep separate' separates)",
    )
    signals.add_argument(
        "--quality",
        choices=get_args(Quality),
        help="with --model: how much work the separation is (default: normal; with --plain always one pass)",
    )
    options.add_machine(parser)
    parser.add_argument(
        "--jobs", type=options.whole(1), default=1, metavar="N", help="processes that score (default: 1)"
    )
    options.add_messages(parser)
    parser.set_defaults(run=run, default_of=parser.get_default)


def run(args: argparse.Namespace, terminal: Terminal) -> int:
    if args.model is None and evaluate_results.are_results([args.references, *args.estimates]):
        return evaluate_results.run(args, terminal)
    _check_two(args)
    from avsep.evaluation import figures, masks
    from avsep.evaluation.run import evaluate
    from avsep.evaluation.score import Scoring
    from avsep.output.ownership import EVALUATION
    from avsep.output.workspace import folders_of, workspace

    inputs = [Path(given) for given in (args.references, args.estimates, args.model, args.dry) if given]
    checks.check_target(args.output, folders_of(inputs), overwrite=args.overwrite, kind=EVALUATION)
    groups, notes = figures.usable(figures.parse_groups(args.metrics))
    oracles = masks.parse_oracles(args.oracle)
    if args.match == "face" and args.estimates is None and args.model is None:
        raise UsageError("--match face needs folders: a list of estimates says itself whose they are")
    trials, match, system = _trials(args)
    if args.dry or any(getattr(trial, "dry", None) for trial in trials):
        more, missing = figures.usable([figures.DRY])
        groups, notes = (*groups, *more), [*notes, *missing]
    scoring = Scoring(groups, oracles, args.match or match, args.mask_threshold, args.channels)

    started = time.perf_counter()
    with workspace(args.output, args.overwrite, inputs=inputs, kind=EVALUATION, say=notes.append) as folder:
        with terminal.progress(str(args.references)) as hook:
            outcome = evaluate(trials, scoring, args.jobs, hook)
        outcome.notes[:0] = notes
        summary = _write(folder, outcome, trials, scoring, args, system)
        summary_seconds = time.perf_counter() - started
    for note in outcome.notes:
        terminal.say(note)
    terminal.detail(f"{len(trials)} mixtures in {summary_seconds:.1f} s")
    if args.json:
        terminal.result_json(summary | {"folder": str(args.output)})
    else:
        from avsep.evaluation.report import table

        terminal.result(f"{args.references} -> {args.output}  ({system['name']}, match by {scoring.match})")
        terminal.result(table(summary))
    return 0


def _check_two(args: argparse.Namespace) -> None:
    """REFERENCES and at most one folder of ESTIMATES, which is then `args.estimates`."""
    if args.mark:
        raise UsageError(
            f"--mark marks results of avsep separate, and {args.references} is none: it has no manifest.json. Give the "
            "folder of one clip, or leave --mark out"
        )
    if len(args.estimates) > 1:
        raise UsageError(
            f"{len(args.estimates)} folders of estimates are given, and {args.references} has room for one. Evaluate "
            "one after the other"
        )
    args.estimates = args.estimates[0] if args.estimates else None


def _trials(args: argparse.Namespace) -> tuple[Sequence[TrialSource], Any, dict[str, Any]]:
    """What is to be scored, how estimates are matched by default, and what the summary says of their origin."""
    from avsep.evaluation import table

    a_list = not args.references.is_dir()
    pairs = a_list and table.is_pair_list(args.references)
    if pairs and (args.model or args.estimates):
        raise UsageError(
            f"{args.references} lists its own estimates. Leave out {'--model' if args.model else args.estimates}"
        )
    if args.model and args.estimates:
        raise UsageError("ESTIMATES and --model are two sources of estimates. Give one of them")
    if not (pairs or args.model or args.estimates):
        raise UsageError(
            "nothing to compare with the references. Give a folder of ESTIMATES or a --model, or a list with the "
            f"columns {', '.join(table.COLUMNS)}. Without references, give results of avsep "
            "separate, each the folder of one clip"
        )
    for option, given in (("--plain", args.plain), ("--quality", args.quality)):
        if given and not args.model:
            raise UsageError(f"{option} is for the estimates of a --model. Leave it out")
    if args.model:
        return _model_trials(args, a_list)
    from avsep.evaluation import folders

    given = {"sample_rate": args.sample_rate, "limit": args.limit}
    if a_list and args.dry:
        raise UsageError(
            "--dry goes with a folder of references. A list of references and estimates has a column dry instead"
        )
    if pairs:
        return table.read_pairs(args.references, **given), "name", {"name": args.references.name}
    system = {"name": str(args.estimates)}
    if not a_list:
        return folders.pair_folders(args.references, args.estimates, dry=args.dry, **given), "best", system
    from avsep.evaluation.model import list_and_folder
    from avsep.signals import SAMPLE_RATE

    given["sample_rate"] = args.sample_rate or SAMPLE_RATE
    return list_and_folder(args.references, args.estimates, **given), "best", system


def _model_trials(args: argparse.Namespace, a_list: bool) -> tuple[Sequence[TrialSource], Any, dict[str, Any]]:
    import torch

    from avsep.evaluation import folders, model
    from avsep.pipeline import resolve_device

    if args.threads is not None:
        torch.set_num_threads(args.threads)
    engine, card = model.load_engine(
        args.model, resolve_device(args.device), args.quality or "normal", plain=args.plain
    )
    contract = engine.model.contract
    by_face = bool({"lips", "face"} & set(contract.cues))
    if args.match == "face":
        if not by_face:
            raise UsageError(f"--match face: {card.name} knows no faces. Use --match best")
        args.match = "name"  # the estimates of such a model come in the order of the faces
    system = {
        "name": card.name,
        "model": str(args.model),
        "parameters": card.parameters,
        "plain": args.plain,
        "refined": engine.refines,
        "quality": engine.quality,
        "passes": engine.passes_made,
    }
    trials: Sequence[TrialSource]
    if a_list:
        if args.sample_rate not in (None, contract.sample_rate):
            raise UsageError(
                f"--sample-rate {args.sample_rate}: {card.name} works at {contract.sample_rate} Hz, and the list is "
                "added up at that rate. Leave --sample-rate out"
            )
        if args.dry:
            raise UsageError("--dry goes with a folder of references, not with a list of mixtures. Leave it out")
        trials = model.list_trials(args.references, engine, limit=args.limit, channels=args.channels)
    else:
        files = folders.reference_trials(args.references, sample_rate=args.sample_rate, limit=args.limit, dry=args.dry)
        trials = model.folder_trials(files, engine, args.channels)
    return trials, "best" if contract.order == "any" else "name", system


def _write(
    folder: Path,
    outcome: Outcome,
    trials: Sequence[TrialSource],
    scoring: Scoring,
    args: argparse.Namespace,
    system: dict[str, Any],
) -> dict[str, Any]:
    """All files of the results; returns the summary."""
    from avsep.evaluation import report, summary
    from avsep.version import __version__

    report.write_csv(folder / report.CSV, outcome.rows, scoring.groups)
    pictures: list[str] = []
    if not args.no_pictures:
        if importlib.util.find_spec("matplotlib"):
            from avsep.evaluation.pictures import draw

            pictures = draw(folder, outcome.rows, trials, args.seed, scoring.channels)
        else:
            outcome.notes.append("no pictures: matplotlib is not installed. pip install 'avsep[evaluate]'")
    document = {
        "format": FORMAT,
        "avsep_version": __version__,
        "references": str(args.references),
        "estimates": system,
        "options": {
            "metrics": list(scoring.groups),
            "oracles": list(scoring.oracles),
            "match": scoring.match,
            "mask_threshold_db": scoring.mask_threshold_db,
            "channels": scoring.channels,
            "sample_rate": args.sample_rate,
            "limit": args.limit,
            "seed": args.seed,
            "bootstrap_resamples": summary.RESAMPLES,
        },
        **summary.summarise(outcome.rows, args.seed),
        "notes": outcome.notes,
        "files": [report.CSV, report.JSON, *pictures],
    }
    report.write_json(folder / report.JSON, document)
    return document


def _decibels(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of decibels")
    return value
