"""Sounds of any kind: each source of the model is a track, labelled by the model or, for sounds, by a classifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from avsep.modes.base import Mode
from avsep.modes.labels import CLASSIFIER, SILENCE, class_probabilities, second_powers
from avsep.signals import Track, TrackKind, Tracks, pictures_in

if TYPE_CHECKING:
    from avsep.models.base import Contract
    from avsep.modes.base import Scene
    from avsep.storage.recording import Estimates

FAR_BELOW = 20.0
"""dB below the loudest source, each in its loudest second, at which a source is what the model leaves of the others:
the level to which training brings the estimates of sources that are not there."""


class Universal(Mode):
    """Any scene, with a model whose estimates are sounds or stems. The picture is left alone."""

    def misfit(self, scene: Scene, contract: Contract) -> str | None:
        if contract.kind == "voice" or contract.cues:
            return ""
        options = scene.options
        given = {"--speakers": options.voices, "--av-offset": options.av_offset, "--mark": options.mark or None}
        for option, value in given.items():
            if value is not None:
                return f"{option} is about people, and it separates {contract.kind}s (leave {option} out)"
        return scene.channel_misfit(contract)

    def labels(self, scene: Scene, contract: Contract) -> Sequence[str]:
        return contract.names or scene.models.classifier(CLASSIFIER).names

    def __call__(self, scene: Scene) -> Tracks:
        assert scene.model is not None
        model = scene.models.separation(scene.model)
        contract = model.contract
        # What lies above the model's band is shared out when the tracks are written.
        rate = scene.sound.sample_rate if scene.sound else min(scene.clip.audio.sample_rate, contract.sample_rate)
        sources = scene.separate(model, scene.mixture(rate, mono=contract.channels[1] == 1))
        kind: TrackKind = "stem" if contract.kind == "stem" else "sound"
        if contract.names:
            kept = np.arange(sources.count)
            found = [Track(f"source_{n:02d}", kind, label=name) for n, name in enumerate(contract.names)]
        else:
            with scene.watch.step("labels"):
                kept = audible(sources)
                found = labelled(scene, sources, kept, kind)
        gains = np.eye(sources.count, dtype=np.float32)[kept, :, None].repeat(pictures_in(len(sources), rate), 2)
        warnings = [] if found else ["nothing sounds, so there is no track: all of the sound is in the residual"]
        return Tracks("universal", scene.models.card(scene.model).name, sources, gains, found, warnings)


def audible(sources: Estimates) -> np.ndarray:
    """Numbers of the sources in which something sounds, the loudest over the whole time first."""
    powers = second_powers(sources)
    if not powers.size:
        return np.zeros(0, int)
    peaks = powers.max(axis=1)
    least = max(peaks.max() * 10 ** (-FAR_BELOW / 10), SILENCE)
    order = np.argsort(-powers.sum(axis=1), kind="stable")
    return order[peaks[order] >= least]


def labelled(scene: Scene, sources: Estimates, kept: np.ndarray, kind: TrackKind) -> list[Track]:
    """A track for each source that is kept, with what the classifier says of it."""
    if not len(kept):
        return []
    classifier = scene.models.classifier(CLASSIFIER)
    rows = class_probabilities(
        classifier,
        lambda start, stop: sources.mono(start, stop)[kept],
        0,
        len(sources),
        sources.sample_rate,
        scene.models.device,
    )
    return [
        Track(
            f"source_{n:02d}",
            kind,
            label=classifier.names[int(row.argmax())],
            probabilities=dict(zip(classifier.names, row.tolist(), strict=True)),
        )
        for n, row in enumerate(rows)
    ]
