"""Mixtures that others made, read as they are published: trees of WSJ0-mix, WHAM!, WHAMR!, LibriMix and SMS-WSJ, and
the tables that LibriMix writes beside its own.

The mixture is the file itself, not the sum of its parts. Where only utterances and gains are published, the modules of
preprocessing/ (wsj0_mix, librimix, wham) make a fixed list of them; see `FixedMixtures`.
"""

from __future__ import annotations

from collections.abc import Sequence
from os.path import isfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch.utils.data import Dataset

from avsep.data.item import NO_LABEL, Item, make_item
from avsep.data.lists import shuffled
from avsep.data.sound_file import SoundReader
from avsep.errors import InputError
from avsep.signals import SAMPLE_RATE
from avsep.storage.tables import open_table

MIXTURES = ("mix", "mix_clean", "mix_both", "mix_single", "mix_single_anechoic", "mix_both_anechoic", "mix_both_reverb")
"""Names that published trees give to the folder of the mixtures."""

OBSERVATION = "observation"
"""The folder of the mixtures of SMS-WSJ, in which its splits lie."""


class Files(NamedTuple):
    """One mixture and its sources. where: the file, or the row of a table, that names them."""

    name: str
    mixture: Path
    sources: tuple[Path, ...]
    where: str


def read_tree(folder: Path, mixture: str | None = None, sources: Sequence[str] | None = None) -> list[Files]:
    """The mixtures of one split of a tree: folder/mix/NAME.wav with folder/s1/NAME.wav, folder/s2/NAME.wav ...

    mixture, sources: names of the folders; None takes the only one of `MIXTURES` that is there, and all of s1, s2 ....
    Raises InputError for another layout, and for a source that is gone.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder. Give that of one split, such as wsj0-mix/2speakers/wav8k/min/tt")
    if mixture is None:
        found = [name for name in MIXTURES if (folder / name).is_dir()]
        if len(found) != 1:
            what = f"has {', '.join(found)}; choose one as `mixture`" if found else f"has none of {', '.join(MIXTURES)}"
            raise InputError(f"{folder}: {what}. A split holds a folder of mixtures and one for each source (s1, s2)")
        mixture = found[0]
    if sources is None:
        sources = sorted(p.name for p in folder.glob("s[0-9]") if p.is_dir())
    for name in (mixture, *sources):
        if not (folder / name).is_dir():
            raise InputError(
                f"{folder}: no folder {name}; it has {', '.join(sorted(p.name for p in folder.iterdir()))}"
            )
    files = sorted(p for p in (folder / mixture).iterdir() if p.suffix.lower() in (".wav", ".flac"))
    if not files or not sources:
        raise InputError(f"{folder}: {len(files)} mixtures in {mixture} and {len(sources)} folders of sources (s1, s2)")
    rows = [Files(file.stem, file, tuple(folder / s / file.name for s in sources), str(file)) for file in files]
    for row in rows:
        _check_there(row)
    return rows


def read_sms_wsj(folder: Path, sources: str = "early") -> list[Files]:
    """The mixtures of one split of SMS-WSJ: observation/SPLIT/ID.wav with SOURCES/SPLIT/ID_0.wav, ID_1.wav, ....

    folder: that of the observations of a split. sources: the folder beside `observation` that has the sources: early
    (images at all microphones) or speech_source (as they were spoken, one channel, moved to where they arrive). Raises
    InputError for another layout, and for a source that is gone.
    """
    place = folder.parent.with_name(sources) / folder.name
    if not folder.is_dir() or not place.is_dir():
        missing = folder if not folder.is_dir() else place
        raise InputError(
            f"{missing}: no such folder. SMS-WSJ has observation/SPLIT, and sources in early/SPLIT or "
            "speech_source/SPLIT (SPLIT: train_si284, cv_dev93, test_eval92)"
        )
    rows = []
    for file in sorted(folder.glob("*.wav")):
        # RIR_FIRST_SECOND: a source for each utterance.
        count = max(1, len(file.stem.split("_")) - 1)
        rows.append(Files(file.stem, file, tuple(place / f"{file.stem}_{n}.wav" for n in range(count)), str(file)))
        _check_there(rows[-1])
    if not rows:
        raise InputError(f"{folder}: no mixtures ID.wav in it")
    return rows


def read_table(table: Path) -> list[Files]:
    """The mixtures of a table that LibriMix wrote with them, such as wav16k/min/metadata/mixture_dev_mix_clean.csv.

    Paths are taken as they stand and, where nothing is there (the corpus was made elsewhere and moved), as their last
    three parts below the folder that holds metadata/. Raises InputError with table and line.
    """
    if not table.is_file():
        raise InputError(f"{table}: no such table")
    rows = []
    with open_table(table, ",") as listed:
        columns = listed.columns
        sources = [c for c in columns if c.startswith("source_") and c.endswith("_path")]
        if not {"mixture_ID", "mixture_path"} <= set(columns) or not sources:
            raise InputError(
                f"{table}: columns are {', '.join(columns)}; expected mixture_ID, mixture_path, source_1_path ... . "
                f"A table of utterances and gains becomes a list with: python -m preprocessing.librimix"
            )
        for row in listed.dicts():
            if any(not row[c] for c in ("mixture_ID", "mixture_path", *sources)):
                raise InputError(f"{listed.where}: one of its columns is empty")
            paths = [_moved(Path(row[c]), table) for c in ("mixture_path", *sources)]
            rows.append(Files(row["mixture_ID"], paths[0], tuple(paths[1:]), listed.where))
            _check_there(rows[-1])
    if not rows:
        raise InputError(f"{table}: the table has no rows")
    return rows


def _moved(path: Path, table: Path) -> Path:
    here = table.parent.parent.joinpath(*path.parts[-3:])
    return here if not isfile(path) and isfile(here) else path


def _check_there(row: Files) -> None:
    for file in (row.mixture, *row.sources):
        if not isfile(file):  # of a name that cannot be, too, where Path.is_file raises
            raise InputError(f"{row.where}: {file} is not there")


class PublishedMixtures(Dataset):
    """A published set of mixtures as items of the loop; beyond the end of the set it begins again.

    path: the folder of a split (`read_tree`; `read_sms_wsj` where it lies in a folder observation, then `sources` names
    one folder), or a table of LibriMix (`read_table`). seconds: cut or pad every mixture
    to this length; None keeps each as it is. sample_rate: what the model works at; files of another are refused, since
    the results of the literature hold for one rate. seed: to train: mixtures come in another order every epoch and are
    cut at random places; None for neither. Channels are kept; sources have as many as the mixture, or one each. Who the
    sources are is not known: all labels are -1.
    """

    def __init__(
        self,
        path: str | Path,
        mixture: str | None = None,
        sources: list[str] | None = None,
        seconds: float | None = None,
        sample_rate: int = SAMPLE_RATE,
        seed: int | None = None,
    ) -> None:
        path = Path(path)
        if path.suffix == ".csv":
            self.files = read_table(path)
        elif path.parent.name == OBSERVATION:
            self.files = read_sms_wsj(path, *(sources or ()))
        else:
            self.files = read_tree(path, mixture, sources)
        self.seconds, self.sample_rate, self.seed = seconds, sample_rate, seed

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Item:
        row = self.files[index % len(self) if self.seed is None else shuffled(index, len(self), self.seed)]
        frames = self._frames(row)
        length = frames if self.seconds is None else round(self.seconds * self.sample_rate)
        begin = 0
        if self.seed is not None and frames > length:
            begin = int(np.random.default_rng((self.seed, index)).integers(frames - length + 1))
        mixture = _read(row.mixture, begin, length)
        sources = [_read(file, begin, length) for file in row.sources]
        for file, source in zip(row.sources, sources, strict=True):
            if len(source) not in (1, len(mixture)) or len(source) != len(sources[0]):
                raise InputError(
                    f"{row.where}: {file} has {len(source)} channels, the mixture {len(mixture)} and "
                    f"{row.sources[0]} {len(sources[0])}; sources have as many as the mixture, or one each"
                )
        return make_item(row.name, mixture, np.stack(sources), [NO_LABEL] * len(sources), {})

    def _frames(self, row: Files) -> int:
        """Samples of a mixture. Raises InputError when it has another rate, or a source another rate or length."""
        lengths: list[int] = []
        for file in (row.mixture, *row.sources):
            try:
                with SoundReader(file) as sound:
                    rate, frames = sound.sample_rate, sound.frames
            except InputError as error:
                raise InputError(f"{row.where}: {error}") from error
            if rate != self.sample_rate:
                raise InputError(
                    f"{row.where}: {file} has {rate} Hz, but the model works at {self.sample_rate} Hz. "
                    f"Take the tree of that rate, or train with sample_rate {rate}"
                )
            if lengths and frames != lengths[0]:
                raise InputError(
                    f"{row.where}: {file} has {frames} samples, but the mixture {lengths[0]}; "
                    f"sources are as long as their mixture"
                )
            lengths.append(frames)
        return lengths[0]


def _read(file: Path, begin: int, length: int) -> np.ndarray:
    """(channels, length) float32, with zeros after the end."""
    with SoundReader(file) as sound:
        samples = sound.read(begin, begin + length)
    return np.ascontiguousarray(np.pad(samples, ((0, length - len(samples)), (0, 0))).T)
