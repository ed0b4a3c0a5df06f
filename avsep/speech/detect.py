"""Is there speech in a signal? Silero VAD, whose weights come inside its package."""

from __future__ import annotations

import numpy as np
import torch

from avsep.signals import HOP, SAMPLE_RATE, pictures_in

CHUNK = 512


class SpeechDetector:
    """Probability of speech for several signals at once."""

    def __init__(self) -> None:
        from silero_vad import load_silero_vad

        self._model = load_silero_vad()

    @torch.inference_mode()
    def probability(self, signals: np.ndarray) -> np.ndarray:
        """(signals, time) at SAMPLE_RATE -> (signals, ceil(time / 640)) at FRAME_RATE, in 0..1.

        Levels are brought to that of normal speech first: a separated voice may be soft.
        """
        time = signals.shape[1]
        pictures = pictures_in(time)
        if not signals.size:
            return np.zeros((len(signals), pictures), np.float32)
        level = np.sqrt(np.mean(signals**2, axis=1, keepdims=True))
        audible = level > 1e-5
        scaled = np.where(audible, signals * np.minimum(0.05 / np.maximum(level, 1e-9), 30), 0)
        # The detector refuses less than one of its chunks: the last moments of a clip are made up to one.
        scaled = np.pad(scaled, ((0, 0), (0, max(0, CHUNK - time))))
        chunks = self._model.audio_forward(torch.from_numpy(scaled.astype(np.float32)), SAMPLE_RATE).numpy()
        centres = (np.arange(chunks.shape[1]) + 0.5) * CHUNK
        wanted = (np.arange(pictures) + 0.5) * HOP
        return np.stack([np.interp(wanted, centres, c) for c in chunks]).astype(np.float32) * audible
