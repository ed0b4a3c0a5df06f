"""Fenced blocks of the pages of docs/, and the files that their commands are run on."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import soundfile as sf
from media_factory import write_media
from two_talkers import DEMO, in_a_room, voices

from avsep.checkpoint import save_model
from avsep.dsp.resample import resample
from avsep.models.conv_tasnet import ConvTasNet

START, SECONDS = 2.0, 3.0
"""The part of the demo clip in which both talk."""


class Block(NamedTuple):
    """kind: "sh", "python", ... mark: "test" (is run), "made" (files that are then there), "needs=..." or ""."""

    kind: str
    mark: str
    code: str


def blocks(page: Path) -> list[Block]:
    """All fenced blocks, in their order."""
    found = re.findall(r"^```(\w*) ?([^\n]*)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [Block(*block) for block in found]


def commands(block: Block) -> Iterator[list[str]]:
    """The words of each line of a block of commands."""
    for line in block.code.replace("\\\n", " ").splitlines():
        if words := shlex.split(line, comments=True):
            yield words


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run with this environment's commands first on the PATH; whatever ends the test ends all it started."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=os.environ | {"PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = process.communicate()
    except BaseException:
        os.killpg(process.pid, signal.SIGTERM)
        raise
    return subprocess.CompletedProcess(command, process.returncode, out, err)


def write_inputs(folder: Path) -> None:
    """What the commands of the how-to pages are given, in a folder."""
    talk = write_talk(folder / "talk.mp4")
    (folder / "talks").mkdir()
    for name in ("monday", "tuesday"):
        (folder / "talks" / f"{name}.mp4").write_bytes(talk.read_bytes())
    both = voices(START, SECONDS)
    sf.write(folder / "call.wav", both.sum(axis=0), 16_000)
    (folder / "ann.flac").write_bytes((DEMO / "left.flac").read_bytes())
    in_room = in_a_room(both, 4).sum(axis=0)
    sf.write(folder / "meeting.wav", in_room.T, 16_000)
    sf.write(folder / "pair.wav", in_room[:2].T, 16_000)
    (folder / "positions.json").write_text(json.dumps({"positions": [[0, 0, 0], [0.05, 0, 0]]}))
    turns = [(0.0, 3.0, "Ann"), (0.5, 2.5, "Bob")]
    lines = [f"SPEAKER meeting 1 {start} {length} <NA> <NA> {name} <NA> <NA>\n" for start, length, name in turns]
    (folder / "meeting.rttm").write_text("".join(lines))
    mine = ConvTasNet(filters=16, kernel=64, stride=32, bottleneck=8, hidden=12, blocks=1, repeats=1)
    save_model(folder / "mine.safetensors", mine, "mine", "MIT", {"data": "none"})
    (folder / "captions").mkdir()
    for name, text in (("speaker_00", "Good morning."), ("speaker_01", "Hello.")):
        written = {"segments": [{"start": 0.5, "end": 1.5, "text": text}]}
        (folder / "captions" / f"{name}.json").write_text(json.dumps(written))


def write_talk(path: Path) -> Path:
    """Some seconds of the demo clip; a frame of it beside them as ann.jpg, with the left person alone."""
    with av.open(str(DEMO / "demo.mp4")) as container:
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0) if 0 <= f.time - START < SECONDS]
    height, width = frames[0].shape[:2]
    left = av.VideoFrame.from_ndarray(np.ascontiguousarray(frames[0][:, : width // 2]), format="rgb24").to_image()
    left.save(path.with_name("ann.jpg"))
    sound = resample(voices(START, SECONDS).sum(axis=0, keepdims=True), 16_000, 44_100)
    times = np.arange(len(frames)) / 25
    return write_media(
        path,
        sound=np.repeat(sound, 2, axis=0),
        sample_rate=44_100,
        times=times,
        size=(width, height),
        draw=lambda number, *_: frames[number],
    )
