"""Portraits free of rights that come inside packages, and Debian's synthetic voices."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import tempfile
from pathlib import Path

import cv2
import numpy as np

from avsep.errors import InputError, UsageError
from preprocessing.portraits.video import read_speech

PICTURES = {
    "hopper": ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
    "astronaut": ("skimage", "data/astronaut.png"),
}
"""Name: package that carries the picture, and its path in there."""


def stock_picture(name: str) -> Path:
    """Path of one of PICTURES. Raises UsageError when its package is not installed."""
    package, inside = PICTURES[name]
    found = importlib.util.find_spec(package)
    folders = list(found.submodule_search_locations or []) if found else []
    for folder in folders:
        if (Path(folder) / inside).is_file():
            return Path(folder) / inside
    distribution = {"skimage": "scikit-image"}.get(package, package)
    raise UsageError(
        f"the picture '{name}' comes inside the package {distribution}, which is not installed: "
        'pip install "avsep[portraits]"'
    )


def read_picture(path: Path) -> np.ndarray:
    """(height, width, 3) uint8 RGB. Raises InputError."""
    if not path.is_file():
        raise InputError(f"no picture at {path}")
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if picture is None:
        raise InputError(f"cannot read {path} as a picture: give JPEG or PNG")
    return np.ascontiguousarray(picture[:, :, ::-1])


def speak(text: str, voice: str) -> tuple[np.ndarray, int]:
    """Text spoken by a voice of flite: (time,) float32 and sample rate. Raises UsageError without flite or voice."""
    program = shutil.which("flite")
    if program is None:
        raise UsageError("the speech synthesiser flite is not installed: apt-get install flite")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        ran = subprocess.run(
            [program, "-voice", voice, "-t", text, "-o", str(path)], capture_output=True, text=True, check=False
        )
        if ran.returncode or not path.is_file():
            voices = subprocess.run([program, "-lv"], capture_output=True, text=True, check=False).stdout.strip()
            raise UsageError(
                f"flite did not speak with voice '{voice}': {ran.stderr.strip() or 'no message'}; {voices}"
            )
        return read_speech(path)
