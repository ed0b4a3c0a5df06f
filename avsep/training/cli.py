"""LightningCLI as `avsep fit` runs it: the seeds' schedule as defaults, exact resume, logs, clear messages."""

from __future__ import annotations

import logging
import re
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import lightning
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, ProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from avsep.errors import AvsepError, OutputError, UsageError
from avsep.safe_text import one_line
from avsep.training.allowed import allowed, own_options, refusal
from avsep.training.configuration import check_configuration
from avsep.training.resume import ResumeCheckpoint, StepSeed, check_checkpoint, find_checkpoint
from avsep.training.samples import ValidationSamples

DEFAULTS: dict[str, Any] = {
    "max_epochs": 100,
    "gradient_clip_val": 5.0,
    "num_sanity_val_steps": 1,
    "enable_model_summary": False,
    # The loaders of avsep.data.order share the items out themselves.
    "use_distributed_sampler": False,
}
"""Of the trainer, where a configuration says nothing."""


class Parser(LightningArgumentParser):
    """One message instead of usage lines and an exit."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        raise UsageError(message if ex is None else first_cause(ex)) from ex


class SaveConfig(SaveConfigCallback):
    """The whole configuration as config.yaml in the run's folder, where `avsep export` looks for it."""

    def save_config(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        folder = Path(trainer.default_root_dir)
        folder.mkdir(parents=True, exist_ok=True)
        self.parser.save(self.config, folder / self.config_filename, overwrite=True)


class FitCLI(LightningCLI):
    """Parses and builds; `train` runs. arguments: as on the command line, without the program and `fit`.

    callbacks: further ones, for example a progress bar. Raises UsageError with the key of what does not fit.
    """

    def __init__(self, arguments: Sequence[str], callbacks: Sequence[Callback] = ()) -> None:
        arguments, self.modules, self.pipe = own_options(arguments)
        files = config_files(arguments)
        self.name = files[-1].stem if files else "fit"
        self.extra = list(callbacks)
        with allowed(self.modules, self.pipe):
            check_configuration(files, arguments)
            self._build(arguments)

    def _build(self, arguments: Sequence[str]) -> None:
        try:
            super().__init__(
                lightning.LightningModule,
                lightning.LightningDataModule,
                subclass_mode_model=True,
                subclass_mode_data=True,
                save_config_callback=SaveConfig,
                save_config_kwargs={"save_to_log_dir": False},
                trainer_defaults=DEFAULTS,
                seed_everything_default=0,
                parser_class=Parser,
                auto_configure_optimizers=False,
                load_from_checkpoint_support=False,
                run=False,
                args=list(arguments),
            )
        except (MisconfigurationException, ValueError, TypeError) as error:
            raise UsageError(f"the configuration cannot be built: {first_cause(error)}") from error

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument("--ckpt_path", type=str | None, default=None, help="go on from this file, or 'last'")
        parser.add_argument("--checkpoint_every", type=int, default=500, help="steps between two last.ckpt")
        parser.add_argument("--overwrite", type=bool, default=False, help="delete the checkpoints of an earlier run")

    def instantiate_trainer(self, **kwargs: Any) -> lightning.Trainer:
        options = {**self.config_init["trainer"]}
        root = Path(options["default_root_dir"] or Path("runs") / self.name)
        self.checkpoints = root / "checkpoints"
        added: dict[str, Any] = {"default_root_dir": str(root)}
        if options["logger"] in (None, True):
            table = CSVLogger(root, name="logs")
            added["logger"] = [table, TensorBoardLogger(root, name="logs", version=table.version)]
        given = options["callbacks"] or []
        given = list(given) if isinstance(given, list) else [given]
        added["callbacks"] = given + self._callbacks(given, options)
        if options["enable_progress_bar"] is None:
            added["enable_progress_bar"] = any(isinstance(c, ProgressBar) for c in added["callbacks"])
        return super().instantiate_trainer(**added, **kwargs)

    def _callbacks(self, given: list[Callback], options: Any) -> list[Callback]:
        """What every training gets besides those of its configuration."""
        seed = self.config["seed_everything"]
        callbacks = [StepSeed(int(seed)), ValidationSamples(), *self.extra]
        if options["fast_dev_run"] or options["enable_checkpointing"] is False:
            return callbacks
        callbacks.append(ResumeCheckpoint(self.checkpoints, self.config["checkpoint_every"]))
        monitor = getattr(self.model, "monitor", None)
        if monitor and not any(isinstance(c, ModelCheckpoint) for c in given):
            callbacks.append(
                ModelCheckpoint(
                    self.checkpoints,
                    f"best-{{epoch}}-{{step}}-{{{monitor}:.2f}}",
                    monitor=monitor,
                    mode="max",
                )
            )
        return callbacks

    def train(self, say: Callable[[str], None]) -> None:
        """Fit, from the checkpoint that the configuration names."""
        name, resume = self.config["ckpt_path"], None
        if name is not None:
            resume = find_checkpoint(name, self.checkpoints)
            if resume is None:
                say(f"nothing in {self.checkpoints} yet: beginning at step 0")
            else:
                check_checkpoint(resume, self.model)
        if self.is_first and not self.trainer.fast_dev_run:  # type: ignore[attr-defined]
            self._check_folder()
        if self.is_first:
            self._clear(resume)
        if resume is not None:
            say(f"going on from {resume}")
        weights = sum(p.numel() for p in self.model.parameters() if p.requires_grad)
        say(f"{self.name}: {weights:,} weights, on {self.trainer.strategy.root_device}")
        with allowed(self.modules, self.pipe):
            self.trainer.fit(self.model, datamodule=self.datamodule, ckpt_path=resume, weights_only=True)

    @property
    def is_first(self) -> bool:
        """Whether this is the process that speaks and writes, of several."""
        return rank_zero_only.rank in (None, 0)  # type: ignore[attr-defined]

    @property
    def best(self) -> str:
        """The checkpoint with the best validation, or nothing."""
        return next(
            (c.best_model_path for c in self.trainer.checkpoint_callbacks if isinstance(c, ModelCheckpoint)), ""
        )

    def _check_folder(self) -> None:
        """Raise OutputError where the run's folder cannot be written, before anything else takes its time."""
        root = self.checkpoints.parent
        try:
            root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=root):
                pass
        except OSError as error:
            raise OutputError(
                f"{root}: cannot be written ({error.strerror}). Choose another folder with --trainer.default_root_dir"
            ) from error

    def _clear(self, resume: Path | None) -> None:
        """Keep an earlier run: its checkpoints are replaced only when that is asked for."""
        earlier = sorted(self.checkpoints.glob("*.ckpt"))
        if not earlier or self.trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        if resume is not None and resume.resolve().parent == self.checkpoints.resolve():
            return
        if not self.config["overwrite"]:
            raise UsageError(
                f"{self.checkpoints} holds an earlier run ({earlier[-1].name}). Go on with it: --ckpt_path last. "
                f"Or choose another folder with --trainer.default_root_dir, or replace it with --overwrite true"
            )
        for file in earlier:
            file.unlink()


def config_files(arguments: Sequence[str]) -> list[Path]:
    """The YAML files that the arguments name."""
    files = []
    for number, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if name not in ("--config", "-c"):
            continue
        if not equals and number + 1 < len(arguments):
            value = arguments[number + 1]
        if value:
            files.append(Path(value))
    return files


def first_cause(error: BaseException) -> str:
    """What is wrong, in one line: jsonargparse wraps it into errors about what it was for.

    Of a value that fits none of several types, it names as the cause why it does not fit the first.
    """
    while error.__cause__ is not None and not isinstance(error, AvsepError):
        error = error.__cause__
    if isinstance(error, UnicodeDecodeError):
        return f"the locale reads files as {error.encoding}, and the configuration is UTF-8: set PYTHONUTF8=1"
    if denied := re.search(r"Importing '(\S+)' is not allowed", str(error)):
        return refusal(denied[1])
    return one_line(error)


def quiet_lightning() -> None:
    """Leave the warnings of Lightning out, and what it says of the hardware."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
