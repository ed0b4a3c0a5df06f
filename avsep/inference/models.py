"""Models that were loaded once and stay for the next clip."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from avsep.checkpoint import Card, find_weights, load_model, read_card
from avsep.errors import UsageError, WeightsError

if TYPE_CHECKING:
    from avsep.models.base import Model, SeparationModel
    from avsep.models.mouth_visibility import MouthVisibility
    from avsep.models.sound_classifier import SoundClassifier
    from avsep.models.synchrony import Synchrony
    from avsep.models.voice_statistics import VoiceStatistics


def resolve_device(device: str) -> str:
    """ "auto", "cpu" or "cuda" -> the device to use. Raises UsageError for anything else, or CUDA where there is
    none."""
    import torch

    available = torch.cuda.is_available()
    if device not in ("auto", "cpu", "cuda"):
        raise UsageError(f"device is {device!r}; it must be auto, cpu or cuda.")
    if device == "cuda" and not available:
        raise UsageError("device is 'cuda', but no CUDA device can be used here. Use auto or cpu.")
    return "cuda" if available and device != "cpu" else "cpu"


class ModelStore:
    """Loads models when they are first needed. seconds: spent on loading so far."""

    def __init__(self, device: str = "cpu") -> None:
        self.device, self.seconds = device, 0.0
        self._loaded: dict[Path, tuple[Model, Card]] = {}

    def card(self, name: str | Path) -> Card:
        """What the weights of a name or path say of themselves, without loading them."""
        path = find_weights(name)
        return self._loaded[path][1] if path in self._loaded else read_card(path)

    def separation(self, name: str | Path) -> SeparationModel:
        """A model that separates. Raises WeightsError for another one."""
        from avsep.models.base import SeparationModel

        model = self._load(name)
        if not isinstance(model, SeparationModel):
            card = self.card(name)
            raise WeightsError(
                f"model {card.name!r} is a {card.class_path.rpartition('.')[2]}, which separates nothing. "
                "Use a separation model (avsep models lists them)."
            )
        return model

    def synchrony(self, name: str | Path) -> Synchrony:
        """A synchrony network. Raises WeightsError for another model."""
        from avsep.models.synchrony import Synchrony

        model = self._load(name)
        if not isinstance(model, Synchrony):
            raise WeightsError(f"model {self.card(name).name!r} is no synchrony network.")
        return model

    def visibility(self, name: str | Path) -> MouthVisibility:
        """A network that tells whether mouths are to be seen. Raises WeightsError for another model."""
        from avsep.models.mouth_visibility import MouthVisibility

        model = self._load(name)
        if not isinstance(model, MouthVisibility):
            raise WeightsError(f"model {self.card(name).name!r} does not tell whether mouths are to be seen.")
        return model

    def classifier(self, name: str | Path) -> SoundClassifier:
        """A sound classifier. Raises WeightsError for another model."""
        from avsep.models.sound_classifier import SoundClassifier

        model = self._load(name)
        if not isinstance(model, SoundClassifier):
            raise WeightsError(f"model {self.card(name).name!r} is no sound classifier.")
        return model

    def voice(self, name: str | Path) -> VoiceStatistics:
        """What tells voices apart. Raises WeightsError for another model."""
        from avsep.models.voice_statistics import VoiceStatistics

        model = self._load(name)
        if not isinstance(model, VoiceStatistics):
            raise WeightsError(f"model {self.card(name).name!r} does not tell voices apart.")
        return model

    def _load(self, name: str | Path) -> Model:
        # A name and the path it stands for are one model.
        path = find_weights(name)
        if path not in self._loaded:
            started = time.perf_counter()
            self._loaded[path] = load_model(path, self.device)
            self.seconds += time.perf_counter() - started
        return self._loaded[path][0]
