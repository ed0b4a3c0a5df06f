"""Small media files for the tests, made on the spot: tones, and pictures that carry their own number."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

BITS = 8
"""A picture's number is written in its upper half as so many dark or bright columns."""

_FAST = {"libx264": {"preset": "ultrafast"}, "libvpx": {"deadline": "realtime", "cpu-used": "8", "threads": "1"}}

LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}


def tone(seconds: float, sample_rate: int = 16_000, channels: int = 1, frequency: float = 440.0) -> np.ndarray:
    """(channels, time) float32 sines of half full scale, each channel a fifth above the one before."""
    time = np.arange(round(seconds * sample_rate)) / sample_rate
    return np.stack([0.5 * np.sin(2 * np.pi * frequency * 1.5**c * time) for c in range(channels)]).astype(np.float32)


def numbered_picture(number: int, width: int = 160, height: int = 120) -> np.ndarray:
    """(height, width, 3) uint8 RGB that carries `number` (0..255); the lower half is plain gray."""
    picture = np.full((height, width, 3), 128, np.uint8)
    for bit in range(BITS):
        left, right = width * bit // BITS, width * (bit + 1) // BITS
        picture[: height // 2, left:right] = 230 if number >> bit & 1 else 25
    return picture


def picture_number(luma: np.ndarray) -> int:
    """The number in a picture made by `numbered_picture`: (height, width) gray."""
    height, width = luma.shape
    row = luma[height // 8 : height * 3 // 8].mean(axis=0)
    return sum(int(row[int(width * (bit + 0.5) / BITS)] > 127) << bit for bit in range(BITS))


def write_media(
    path: Path,
    *,
    sound: np.ndarray | Sequence[np.ndarray] | None = None,
    sample_rate: int = 16_000,
    sound_codec: str = "aac",
    sound_start: float = 0.0,
    sound_gap: tuple[float, float] | None = None,
    times: Sequence[float] | np.ndarray | None = None,
    size: tuple[int, int] = (160, 120),
    draw: Callable[[int, int, int], np.ndarray] = numbered_picture,
    video_codec: str = "libx264",
    pixel_format: str = "yuv420p",
    rotation: int = 0,
    pixel_aspect: Fraction | None = None,
    max_b_frames: int | None = None,
    key_every: int | None = None,
    format: str | None = None,
) -> Path:
    """Write a media file and return its path.

    sound: (channels, time) float32, or several of them for several audio streams. sound_start: seconds at which it
    begins. sound_gap: start and length in seconds of a hole in the time stamps, after which the sound continues.
    times: seconds at which the pictures are shown, picture i being draw(i, width, height).
    key_every: pictures from one key frame to the next.
    rotation: degrees counter-clockwise by which a player has to turn the stored pictures.
    """
    sounds = [] if sound is None else [sound] if isinstance(sound, np.ndarray) else list(sound)
    with av.open(str(path), "w", format=format) as container:
        video = None
        if times is not None:
            video = container.add_stream(video_codec, rate=25)
            video.width, video.height, video.pix_fmt = *size, pixel_format
            video.codec_context.time_base = Fraction(1, 25 if path.suffix in {".avi", ".mpg"} else 1000)
            video.options = _FAST.get(video_codec, {})
            if pixel_aspect is not None:
                video.codec_context.sample_aspect_ratio = pixel_aspect
            if max_b_frames is not None:
                video.codec_context.max_b_frames = max_b_frames
            if key_every is not None:
                video.codec_context.gop_size = key_every
            if rotation:
                video.set_display_rotation(rotation)
        streams = [container.add_stream(sound_codec, rate=sample_rate, layout=LAYOUTS[len(s)]) for s in sounds]
        container.start_encoding()
        if video is not None:
            for number, seconds in enumerate(() if times is None else times):
                frame = av.VideoFrame.from_ndarray(draw(number, *size), format="rgb24").reformat(format=pixel_format)
                base = video.codec_context.time_base
                frame.pts, frame.time_base = round(seconds / base), base
                container.mux(video.encode(frame))
            container.mux(video.encode(None))
        for stream, samples in zip(streams, sounds, strict=True):
            _write_sound(container, stream, samples, sample_rate, sound_start, sound_gap)
    return path


def _write_sound(container, stream, samples, sample_rate, start, gap):  # type: ignore[no-untyped-def]
    size = stream.codec_context.frame_size or 1024
    offset = round(start * sample_rate)
    for at in range(0, samples.shape[1], size):
        if gap is not None and at >= gap[0] * sample_rate:
            offset += round(gap[1] * sample_rate)
            gap = None
        block = np.ascontiguousarray(samples[:, at : at + size])
        frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=LAYOUTS[len(samples)])
        frame.sample_rate, frame.pts, frame.time_base = sample_rate, at + offset, Fraction(1, sample_rate)
        if stream.codec_context.format.name != "fltp":
            frames = av.AudioResampler(stream.codec_context.format, LAYOUTS[len(samples)], sample_rate).resample(frame)
        else:
            frames = [frame]
        for ready in frames:
            container.mux(stream.encode(ready))
    container.mux(stream.encode(None))


def move_stamps(path: Path, kind: str, seconds: Mapping[int, float]) -> Path:
    """Copy a file with some time stamps moved. kind: "audio" or "video"; seconds: by how much, by number of packet (a
    negative number counts from the end)."""
    moved = path.with_name(f"moved_{path.name}")
    with av.open(str(path)) as source, av.open(str(moved), "w") as target:
        streams = {s.index: target.add_stream_from_template(s) for s in source.streams}
        packets = [p for p in source.demux() if p.size]
        chosen = [p for p in packets if p.stream.type == kind]
        for number, by in seconds.items():
            chosen[number].pts += round(by / chosen[number].time_base)
        for packet in packets:
            packet.stream = streams[packet.stream.index]
            target.mux(packet)
    return moved


def damage(path: Path, start: float, length: float, seed: int = 0) -> Path:
    """Overwrite a part of a file with noise in place; start and length are shares of its size."""
    data = bytearray(path.read_bytes())
    begin, end = int(start * len(data)), int((start + length) * len(data))
    data[begin:end] = np.random.default_rng(seed).bytes(end - begin)
    path.write_bytes(bytes(data))
    return path


def write_jumpy_opus(path: Path, sound: np.ndarray) -> Path:
    """Write Opus of sound (channels, time) at 48 kHz, in which one page tells a position of 488 samples too far.

    FFmpeg plays such a file, as joints leave them; libsndfile calls it malformed where the next page comes.
    """
    write_media(path, sound=sound, sample_rate=48_000, sound_codec="libopus")
    data = bytearray(path.read_bytes())
    pages = [at for at in range(len(data)) if data[at : at + 4] == b"OggS"]
    page = slice(pages[len(pages) // 2], pages[len(pages) // 2 + 1])
    position, checksum = slice(page.start + 6, page.start + 14), slice(page.start + 22, page.start + 26)
    data[position] = (int.from_bytes(data[position], "little") + 488).to_bytes(8, "little")
    data[checksum] = bytes(4)
    data[checksum] = _ogg_checksum(data[page]).to_bytes(4, "little")
    path.write_bytes(bytes(data))
    return path


def _ogg_checksum(page: bytes) -> int:
    """RFC 3533: a CRC of 32 bits with the generator 0x04c11db7, from 0 on, without any reflection."""
    crc = 0
    for byte in page:
        crc ^= byte << 24
        for _ in range(8):
            crc = crc << 1 ^ (0x104C11DB7 if crc >> 31 else 0)
    return crc
