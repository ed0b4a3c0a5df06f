"""Simulates rooms with microphone arrays once and keeps them in a file, which trainings draw from.

    python -m preprocessing.render_rooms OUT.npz --rooms 500
    python -m preprocessing.render_rooms OUT.npz --sources 2 --microphones 7 --arrays circular --radius 0.0425

Each room is a shoebox of drawn size and T60 with one array of a drawn shape and places for talkers at least --apart
degrees from each other, and one more place for what is in the background. Reflections up to --order are exact (the
image method, pyroomacoustics), what comes later is noise that decays as the room does. OUT.npz is what
`avsep.data.rendered_rooms.RenderedRooms` reads; 500 rooms of 8 microphones and 4 places take about 230 MB, and 0.5 s of
one core each. Room n is drawn from --seed and n alone.
"""

from __future__ import annotations

import argparse
import functools
import shutil
import sys
from pathlib import Path
from typing import get_args

import numpy as np

from avsep.data.image_rooms import ImageRooms
from avsep.data.microphone_arrays import Shape
from avsep.data.rendered_rooms import read_rooms, write_rooms
from avsep.data.rooms import Responses
from avsep.errors import AvsepError
from avsep.jobs.options import add_engine, engine_of
from avsep.jobs.run import run_jobs
from avsep.signals import SAMPLE_RATE
from preprocessing.command import add_count, add_seed, command


def render(number: int, rooms: ImageRooms, sources: int, sample_rate: int) -> Responses:
    """Room `number`, with a place for each source and one for the background."""
    return rooms.simulate(np.random.default_rng((rooms.seed, number)), sources + 1, sample_rate)


def render_to(number: int, parts: Path, rooms: ImageRooms, sources: int, sample_rate: int) -> Path:
    """Write a room as a file of its own; returns that."""
    part = parts / f"{number:07d}.npz"
    write_rooms(part, [render(number, rooms, sources, sample_rate)], sample_rate)
    return part


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("out", type=Path, metavar="OUT.npz")
    add_count(parser, "--rooms", "(default: %(default)s)", 500)
    add_count(parser, "--sources", "most sources of an item (default: %(default)s)", 3)
    add_count(parser, "--microphones", "(default: %(default)s)", 8)
    shapes = get_args(Shape)
    parser.add_argument("--arrays", nargs="+", choices=shapes, default=shapes, help="drawn from (default: all)")
    for option, default, text in (
        ("--spacing", (0.02, 0.08), "of neighbours on a line, in m"),
        ("--radius", (0.03, 0.12), "of a circle, in m"),
        ("--length", (3.0, 9.0), "of the room, in m"),
        ("--width", (2.5, 7.0), "of the room, in m"),
        ("--height", (2.4, 3.5), "of the room, in m"),
        ("--t60", (0.1, 0.6), "in s"),
        ("--distance", (0.5, 3.0), "of a source from the array's middle, in m"),
    ):
        low, high = default
        parser.add_argument(
            option,
            type=float,
            nargs="+",
            default=list(default),
            metavar="X",
            help=f"{text}: a number, or lowest and highest (default: {low:g} {high:g})",
        )
    parser.add_argument("--apart", type=float, default=20.0, help="degrees (default: %(default)g)")
    add_count(parser, "--order", "of the last exact reflections (default: %(default)s)", 40)
    add_count(parser, "--sample-rate", "in Hz (default: %(default)s)", SAMPLE_RATE)
    add_seed(parser)
    add_engine(parser)


def _run(options: argparse.Namespace) -> int:
    ranges = {}
    for name in ("spacing", "radius", "length", "width", "height", "t60", "distance"):
        values = getattr(options, name)
        if len(values) > 2:
            raise AvsepError(f"--{name} {' '.join(map(str, values))}: give a number, or the lowest and the highest")
        ranges[name] = (values[0], values[-1])
    settings = ImageRooms(
        **ranges,
        microphones=options.microphones,
        order=options.order,
        seed=options.seed,
        arrays=tuple(options.arrays),
        apart=options.apart,
    )
    parts = options.out.with_name(f".{options.out.stem}.parts")
    work = functools.partial(
        render_to, parts=parts, rooms=settings, sources=options.sources, sample_rate=options.sample_rate
    )
    left_out = options.out.with_name(f"{options.out.stem}.skipped.tsv")
    made = run_jobs(range(options.rooms), work, parts, engine=engine_of(options), skipped=left_out)
    if len(made) < options.rooms:
        raise AvsepError(
            f"{options.rooms - len(made)} of {options.rooms} rooms could not be made; {left_out} says why. Start it "
            "again to go on"
        )
    write_rooms(options.out, [room for part in made.values() for room in read_rooms(part)[0]], options.sample_rate)
    shutil.rmtree(parts, ignore_errors=True)
    return len(made)


main = command(__doc__ or "", "render_rooms", _configure, _run)

if __name__ == "__main__":
    sys.exit(main())
