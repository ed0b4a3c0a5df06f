"""A separation model as the source of estimates: mixtures of a fixed test list, or of a folder of references."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from avsep.checkpoint import Card, load_model
from avsep.data.lists import FixedMixtures, MixtureSpec, read_list, render
from avsep.dsp.remask import remask
from avsep.errors import InputError, UsageError, WeightsError
from avsep.evaluation.files import TOLERANCE_SECONDS, TrialFiles, trial_files
from avsep.evaluation.folders import list_folder
from avsep.evaluation.trial import Trial
from avsep.inference.cycle_spin import cycle_spin
from avsep.inference.stitch import segments, stitch
from avsep.models.base import SeparationModel
from avsep.signals import FRAME_RATE

LONGEST_SECONDS = 60
"""Mixtures up to this length go through the model in one piece, as papers do; longer ones in such pieces."""
OVERLAP_SECONDS = 4


def load_separation_model(name_or_path: str | Path, device: str = "cpu") -> tuple[SeparationModel, Card]:
    """A bundled name or a weights file to a model that separates. Raises WeightsError for anything else."""
    model, card = load_model(name_or_path, device)
    if not isinstance(model, SeparationModel):
        raise WeightsError(
            f"model {card.name!r} is a {card.class_path.rpartition('.')[2]}, which separates nothing. "
            "Use a separation model (avsep models lists them)"
        )
    return model, card


@dataclass(frozen=True, eq=False)
class Listener:
    """A model and how it is run. shifts: passes whose mean is taken (see avsep.inference.cycle_spin), for models without
    lips. remasked: its estimates are fitted to the mixture."""

    model: SeparationModel
    shifts: int = 1
    remasked: bool = False

    @torch.inference_mode()
    def estimate(self, mixture: np.ndarray, lips: np.ndarray | None = None) -> np.ndarray:
        """Mixture (channels, time) at the model's rate and, for a model of lips, lips (faces, pictures, 96, 96) in 0..1
        -> (sources, time) float32."""
        heard = mixture if self.model.in_channels > 1 else mixture.mean(axis=0)
        rate, picture = self.model.sample_rate, self.model.sample_rate // FRAME_RATE

        def pieces() -> Iterator[tuple[int, np.ndarray]]:
            for start, stop in segments(mixture.shape[-1], LONGEST_SECONDS * rate, OVERLAP_SECONDS * rate):
                piece = heard[..., start:stop]
                if lips is None:
                    yield start, cycle_spin(self._run, piece, self.shifts)
                else:
                    yield start, self._run(piece, lips[:, start // picture : -(-stop // picture)])

        estimates = np.concatenate(list(stitch(pieces(), reorder=lips is None)), axis=-1)
        return remask(estimates, mixture.mean(axis=0)) if self.remasked else estimates

    def _run(self, *given: np.ndarray) -> np.ndarray:
        device = next(self.model.parameters()).device
        tensors = (torch.from_numpy(np.ascontiguousarray(x, np.float32))[None].to(device) for x in given)
        return self.model(*tensors)[0].float().cpu().numpy()


@dataclass(frozen=True, eq=False)
class ListTrial:
    """A mixture of a test list. listener: what separates it; without one, the estimates are files as long as it."""

    spec: MixtureSpec
    sample_rate: int
    listener: Listener | None = None
    estimates: TrialFiles | None = field(default=None)

    @property
    def id(self) -> str:
        return self.spec.id

    @property
    def seconds(self) -> float:
        return self.spec.seconds

    @property
    def portable(self) -> bool:
        return self.listener is None

    @cached_property
    def _names(self) -> tuple[str, ...]:
        speakers = [part.speaker for part in self.spec.voices]
        return (
            tuple(speakers) if len(set(speakers)) == len(speakers) else tuple(f"s{i + 1}" for i in range(len(speakers)))
        )

    def load(self) -> Trial:
        """Add the mixture up, and separate it or read the estimates."""
        if self.listener is not None and self.listener.model.conditioning == "lips":
            item = FixedMixtures([self.spec], faces=True, sample_rate=self.sample_rate)[0]
            mixture, sources, lips = (np.asarray(item[key]) for key in ("mixture", "sources", "lips"))
        else:
            (mixture, sources), lips = render(self.spec, self.sample_rate), None
        references = sources[:, None]
        if self.listener is None:
            assert self.estimates is not None
            return self._with_files(np.atleast_2d(mixture), references, self.estimates.load())
        estimates = self.listener.estimate(np.atleast_2d(mixture), lips)
        return _trial(
            self.id, self.sample_rate, np.atleast_2d(mixture), references, estimates, self._names, lips is not None
        )

    def _with_files(self, mixture: np.ndarray, references: np.ndarray, read: Trial) -> Trial:
        estimates, time = read.references, mixture.shape[-1]
        difference = abs(estimates.shape[-1] - time)
        if difference >= TOLERANCE_SECONDS * self.sample_rate:
            raise InputError(
                f"{self.id}: the estimates have {estimates.shape[-1]} samples, expected {time} at {self.sample_rate} "
                f"Hz (within {TOLERANCE_SECONDS:g} s) as in the list. Separate the mixtures of this list"
            )
        time = min(time, estimates.shape[-1])
        return Trial(
            self.id,
            self.sample_rate,
            mixture[:, :time],
            references[..., :time],
            estimates[..., :time],
            self._names,
            read.reference_names,
            trimmed=difference,
        )


@dataclass(frozen=True, eq=False)
class FolderTrial:
    """A mixture of a folder, to be separated by a model."""

    files: TrialFiles
    listener: Listener
    portable: bool = False

    @property
    def id(self) -> str:
        return self.files.id

    @property
    def seconds(self) -> float:
        return self.files.seconds

    def load(self) -> Trial:
        trial = self.files.load()
        estimates = self.listener.estimate(trial.mixture)
        return replace(trial, estimates=estimates[:, None], estimate_names=_numbered(len(estimates)))


def list_trials(path: Path, listener: Listener, *, limit: int | None = None) -> list[ListTrial]:
    """The mixtures of a test list, at the model's rate. Raises InputError for a list that cannot be read, or has no
    lips where the model needs them."""
    specs = read_list(path)[:limit]
    if listener.model.conditioning == "lips":
        try:
            FixedMixtures(specs, faces=True)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
    return [ListTrial(spec, listener.model.sample_rate, listener) for spec in specs]


def list_and_folder(path: Path, estimates: Path, *, sample_rate: int, limit: int | None = None) -> list[ListTrial]:
    """The mixtures of a test list, with estimates from a folder. Raises InputError where the folder lacks some."""
    found = list_folder(estimates)
    trials = []
    for spec in read_list(path)[:limit]:
        if spec.id not in found or not found[spec.id].sources:
            raise InputError(
                f"{estimates}: has no estimates for mixture {spec.id} of {path}. Expected {estimates / spec.id}/ with "
                "a file for each source"
            )
        files = trial_files(spec.id, found[spec.id].sources, {})
        if files.rate != sample_rate:
            raise InputError(
                f"{next(iter(files.references.values()))}: is at {files.rate} Hz, expected {sample_rate} Hz, the rate "
                f"the list is added up at. Give --sample-rate {files.rate}, or resample it"
            )
        trials.append(ListTrial(spec, sample_rate, estimates=files))
    return trials


def folder_trials(files: Sequence[TrialFiles], listener: Listener) -> list[FolderTrial]:
    """The mixtures of a folder. Raises UsageError for a model of lips, InputError for files of another rate."""
    model = listener.model
    if model.conditioning == "lips":
        raise UsageError(
            "the model needs lips, and a folder of sound files has none. Give a test list with a column lips "
            "(python -m preprocessing.make_mixtures)"
        )
    for trial in files:
        if trial.rate != model.sample_rate:
            raise InputError(
                f"{next(iter(trial.references.values()))}: is at {trial.rate} Hz, expected {model.sample_rate} Hz, the "
                f"model's rate. Add --sample-rate {model.sample_rate} to resample"
            )
    return [FolderTrial(trial, listener) for trial in files]


def _trial(
    id: str,
    rate: int,
    mixture: np.ndarray,
    references: np.ndarray,
    estimates: np.ndarray,
    names: tuple[str, ...],
    ordered: bool,
) -> Trial:
    """ordered: estimate i is that of reference i, and bears its name."""
    return Trial(
        id, rate, mixture, references, estimates[:, None], names, names if ordered else _numbered(len(estimates))
    )


def _numbered(count: int) -> tuple[str, ...]:
    return tuple(f"estimate_{i:02d}" for i in range(count))
