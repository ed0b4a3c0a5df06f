"""What is asked for, by labels and names, by a span of time, or by a voice or a face: its track, and the rest as the
residual."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from avsep.errors import UsageError
from avsep.modes.labels import CLASSIFIER, SILENCE, class_probabilities
from avsep.modes.residual import sound_without
from avsep.modes.target import choose_targets, name_targets
from avsep.output.tracks import TrackReader
from avsep.results.result import VOICE_KINDS
from avsep.signals import FRAME_RATE, Choice, Track, Tracks, pictures_of
from avsep.storage.recording import Estimates

if TYPE_CHECKING:
    from avsep.modes.base import Scene


def check_choice(scene: Scene, labels: Sequence[str]) -> None:
    """Before anything is decoded. labels: that the tracks of the scene may have, beside the names of --enroll and
    --target.

    Raises UsageError for options that exclude each other, labels that are none, and a span that is not in the clip.
    """
    options = scene.options
    given = [name for name in ("only", "without", "span") if getattr(options, name) is not None]
    if options.span is not None:
        given += [name for name in ("enroll", "target") if getattr(options, name)][:1]
        _check_span(scene, options.span)
    if len(given) > 1:
        raise UsageError(f"--{given[0]} and --{given[1]} both choose a track. Give one of them")
    labels = [*labels, *options.enroll, *options.target]
    for option, asked in (("--only", options.only), ("--without", options.without)):
        if asked is not None:
            _check_labels(option, asked, labels)


def choose(scene: Scene, tracks: Tracks) -> Tracks:
    """The tracks that the options ask for, or all where they ask for none.

    only: the sum of the tracks with these labels. without: all of the sound but those. span: the track that is most
    alike to what sounds in it. enroll, target: a track for each person who is found; with only or without they name the
    tracks. Raises UsageError where nothing sounds in the span.
    """
    options = scene.options
    if options.enroll or options.target:
        if options.only is None and options.without is None:
            return choose_targets(scene, tracks)
        tracks = name_targets(scene, tracks)
    if options.only is not None:
        return _only(tracks, options.only)
    if options.without is not None:
        return _without(scene, tracks, options.without)
    return tracks if options.span is None else _in_span(scene, tracks, options.span)


def likeness(scene: Scene, tracks: Tracks, start: int, stop: int) -> np.ndarray:
    """How alike each track is to what sounds from sample start to stop, (tracks,) in 0..1: its part of the tracks'
    energy there, times how well it fits. A sound fits by the cosine of its class probabilities and those of the span,
    a voice by the mean probability that it speaks there, and what is not classified fits."""
    energy = _energy(TrackReader(tracks.sources, tracks.gains), start, stop)
    rate = tracks.sources.sample_rate
    pictures = slice(*pictures_of(start / rate, stop / rate))
    classes = _classes(scene, tracks, start, stop) if any(track.probabilities for track in tracks.tracks) else None
    fits = np.ones(len(tracks.tracks))
    for n, track in enumerate(tracks.tracks):
        if track.probabilities and classes is not None:
            own = np.array(list(track.probabilities.values()))
            fits[n] = own @ classes / (np.linalg.norm(own) * np.linalg.norm(classes) + 1e-12)
        elif track.speech is not None:
            fits[n] = track.speech[pictures].mean()
    total = energy.sum()
    return fits * energy / total if total > SILENCE * (stop - start) else np.zeros(len(fits))


def _only(tracks: Tracks, labels: Sequence[str]) -> Tracks:
    chosen = [track.label in labels for track in tracks.tracks]
    choice = Choice("only", tracks.tracks, chosen)
    picked = [track for track, one in zip(tracks.tracks, chosen, strict=True) if one]
    warnings = tracks.warnings + _absent(tracks, labels)
    if not picked:
        warnings.append("there is no track: all of the sound is in the residual")
        return replace(tracks, gains=tracks.gains[:0], tracks=[], warnings=warnings, choice=choice)
    gains = tracks.gains[chosen].sum(axis=0, keepdims=True)
    return replace(tracks, gains=gains, tracks=[_one(picked)], warnings=warnings, choice=choice)


def _without(scene: Scene, tracks: Tracks, labels: Sequence[str]) -> Tracks:
    removed = [n for n, track in enumerate(tracks.tracks) if track.label in labels]
    choice = Choice("without", tracks.tracks, [n not in removed for n in range(len(tracks.tracks))])
    rest = sound_without(scene, tracks, removed)
    sources = Estimates(scene.folder, rest.channels, rest.sample_rate)
    for block in rest.blocks():
        sources.append(block.samples[None])
    gains = np.ones((1, 1, tracks.gains.shape[2]), np.float32)
    warnings = tracks.warnings + _absent(tracks, labels)
    sources.of_array = tracks.sources.of_array
    track = Track("source_00", "stem" if {track.kind for track in tracks.tracks} == {"stem"} else "sound")
    return replace(tracks, sources=sources, gains=gains, tracks=[track], warnings=warnings, choice=choice)


def _in_span(scene: Scene, tracks: Tracks, span: tuple[float, float]) -> Tracks:
    rate, begin = tracks.sources.sample_rate, scene.clip.start_seconds
    start, stop = (min(round((at - begin) * rate), len(tracks.sources)) for at in span)
    alike = likeness(scene, tracks, start, stop)
    if not alike.any():
        raise UsageError(f"--span {_seconds(span)}: no track sounds there. Give a span in which one does")
    best = int(alike.argmax())
    chosen = [n == best for n in range(len(alike))]
    track = _one([tracks.tracks[best]])
    choice = Choice("span", tracks.tracks, chosen, alike.tolist())
    return replace(tracks, gains=tracks.gains[best : best + 1], tracks=[track], choice=choice)


def _one(parts: Sequence[Track]) -> Track:
    """The one track that is the sum of some."""
    first = parts[0]
    name = "speaker_00" if first.kind in VOICE_KINDS else "source_00"
    if len(parts) == 1:
        return replace(first, name=name)
    label = first.label if all(part.label == first.label for part in parts) else None
    probabilities = {key: max(part.probabilities.get(key, 0.0) for part in parts) for key in first.probabilities}
    return Track(name, first.kind, label=label, probabilities=probabilities)


def _absent(tracks: Tracks, labels: Sequence[str]) -> list[str]:
    """A warning for each label that no track has."""
    there = list(dict.fromkeys(track.label for track in tracks.tracks if track.label))
    found = f"labels found: {', '.join(there)}" if there else "no labels found"
    return [f"no track is labelled {label} ({found})" for label in labels if label not in there]


def _classes(scene: Scene, tracks: Tracks, start: int, stop: int) -> np.ndarray:
    """Class probabilities of all that sounds in a span."""
    rate = tracks.sources.sample_rate
    mixture = scene.mixture(rate)
    classifier = scene.models.classifier(CLASSIFIER)
    return class_probabilities(classifier, mixture.read, start, stop, rate, scene.models.device)[0]


def _energy(reader: TrackReader, start: int, stop: int) -> np.ndarray:
    rate = reader.sample_rate
    energy = np.zeros(len(reader.gains))
    for at in range(start, stop, rate):
        energy += np.square(reader.read(at, min(at + rate, stop)), dtype=np.float64).mean(axis=1).sum(axis=1)
    return energy


def _check_labels(option: str, asked: Sequence[str], labels: Sequence[str]) -> None:
    if not labels:
        raise UsageError(
            f"{option} goes by labels, and voices have none. Name them with --people or --enroll, add --model "
            "universal or --residual universal for the sounds, or choose with --span"
        )
    for label in asked:
        if label not in labels:
            near = difflib.get_close_matches(label, labels, 1, cutoff=0)[0]
            raise UsageError(f"{option}: no label is {label!r}; the nearest is {near!r}. Labels: {', '.join(labels)}")


def _check_span(scene: Scene, span: tuple[float, float]) -> None:
    begin = scene.clip.start_seconds
    end = begin + scene.clip.duration_seconds
    if not span[0] < span[1]:
        raise UsageError(
            f"--span {_seconds(span)} ends before it begins. Give start and end in seconds, such as 3.1-4.7"
        )
    if span[0] < begin or span[1] > end + 1 / FRAME_RATE:
        raise UsageError(
            f"--span {_seconds(span)} is not in what is separated, {begin:.2f} to {end:.2f} s. Give a span within it"
        )


def _seconds(span: tuple[float, float]) -> str:
    return f"{span[0]:g}-{span[1]:g}"
