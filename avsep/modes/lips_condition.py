"""The fused way: a model whose estimates are steered by what each person shows, once that is in step with the sound."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from avsep.matching.synchrony import trust
from avsep.modes.base import Mode
from avsep.modes.lips_match import share_out
from avsep.modes.people import lip_matcher, person_tracks
from avsep.modes.people_cues import Delays, PeopleCues, Shown, face_embeddings, lips
from avsep.modes.voices import DEFAULT_MODEL, separate_voices
from avsep.output.tracks import TrackReader
from avsep.signals import Tracks
from avsep.speech.activity import activity, gate, speech_and_level, too_little

if TYPE_CHECKING:
    from avsep.models.base import Contract
    from avsep.modes.base import Scene

SHOWN = ("lips", "face")
"""Cues that the pictures give, of which the model needs one at least."""
CUES = {*SHOWN, "delays"}


class LipsCondition(Mode):
    """A scene with people, and a model with the cue "lips" or "face", and perhaps "delays"."""

    needs_people = True

    def misfit(self, scene: Scene, contract: Contract) -> str | None:
        cues = set(contract.cues)
        if not cues & set(SHOWN) or not cues <= CUES:
            return ""
        if not scene.may_have_faces:
            return "it needs faces, and the clip shows none"
        return None if contract.channels[1] == 1 else scene.channel_misfit(contract)

    def __call__(self, scene: Scene) -> Tracks:
        assert scene.model is not None
        people = scene.people
        model = scene.models.separation(scene.model)
        wanted, (fewest, most) = model.contract.cues, model.contract.channels
        # What is separated by sound alone tells the offset.
        by_sound = separate_voices(scene, DEFAULT_MODEL, scene.mixture())
        match = lip_matcher(scene)
        scores = match(by_sound.sources, by_sound.active)
        mixture = scene.mixture(mono=most == 1)
        if fewest > 1:
            scene.check_microphones(fewest, f"model {scene.model!r} takes {fewest} or more. Give another model")
        shown: dict[str, Shown] = {"lips": lips} if "lips" in wanted else {}
        if "face" in wanted:
            shown["face"] = face_embeddings(scene)
        delays = None
        if "delays" in wanted:
            voices = share_out(people, by_sound, scores, match.odds)
            delays = Delays(mixture, TrackReader(voices.sources, voices.gains), **longest_delay(scene))
        offsets = scores.offsets
        sources = scene.separate(model, mixture, PeopleCues(people, offsets.tolist(), shown, delays))
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


def longest_delay(scene: Scene) -> dict[str, float]:
    """Between two microphones of an array whose positions are told, in s."""
    from avsep.dsp.spatial import SPEED_OF_SOUND

    if scene.positions is None:
        return {}
    apart = np.linalg.norm(scene.positions[:, None] - scene.positions, axis=2)
    return {"longest": float(apart.max()) / SPEED_OF_SOUND}
