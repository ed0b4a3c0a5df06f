"""A person's video with another sound, its pictures copied."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av

from avsep.errors import InputError
from avsep.media.container import Damage, demux, open_container
from avsep.media.mp4 import Mp4, PersonVideo, playable_gain


def replace_sound(video: Path, wav: Path, target: Path, lead_seconds: float) -> None:
    """Write `target`, the pictures of `video`, which avsep made, with the sound of `wav` after `lead_seconds` of
    silence. Raises InputError where `video` cannot be read and OutputError where `target` cannot be written."""
    job = PersonVideo(target, None, wav, playable_gain([wav]))
    damage = Damage()
    with open_container(video) as container:
        if not container.streams.video:
            raise InputError(f"{video}: has no pictures any more")
        stream = container.streams.video[0]

        def copied(output: Any) -> Any:
            copy = output.add_stream_from_template(stream)
            if stream.sample_aspect_ratio:
                copy.codec_context.sample_aspect_ratio = stream.sample_aspect_ratio
            return copy

        try:
            with Mp4(job, lead_seconds, copied) as mp4:
                for packet in demux(container, stream, damage):
                    if packet.size:
                        mp4.add(packet)
        except av.FFmpegError as error:
            raise InputError(f"{video}: cannot be read ({error})") from error
