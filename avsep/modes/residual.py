"""What the tracks of a scene leave of its sound, and the sounds that a second model splits it into."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from avsep.errors import UsageError
from avsep.modes.labels import SILENCE
from avsep.modes.universal import Universal
from avsep.output.tracks import TrackReader
from avsep.signals import Tracks
from avsep.storage.recording import Estimates, Recording

if TYPE_CHECKING:
    from avsep.models.base import Contract
    from avsep.modes.base import Scene

NOTHING = 35.0
"""dB below the loudest second of the clip at which the loudest second of the residual is nothing: a single clean voice
leaves about that much."""


def check_residual(scene: Scene, contract: Contract) -> Sequence[str]:
    """The labels that the sounds of the residual may have. contract: of the model that separates the clip.

    Raises UsageError where the residual is to be split by a model that is not for it, or is no residual of people.
    """
    name = scene.options.residual
    assert name is not None
    if contract.kind != "voice":
        raise UsageError(
            f"--residual {name} splits what people and voices leave, and the model separates {contract.kind}s already. "
            "Leave out --residual, or --model"
        )
    own = scene.models.separation(name).contract
    part = scene.of_sound(Recording(scene.folder, 1, own.sample_rate), name)
    reason = Universal().misfit(part, own)
    if reason is not None:
        why = reason or "it separates voices"
        raise UsageError(f"--residual {name}: {why}. Give a model of sounds, such as universal")
    return Universal().labels(part, own)


def split_residual(scene: Scene, tracks: Tracks) -> Tracks:
    """The tracks, and after them those of the sounds in what they leave."""
    name = scene.options.residual
    assert name is not None
    if scene.is_array:
        # Of an array the reference microphone's sound is split: a mean of microphones would lose what is apart in them.
        tracks = replace(tracks, sources=_first_channel(tracks.sources, scene))
    left = sound_without(scene, tracks, range(len(tracks.tracks)))
    if _peak(left) < max(_peak(_sound_of(scene, tracks)) * 10 ** (-NOTHING / 10), SILENCE):
        return replace(tracks, warnings=[*tracks.warnings, "the tracks leave nothing that could be split"])
    sounds = Universal()(scene.of_sound(left, name))
    count, pictures = len(tracks.tracks), tracks.gains.shape[2]
    gains = np.zeros((count + len(sounds.tracks), tracks.sources.count + sounds.sources.count, pictures), np.float32)
    gains[:count, : tracks.sources.count] = tracks.gains
    gains[count:, tracks.sources.count :] = sounds.gains
    sources = Estimates.joined(tracks.sources, _in_channels(sounds.sources, tracks.sources.channels, scene))
    warnings = [*tracks.warnings, *sounds.warnings]
    return replace(tracks, sources=sources, gains=gains, tracks=[*tracks.tracks, *sounds.tracks], warnings=warnings)


def sound_without(scene: Scene, tracks: Tracks, numbers: Sequence[int]) -> Recording:
    """The clip's sound minus some of its tracks, at the rate and in the channels of the sources."""
    reader = TrackReader(tracks.sources, tracks.gains[list(numbers)])
    left = Recording(scene.folder, tracks.sources.channels, tracks.sources.sample_rate)
    for block in _sound_of(scene, tracks).blocks():
        at = len(left)
        left.append(block.samples - reader.read(at, at + block.samples.shape[1]).sum(axis=0))
    return left


def _sound_of(scene: Scene, tracks: Tracks) -> Recording:
    return scene.mixture(tracks.sources.sample_rate, mono=tracks.sources.channels == 1)


def _peak(sound: Recording) -> float:
    """Mean square of the loudest second."""
    return max((float(np.square(block.samples, dtype=np.float64).mean()) for block in sound.blocks()), default=0.0)


def _first_channel(sources: Estimates, scene: Scene) -> Estimates:
    if sources.channels == 1:
        return sources
    made = Estimates(scene.folder, 1, sources.sample_rate)
    for start in range(0, len(sources), sources.sample_rate):
        made.append(sources.read(start, start + sources.sample_rate)[:, :1])
    return made


def _in_channels(sources: Estimates, channels: int, scene: Scene) -> Estimates:
    """Sources of one channel as copies in several; as they are where the number fits."""
    if sources.channels == channels:
        return sources
    made = Estimates(scene.folder, channels, sources.sample_rate)
    for start in range(0, len(sources), sources.sample_rate):
        made.append(np.repeat(sources.read(start, start + sources.sample_rate), channels, axis=1))
    return made
