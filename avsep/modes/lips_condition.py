"""The fused way: a model whose estimates are steered by each person's lips, once they are in step with the sound."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from avsep.matching.synchrony import trust
from avsep.modes.base import Mode
from avsep.modes.people import lip_matcher, person_tracks
from avsep.modes.voices import DEFAULT_MODEL, separate_voices
from avsep.signals import LIP_SIZE, Person, Tracks, pictures_of
from avsep.speech.activity import activity, gate, speech_and_level, too_little

if TYPE_CHECKING:
    from avsep.models.base import Contract
    from avsep.modes.base import Scene


class LipsCondition(Mode):
    """A scene with people, and a model with the cue "lips"."""

    needs_people = True

    def misfit(self, scene: Scene, contract: Contract) -> str | None:
        if contract.cues != ("lips",):
            return ""
        if not scene.may_have_faces:
            return "it needs faces, and the clip shows none"
        return None if contract.channels[1] == 1 else scene.channel_misfit(contract)

    def __call__(self, scene: Scene) -> Tracks:
        assert scene.model is not None
        people = scene.people
        # What is separated by sound alone tells the offset.
        by_sound = separate_voices(scene, DEFAULT_MODEL, scene.mixture())
        match = lip_matcher(scene)
        offsets = match(by_sound.sources, by_sound.active).offsets
        lips = LipCues(people, offsets.tolist())
        model = scene.models.separation(scene.model)
        mixture = scene.mixture(mono=model.contract.channels[1] == 1)
        sources = scene.separate(model, mixture, lips)
        with scene.watch.step("speech"):
            speech, level = speech_and_level(sources, scene.progress)
        silent = too_little(speech)
        speech[silent] = 0
        own = np.eye(len(people), dtype=np.float32)
        active = activity(speech, level)
        confidence = trust(match(sources, active).correlation, own * active[:, None])
        tracks = person_tracks(people, speech, confidence, offsets)
        name = scene.models.card(scene.model).name
        return Tracks("audio-visual", name, sources, own[:, :, None] * gate(speech), tracks)


class LipCues:
    """The mouth crops of people by time. offsets: for each, by how many pictures the sound is later than the lips."""

    def __init__(self, people: Sequence[Person], offsets: Sequence[int]) -> None:
        self.people, self.offsets = people, offsets

    @property
    def sources(self) -> int:
        return len(self.people)

    def read(self, start_seconds: float, stop_seconds: float) -> tuple[list[int], Mapping[str, np.ndarray]]:
        """Who is in the picture in that stretch, and lips (people, pictures, 96, 96) in 0..1."""
        first, last = pictures_of(start_seconds, stop_seconds)
        shown = [(first - late, last - late) for late in self.offsets]
        present = [i for i, person in enumerate(self.people) if _is_visible(person, *shown[i])]
        crops = [person_lips(self.people[i], *shown[i]) for i in present]
        lips = np.stack(crops) if crops else np.zeros((0, last - first, LIP_SIZE, LIP_SIZE), np.uint8)
        return present, {"lips": lips.astype(np.float32) / 255}


def person_lips(person: Person, first: int, last: int) -> np.ndarray:
    """Mouth crops of a person at grid numbers first..last: (last - first, 96, 96) uint8; the nearest picture where
    there is none."""
    out = np.zeros((last - first, LIP_SIZE, LIP_SIZE), np.uint8)
    known = np.zeros(last - first, bool)
    for track in person.tracks:
        lo, hi = max(first, track.first), min(last, track.first + len(track))
        if lo < hi:
            out[lo - first : hi - first] = track.lips.crops.read(lo - track.first, hi - track.first)
            known[lo - first : hi - first] = True
    if known.any():
        have = np.flatnonzero(known)
        right = np.searchsorted(have, np.arange(len(out))).clip(0, len(have) - 1)
        left = (right - 1).clip(0)
        grid = np.arange(len(out))
        nearest = np.where(abs(have[left] - grid) <= abs(have[right] - grid), have[left], have[right])
        out = out[nearest]
    return out


def _is_visible(person: Person, first: int, last: int) -> bool:
    return any(min(last, track.first + len(track)) > max(first, track.first) for track in person.tracks)
