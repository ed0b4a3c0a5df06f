"""Enrolments as the cues of a model that they steer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np


class EnrolmentCues:
    """A recording of each voice, (time,) at the model's rate; those that are shorter than the longest begin again, as
    they do in training."""

    def __init__(self, recordings: Sequence[np.ndarray]) -> None:
        longest = max(len(samples) for samples in recordings)
        self.enrolment = np.stack([np.resize(samples, longest) for samples in recordings]).astype(np.float32)

    @property
    def sources(self) -> int:
        return len(self.enrolment)

    def read(self, start_seconds: float, stop_seconds: float) -> tuple[list[int], Mapping[str, np.ndarray]]:
        """All of them, whenever it is: `enrolment` (voices, time)."""
        return list(range(self.sources)), {"enrolment": self.enrolment}
