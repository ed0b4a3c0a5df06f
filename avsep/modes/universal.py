"""Sounds of any kind: every source of the model is a track, with its label where the model names it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from avsep.signals import Track, TrackKind, Tracks, pictures_in

if TYPE_CHECKING:
    from avsep.models.base import Contract
    from avsep.modes.base import Scene


class Universal:
    """Any scene, with a model whose estimates are sounds or stems."""

    def misfit(self, scene: Scene, contract: Contract) -> str | None:
        return "" if contract.kind == "voice" or contract.cues else scene.channel_misfit(contract)

    def __call__(self, scene: Scene) -> Tracks:
        assert scene.model is not None
        model = scene.models.separation(scene.model)
        contract = model.contract
        # What lies above the model's band is shared out when the tracks are written.
        rate = min(scene.clip.audio.sample_rate, contract.sample_rate)
        sources = scene.separate(model, scene.mixture(rate, mono=contract.channels[1] == 1))
        pictures = pictures_in(len(sources), sources.sample_rate)
        gains = np.eye(sources.count, dtype=np.float32)[:, :, None].repeat(pictures, 2)
        names = contract.names or (None,) * sources.count
        kind: TrackKind = "stem" if contract.kind == "stem" else "sound"
        tracks = [Track(f"source_{n:02d}", kind, label=name) for n, name in enumerate(names)]
        return Tracks("universal", scene.models.card(scene.model).name, sources, gains, tracks)
