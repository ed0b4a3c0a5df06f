"""What is scored: a mixture, the sources it was made of, and what was estimated of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True, eq=False, repr=False)
class Trial:
    """One mixture in memory; all signals of one length, full scale is +-1.

    mixture: (channels, time), references: (sources, channels, time), estimates: (estimates, channels, time), where
    mixture, references and estimates may have different numbers of channels. The places are positions in the
    picture, 0 left edge to 1 right edge, None where unknown. trimmed: samples by which estimates were cut to fit. The
    labels are classes, "" where there is none, and may be left out. dry: (sources, time) what the sources were before
    any room, where the references are images in one; None where nobody knows.
    """

    id: str
    sample_rate: int
    mixture: np.ndarray
    references: np.ndarray
    estimates: np.ndarray
    reference_names: tuple[str, ...]
    estimate_names: tuple[str, ...]
    reference_places: tuple[float | None, ...] = ()
    estimate_places: tuple[float | None, ...] = ()
    trimmed: int = 0
    reference_labels: tuple[str, ...] = ()
    estimate_labels: tuple[str, ...] = ()
    dry: np.ndarray | None = None

    def __post_init__(self) -> None:
        shapes = (self.mixture.shape, self.references.shape, self.estimates.shape)
        if [len(shape) for shape in shapes] != [2, 3, 3] or len({shape[-1] for shape in shapes}) != 1:
            raise ValueError(
                "expected a mixture (channels, time), references and estimates (n, channels, time) of one length, got "
                f"{', '.join(map(str, shapes))}"
            )
        if self.dry is not None and self.dry.shape != (len(self.references), self.references.shape[-1]):
            raise ValueError(f"{self.id}: dry sources {self.dry.shape}; expected one of each reference, as long")
        if len(self.reference_names) != len(self.references) or len(self.estimate_names) != len(self.estimates):
            raise ValueError(f"{self.id}: every reference and every estimate needs one name")

    @property
    def seconds(self) -> float:
        return self.mixture.shape[-1] / self.sample_rate

    def __repr__(self) -> str:
        return (
            f"Trial({self.id!r}, {len(self.references)} references, {len(self.estimates)} estimates, "
            f"{self.seconds:.2f} s at {self.sample_rate} Hz)"
        )


class TrialSource(Protocol):
    """Something that becomes a trial when it is its turn: files to read, or a mixture to separate.

    portable: whether `load` may run in another process.
    """

    @property
    def id(self) -> str: ...

    @property
    def seconds(self) -> float: ...

    @property
    def portable(self) -> bool: ...

    def load(self) -> Trial: ...


def make_trial(
    references: np.ndarray,
    estimates: np.ndarray,
    mixture: np.ndarray | None = None,
    *,
    sample_rate: int,
    id: str = "mixture",
    reference_names: Sequence[str] = (),
    estimate_names: Sequence[str] = (),
    dry: np.ndarray | None = None,
) -> Trial:
    """A trial from arrays: references and estimates (n, time) or (n, channels, time), mixture (time,) or (channels,
    time), by default the sum of the references, dry (n, time). Names are s1, s2, ... where none are given."""
    references, estimates = (x[:, None] if x.ndim == 2 else x for x in (references, estimates))
    if mixture is None:
        mixture = references.sum(axis=0)
    return Trial(
        id,
        sample_rate,
        np.atleast_2d(mixture),
        references,
        estimates,
        tuple(reference_names) or tuple(f"s{i + 1}" for i in range(len(references))),
        tuple(estimate_names) or tuple(f"s{i + 1}" for i in range(len(estimates))),
        dry=dry,
    )
