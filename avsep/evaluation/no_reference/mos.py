"""Speech quality as DNSMOS predicts it: P.835 (speech, background, overall) and P.808, each 1 to 5."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from avsep.errors import UsageError
from avsep.results.result import Span
from avsep.signals import SAMPLE_RATE

WINDOW_SECONDS = 9.01
"""What the networks are given at a time; shorter speech is repeated until it is so long."""

FFT, HOP, MELS = 321, 160, 120
"""Of the spectrogram that the network of P.808 is given."""

LEAST_SECONDS = 1.0
"""Of speech, below which nothing is told."""

PACKAGES = ("speechmos", "onnxruntime")


class Mos(NamedTuple):
    """Mean opinion scores, 1 to 5: of the speech, of the background, overall, and of the older P.808 network."""

    sig: float
    bak: float
    ovrl: float
    p808: float


SCALES = (
    (-0.08397278, 1.22083953, 0.0052439),
    (-0.13166888, 1.60915514, -0.39604546),
    (-0.06766283, 1.11546468, 0.04602535),
    (1.0, 0.0),
)
"""Polynomials from what the networks give to each score of `Mos`, by their authors (speechmos.dnsmos)."""


def missing() -> str | None:
    """What is to be installed before DNSMOS can be computed, None where all is there."""
    lacking = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if not lacking:
        return None
    names = " and ".join(lacking)
    return f"{names} {'is' if len(lacking) == 1 else 'are'} not installed. pip install 'avsep[quality]'"


def check_installed(option: str) -> None:
    """Raise UsageError where DNSMOS cannot be computed, before anything else is done. option: what needs it."""
    if reason := missing():
        raise UsageError(f"{option}: no DNSMOS: {reason}")


@cache
def load_dnsmos(threads: int = 1) -> Dnsmos:
    """The networks, made once a process. threads: of the CPU."""
    return Dnsmos(threads)


class Dnsmos:
    """The networks of DNSMOS as they lie in the package speechmos. That package itself brings librosa and requests,
    which take seconds to import, and lets each session take all cores."""

    def __init__(self, threads: int = 1) -> None:
        import onnxruntime
        from torchaudio.transforms import Spectrogram

        spec = importlib.util.find_spec("speechmos")
        assert spec is not None
        assert spec.submodule_search_locations
        folder = Path(next(iter(spec.submodule_search_locations)), "dnsmos_models")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1

        def session(name: str) -> Any:
            return onnxruntime.InferenceSession(str(folder / name), options, providers=["CPUExecutionProvider"])

        self._p835, self._p808 = session("sig_bak_ovr.onnx"), session("model_v8.onnx")
        self._spectrogram = Spectrogram(FFT, hop_length=HOP, pad_mode="constant")
        self._bands = mel_bands()

    def __call__(self, speech: np.ndarray) -> Mos | None:
        """Scores of one window of speech, (time,) at SAMPLE_RATE, of which the first WINDOW_SECONDS count; None for
        less than LEAST_SECONDS and for silence. What is beyond full scale is scaled down, not clipped."""
        peak = float(np.abs(speech).max(initial=0.0))
        if len(speech) < LEAST_SECONDS * SAMPLE_RATE or peak == 0:
            return None
        window = np.resize(speech / max(1.0, peak), int(WINDOW_SECONDS * SAMPLE_RATE)).astype(np.float32)
        sig, bak, ovrl = self._p835.run(None, {"input_1": window[None]})[0][0]
        p808 = self._p808.run(None, {"input_1": self._features(window)[None]})[0][0][0]
        return Mos(*(float(np.polyval(scale, raw)) for scale, raw in zip(SCALES, (sig, bak, ovrl, p808), strict=True)))

    def _features(self, window: np.ndarray) -> np.ndarray:
        """(time,) -> (frames, mels): dB below the loudest, 80 at most, as -1..1."""
        import torch

        mel = self._spectrogram(torch.from_numpy(window[:-HOP])).numpy().T @ self._bands
        decibels = 10 * np.log10(np.maximum(mel, 1e-10) / max(float(mel.max()), 1e-10))
        return ((decibels.clip(min=-80) + 40) / 40).astype(np.float32)


def mel_bands() -> np.ndarray:
    """(frequencies, MELS) float32: Slaney's triangles of equal area from 0 to 8 kHz, as librosa has them. torchaudio's
    are for an even FFT, whose bins lie elsewhere."""
    linear, logarithmic = 200 / 3, np.log(6.4) / 27  # below and above 1 kHz, which is 15 mel
    mels = np.linspace(0, 15 + np.log(SAMPLE_RATE / 2 / 1000) / logarithmic, MELS + 2)
    edges = np.where(mels < 15, mels * linear, 1000 * np.exp(logarithmic * (mels - 15)))
    frequencies = np.arange(FFT // 2 + 1)[:, None] * SAMPLE_RATE / FFT
    widths = np.diff(edges)
    rising, falling = (frequencies - edges[:-2]) / widths[:-1], (edges[2:] - frequencies) / widths[1:]
    bands = np.minimum(rising, falling).clip(min=0) * 2 / (edges[2:] - edges[:-2])
    return bands.astype(np.float32)


def windows(spans: Sequence[Span]) -> Iterator[list[Span]]:
    """What is spoken, cut into stretches of WINDOW_SECONDS of speech; what is left at the end is left out where it is
    less than LEAST_SECONDS."""
    window: list[Span] = []
    room = WINDOW_SECONDS
    for start, end in spans:
        while end - start >= room:
            yield [*window, Span(start, start + room)]
            start, window, room = start + room, [], WINDOW_SECONDS
        if end > start:
            window.append(Span(start, end))
            room -= end - start
    if WINDOW_SECONDS - room >= LEAST_SECONDS:
        yield window


def mean(scores: Sequence[tuple[Mos, float]]) -> Mos | None:
    """Of scores and the seconds of speech that each is of."""
    if not scores:
        return None
    values, seconds = np.array([score for score, _ in scores]), np.array([weight for _, weight in scores])
    return Mos(*(values.T @ seconds / seconds.sum()).tolist())
