"""Who speaks in separated sources: a talker for each voice, wherever the separation put it.

A separator keeps a voice in one source for the seconds that it sees at a time. After a pause, or where voices take
turns, a source goes on with somebody else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from avsep.embeddings.speaker import LEAST_SECONDS, embed
from avsep.matching.voice_clusters import LONE_VOICE, ONE_VOICE, clustered, settled
from avsep.signals import DECISION_FRAMES, FRAME_RATE, HOP
from avsep.speech.activity import ON, activity

if TYPE_CHECKING:
    from torch import Tensor

    from avsep.models.voice_statistics import VoiceStatistics
    from avsep.storage.recording import Estimates

LEAK_DB = 20.0
"""Below the loudest source, from which on a source is its leak: what it says is not told apart."""
PAUSE_SECONDS, LONGEST_SECONDS = 0.5, 2.0
"""A pause that ends a stretch of speech, and its greatest length: who takes over without a pause is in another one."""
AROUND_SECONDS, LEAST_PICTURES = 1.0, 12
"""What a moment's voice is told by: the speech around it, so much on either side, and how much of it there must be."""
TOGETHER_SECONDS = 0.5
"""Of speech at the same time, from which on that of two sources is of two voices."""
VOICE_SECONDS = 30.0
"""Of a cluster's speech that its embedding is made of."""
FEW_SECONDS = 1.2
"""Of speech, below which nobody is a talker."""
MOSTLY_ALONE = 0.6
"""Part of the speech in which one source alone must speak, so that voices can be told. Two who talk all of the time
have up to 0.7 of it and mostly less than 0.5, conversations mostly 0.6 to 1."""


class Stretch(NamedTuple):
    """source: its number. pictures: those with speech, rising."""

    source: int
    pictures: np.ndarray


def own_speech(speech: np.ndarray, level: np.ndarray) -> np.ndarray:
    """Where each source speaks and is no leak: (sources, pictures) probability and dB -> bool."""
    active = np.repeat(activity(speech, level, LEAK_DB).T, DECISION_FRAMES, axis=1)[:, : speech.shape[1]]
    return (speech > ON) & (active > 0.4)


def alone_part(own: np.ndarray) -> float:
    """Part of the speech of sources, (sources, pictures) of `own_speech`, in which one of them speaks alone."""
    speaking = own.sum(0)
    return float((speaking == 1).sum() / max(1, (speaking > 0).sum()))


def talker_gains(model: VoiceStatistics, sources: Estimates, own: np.ndarray, count: int | None = None) -> np.ndarray:
    """What of each source is each talker's: (talkers, sources, pictures) float32 of 0 and 1, whose sum over talkers
    is 1; who speaks most is first. No talker where nobody speaks long enough.

    own: (sources, pictures) bool of `own_speech`. count: of talkers, where it is known; there may be fewer where there
    are as many sources, or where not so many can be told apart.
    """
    stretches = _stretches(own)
    if not stretches:
        return np.zeros((0, *own.shape), np.float32)
    sound = _Sound(model, sources)
    clashes = _clashes(stretches)

    def together(some: Sequence[int]) -> np.ndarray:
        return sound.embedding([stretches[n] for n in some])

    groups = clustered(together, clashes, one_voice=LONE_VOICE if len(own) == 1 else ONE_VOICE)
    voice = _voices(stretches, groups, own)
    if moments := _moments(own):
        clusters = int(voice.max()) + 1
        at_first = np.stack([_first(voice, moment, clusters) for moment in moments])
        source = np.array([moment.source for moment in moments])
        chains = [np.flatnonzero(source == number) for number in np.unique(source)]
        between = model.between.detach().cpu().numpy()
        probable = settled(sound.places(moments), between, chains, at_first)
        most = np.argsort(-np.bincount(probable.argmax(1), minlength=clusters), kind="stable")[:count]
        voice[:] = -1
        for moment, number in zip(moments, most[probable[:, most].argmax(1)], strict=True):
            voice[moment.source, moment.start : moment.start + DECISION_FRAMES] = number
    gains = _gains(voice, own)
    if count is not None and len(own) < count != len(gains):
        # Else the sources themselves are as good a guess.
        gains = _gains(_voices(stretches, clustered(together, clashes, count)[:count], own), own)
    return gains


class _Moment(NamedTuple):
    """A decision of a source: its first picture, and the pictures with speech around it."""

    source: int
    start: int
    pictures: np.ndarray


class _Sound:
    """The speech of sources, read where it is wanted."""

    def __init__(self, model: VoiceStatistics, sources: Estimates) -> None:
        self.model, self.sources = model, sources

    def embedding(self, stretches: Sequence[Stretch]) -> np.ndarray:
        """(size,), of the first VOICE_SECONDS."""
        parts, wanted = [], round(VOICE_SECONDS * FRAME_RATE)
        for source, pictures in stretches:
            parts.append(self._read(source, pictures[:wanted]))
            wanted -= len(pictures)
            if wanted <= 0:
                break
        return embed(self.model, [np.concatenate(parts)], str(self.model.between.device))[0]

    def places(self, moments: Sequence[_Moment]) -> np.ndarray:
        """(moments, dims) along the axes of the model."""
        import torch

        made = np.zeros((len(moments), len(self.model.between)), np.float32)
        lengths = np.array([len(moment.pictures) for moment in moments])
        with torch.inference_mode():
            for length in np.unique(lengths):
                alike = np.flatnonzero(lengths == length)
                for some in np.array_split(alike, -(-len(alike) // 128)):
                    wave = np.stack([self._read(moments[n].source, moments[n].pictures) for n in some])
                    found = self.model.place(self.model.project(self.model.statistics(self._on_device(wave))))
                    made[some] = found.float().cpu().numpy()
        return made

    def _read(self, source: int, pictures: np.ndarray) -> np.ndarray:
        """The samples of pictures of one source; zeros behind its end."""
        first = pictures[0] * HOP
        block = self.sources.sources[source].read(first, (pictures[-1] + 1) * HOP).mean(0)
        whole = np.pad(block, (0, (pictures[-1] + 1) * HOP - first - len(block)))
        return whole.reshape(-1, HOP)[pictures - pictures[0]].reshape(-1)

    def _on_device(self, wave: np.ndarray) -> Tensor:
        import torch

        return torch.from_numpy(np.ascontiguousarray(wave, np.float32)).to(self.model.between.device)


def _stretches(own: np.ndarray) -> list[Stretch]:
    """Speech of each source between pauses, in pieces of LONGEST_SECONDS, without what is too short to be told by; in
    the order of time."""
    found = []
    for source, speaks in enumerate(own):
        spoken = np.flatnonzero(speaks)
        breaks = np.flatnonzero(np.diff(spoken) > PAUSE_SECONDS * FRAME_RATE) + 1
        for run in np.split(spoken, breaks):
            pieces = max(1, round(len(run) / (LONGEST_SECONDS * FRAME_RATE)))
            found += [Stretch(source, piece) for piece in np.array_split(run, pieces)]
    long = [one for one in found if len(one.pictures) >= LEAST_SECONDS * FRAME_RATE]
    return sorted(long, key=lambda one: one.pictures[0])


def _clashes(stretches: Sequence[Stretch]) -> np.ndarray:
    """Which stretches of different sources are at the same time: (stretches, stretches) bool."""
    clashes = np.zeros((len(stretches),) * 2, bool)
    for number, one in enumerate(stretches):
        for other in range(number + 1, len(stretches)):
            if stretches[other].pictures[0] > one.pictures[-1]:
                break
            if one.source != stretches[other].source:
                common = np.intersect1d(one.pictures, stretches[other].pictures, assume_unique=True)
                clashes[number, other] = clashes[other, number] = len(common) >= TOGETHER_SECONDS * FRAME_RATE
    return clashes


def _voices(stretches: Sequence[Stretch], groups: Sequence[Sequence[int]], own: np.ndarray) -> np.ndarray:
    """(sources, pictures) numbers of groups of stretches, -1 elsewhere."""
    voice = np.full(own.shape, -1)
    for number, group in enumerate(groups):
        for n in group:
            voice[stretches[n].source, stretches[n].pictures] = number
    return voice


def _moments(own: np.ndarray) -> list[_Moment]:
    """The decisions in which a source speaks, with enough speech around them."""
    found = []
    around = round(AROUND_SECONDS * FRAME_RATE)
    for source, speaks in enumerate(own):
        for start in range(0, len(speaks), DECISION_FRAMES):
            if speaks[start : start + DECISION_FRAMES].sum() < DECISION_FRAMES // 3:
                continue
            centre = start + DECISION_FRAMES // 2
            first = max(0, centre - around)
            pictures = first + np.flatnonzero(speaks[first : centre + around])
            if len(pictures) >= LEAST_PICTURES:
                found.append(_Moment(source, start, pictures))
    return found


def _first(voice: np.ndarray, moment: _Moment, count: int) -> np.ndarray:
    """What the clusters say of a moment, (voices,) probability."""
    here = voice[moment.source, moment.start : moment.start + DECISION_FRAMES]
    votes = np.bincount(here[here >= 0], minlength=count)
    if not votes.any():
        return np.full(count, 1 / count)
    return np.where(np.arange(count) == votes.argmax(), 0.9, 0) + 0.1 / count


def _gains(voice: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Of (sources, pictures) numbers of voices, -1 where there is none: a talker for each that speaks long enough. In
    between a source is whose it is at the nearest picture."""
    seconds = np.bincount(voice[own & (voice >= 0)], minlength=voice.max(initial=-1) + 1) / FRAME_RATE
    talkers = [number for number in np.argsort(-seconds, kind="stable") if seconds[number] >= FEW_SECONDS]
    gains = np.zeros((len(talkers), *voice.shape), np.float32)
    if not talkers:
        return gains
    order = np.zeros(len(seconds), int)
    order[talkers] = np.arange(len(talkers))
    pictures = np.arange(voice.shape[1])
    for source, said in enumerate(voice):
        known = np.flatnonzero(np.isin(said, talkers))
        if not len(known):
            gains[0, source] = 1
            continue
        after = known[np.searchsorted(known, pictures).clip(max=len(known) - 1)]
        before = known[(np.searchsorted(known, pictures, side="right") - 1).clip(min=0)]
        nearest = np.where(abs(pictures - before) <= abs(after - pictures), before, after)
        gains[order[said[nearest]], source, pictures] = 1
    return gains
