"""Folders of references and of estimates, in the layouts they come in.

A folder for each mixture (`avsep separate`, and most others): DIR/<mixture>/<source>.wav, the mixture itself at
DIR/<mixture>.wav or DIR/<mixture>/mixture.wav. A folder for each source (WSJ0-mix, LibriMix): DIR/s1/<mixture>.wav,
DIR/s2/<mixture>.wav, ..., the mixture in DIR/mix/, mix_both/ or mix_clean/. Where no mixture lies there, it is the sum
of the references. labels.tsv in DIR gives the classes of sources.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from avsep.errors import InputError
from avsep.evaluation.files import AUDIO, TrialFiles, is_audio, trial_files
from avsep.evaluation.labels import LABELS, read_labels
from avsep.results.result import MANIFEST
from avsep.storage.documents import read_json

MIXTURES = ("mixture", "mix", "mix_both", "mix_clean", "mix_single")
"""Names of the mixture among the sources, the first that is there counts."""
NOT_SOURCES = {*MIXTURES, "residual", "noise"}

PLACES = {"left": 0.25, "center": 0.5, "centre": 0.5, "middle": 0.5, "right": 0.75}
"""Names of references that say where the face is, as a share of the picture's width."""

_SOURCE_FOLDER = re.compile(r"s\d+$")


@dataclass
class Entry:
    """What lies in a folder for one mixture. places: of the faces, labels: classes, both by name of the source."""

    sources: dict[str, Path] = field(default_factory=dict)
    mixture: Path | None = None
    places: dict[str, float] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)


def pair_folders(
    references: Path,
    estimates: Path,
    *,
    sample_rate: int | None = None,
    limit: int | None = None,
    dry: Path | None = None,
) -> list[TrialFiles]:
    """A trial for each mixture of `references`, in order of name, at most `limit` of them. dry: a folder with the
    sources of the references without any room, under the same names.

    Raises InputError for a folder that is missing, holds nothing, or has no estimates or dry sources of a mixture; and
    as `trial_files`.
    """
    wanted, found = list_folder(references), list_folder(estimates)
    names = sorted(wanted)[:limit]
    missing = [name for name in names if name not in found]
    if missing:
        raise InputError(
            f"{estimates}: has nothing for {missing[0]} of {references} ({len(missing)} of {len(names)} mixtures have "
            f"no estimates). Expected {estimates / missing[0]}/ with a file for each source"
        )
    without = dry_sources(dry, {name: wanted[name] for name in names})
    return [_trial(name, wanted[name], found[name], sample_rate, without[name]) for name in names]


def reference_trials(
    references: Path, *, sample_rate: int | None = None, limit: int | None = None, dry: Path | None = None
) -> list[TrialFiles]:
    """The same without estimates: what a model is to separate."""
    entries = list_folder(references)
    entries = {name: entries[name] for name in sorted(entries)[:limit]}
    without = dry_sources(dry, entries)
    return [_trial(name, entry, Entry(), sample_rate, without[name]) for name, entry in entries.items()]


def dry_sources(folder: Path | None, references: Mapping[str, Entry]) -> dict[str, dict[str, Path]]:
    """Mixture -> name of each reference -> its source without any room; none of any mixture without a folder. Raises
    InputError for one that is missing."""
    if folder is None:
        return {name: {} for name in references}
    found = list_folder(folder)
    for name, entry in references.items():
        there = found[name].sources if name in found else {}
        if absent := [source for source in entry.sources if source not in there]:
            raise InputError(
                f"{folder}: has no source {absent[0]} of mixture {name}. Dry sources lie in a folder as the references "
                f"do and have their names: expected {folder / name / entry.sources[absent[0]].name}"
            )
    return {name: {s: found[name].sources[s] for s in entry.sources} for name, entry in references.items()}


def list_folder(folder: Path) -> dict[str, Entry]:
    """What a folder holds, by name of the mixture. Raises InputError where that is nothing."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder. Give the folder that holds one folder for each mixture")
    inside = sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    by_source = [path for path in inside if _SOURCE_FOLDER.match(path.name)]
    if by_source and all(path in by_source or path.name in NOT_SOURCES for path in inside):
        entries = _folder_a_source(folder, by_source)
    else:
        entries = {path.name: entry for path in inside if (entry := _folder_a_mixture(path))}
    if not entries:
        raise InputError(
            f"{folder}: holds no signals. Expected {folder / 'MIXTURE' / 'SOURCE.wav'} (a folder for each mixture) or "
            f"{folder / 's1' / 'MIXTURE.wav'} (a folder for each source), files of {', '.join(AUDIO)}"
        )
    if (folder / LABELS).is_file():
        known = read_labels(folder / LABELS, {name: entry.sources for name, entry in entries.items()})
        for (name, source), label in known.items():
            entries[name].labels[source] = label
    return entries


def _folder_a_source(folder: Path, by_source: Sequence[Path]) -> dict[str, Entry]:
    mixtures = next((folder / name for name in MIXTURES if (folder / name).is_dir()), None)
    entries: dict[str, Entry] = {}
    for path in by_source:
        for file in sorted(filter(is_audio, path.iterdir())):
            entries.setdefault(file.stem, Entry()).sources[path.name] = file
    for name, entry in entries.items():
        absent = [path for path in by_source if path.name not in entry.sources]
        if absent:
            here = next(iter(entry.sources.values()))
            raise InputError(f"{absent[0] / here.name}: no such file, though there is {here}. Make it, or remove both")
        if mixtures:
            entry.mixture = next((f for s in AUDIO if (f := mixtures / f"{name}{s}").is_file()), None)
            if entry.mixture is None:
                raise InputError(f"{mixtures / name}{AUDIO[0]}: no such file, the mixture of its sources. Make it")
    return entries


def _folder_a_mixture(folder: Path) -> Entry | None:
    """None where nothing in it is a signal."""
    if (folder / MANIFEST).is_file():
        return _separated(folder)
    files = {path.stem: path for path in sorted(filter(is_audio, folder.iterdir()))}
    sources = {name: path for name, path in files.items() if name not in NOT_SOURCES}
    if not sources:
        return None
    places = {name: PLACES[name] for name in sources if name in PLACES}
    return Entry(sources, _mixture_beside(folder, files), places)


def _mixture_beside(folder: Path, files: dict[str, Path]) -> Path | None:
    beside = (folder.with_name(folder.name + suffix) for suffix in AUDIO)
    inside = (files[name] for name in MIXTURES if name in files)
    return next((path for path in beside if path.is_file()), None) or next(inside, None)


def _separated(folder: Path) -> Entry:
    """Output of `avsep separate`: the tracks of its manifest, which may be none."""
    path = folder / MANIFEST
    try:
        manifest = read_json(path)
        listed = manifest.get("tracks") or manifest["speakers"]
        tracks = {track["id"]: folder / track["audio"] for track in listed}
        labels = {track["id"]: str(track.get("label") or "") for track in listed}
        video = manifest["input"].get("video")
        places = {
            track["id"]: (track["box"][0] + track["box"][2]) / 2 / video["width"]
            for track in listed
            if video and track.get("box")
        }
    except (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        raise InputError(
            f"{path}: is not a manifest of 'avsep separate' ({type(error).__name__}: {error}). Separate the clip "
            "again, or remove the file to take all audio files of the folder"
        ) from error
    return Entry(tracks, _mixture_beside(folder, {}), places, labels)


def _trial(
    name: str, wanted: Entry, found: Entry, sample_rate: int | None, dry: dict[str, Path] | None = None
) -> TrialFiles:
    made = trial_files(
        name,
        wanted.sources,
        found.sources,
        wanted.mixture,
        sample_rate=sample_rate,
        reference_places=_places(wanted),
        estimate_places=_places(found),
        dry=dry,
    )
    return replace(made, reference_labels=_labels(wanted), estimate_labels=_labels(found))


def _places(entry: Entry) -> tuple[float | None, ...]:
    return tuple(entry.places.get(name) for name in entry.sources)


def _labels(entry: Entry) -> tuple[str, ...]:
    return tuple(entry.labels.get(name, "") for name in entry.sources)
