"""All measures of a result, and what its manifest says of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from avsep.embeddings.speaker import MODEL
from avsep.evaluation.no_reference import leak, mos, swaps, trust
from avsep.evaluation.no_reference.sound import Overview, VoiceSounds
from avsep.output.manifest import times
from avsep.results.result import Doubt, Result, Span
from avsep.signals import ProgressHook, no_progress

if TYPE_CHECKING:
    from avsep.inference.models import ModelStore


@dataclass(frozen=True)
class Measures:
    """Of one track; None where there is too little to tell. Levels in dB; by other track, its id: see docs/output.md.

    dnsmos: of what is spoken. own_voice, other_voice: mean evidence of its pieces with what it says at other times, and
    with the most alike other track.
    """

    dnsmos: mos.Mos | None
    leak_db: Mapping[str, float | None]
    idle_db: float | None
    correlation: Mapping[str, float | None]
    own_voice: float | None
    other_voice: float | None
    doubtful: Sequence[Doubt]

    @property
    def worst_leak_db(self) -> float | None:
        return max((value for value in self.leak_db.values() if value is not None), default=None)

    @property
    def worst_correlation(self) -> float | None:
        return max((value for value in self.correlation.values() if value is not None), default=None)

    def entry(self) -> dict[str, Any]:
        """What the manifest says of the track."""
        scores = self.dnsmos
        return {
            "measures": {
                "dnsmos": None if scores is None else {k: _rounded(v, 2) for k, v in scores._asdict().items()},
                "leak_db": {name: _rounded(value, 1) for name, value in self.leak_db.items()},
                "idle_db": _rounded(self.idle_db, 1),
                "correlation": {name: _rounded(value, 3) for name, value in self.correlation.items()},
                "own_voice": _rounded(self.own_voice, 2),
                "other_voice": _rounded(self.other_voice, 2),
            },
            "doubtful": [
                {**span, "kind": doubt.kind, "reason": doubt.reason}
                for doubt in self.doubtful
                for span in times([(doubt.start, doubt.end)])
            ],
        }


def measure(
    result: Result, models: ModelStore, dnsmos: mos.Dnsmos | None, progress: ProgressHook = no_progress
) -> dict[str, Measures]:
    """Measures of the voices of a result by their ids; none for sounds and stems. dnsmos: None leaves its scores out.

    Raises InputError where a file of a track is missing or damaged.
    """
    with VoiceSounds(result) as sounds:
        if not sounds.tracks:
            return {}
        overview = sounds.overview(progress)
        scores = [_scores(sounds, number, dnsmos, progress) for number in range(len(sounds.tracks))]
        pieces = swaps.embed_pieces(sounds, overview.spoken, models.voice(MODEL), models.device, progress)
    return _of_tracks([track.id for track in sounds.tracks], overview, scores, swaps.likeness(pieces))


def add_measures(content: dict[str, Any], found: Mapping[str, Measures]) -> None:
    """Write measures into the entries of a manifest's tracks; those of an earlier time are replaced."""
    for entry in content["tracks"]:
        if entry["id"] in found:
            entry.update(found[entry["id"]].entry())


def _scores(
    sounds: VoiceSounds, track: int, dnsmos: mos.Dnsmos | None, progress: ProgressHook
) -> list[tuple[mos.Mos, list[Span]]]:
    """Scores of a track with the spans that each is of."""
    if dnsmos is None:
        return []
    found = []
    for spans in mos.windows(sounds.tracks[track].speaking or ()):
        score = dnsmos(sounds.joined(track, spans))
        if score is not None:
            found.append((score, spans))
        done = (track + spans[-1].end / sounds.seconds) / len(sounds.tracks)
        progress("DNSMOS", done * sounds.seconds, sounds.seconds)
    return found


def _of_tracks(
    names: Sequence[str],
    overview: Overview,
    scores: Sequence[list[tuple[mos.Mos, list[Span]]]],
    alike: np.ndarray,
) -> dict[str, Measures]:
    leaks, idle = leak.leak_db(overview), leak.idle_db(overview)
    correlation = leak.correlation(overview.products.sum(axis=0, dtype=np.float64))
    gain = swaps.exchange_gain(alike)
    doubts = zip(trust.possible_swaps(gain, names, overview.pictures), trust.shared_sound(overview, names), strict=True)
    found = {}
    for number, (name, (swapped, shared)) in enumerate(zip(names, doubts, strict=True)):
        others = [other for other in range(len(names)) if other != number]
        poor = trust.poor_quality(scores[number], overview.pictures)
        found[name] = Measures(
            dnsmos=mos.mean([(score, sum(b - a for a, b in spans)) for score, spans in scores[number]]),
            leak_db={names[other]: _value(leaks[number, other]) for other in others},
            idle_db=_value(idle[number]),
            correlation={names[other]: _value(correlation[number, other]) for other in others},
            own_voice=_mean(alike[:, number, number]),
            other_voice=max(
                (value for other in others if (value := _mean(alike[:, number, other])) is not None), default=None
            ),
            doubtful=sorted(one._replace(end=min(one.end, overview.seconds)) for one in (*swapped, *shared, *poor)),
        )
    return found


def _mean(values: np.ndarray) -> float | None:
    told = values[~np.isnan(values)]
    return float(told.mean()) if len(told) else None


def _value(number: float) -> float | None:
    return None if math.isnan(number) else float(number)


def _rounded(value: float | None, places: int) -> float | None:
    return None if value is None else round(value, places)
