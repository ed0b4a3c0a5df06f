"""A model whose estimates are steered by enrolments: one track for each voice that was asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from avsep.dsp.resample import resample
from avsep.inference.enrolment import EnrolmentCues
from avsep.modes.base import Mode
from avsep.signals import SAMPLE_RATE, Track, Tracks
from avsep.speech.activity import gate, speech_and_level, too_little

if TYPE_CHECKING:
    from avsep.models.base import Contract
    from avsep.modes.base import Scene

MODE = "target"
"""What the manifest calls it."""

CUE_SECONDS = 20.0
"""Of the speech of an enrolment that the model is given."""


class EnrolmentCondition(Mode):
    """A scene with enrolments (--enroll), and a model with the cue "enrolment"."""

    def misfit(self, scene: Scene, contract: Contract) -> str | None:
        if contract.cues != ("enrolment",):
            return ""
        if not scene.options.enroll:
            return "it needs enrolments, a recording of each voice with --enroll"
        return None if contract.channels[1] == 1 else scene.channel_misfit(contract)

    def __call__(self, scene: Scene) -> Tracks:
        assert scene.model is not None
        model = scene.models.separation(scene.model)
        rate = model.contract.sample_rate
        said = [one.speech[: round(CUE_SECONDS * SAMPLE_RATE)] for one in scene.enrolments]
        cues = EnrolmentCues([resample(samples, SAMPLE_RATE, rate) for samples in said])
        sources = scene.separate(model, scene.mixture(mono=model.contract.channels[1] == 1), cues)
        with scene.watch.step("speech"):
            speech, _ = speech_and_level(sources, scene.progress)
        speech[too_little(speech)] = 0
        gains = np.eye(len(said), dtype=np.float32)[:, :, None] * gate(speech)
        tracks = [Track(f"speaker_{n:02d}", "voice", speech=one) for n, one in enumerate(speech)]
        return Tracks(MODE, scene.models.card(scene.model).name, sources, gains, tracks)
