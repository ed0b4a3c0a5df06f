"""Results as readable blocks: one for a separated clip, one for the people of a clip, one for a plan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from avsep.safe_text import safe_lines

if TYPE_CHECKING:
    from avsep.media.decode import ClipInfo

SPANS_SHOWN = 6
"""Longer lists of times are cut; the JSON has them all."""


def separated(manifest: Mapping[str, Any], folder: Path) -> str:
    """The block of one clip: its people, their files, when they speak, how sure that is."""
    source, timing = manifest["input"], manifest.get("timing", {})
    lines = [f"{source['path']} -> {folder}  ({manifest['mode']}, {_took(source, timing)})"]
    tracks, targets = manifest["tracks"], manifest.get("choice", {}).get("targets", ())
    for track in tracks:
        files = [track[key] for key in ("audio", "video", "thumbnail") if track.get(key)]
        lines.append(f"  {track['id']}  {'  '.join(files)}")
        facts = [label(track)] if track.get("label") else []
        facts += [identity(track["identity"])] if track.get("identity") else []
        facts += [similarity(target) for target in targets if target["track"] == track["id"]]
        if track.get("appearances"):
            facts.append(f"seen {spans(track['appearances'])}")
        if "speaking" in track:
            facts.append(f"speaks {spans(track['speaking'])}" if track["speaking"] else "does not speak")
        if track.get("confidence") is not None:
            facts.append(f"confidence {track['confidence']:.2f}")
        lines += [f"      {'; '.join(facts)}"] if facts else []
        lines += [f"      {line}" for line in measures(track)]
        lines += [f"      warning: {warning}" for warning in track.get("warnings", ())]
    if not tracks:
        lines.append("  no tracks")
    if manifest.get("residual"):
        lines.append(f"  residual    {manifest['residual']}")
    lines += [f"  warning: {warning}" for warning in manifest.get("warnings", ())]
    return safe_lines(lines)


def line(clip: Path, manifest: Mapping[str, Any], folder: Path, before: bool) -> str:
    """One of many clips, in a line. before: whether its results were there already."""
    source = manifest["input"]
    facts = [manifest["mode"], _found(manifest), _took(source, manifest.get("timing", {}))]
    if count := count_warnings(manifest):
        facts.append(f"{count} warning{'s' if count > 1 else ''}")
    return f"{clip} -> {folder}  ({'was there; ' if before else ''}{', '.join(facts)})"


def count_warnings(manifest: Mapping[str, Any]) -> int:
    """Those of the tracks, too."""
    return len(manifest.get("warnings", ())) + sum(len(track.get("warnings", ())) for track in manifest["tracks"])


def label(track: Mapping[str, Any]) -> str:
    """dog_bark (0.93), the probability where there is one"""
    name, p = track["label"], track.get("probabilities", {}).get(track["label"])
    return name if p is None else f"{name} ({p:.2f})"


def identity(told: Mapping[str, Any]) -> str:
    """known by face and voice (0.98); new in the library"""
    if told["learnt"]:
        return "new in the library"
    if told["name"] is None:
        return f"nobody of the library ({told['probability']:.2f})"
    return f"known by {' and '.join(told['by'])} ({told['probability']:.2f})"


def similarity(target: Mapping[str, Any]) -> str:
    """voice alike by 0.81, the next by 0.12"""
    second = target["runner_up"]
    more = f", the next by {second['similarity']:.2f}" if second else ""
    return f"{target['by']} alike by {target['similarity']:.2f}{more}"


def measures(track: Mapping[str, Any]) -> list[str]:
    """DNSMOS 2.71, leak -41 dB, correlation 0.05; below it what is doubtful. Nothing where nothing was measured."""
    found = track.get("measures")
    if found is None:
        return []
    facts = [] if found["dnsmos"] is None else [f"DNSMOS {found['dnsmos']['ovrl']:.2f}"]
    for key, text in (("leak_db", "leak {:.0f} dB"), ("correlation", "correlation {:.2f}")):
        told = [value for value in found[key].values() if value is not None]
        facts += [text.format(max(told))] if told else []
    return [", ".join(facts) or "too little to measure", *doubts(track)]


def doubts(track: Mapping[str, Any]) -> list[str]:
    """doubtful 3.0-5.0 s: may be the voice of speaker_01"""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for doubt in track["doubtful"]:
        found.setdefault(doubt["reason"], []).append(doubt)
    return [f"doubtful {spans(where)}: {reason}" for reason, where in found.items()]


def people(found: Mapping[str, Any], clip: Path, folder: Path | None) -> str:
    """The block of `avsep faces`."""
    count = len(found["people"])
    where = f" -> {folder}" if folder else ""
    lines = [f"{clip}{where}  ({count} {'person' if count == 1 else 'people'})"]
    for person in found["people"]:
        thumbnail = person.get("thumbnail")
        lines.append(f"  {person['id']}" + (f"  {thumbnail}" if thumbnail else ""))
        x1, y1, x2, y2 = person["box"]
        lines.append(f"      seen {spans(person['appearances'])}; face at x {x1}-{x2}, y {y1}-{y2}")
        lines += [f"      warning: {warning}" for warning in person.get("warnings", ())]
    lines += [f"  warning: {warning}" for warning in found.get("warnings", ())]
    return safe_lines(lines)


def plan(info: ClipInfo, folder: Path, model: str) -> str:
    """The block of --dry-run."""
    streams = describe(info)
    lines = [f"{info.path} -> {folder}  (dry run, nothing is written)", f"  sound    {streams['audio_text']}"]
    lines.append(f"  picture  {streams['video_text']}")
    lines += [f"  span     {info.duration_seconds:.2f} s", f"  model    {model}"]
    return safe_lines(lines)


def describe(info: ClipInfo) -> dict[str, str]:
    """One line on the sound and one on the picture of a clip."""
    audio, video = info.audio, info.video
    channels = {1: "mono", 2: "stereo"}.get(audio.channels, f"{audio.channels} channels")
    sound = f"stream {audio.stream}: {audio.codec}, {audio.sample_rate} Hz, {channels}"
    picture = "none: the separation will be audio-only"
    if video is not None:
        turned = f", turned by {video.rotation} degrees" if video.rotation else ""
        picture = (
            f"stream {video.stream}: {video.width}x{video.height}, {video.fps:.5g} frames/s{turned},"
            f" starts at {video.start_seconds:+.3f} s"
        )
    return {"audio_text": sound, "video_text": picture}


_WORDS = {
    "person": ("person", "people"),
    "voice": ("voice", "voices"),
    "sound": ("source", "sources"),
    "stem": ("source", "sources"),
}


def mode_line(manifest: Mapping[str, Any]) -> str:
    """The mode, what was found and, for sound alone, why."""
    clip, mode, found = Path(manifest["input"]["path"]).name, manifest["mode"], _found(manifest)
    if mode != "audio-only":
        return f"{clip}: {mode}, {found}"
    why = "no video stream" if not manifest["input"].get("video") else "no usable face in the picture"
    return f"{clip}: audio-only ({why}), {found}"


def _found(manifest: Mapping[str, Any]) -> str:
    """2 people, 1 voice"""
    mode = manifest["mode"]
    usual = {"audio-visual": "person", "universal": "sound"}.get(mode, "voice")
    counts = Counter(_WORDS[track["kind"]] for track in manifest["tracks"]) or {_WORDS[usual]: 0}
    found = ", ".join(f"{count} {words[count != 1]}" for words, count in counts.items())
    if "choice" in manifest:
        found += f" of {len(manifest['choice']['found'])}"
    return found


def spans(times: Sequence[Mapping[str, float]]) -> str:
    """0.4-3.1, 4.0-7.7 s"""
    shown = ", ".join(f"{t['start_seconds']:.1f}-{t['end_seconds']:.1f}" for t in times[:SPANS_SHOWN])
    more = f" and {len(times) - SPANS_SHOWN} more" if len(times) > SPANS_SHOWN else ""
    return f"{shown} s{more}" if times else "never"


def _took(source: Mapping[str, Any], timing: Mapping[str, Any]) -> str:
    seconds = f"{source['duration_seconds']:.1f} s"
    return f"{seconds} in {timing['total_seconds']:.1f} s" if "total_seconds" in timing else seconds
