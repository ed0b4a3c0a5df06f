"""Windows of talking faces, for lip-voice synchrony."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from data_factory import make_corpus

from avsep.data.talking import TalkingData
from avsep.errors import InputError, UsageError


def test_windows_of_talking_faces(tmp_path: Path) -> None:
    manifest = make_corpus(tmp_path, ("ada", "bob", "cyd"), seconds=3.0, lips=True)
    for file in tmp_path.glob("*.npz"):
        _with_sound(file, 3.0)
    data = TalkingData(str(tmp_path), str(manifest), held_out=["cyd"], batch_size=2, epoch_items=4, workers=0)
    data.setup("fit")
    batches = list(data.train_dataloader())
    assert len(batches) == 2
    assert batches[0]["lips"].shape == (2, 50, 96, 96)
    assert batches[0]["audio"].shape == batches[0]["shifted"].shape == (2, 32_000)
    assert torch.equal(data.train_set[7]["audio"], data.train_set[7]["audio"])
    plain = data.dev_set[0]
    numbers = plain["lips"][:, 0, 0].mul(255).round()
    assert (numbers.diff() == 1).all()
    # The sound of picture k is k / 100 in these files.
    assert torch.allclose(plain["audio"][320::640] * 100, numbers, atol=0.02)
    assert not torch.equal(plain["audio"], plain["shifted"])
    with pytest.raises(InputError, match="no clip of more than 62 pictures of zed"):
        TalkingData(str(tmp_path), held_out=["zed"], workers=0).setup("fit")
    bare = make_corpus(tmp_path / "bare", ("ada",))
    with pytest.raises(InputError, match=r"manifest.tsv: no row has lips.*preprocessing.extract_lips"):
        TalkingData(str(bare)).setup("fit")


def test_windows_of_several_corpora_are_drawn_by_their_weights(tmp_path: Path) -> None:
    folders = [tmp_path / "few", tmp_path / "many"]
    for folder, speakers in zip(folders, (("ada", "bob"), ("cyd", "dan")), strict=True):
        make_corpus(folder, speakers, seconds=3.0, lips=True)
        for file in folder.glob("*.npz"):
            _with_sound(file, 3.0)
    paths = [str(folder) for folder in folders]
    data = TalkingData(paths, held_out=["bob"], weights=[3.0, 1.0], workers=0)
    data.setup("fit")
    # One speaker of the first corpus is left, and has its whole weight.
    assert [group[0][0] for group in data.train_set.groups] == ["ada", "cyd", "dan"]
    assert data.train_set.chances == pytest.approx([3 / 4, 1 / 8, 1 / 8])
    assert {group[0][0] for group in data.dev_set.groups} == {"bob"}
    with pytest.raises(UsageError, match=r"weights is \[1.0\]; it must be one number above 0 for each of 2 corpora"):
        TalkingData(paths, weights=[1.0]).setup("fit")


def _with_sound(file: Path, seconds: float) -> None:
    with np.load(file) as old:
        arrays = {**old, "audio": np.repeat(np.arange(1, 25 * seconds + 1) * 327.68, 640).astype(np.int16)}
    np.savez(file, **arrays)
