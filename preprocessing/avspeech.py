"""Fetches AVSpeech (Ephrat et al. 2018) and cuts its mouths and sound: pieces of online videos, one face each.

    pip install "avsep[avspeech]"      (and ffmpeg on the PATH)
    python -m preprocessing.avspeech AVSPEECH OUT_FOLDER

AVSPEECH is the folder that holds avspeech_train.csv and avspeech_test.csv as they are published: rows of YouTube id,
start and end in seconds, x and y of the face as shares of the picture, without a header. Each piece is fetched with
yt-dlp, and the face at x, y is followed. avspeech_test.csv is split test. There is no validation set: the videos in
--dev-share of the training list, chosen by a hash of their ids, are split dev. The video stands for the speaker.

OUT_FOLDER gets manifest.tsv, and for each clip the mouth (ID.npz) and the sound (ID.flac); skipped.tsv tells what gave
nothing, and why. A run that was stopped goes on where it was. A video that is gone, or has no face at x, y, is recorded
in ID.skipped too and not asked for again unless with --retry; any other failure to fetch is tried again at the next
start. The pieces are thrown away after use, or kept with --videos FOLDER as FOLDER/YOUTUBEID_START_END.mp4; those that
are there already are not fetched.
"""

from __future__ import annotations

import argparse
import csv
import functools
import importlib.util
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from avsep.data.manifest import Utterance
from avsep.errors import InputError, UsageError
from avsep.jobs.options import engine_of
from avsep.storage.files import write_lines
from preprocessing.command import command
from preprocessing.corpus import wrong_layout
from preprocessing.faces_corpus import (
    DEV_SHARE,
    Clip,
    add_dev_share,
    add_options,
    add_parts,
    face_net,
    first_of_each_split,
    is_made,
    made_clip,
    make_clip,
    make_corpus,
    train_or_dev,
)

PARTS = ("train", "test")

Fetch = Callable[[str, Path], None]
"""fetch("YOUTUBEID_START_END", file) writes a piece of a video. Raises DeadLink, or InputError when it may be better
another time."""

DOWNLOADS = 4
"""Processes unless told otherwise: the site turns away who asks for too much at once."""

_GONE = re.compile(
    r"unavailable|private video|has been removed|been terminated|no longer available|does not exist"
    r"|not available in your|members-only|confirm your age|HTTP Error 404|HTTP Error 410",
    re.IGNORECASE,
)
"""What yt-dlp says of videos that will not come back."""


class DeadLink(InputError):
    """A video that cannot be had any more."""


def list_avspeech(
    corpus: Path, videos: Path, parts: tuple[str, ...] = PARTS, dev_share: float = DEV_SHARE
) -> Iterator[Clip]:
    """The clips of AVSpeech; their videos are files in the folder `videos`, which need not be there yet.

    Raises InputError when the folder is not laid out like AVSpeech, or names the file and the line that is not.
    """
    names = [f"avspeech_{part}.csv" for part in parts]
    if not all((corpus / name).is_file() for name in names):
        raise wrong_layout(corpus, f"{' and '.join(names)} of AVSpeech (--parts names fewer)")
    for part, name in zip(parts, names, strict=True):
        with (corpus / name).open(newline="", encoding="utf-8", errors="replace") as file:
            for number, row in enumerate(csv.reader(file), 1):
                if row:
                    youtube, start, end, x, y = _checked(row, f"{corpus / name}, line {number}")
                    split = "test" if part == "test" else train_or_dev(youtube, dev_share)
                    piece = f"{youtube}_{start}_{end}"
                    yield Clip(f"{part}/{youtube}/{start}", videos / f"{piece}.mp4", youtube, split, face=(x, y))


def _checked(row: list[str], where: str) -> tuple[str, str, str, float, float]:
    try:
        youtube, start, end, x, y = (cell.strip() for cell in row)
        place = float(x), float(y)
        # Names of files are made of them.
        good = bool(re.fullmatch(r"[\w-]+", youtube)) and 0 <= float(start) < float(end)
    except ValueError:
        good = False
    if not good:
        raise InputError(f"{where}: expected YouTube id, start, end, x, y; found {','.join(row)!r}")
    return youtube, start, end, *place


def fetch_and_make(
    clip: Clip,
    make: Callable[[Clip], Utterance],
    fetch: Fetch,
    out: Path,
    *,
    keep: bool = False,
    retry: bool = False,
    overwrite: bool = False,
    embeddings: bool = False,
) -> Utterance:
    """Fetch a clip's video where it is needed and not there, and make the clip. Raises InputError.

    keep: leave the video in its place. retry: try what failed for good before. embeddings: the clip needs those of its
    face.
    """
    hopeless = out / f"{clip.id}.skipped"
    if hopeless.is_file() and not retry:
        raise InputError(hopeless.read_text(encoding="utf-8").strip())
    # The name tells the piece, so its video need not be there again; the list of jobs asks for the same video.
    if is_made(out, clip.id, embeddings) and not overwrite:
        return made_clip(clip, out)
    try:
        if not clip.video.is_file():
            clip.video.parent.mkdir(parents=True, exist_ok=True)
            fetch(clip.video.stem, clip.video)
        row = make(clip)
    except InputError as error:
        # A piece that is here and gives nothing will not give more another time.
        if isinstance(error, DeadLink) or clip.video.is_file():
            write_lines(hopeless, [str(error)])
        raise
    finally:
        if not keep:
            clip.video.unlink(missing_ok=True)
    hopeless.unlink(missing_ok=True)
    return row


def fetch_piece(piece: str, target: Path) -> None:
    """Fetch YOUTUBEID_START_END with yt-dlp: exactly that stretch, at most 720 lines high."""
    youtube, start, end = piece.rsplit("_", 2)
    fetch_span(f"https://www.youtube.com/watch?v={youtube}", float(start), float(end), target)


def fetch_span(url: str, start: float, end: float, target: Path) -> None:
    """Write the seconds start..end of the video at an address. Raises DeadLink or InputError."""
    import yt_dlp
    from yt_dlp.utils import DownloadError, download_range_func

    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".partial.") as folder:
        options = {
            "format": "bv*[height<=720]+ba/b[height<=720]/b",
            "outtmpl": "piece.%(ext)s",
            "paths": {"home": folder},
            "download_ranges": download_range_func(None, [(start, end)]),
            # Else a piece begins at the key frame before its start.
            "force_keyframes_at_cuts": True,
            "noprogress": True,
            "quiet": True,
            "logger": _Silent(),
        }
        try:
            with yt_dlp.YoutubeDL(options) as downloader:
                downloader.download([url])
        except DownloadError as error:
            reason = re.sub(r"\x1b\[[\d;]*m|ERROR:", "", str(error)).strip()
            kind = DeadLink if _GONE.search(reason) else InputError
            raise kind(f"{'dead link' if kind is DeadLink else 'not fetched'}: {url}: {reason}") from error
        files = list(Path(folder).glob("piece.*"))
        if len(files) != 1:
            raise InputError(f"not fetched: {url}: yt-dlp wrote {len(files)} files instead of one")
        files[0].replace(target)


class _Silent:
    """Errors come as exceptions; yt-dlp would print them as well."""

    def debug(self, message: str) -> None: ...
    def warning(self, message: str) -> None: ...
    def error(self, message: str) -> None: ...


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("corpus", type=Path, metavar="AVSPEECH", help="folder of avspeech_train.csv, avspeech_test.csv")
    add_parts(parser, PARTS)
    add_dev_share(parser)
    parser.add_argument("--videos", type=Path, metavar="FOLDER", help="keep what is fetched, and look there first")
    parser.add_argument("--retry", action="store_true", help="try again what failed for good")
    add_options(parser, workers=DOWNLOADS)


def _run(options: argparse.Namespace) -> int:
    videos = options.videos or options.out / "videos"
    clips = first_of_each_split(
        list_avspeech(options.corpus, videos, tuple(options.parts), options.dev_share), options.limit
    )
    if importlib.util.find_spec("yt_dlp") is None:
        raise UsageError('yt-dlp is not installed, which fetches the videos: pip install "avsep[avspeech]"')
    if shutil.which("ffmpeg") is None:
        raise UsageError("ffmpeg is not installed, with which yt-dlp cuts the videos: apt-get install ffmpeg")
    if options.face_embeddings:
        face_net(options.device)  # no weights: say so once, not for every clip
    make = functools.partial(
        make_clip,
        out=options.out,
        device=options.device,
        embeddings=options.face_embeddings,
    )
    work = functools.partial(
        fetch_and_make,
        make=make,
        fetch=fetch_piece,
        out=options.out,
        keep=options.videos is not None,
        retry=options.retry,
        overwrite=options.overwrite,
        embeddings=options.face_embeddings,
    )
    return make_corpus(clips, options.out, work, engine_of(options), options.overwrite)


main = command(__doc__ or "", "avspeech", _configure, _run)

if __name__ == "__main__":
    sys.exit(main())
