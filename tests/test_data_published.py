"""Published mixtures: trees of WSJ0-mix and LibriMix, and LibriMix's own tables, on miniatures of their layouts."""

from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch

from avsep.data.published import PublishedMixtures, read_table, read_tree
from avsep.errors import InputError


def write(path: Path, samples: np.ndarray, rate: int = 8000) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    sf.write(path, samples, rate, subtype="FLOAT")


def wsj0_mix(root: Path, count: int = 3, mode: str = "min") -> Path:
    """wsj0-mix/2speakers/wav8k/min/tt/{mix,s1,s2}; returns .../tt."""
    split = root / "wsj0-mix" / "2speakers" / "wav8k" / mode / "tt"
    for number in range(count):
        rng = np.random.default_rng(number)
        sources = 0.1 * rng.standard_normal((2, 4000 + 800 * number)).astype(np.float32)
        name = f"050a050{number}_1.24_22go010{number}_-1.24.wav"
        write(split / "mix" / name, sources.sum(0))
        for folder, source in zip(("s1", "s2"), sources, strict=True):
            write(split / folder / name, source)
    return split


def libri_mix(root: Path) -> Path:
    """Libri2Mix/wav16k/min/dev/{mix_clean,mix_both,s1,s2,noise} with its tables; returns .../min."""
    top = root / "Libri2Mix" / "wav16k" / "min"
    lines = ["mixture_ID,mixture_path,source_1_path,source_2_path,noise_path,length"]
    for number in range(2):
        s1, s2, noise = 0.1 * np.random.default_rng(number).standard_normal((3, 6000)).astype(np.float32)
        name = f"84-121123-000{number}_174-50561-000{number}"
        parts = {"mix_clean": s1 + s2, "mix_both": s1 + s2 + noise, "s1": s1, "s2": s2, "noise": noise}
        for folder, samples in parts.items():
            write(top / "dev" / folder / f"{name}.wav", samples, 16_000)
        # The published program writes the paths of the machine it ran on.
        old = f"/export/made/elsewhere/wav16k/min/dev/{{}}/{name}.wav"
        lines.append(",".join([name, *(old.format(f) for f in ("mix_both", "s1", "s2", "noise")), "6000"]))
    (top / "metadata").mkdir()
    (top / "metadata" / "mixture_dev_mix_both.csv").write_text("\n".join(lines) + "\n")
    return top


def test_wsj0_mix_is_read_as_it_lies(tmp_path: Path) -> None:
    split = wsj0_mix(tmp_path)
    data = PublishedMixtures(split, sample_rate=8000)
    assert len(data) == 3
    assert [tuple(data[n]["mixture"].shape) for n in range(4)] == [(1, 4000), (1, 4800), (1, 5600), (1, 4000)]
    item = data[1]
    assert item["name"] == "050a0501_1.24_22go0101_-1.24"
    assert torch.allclose(item["mixture"], item["sources"].sum(0), atol=1e-6)
    cut = PublishedMixtures(split, seconds=0.6, sample_rate=8000)[0]
    assert cut["sources"].shape == (2, 1, 4800)
    assert cut["labels"].tolist() == [-1, -1]
    assert not cut["mixture"][:, 4000:].any()


def test_training_on_a_tree_shuffles_and_cuts(tmp_path: Path) -> None:
    split = wsj0_mix(tmp_path)
    data = PublishedMixtures(split, seconds=0.25, sample_rate=8000, seed=0)
    names = [[str(data[n]["name"]) for n in range(first, first + 3)] for first in range(0, 24, 3)]
    assert all(len(set(epoch)) == 3 for epoch in names)
    assert len({tuple(epoch) for epoch in names}) > 1
    for n in (0, 17, 10**9):
        item = data[n]
        assert torch.allclose(item["mixture"], item["sources"].sum(0), atol=1e-6)
        assert torch.equal(item["mixture"], PublishedMixtures(split, None, None, 0.25, 8000, 0)[n]["mixture"])


def test_libri_mix_tree_and_table_agree(tmp_path: Path) -> None:
    top = libri_mix(tmp_path)
    with pytest.raises(InputError, match=r"dev: has mix_clean, mix_both; choose one as `mixture`"):
        PublishedMixtures(top / "dev")
    tree = PublishedMixtures(top / "dev", mixture="mix_both")
    table = PublishedMixtures(top / "metadata" / "mixture_dev_mix_both.csv")
    assert len(tree) == len(table) == 2
    for n in range(2):
        assert tree[n]["name"] == table[n]["name"]
        assert torch.equal(tree[n]["mixture"], table[n]["mixture"])
        assert torch.equal(tree[n]["sources"], table[n]["sources"])
    noisy = (table[0]["mixture"] - table[0]["sources"].sum(0)).abs().max()
    assert noisy > 0.01


def test_channels_of_a_mixture_are_kept(tmp_path: Path) -> None:
    for folder, channels in (("mix_both_reverb", 2), ("s1", 2), ("s2", 2), ("s3", 1)):
        write(tmp_path / folder / "a.wav", np.random.default_rng(0).standard_normal((800, channels)) * 0.1)
    item = PublishedMixtures(tmp_path, sources=["s1", "s2"], sample_rate=8000)[0]
    assert item["mixture"].shape == (2, 800)
    assert item["sources"].shape == (2, 2, 800)
    # Sources at one microphone are as they are published.
    assert PublishedMixtures(tmp_path, sources=["s3"], sample_rate=8000)[0]["sources"].shape == (1, 1, 800)
    with pytest.raises(InputError, match=r"s3/a.wav has 1 channels, the mixture 2 and .*s1/a.wav 2; sources have as"):
        PublishedMixtures(tmp_path, sample_rate=8000)[0]


def test_another_rate_or_length_is_one_message_with_the_file(tmp_path: Path) -> None:
    split = wsj0_mix(tmp_path)
    with pytest.raises(InputError, match=r"mix/050a0500.*: .*0500.*wav has 8000 Hz, but the model works at 16000 Hz"):
        PublishedMixtures(split)[0]
    source = sorted((split / "s2").iterdir())[0]
    write(source, np.zeros(3999))
    with pytest.raises(InputError, match=r"s2/050a0500.*wav has 3999 samples, but the mixture 4000"):
        PublishedMixtures(split, sample_rate=8000)[0]
    source.write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"s2/050a0500.*wav: holds text, not sound"):
        PublishedMixtures(split, sample_rate=8000)[0]
    source.unlink()
    with pytest.raises(InputError, match=r"mix/050a0500.*: .*s2/050a0500.*wav is not there"):
        PublishedMixtures(split, sample_rate=8000)


def test_wrong_layouts_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone: no such folder. Give that of one split"):
        read_tree(tmp_path / "gone")
    with pytest.raises(InputError, match=r"has none of mix, mix_clean"):
        read_tree(tmp_path)
    split = wsj0_mix(tmp_path)
    with pytest.raises(InputError, match=r"tt: no folder s3; it has mix, s1, s2"):
        read_tree(split, sources=["s1", "s2", "s3"])
    (tmp_path / "bare" / "mix").mkdir(parents=True)
    with pytest.raises(InputError, match=r"bare: 0 mixtures in mix and 0 folders of sources"):
        read_tree(tmp_path / "bare")


def test_bad_tables_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"gone.csv: no such table"):
        PublishedMixtures(tmp_path / "gone.csv")
    table = tmp_path / "libri2mix_dev-clean.csv"
    table.write_text("mixture_ID,source_1_path,source_1_gain\na,b,1\n")
    with pytest.raises(InputError, match=r"columns are mixture_ID, source_1_path, .*preprocessing.librimix"):
        read_table(table)
    table.write_text("mixture_ID,mixture_path,source_1_path\n")
    with pytest.raises(InputError, match=r"the table has no rows"):
        read_table(table)
    table.write_text("mixture_ID,mixture_path,source_1_path\na,b\n")
    with pytest.raises(InputError, match=r"line 2: not 3 columns"):
        read_table(table)
    table.write_text("mixture_ID,mixture_path,source_1_path\na,/none/b.wav,/none/c.wav\n")
    with pytest.raises(InputError, match=r"line 2: /none/b.wav is not there"):
        read_table(table)
