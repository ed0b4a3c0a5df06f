"""A separation model as the source of estimates: mixtures of a fixed test list, or of a folder of references."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from avsep.checkpoint import Card
from avsep.data.lists import FixedMixtures, MixtureSpec, read_list
from avsep.data.sound_file import sound_channels
from avsep.dsp.spatial import gcc_phat
from avsep.dsp.stft import stft
from avsep.errors import InputError, UsageError
from avsep.evaluation.channels import Channels, one_channel, takes_first
from avsep.evaluation.files import TOLERANCE_SECONDS, TrialFiles, trial_files
from avsep.evaluation.folders import list_folder
from avsep.evaluation.trial import Trial
from avsep.inference.models import ModelStore
from avsep.inference.quality import Quality
from avsep.inference.sliding import SlidingSeparator
from avsep.signals import pictures_of
from avsep.storage.recording import Recording

OF_PICTURES = ("lips", "face")
"""Cues with a value for every picture; others hold for a whole mixture."""

ENROLMENT_SECONDS = 4.0
"""Of the recording of a speaker that a model with the cue enrolment is given: the default of training."""

PLAIN_SECONDS, PLAIN_OVERLAP = 60.0, 4.0
"""In a plain pass mixtures up to this length go through the model in one piece, as papers do; longer ones in such
pieces."""

ENROLMENT_SECONDS = 10.0
"""Of another utterance that a model of enrolments is given; a shorter one begins again."""


def load_engine(
    name_or_path: str | Path, device: str = "cpu", quality: Quality = "normal", *, plain: bool = False
) -> tuple[SlidingSeparator, Card]:
    """The engine that `avsep separate` runs a model with; plain: one pass over whole mixtures, estimates as the model
    gives them. Raises WeightsError for a model that does not separate."""
    store = ModelStore(device)
    model = store.separation(name_or_path)
    if plain:
        engine = SlidingSeparator(model, device, quality, 1, False, PLAIN_SECONDS, PLAIN_OVERLAP)
    else:
        engine = SlidingSeparator(model, device, quality)
    return engine, store.card(name_or_path)


@dataclass(frozen=True, eq=False)
class CuesInMemory:
    """Cues of a mixture by their names, each (sources, ...); those of `OF_PICTURES` (sources, pictures, ...)."""

    cues: Mapping[str, np.ndarray]

    @property
    def sources(self) -> int:
        return len(next(iter(self.cues.values())))

    def read(self, start_seconds: float, stop_seconds: float) -> tuple[list[int], Mapping[str, np.ndarray]]:
        pictures = slice(*pictures_of(start_seconds, stop_seconds))
        return list(range(self.sources)), {
            name: cue[:, pictures] if name in OF_PICTURES else cue for name, cue in self.cues.items()
        }


def true_delays(references: np.ndarray, sample_rate: int) -> np.ndarray:
    """(sources, channels, time) -> (sources, channels) in s, by which each is behind at each channel, against the
    first."""
    return gcc_phat(stft(torch.from_numpy(references)), sample_rate).numpy().astype(np.float32)


def estimate(
    engine: SlidingSeparator,
    mixture: np.ndarray,
    sample_rate: int,
    cues: Mapping[str, np.ndarray] | None = None,
    channels: Channels = "auto",
) -> np.ndarray:
    """Mixture (channels, time) at any rate and the cues that the model takes, each (sources, ...) -> (sources,
    channels, time) float32. A model of one channel gets the one that is compared."""
    if engine.model.contract.channels[1] == 1 < len(mixture):
        mixture = one_channel(mixture, takes_first(channels, len(mixture)))[None]
    estimates = engine.separate(Recording.of(mixture, sample_rate), CuesInMemory(cues) if cues else None)
    return estimates.read(0, len(estimates))


@dataclass(frozen=True, eq=False)
class ListTrial:
    """A mixture of a test list. engine: what separates it; without one, the estimates are files as long as it."""

    spec: MixtureSpec
    sample_rate: int
    engine: SlidingSeparator | None = None
    estimates: TrialFiles | None = field(default=None)
    channels: Channels = "auto"

    @property
    def id(self) -> str:
        return self.spec.id

    @property
    def seconds(self) -> float:
        return self.spec.seconds

    @property
    def portable(self) -> bool:
        return self.engine is None

    @cached_property
    def _names(self) -> tuple[str, ...]:
        speakers = [part.speaker for part in self.spec.voices]
        return (
            tuple(speakers) if len(set(speakers)) == len(speakers) else tuple(f"s{i + 1}" for i in range(len(speakers)))
        )

    def load(self) -> Trial:
        """Add the mixture up, and separate it or read the estimates."""
        needed = () if self.engine is None else self.engine.model.contract.cues
        most = max(sound_channels(part.audio) for part in self.spec.parts)
        item = _of_list([self.spec], needed, sample_rate=self.sample_rate, channels=most)[0]
        mixture, references = np.asarray(item["mixture"]), np.asarray(item["sources"])
        if self.engine is None:
            assert self.estimates is not None
            return self._with_files(mixture, references, self.estimates.load())
        cues = {name: np.asarray(item[name]) for name in needed if name in item}
        if "delays" in needed:
            cues["delays"] = true_delays(references, self.sample_rate)
        estimates = estimate(self.engine, mixture, self.sample_rate, cues, self.channels)
        # Estimate i of a model with cues is that of reference i, and bears its name.
        names = self._names if cues else _names(self.engine, len(estimates))
        return Trial(self.id, self.sample_rate, mixture, references, estimates, self._names, names)

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
    engine: SlidingSeparator
    channels: Channels = "auto"
    portable: bool = False

    @property
    def id(self) -> str:
        return self.files.id

    @property
    def seconds(self) -> float:
        return self.files.seconds

    def load(self) -> Trial:
        trial = self.files.load()
        estimates = estimate(self.engine, trial.mixture, trial.sample_rate, channels=self.channels)
        return replace(trial, estimates=estimates, estimate_names=_names(self.engine, len(estimates)))


def list_trials(
    path: Path, engine: SlidingSeparator, *, limit: int | None = None, channels: Channels = "auto"
) -> list[ListTrial]:
    """The mixtures of a test list, at the model's rate. The delays of a model that takes some are those of the
    references. Raises InputError for a list that cannot be read, or has no lips where the model needs them."""
    specs = read_list(path)[:limit]
    contract = engine.model.contract
    try:
        _of_list(specs, contract.cues)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return [ListTrial(spec, contract.sample_rate, engine, channels=channels) for spec in specs]


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


def folder_trials(
    files: Sequence[TrialFiles], engine: SlidingSeparator, channels: Channels = "auto"
) -> list[FolderTrial]:
    """The mixtures of a folder. Raises UsageError for a model of lips, faces or enrolments."""
    for cue in engine.model.contract.cues:
        if cue in (*OF_PICTURES, "enrolment"):
            column, option = ("enrolment", " --enrolment") if cue == "enrolment" else ("lips", "")
            raise UsageError(
                f"the model needs {cue}, and a folder of sound files has none. Give a test list with a column {column} "
                f"(python -m preprocessing.make_mixtures{option})"
            )
    return [FolderTrial(trial, engine, channels) for trial in files]


def _of_list(specs: Sequence[MixtureSpec], cues: Sequence[str], **options: Any) -> FixedMixtures:
    """Mixtures with those of the cues that a list can have."""
    enrolled = ENROLMENT_SECONDS if "enrolment" in cues else None
    return FixedMixtures(specs, faces="lips" in cues, embeddings="face" in cues, enrolment_seconds=enrolled, **options)


def _names(engine: SlidingSeparator, count: int) -> tuple[str, ...]:
    """Those of the model's sources, or numbers."""
    return engine.model.contract.names or tuple(f"estimate_{i:02d}" for i in range(count))
