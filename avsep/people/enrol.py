"""What people are known by, read from pictures and recordings."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from avsep.people.library import Embeddings
from avsep.people.traits import face_embedder
from avsep.signals import SAMPLE_RATE


def enrolled(
    name: str,
    faces: Sequence[str],
    voices: Sequence[str],
    device: str = "auto",
    threads: int | None = None,
    warn: Callable[[str], None] = lambda said: None,
) -> Embeddings:
    """The embeddings of the face in each of some pictures and of the voice in each of some recordings.

    warn: called with what is doubtful. Raises InputError for a picture without one face, and for a recording in which
    somebody speaks too little.
    """
    import torch

    from avsep.faces.detect import MtcnnDetector
    from avsep.faces.picture import portrait_in
    from avsep.inference.models import ModelStore, resolve_device
    from avsep.media.encode import jpeg_of
    from avsep.modes.enrolment import read_enrolment

    if threads is not None:
        torch.set_num_threads(threads)
    models = ModelStore(resolve_device(device))
    found, picture = np.zeros((0, 0), np.float32), None
    if faces:
        embedder, detector = face_embedder("--face", models.device), MtcnnDetector(models.device)
        portraits = [portrait_in(file, models.device, detector) for file in faces]
        found, picture = embedder(np.stack(portraits)), jpeg_of(portraits[0])
    said = [read_enrolment(models, name, file, warn) for file in voices]
    spoken = np.stack([one.embedding for one in said]) if said else np.zeros((0, 0), np.float32)
    return Embeddings(found, spoken, np.array([len(one.speech) / SAMPLE_RATE for one in said], np.float32), picture)
