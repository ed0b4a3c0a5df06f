"""Results as readable blocks: one for a separated clip, one for the people of a clip, one for a plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from avsep.media.decode import ClipInfo

SPANS_SHOWN = 6
"""Longer lists of times are cut; the JSON has them all."""


def separated(manifest: Mapping[str, Any], folder: Path) -> str:
    """The block of one clip: its people, their files, when they speak, how sure that is."""
    source, timing = manifest["input"], manifest.get("timing", {})
    lines = [f"{source['path']} -> {folder}  ({manifest['mode']}, {_took(source, timing)})"]
    for speaker in manifest["speakers"]:
        files = [speaker[key] for key in ("audio", "video", "thumbnail") if speaker.get(key)]
        lines.append(f"  {speaker['id']}  {'  '.join(files)}")
        facts = []
        if speaker.get("appearances"):
            facts.append(f"seen {spans(speaker['appearances'])}")
        facts.append(f"speaks {spans(speaker['speaking'])}" if speaker.get("speaking") else "does not speak")
        if speaker.get("confidence") is not None:
            facts.append(f"confidence {speaker['confidence']:.2f}")
        lines.append(f"      {'; '.join(facts)}")
        lines += [f"      warning: {warning}" for warning in speaker.get("warnings", ())]
    if not manifest["speakers"]:
        lines.append("  nobody found")
    if manifest.get("residual"):
        lines.append(f"  the rest    {manifest['residual']}")
    lines += [f"  warning: {warning}" for warning in manifest.get("warnings", ())]
    return "\n".join(lines)


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
    return "\n".join(lines)


def plan(info: ClipInfo, folder: Path, model: str) -> str:
    """The block of --dry-run."""
    streams = describe(info)
    lines = [f"{info.path} -> {folder}  (dry run, nothing is written)", f"  sound    {streams['audio_text']}"]
    lines.append(f"  picture  {streams['video_text']}")
    lines += [f"  span     {info.duration_seconds:.2f} s", f"  model    {model}"]
    return "\n".join(lines)


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


def mode_line(manifest: Mapping[str, Any]) -> str:
    """The mode and, for sound alone, why."""
    clip, count = Path(manifest["input"]["path"]).name, len(manifest["speakers"])
    if manifest["mode"] != "audio-only":
        return f"{clip}: {manifest['mode']}, {count} {'person' if count == 1 else 'people'}"
    why = "no video stream" if not manifest["input"].get("video") else "no usable face in the picture"
    return f"{clip}: audio-only ({why}), {count} {'voice' if count == 1 else 'voices'}"


def spans(times: Sequence[Mapping[str, float]]) -> str:
    """0.4-3.1, 4.0-7.7 s"""
    shown = ", ".join(f"{t['start_seconds']:.1f}-{t['end_seconds']:.1f}" for t in times[:SPANS_SHOWN])
    more = f" and {len(times) - SPANS_SHOWN} more" if len(times) > SPANS_SHOWN else ""
    return f"{shown} s{more}" if times else "never"


def _took(source: Mapping[str, Any], timing: Mapping[str, Any]) -> str:
    seconds = f"{source['duration_seconds']:.1f} s"
    return f"{seconds} in {timing['total_seconds']:.1f} s" if "total_seconds" in timing else seconds
