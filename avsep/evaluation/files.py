"""A trial that lies in audio files: checked by their headers before anything is read, read when it is its turn."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from avsep.data.sound_file import SoundReader
from avsep.dsp.resample import resample
from avsep.errors import InputError
from avsep.evaluation.trial import Trial
from avsep.signals import FRAME_RATE

AUDIO = (".wav", ".flac", ".ogg", ".opus")
"""What is taken for a signal in a folder."""

TOLERANCE_SECONDS = 1 / FRAME_RATE
"""Estimates may differ from their reference by less than this, one hop of the picture grid; they are cut to fit."""


@dataclass(frozen=True)
class TrialFiles:
    """references and estimates: name -> file, in order. mixture: None where it is the sum of the references.

    sample_rate: what all files are brought to, None where all must have the same rate already. Places and labels: see
    Trial. dry: name of a reference -> its source without any room, for all references or for none.
    """

    id: str
    references: dict[str, Path]
    estimates: dict[str, Path]
    mixture: Path | None
    seconds: float
    rate: int
    resampled: bool = False
    reference_places: tuple[float | None, ...] = ()
    estimate_places: tuple[float | None, ...] = ()
    portable: bool = True
    reference_labels: tuple[str, ...] = ()
    estimate_labels: tuple[str, ...] = ()
    dry: dict[str, Path] = field(default_factory=dict)

    def load(self) -> Trial:
        """Read the files. Raises InputError for one that is damaged or holds samples that are not numbers."""
        references = [self._read(path) for path in self.references.values()]
        estimates = [self._read(path) for path in self.estimates.values()]
        mixed = self._read(self.mixture) if self.mixture else None
        dry = [self._read(self.dry[name]).mean(axis=0) for name in self.references] if self.dry else []
        _check_channels(self.id, "references", references)
        _check_channels(self.id, "estimates", estimates)
        everything = [*references, *estimates, *([] if mixed is None else [mixed])]
        time = min(x.shape[1] for x in everything)
        wanted = references[0].shape[1]
        sources = np.stack([x[:, :time] for x in references])
        return Trial(
            id=self.id,
            sample_rate=self.rate,
            mixture=sources.sum(axis=0) if mixed is None else mixed[:, :time],
            references=sources,
            estimates=np.stack([x[:, :time] for x in estimates]) if estimates else np.zeros((0, *sources.shape[1:])),
            reference_names=tuple(self.references),
            estimate_names=tuple(self.estimates),
            reference_places=self.reference_places,
            estimate_places=self.estimate_places,
            reference_labels=self.reference_labels,
            estimate_labels=self.estimate_labels,
            dry=np.stack([x[:time] for x in dry]) if dry else None,
            trimmed=max((abs(x.shape[1] - wanted) for x in estimates), default=0),
        )

    def _read(self, path: Path) -> np.ndarray:
        with SoundReader(path) as file:
            samples, rate = file.read(), file.sample_rate
        if not np.isfinite(samples).all():
            raise InputError(f"{path}: has samples that are not finite numbers. Write the file again")
        return resample(np.ascontiguousarray(samples.T), rate, self.rate)


def trial_files(
    id: str,
    references: dict[str, Path],
    estimates: dict[str, Path],
    mixture: Path | None = None,
    *,
    sample_rate: int | None = None,
    reference_places: tuple[float | None, ...] = (),
    estimate_places: tuple[float | None, ...] = (),
    dry: dict[str, Path] | None = None,
) -> TrialFiles:
    """Look at the headers of all files. sample_rate in Hz: bring every file to it; otherwise they must all have the
    rate of the first reference.

    Raises InputError, naming the file and what was expected, for one that is missing, empty, of another rate or of
    another length: references, mixture and dry sources as long as the first reference, estimates within
    TOLERANCE_SECONDS of it.
    """
    first = next(iter(references.values()))
    expected, expected_rate = _header(first)
    wanted = expected / expected_rate
    dry = dry or {}
    mixtures = [mixture] if mixture else []
    for path in (*references.values(), *mixtures, *dry.values(), *estimates.values()):
        frames, rate = _header(path)
        if sample_rate is None and rate != expected_rate:
            raise InputError(
                f"{path}: is at {rate} Hz, expected {expected_rate} Hz as {first}. Resample it, or bring all files to "
                f"one rate with --sample-rate {expected_rate}"
            )
        seconds = frames / rate
        is_estimate = path in estimates.values()
        # Files of two rates can agree to a sample only.
        slack = TOLERANCE_SECONDS if is_estimate else 1.5 / min(rate, expected_rate)
        exact = rate == expected_rate and not is_estimate
        if frames != expected if exact else abs(seconds - wanted) >= slack:
            within = f" (within {TOLERANCE_SECONDS:g} s)" if is_estimate else ""
            hint = ", or list recordings of what was played: preprocessing.rerecorded" if path == mixture else ""
            raise InputError(
                f"{path}: has {frames} samples at {rate} Hz ({seconds:.3f} s), expected {expected} at {expected_rate} "
                f"Hz ({wanted:.3f} s){within} as {first}. Cut both to the same length{hint}"
            )
    return TrialFiles(
        id,
        references,
        estimates,
        mixture,
        wanted,
        sample_rate or expected_rate,
        sample_rate is not None,
        reference_places,
        estimate_places,
        dry=dry,
    )


def is_audio(path: Path) -> bool:
    return path.suffix.lower() in AUDIO and path.is_file() and not path.name.startswith(".")


def _header(path: Path) -> tuple[int, int]:
    """Samples and rate in Hz by the header."""
    if not os.path.isfile(path):  # of a name that cannot be, too, where Path.is_file raises
        raise InputError(f"{path}: no such file. Correct its name, or make it")
    with SoundReader(path) as file:
        if not file.frames:
            raise InputError(f"{path}: has no samples. Write the file again")
        return file.frames, file.sample_rate


def _check_channels(id: str, what: str, signals: list[np.ndarray]) -> None:
    counts = sorted({len(x) for x in signals})
    if len(counts) > 1:
        raise InputError(
            f"{id}: the {what} have different numbers of channels ({', '.join(map(str, counts))}). Write all with one"
        )
