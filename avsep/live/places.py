"""Memory of voices: each voice keeps its output, also where the model changes places after a pause."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import torch
from torch import Tensor

from avsep.dsp.resample import resample
from avsep.embeddings.speaker import evidence
from avsep.models.voice_statistics import VoiceStatistics
from avsep.signals import SAMPLE_RATE

STEP_SECONDS = 0.25
"""How often it is looked at whose voice is where."""
PICTURE_SECONDS = 0.05
"""Over which the levels of the outputs are compared."""
FADE_SECONDS = 0.02
"""In which the outputs change places, after it is decided."""
ALONE = 0.8
"""Part of the energy of all outputs from which on an output is alone."""
QUIET_DB, SILENT_DB = 30.0, -60.0
"""Below the loudest of late, or below this against full scale: no speech."""
FORGOTTEN = 0.995
"""What is left of the loudest power after a look: half after 35 s."""
SHORTEST_SECONDS, WINDOW_SECONDS = 0.6, 1.0
"""Of speech of one output, of which an embedding is made; speech from before is forgotten after a pause of the
window's length."""
UNKNOWN = 1.0
"""Evidence of a voice on an output that nobody has spoken on yet. Above 0: a new voice that is missed spoils the memory
of another one."""
ENOUGH = 0.5
"""Evidence by which another order must be better for a change."""
SLOWEST = 0.02
"""Weight of a look in the memory of a voice that was heard for long."""


class Places:
    """Estimates (sources, time) piece by piece -> the same, in an order that holds.

    For each output the embeddings of what it said alone are averaged. Each quarter second what was said last is
    compared with them. Where another order is more alike for long enough the outputs change places, with a crossfade.
    Nothing is delayed, so what was said before the decision stays where it was. Which pieces come makes no difference.

    sample_rate: of the estimates. changes: how often the outputs changed places, the last time at `changed_seconds`.
    """

    def __init__(self, voice: VoiceStatistics, sources: int, sample_rate: int) -> None:
        self.voice, self.rate = voice, sample_rate
        self.order = list(range(sources))
        self.changes, self.changed_seconds = 0, 0.0
        self._before = self.order
        self._faded = self._fade = round(FADE_SECONDS * sample_rate)
        self._block = np.zeros((sources, round(STEP_SECONDS * sample_rate)), np.float32)
        self._filled = self._looks = 0
        self._loudest = 0.0
        self._said: list[np.ndarray] = [np.zeros(0, np.float32) for _ in range(sources)]
        self._pause = np.zeros(sources)
        self._memory: list[np.ndarray | None] = [None] * sources
        self._heard = np.zeros(sources)
        self._orders = [list(order) for order in permutations(range(sources))]
        self._evidence = np.zeros(len(self._orders))

    def feed(self, estimates: np.ndarray) -> np.ndarray:
        """(sources, time) -> the same shape."""
        out = np.empty_like(estimates)
        done = 0
        while done < estimates.shape[1]:
            count = min(self._block.shape[1] - self._filled, estimates.shape[1] - done)
            piece = estimates[:, done : done + count]
            out[:, done : done + count] = self._arranged(piece)
            self._block[:, self._filled : self._filled + count] = piece
            self._filled, done = self._filled + count, done + count
            if self._filled == self._block.shape[1]:
                self._filled = 0
                self._looks += 1
                self._decide({i: self._embedding(self._said[i]) for i in self._listen()})
        return out

    def _arranged(self, piece: np.ndarray) -> np.ndarray:
        now = piece[self.order]
        if self._faded >= self._fade:
            return now
        weight = np.minimum(1, (self._faded + 1 + np.arange(piece.shape[1], dtype=np.float32)) / self._fade)
        self._faded += piece.shape[1]
        return weight * now + (1 - weight) * piece[self._before]

    def _decide(self, voices: dict[int, np.ndarray]) -> None:
        """voices: the embedding of what was said last, of each estimate that said something in the last step."""
        if not voices:
            return
        # (estimates, places)
        alike = {
            i: np.array([UNKNOWN if m is None else float(evidence(m, v)) for m in self._memory])
            for i, v in voices.items()
        }
        scores = np.array([sum(alike[i][order.index(i)] for i in voices) for order in self._orders])
        here = self._orders.index(self.order)
        # What is looked at overlaps: each second of speech is to count once.
        gained = (scores - scores[here]) * STEP_SECONDS / WINDOW_SECONDS
        self._evidence = np.maximum(0, self._evidence + gained)
        best = int(self._evidence.argmax())
        if self._evidence[best] > ENOUGH:
            self._before, self.order = self.order, self._orders[best]
            self._faded = 0
            self._evidence[:] = 0
            self.changes, self.changed_seconds = self.changes + 1, self._looks * STEP_SECONDS
        if not self._evidence.any():
            for i, embedding in voices.items():
                self._remember(self.order.index(i), embedding)

    def _listen(self) -> list[int]:
        """Add what each estimate said alone to what it said before; those that said something, and enough of it."""
        hop = round(PICTURE_SECONDS * self.rate)
        pictures = self._block[:, : self._block.shape[1] // hop * hop].reshape(len(self._block), -1, hop)
        power = np.square(pictures).mean(axis=2)
        self._loudest = max(FORGOTTEN * self._loudest, float(power.max()))
        speech = power.sum(axis=0) > max(self._loudest * 10 ** (-QUIET_DB / 10), 10 ** (SILENT_DB / 10))
        alone = (power > ALONE * power.sum(axis=0)) & speech
        found = []
        for i, mine in enumerate(alone):
            if not mine.any():
                self._pause[i] += STEP_SECONDS
                continue
            past = self._said[i] if self._pause[i] < WINDOW_SECONDS else self._said[i][:0]
            self._pause[i] = 0
            joined = np.concatenate([past, resample(pictures[i, mine].ravel(), self.rate, SAMPLE_RATE)])
            self._said[i] = joined[-round(WINDOW_SECONDS * SAMPLE_RATE) :]
            if len(joined) >= SHORTEST_SECONDS * SAMPLE_RATE:
                found.append(i)
        return found

    @torch.no_grad()
    def _embedding(self, samples: np.ndarray) -> np.ndarray:
        made: Tensor = self.voice(torch.from_numpy(samples)[None])[0]
        return made.numpy()

    def _remember(self, place: int, embedding: np.ndarray) -> None:
        self._heard[place] += 1
        weight = max(SLOWEST, 1 / self._heard[place])
        known = self._memory[place]
        mixed = embedding if known is None else (1 - weight) * known + weight * embedding
        self._memory[place] = mixed
