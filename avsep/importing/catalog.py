"""Published weights by name: where they lie, their licence, and what they were trained on."""

from __future__ import annotations

import hashlib
import http.client
import re
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from avsep.errors import InputError, UsageError
from avsep.importing.read import checkpoints_in
from avsep.signals import ProgressHook, no_progress

TIMEOUT = 30.0
"""Seconds without a byte."""
MOST_BYTES = 4 << 30
"""Of one file."""
BLOCK = 1 << 20


@dataclass(frozen=True)
class Published:
    """files: names in a folder -> addresses; one file of any name where there is no folder. licence: of the weights as
    published. data: what they were trained on. settings: what the files do not say."""

    files: dict[str, str]
    licence: str
    data: str
    settings: dict[str, Any] = field(default_factory=dict)


def _speechbrain(name: str, data: str, sample_rate: int = 8000) -> Published:
    host = f"https://huggingface.co/speechbrain/{name}/resolve/main"
    files = {f"{part}.ckpt": f"{host}/{part}.ckpt" for part in ("encoder", "masknet", "decoder")}
    return Published(files, "Apache-2.0", data, {"sample_rate": sample_rate})


def _open_unmix(record: int, licence: str, *names: str) -> Published:
    files = {f"{name}.pth": f"https://zenodo.org/records/{record}/files/{name}.pth" for name in names}
    return Published(files, licence, "MUSDB18-HQ" if record == 3370489 else "as its record says")


def _asteroid(record: int, data: str) -> Published:
    return Published(
        {"model.pth": f"https://zenodo.org/record/{record}/files/model.pth?download=1"},
        f"as Zenodo record {record} says",
        data,
        {"sample_rate": 8000},
    )


CATALOG: dict[str, Published] = {
    "torchaudio/CONVTASNET_BASE_LIBRI2MIX": Published(
        {
            "conv_tasnet_base_libri2mix.pt": (
                "https://download.pytorch.org/torchaudio/models/conv_tasnet_base_libri2mix.pt"
            )
        },
        "as published with torchaudio",
        "Libri2Mix",
        {"sample_rate": 8000},
    ),
    "asteroid/ConvTasNet_WHAM!_sepclean": _asteroid(3862942, "WHAM!, separation of clean mixtures"),
    "asteroid/ConvTasNet_LibriMix_sep_clean": _asteroid(3873572, "LibriMix, separation of clean mixtures"),
    "asteroid/ConvTasNet_LibriMix_sep_noisy": _asteroid(3874420, "LibriMix, separation of noisy mixtures"),
    "asteroid/DPRNNTasNet_WHAM!_sepclean": _asteroid(3873670, "WHAM!, separation of clean mixtures"),
    "asteroid/DPRNNTasNet(ks=16)_WHAM!_sepclean": _asteroid(3903795, "WHAM!, separation of clean mixtures"),
    "speechbrain/sepformer-wsj02mix": _speechbrain("sepformer-wsj02mix", "WSJ0-2mix"),
    "speechbrain/sepformer-wsj03mix": _speechbrain("sepformer-wsj03mix", "WSJ0-3mix"),
    "speechbrain/sepformer-libri2mix": _speechbrain("sepformer-libri2mix", "Libri2Mix"),
    "speechbrain/sepformer-libri3mix": _speechbrain("sepformer-libri3mix", "Libri3Mix"),
    "speechbrain/sepformer-wham": _speechbrain("sepformer-wham", "WHAM!"),
    "speechbrain/sepformer-whamr": _speechbrain("sepformer-whamr", "WHAMR!"),
    "speechbrain/sepformer-whamr16k": _speechbrain("sepformer-whamr16k", "WHAMR!, 16 kHz", 16_000),
    "open-unmix/umxhq": _open_unmix(
        3370489, "as Zenodo record 3370489 says", "vocals-b62c91ce", "drums-9619578f", "bass-8d85a5bd", "other-b52fbbf7"
    ),
    "open-unmix/umxl": _open_unmix(
        5069601, "as Zenodo record 5069601 says", "vocals-bccbd9aa", "drums-69e0ebd4", "bass-2ca1ce51", "other-c8c5b3e6"
    ),
}


def find(name: str) -> Published | None:
    """Of a name in any case, with or without what is before its stroke; None where there is none or are several."""
    wanted = name.lower()
    fitting = [one for one in CATALOG if wanted in (one.lower(), one.lower().rpartition("/")[2])]
    return CATALOG[fitting[0]] if len(fitting) == 1 else None


def fetch(published: Published, folder: Path, progress: ProgressHook = no_progress) -> Path:
    """Download all files into a folder; the folder, or the file where there is one. Raises InputError that says what to
    fetch by hand where a file cannot be had."""
    for number, (name, address) in enumerate(published.files.items()):
        progress("download", number, len(published.files))
        try:
            _download(address, folder / name)
        except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError) as error:
            reason = getattr(error, "reason", None) or error
            wanted = "".join(f"\n  {one}" for one in published.files.values())
            place = "the file" if len(published.files) == 1 else "the folder that you put them in"
            raise InputError(
                f"{address} cannot be fetched: {reason}. Fetch by other means{wanted}\nand give {place} as SOURCE"
            ) from error
    progress("download", len(published.files), len(published.files))
    return folder if len(published.files) > 1 else folder / next(iter(published.files))


def _download(address: str, file: Path) -> None:
    with urllib.request.urlopen(address, timeout=TIMEOUT) as answer, file.open("wb") as out:
        size = 0
        while block := answer.read(BLOCK):
            size += len(block)
            if size > MOST_BYTES:
                raise ValueError(f"it is larger than {MOST_BYTES >> 30} GiB")
            out.write(block)
        promised = getattr(answer, "headers", {}).get("Content-Length")
        if promised is not None and promised.isdecimal() and size != int(promised):
            raise ValueError(f"{size} of {promised} bytes came")
    # The first digits of the sum stand at the end of some names.
    if (digits := re.search(r"-([0-9a-f]{8})$", file.stem)) and not checksum(file).startswith(digits[1]):
        raise ValueError(f"its SHA-256 does not begin with {digits[1]}, as its name says")


def checksum(source: Path) -> str:
    """SHA-256 of a file, or of the checkpoints of a folder one behind the other in the order of their names."""
    found = hashlib.sha256()
    for file in checkpoints_in(source) if source.is_dir() else [source]:
        with file.open("rb") as stream:
            while block := stream.read(BLOCK):
                found.update(block)
    return found.hexdigest()


def known() -> str:
    """The names in words."""
    return ", ".join(CATALOG)


def unknown(source: str) -> UsageError:
    return UsageError(f"{source}: no such file or folder, and no name of published weights. Names are {known()}")
