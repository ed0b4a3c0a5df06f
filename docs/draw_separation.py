"""Draws docs/separation.png: a frame of the demo clip, the sound as recorded and the two tracks.

    avsep demo -o OUT && python docs/draw_separation.py OUT/demo

Needs matplotlib (pip install "avsep[portraits]").
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import soundfile as sf

from avsep.cli.demo import CLIP
from avsep.media.decode import picture_at, probe, read_audio

COLOURS = ("#d95f02", "#1b9e77")


def main(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    speakers = sorted(manifest["speakers"], key=lambda s: s["box"][0])
    clip = probe(CLIP)
    mixture = [sample for block in read_audio(clip, print) for sample in block.samples.mean(axis=0)]
    figure = plt.figure(figsize=(11, 5), layout="constrained")
    grid = figure.add_gridspec(3, 2, width_ratios=(1.15, 1))
    picture = figure.add_subplot(grid[:, 0])
    picture.imshow(picture_at(clip, 3.4))
    for speaker, colour in zip(speakers, COLOURS, strict=True):
        x1, y1, x2, y2 = speaker["box"]
        picture.add_patch(plt.Rectangle((x1, y1), x2 - x1, y2 - y1, fill=False, color=colour, linewidth=3))
    picture.axis("off")
    rows = [("as recorded", mixture, "black")]
    rows += [
        (side, sf.read(folder / s["audio"], always_2d=True)[0].mean(axis=1), colour)
        for side, s, colour in zip(("left", "right"), speakers, COLOURS, strict=True)
    ]
    for number, (name, samples, colour) in enumerate(rows):
        axes = figure.add_subplot(grid[number, 1])
        axes.specgram(samples, 1024, clip.audio.sample_rate, noverlap=768, vmin=-130, vmax=-40, cmap="magma")
        axes.set_ylim(0, 6000)
        axes.set_yticks([0, 3000, 6000], ["0", "3", "6 kHz"])
        axes.set_title(name, loc="left", color=colour, fontsize=10, fontweight="bold")
        if number < 2:
            axes.set_xticklabels([])
    axes.set_xlabel("seconds")
    figure.savefig(Path(__file__).with_name("separation.png"), dpi=80)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
