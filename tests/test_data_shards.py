"""Utterances in tar files, and the mixtures that a stream of them gives."""

import gzip
import io
import shutil
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import fsspec
import numpy as np
import pytest
import torch
from braceexpand import braceexpand
from data_factory import TONES, loudest_hz, make_corpus, speech
from torch.utils.data import DataLoader

from avsep.data import shard_files
from avsep.data.casts import Stems
from avsep.data.cues import Enrolment, Face, Lips
from avsep.data.manifest import Utterance, write_manifest
from avsep.data.recipe import Recipe
from avsep.data.shard_files import find_shards, read_shard
from avsep.data.shards import StreamedMixtures
from avsep.errors import InputError, UsageError
from preprocessing.make_shards import list_shards, main


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("corpus"), seconds=1.0, lips=True)


@pytest.fixture(scope="module")
def shards(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("shards")
    assert main([str(corpus), str(out), "--utterances", "4", "--workers", "1"]) == 0
    return out


def test_a_shard_is_a_plain_tar(shards: Path) -> None:
    assert sorted(p.name for p in shards.glob("*.tar")) == ["train-000000.tar", "train-000001.tar"]
    with tarfile.open(shards / "train-000000.tar") as tar:
        names = tar.getnames()
    assert len(names) == 12
    assert {name.partition(".")[2] for name in names} == {"flac", "json", "npz"}


def test_items_are_mixtures_of_the_corpus(shards: Path) -> None:
    recipe, speakers = speech(None, 0.5, cues=[Lips(2, 0, 0)]), str(shards / "train-speakers.txt")
    data = StreamedMixtures(str(shards), recipe, items=5, pool=6, speakers=speakers)
    assert data.names == sorted(TONES)
    items = list(data)
    assert len(items) == 5
    for item in items:
        assert item["sources"].shape == (2, 1, 8000)
        assert item["lips"].shape == (2, 13, 96, 96)
        assert torch.allclose(item["mixture"], item["sources"].sum(0), atol=1e-6)
        for source, label in zip(item["sources"].numpy(), item["labels"], strict=True):
            assert loudest_hz(source[0]) == pytest.approx(TONES[data.names[label]], abs=5)
        steps = item["lips"][:, :, 0, 0].mul(255).round().diff(dim=1)
        assert (steps == 1).all()


def test_embeddings_of_faces_are_streamed_too(tmp_path: Path, shards: Path) -> None:
    manifest = make_corpus(tmp_path / "corpus", seconds=1.0, lips=True)
    for file in manifest.parent.glob("*.npz"):
        with np.load(file) as arrays:
            numbers = np.arange(1, len(arrays["lips"]) + 1, dtype=np.float32)
            np.savez(file, **arrays, face=numbers[:, None].repeat(512, 1))
    assert main([str(manifest), str(tmp_path / "shards"), "--utterances", "4", "--workers", "1"]) == 0
    recipe = speech(None, 0.5, cues=[Lips(2, 0, 0), Face(2, 0, 0)])
    for item in StreamedMixtures(str(tmp_path / "shards"), recipe, items=3, pool=6):
        assert item["face"].shape == (2, 13, 512)
        assert torch.equal(item["face"][..., 0], item["lips"][..., 0, 0].mul(255).round())
    with pytest.raises(InputError, match="no utterances with face in"):
        list(StreamedMixtures(str(shards), speech(None, 0.5, cues=[Face(2)]), items=3, pool=6))


def test_the_same_seed_streams_the_same_and_epochs_differ(shards: Path) -> None:
    def epoch(data: StreamedMixtures) -> list:
        return [item["mixture"] for item in data]

    first, again, other = (StreamedMixtures(str(shards), speech(None, 0.2), items=4, pool=6, seed=s) for s in (1, 1, 2))
    a, b, c = epoch(first), epoch(again), epoch(other)
    assert all(torch.equal(x, y) for x, y in zip(a, b, strict=True))
    assert not any(torch.equal(x, y) for x, y in zip(a, c, strict=True))
    assert not any(torch.equal(x, y) for x, y in zip(a, epoch(first), strict=True))


def test_workers_share_the_shards(shards: Path) -> None:
    data = StreamedMixtures(str(shards / "train-{000000..000001}.tar"), speech(None, 0.2), items=4, pool=4)
    batches = list(DataLoader(data, 2, num_workers=2))
    assert sorted(name for batch in batches for name in batch["name"]) == ["0/0/0", "0/0/1", "0/1/0", "0/1/1"]


@pytest.mark.parametrize(("workers", "had"), [(0, 3), (1, 1), (2, 1), (2, 2), (2, 5)])
@pytest.mark.slow
def test_a_stream_goes_on_in_the_middle_of_an_epoch(shards: Path, workers: int, had: int) -> None:
    def epochs(had: int) -> list[list[str]]:
        data = StreamedMixtures(str(shards), speech(None, 0.2), items=14, pool=4, seed=3)
        assert data.epoch_batches(2, workers) == 6 + (workers < 2)
        data.go_on(0, had, 2)
        loader = DataLoader(data, 2, num_workers=workers, drop_last=True, persistent_workers=workers > 0)
        return [[f"{batch['name']} {batch['mixture'].sum():.6f}" for batch in loader] for _ in range(2)]

    whole, rest = epochs(0), epochs(had)
    assert len(whole[0]) == 6 + (workers < 2)
    assert rest == [whole[0][had:], whole[1]]


def test_a_stream_enrols_and_without_names_has_no_labels(shards: Path) -> None:
    data = StreamedMixtures(str(shards), speech(None, 0.2, cues=[Enrolment(0.3)]), items=3, pool=8)
    for item in data:
        assert item["labels"].tolist() == [-1, -1]
        for enrolled, source in zip(item["enrolment"].numpy(), item["sources"].numpy(), strict=True):
            assert loudest_hz(enrolled) == pytest.approx(loudest_hz(source[0]), abs=9)


def test_two_loops_over_one_stream_do_not_disturb_each_other(shards: Path) -> None:
    one, other = (StreamedMixtures(str(shards), speech(None, 0.2), items=4, pool=6, seed=1) for _ in range(2))
    after = zip(list(one), list(one), strict=True)
    beside = zip(iter(other), iter(other), strict=True)
    for pair, same in zip(after, beside, strict=True):
        assert all(torch.equal(a["mixture"], b["mixture"]) for a, b in zip(pair, same, strict=True))


def test_streams_that_cannot_be_are_named(shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = speech(None, 0.2)
    with pytest.raises(UsageError, match=r"the cast of a stream must be Speakers or SoundEvents, not Stems"):
        StreamedMixtures(str(shards), Recipe(Stems("none", ["bass"])))
    with pytest.raises(UsageError, match=r"Speakers: draws from 'some', but its sounds come from shards"):
        StreamedMixtures(str(shards), speech("some"))
    with pytest.raises(InputError, match=r"gone.txt: no such list of speakers"):
        StreamedMixtures(str(shards), recipe, speakers=str(tmp_path / "gone.txt"))
    with monkeypatch.context() as patch:
        patch.setattr("avsep.data.shards.get_worker_info", lambda: SimpleNamespace(id=0, num_workers=3))
        with pytest.raises(InputError, match=r"2 shards for 3 readers.*--utterances"):
            list(StreamedMixtures(str(shards), recipe))
    with pytest.raises(InputError, match=r"no .tar files in it.*preprocessing.make_shards"):
        StreamedMixtures(str(tmp_path), recipe)
    with pytest.raises(InputError, match=r"gone.tar: no such shard"):
        StreamedMixtures(str(tmp_path / "gone.tar"), recipe)
    with pytest.raises(InputError, match=r"1 speakers among 1 utterances in a row, but a mixture has up to 2"):
        list(StreamedMixtures(str(shards), recipe, pool=1))
    with tarfile.open(tmp_path / "odd.tar", "w") as tar:
        tar.add(shards / "skipped.tsv", "000.json")
    with pytest.raises(InputError, match=r"odd.tar, 000: no utterance"):
        list(StreamedMixtures(str(tmp_path), recipe))


@pytest.fixture
def six(tmp_path: Path, shards: Path) -> Path:
    """Six shards: three times the two that there are."""
    for number in range(6):
        shutil.copy(shards / f"train-00000{number % 2}.tar", tmp_path / f"train-{number}.tar")
    return tmp_path


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flip(file: Path) -> None:
    """Other bytes in the sounds, the tar's own fields as they were."""
    content = bytearray(file.read_bytes())
    for place in range(content.find(b"fLaC"), len(content), 512):
        content[place] ^= 255
    file.write_bytes(content)


@pytest.mark.parametrize("damage", [cut, flip, Path.unlink, lambda file: file.write_bytes(b"no tar" * 999)])
def test_a_damaged_shard_is_named_and_left_out(six: Path, damage: Callable[[Path], None]) -> None:
    data = StreamedMixtures(str(six), speech(None, 0.2), items=30, pool=4)
    damage(six / "train-3.tar")
    with pytest.warns(UserWarning, match="train-3.tar") as caught:
        assert len(list(data)) == 30
    assert len(caught) == 1
    damage(six / "train-0.tar")
    with (
        pytest.warns(UserWarning, match="left out"),
        pytest.raises(InputError, match=r"2 of 6 shards.*damaged=0.05.*train-[03].*train-"),
    ):
        list(data)
    data.damaged = 0.4
    with pytest.warns(UserWarning, match="left out") as caught:
        assert len(list(data)) == 30
    assert len(caught) == 2


def test_shards_are_read_from_any_file_system(six: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.put(f"{six}/*.tar", "/shards/")
    try:
        here, folder, named = (
            [item["mixture"] for item in StreamedMixtures(address, speech(None, 0.2), items=8, pool=4)]
            for address in (str(six), "memory://shards", "memory://shards/train-{0..5}.tar")
        )
        assert all(torch.equal(a, b) and torch.equal(a, c) for a, b, c in zip(here, folder, named, strict=True))
    finally:
        memory.rm("/shards", recursive=True)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("pipe:touch ran", "pipe:touch ran.*--allow-pipe"),
        ("nowhere://bucket/a.tar", "Protocol not known: nowhere. Known: .*memory"),
        ("memory://empty", "memory://empty: no .tar files in it"),
    ],
)
def test_addresses_that_are_not_read(address: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises((UsageError, InputError), match=said):
        StreamedMixtures(address, speech(None, 0.2))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a[1]", "a*b", "reference"])
def test_a_folder_may_have_any_name(six: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    folder = six / name
    folder.mkdir()
    shutil.copy(six / "train-0.tar", folder)
    (folder / ".train-1.tar").touch()
    (folder / "notes.txt").touch()
    assert [Path(file).name for file in find_shards(str(folder))] == ["train-0.tar"]
    monkeypatch.chdir(six)
    assert [Path(file).name for file in find_shards(name)] == ["train-0.tar"]


@pytest.mark.parametrize("end", [".tar.gz", ".tgz"])
def test_packed_shards(shards: Path, tmp_path: Path, end: str) -> None:
    file = tmp_path / f"a{end}"
    file.write_bytes(gzip.compress((shards / "train-000000.tar").read_bytes()))
    assert find_shards(str(file)) == find_shards(str(tmp_path)) == [str(file)]
    assert len(list(read_shard(str(file), 8000))) == 4


@pytest.mark.parametrize(
    "address",
    [
        "memory://a/b-{0..1}.tar?sig=a/b%3D",
        "simplecache::memory://a/b-{0..1}.tgz?X-Amz-Signature=1",
        "memory://a#b/{0..1}.tar",
    ],
)
def test_signed_addresses_are_files(address: str) -> None:
    assert find_shards(address) == list(braceexpand(address))


class Broken(fsspec.AbstractFileSystem):
    """Fails as soon as it is named, as file systems do that ask their server first."""

    def __init__(self, *_: object, **__: object) -> None:
        raise KeyError("refs")


@pytest.mark.parametrize("address", ["broken://a", "broken://a/b.tar"])
def test_a_file_system_that_fails_is_one_error(address: str) -> None:
    fsspec.register_implementation("broken", Broken, clobber=True)
    with pytest.raises(InputError, match="cannot be opened: 'refs'"):
        find_shards(address)


@pytest.mark.parametrize(
    "address",
    [
        "reference::memory://a.json",
        "reference://a.tar",
        "simplecache::reference::memory://a.tar",
        "generic://reference://a.tar",
    ],
)
def test_files_that_name_others_are_no_shards(address: str) -> None:
    with pytest.raises(UsageError, match="name further files"):
        find_shards(address)


class Failing(io.BytesIO):
    """A connection that ends after some bytes."""

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() > self.getbuffer().nbytes // 2:
            raise ConnectionError("reset by peer")
        return super().read(size)


def test_an_address_that_fails_for_a_moment(six: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = (six / "train-0.tar").read_bytes()
    whole = [utterance.speaker for utterance in read_shard(str(six / "train-0.tar"), 8000)]
    opened: list[str] = []

    def open_once(url: str) -> io.BytesIO:
        opened.append(url)
        return Failing(content) if len(opened) == 1 or "gone" in url else io.BytesIO(content)

    monkeypatch.setattr(shard_files, "_opened", open_once)
    monkeypatch.setattr(shard_files, "AGAIN_SECONDS", 0.0)
    assert [utterance.speaker for utterance in read_shard("memory://a.tar", 8000)] == whole
    assert len(opened) == 2
    data = StreamedMixtures("memory://gone-{0..1}.tar", speech(None, 0.2), items=30, pool=4)
    with (
        pytest.warns(UserWarning, match="reset by peer"),
        pytest.raises(InputError, match="Check the network, or make them anew"),
    ):
        list(data)
    assert len(opened) == 6


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(UsageError, match=r"s3://bucket/a.tar: .*s3fs"):
        StreamedMixtures("s3://bucket/a.tar", speech(None, 0.2))


@pytest.mark.parametrize(
    ("seconds", "lips", "size", "shards"),
    [
        (4.0, False, 1.0, 8),  # 20 MB
        (4.0, True, 1.0, 8),  # 295 MB
        (4.0, True, 0.01, 26),
        (4.0, False, 0.001, 19),
        (1000.0, True, 1.0, 64),
        (10_000.0, True, 1.0, 277),  # each larger than a shard should be: one in each
    ],
)
def test_shards_are_of_about_one_size(tmp_path: Path, seconds: float, lips: bool, size: float, shards: int) -> None:
    sound, mouth = tmp_path / "a.wav", tmp_path / "lips.npz"
    sound.touch()
    mouth.touch()
    rows = [Utterance(str(n), sound, mouth if lips else None, None, f"s{n % 9}", "train", seconds) for n in range(277)]
    write_manifest(tmp_path / "manifest.tsv", rows)
    found = list_shards(tmp_path / "manifest.tsv", "train", size)
    assert len(found) == shards
    counts = [len(shard.rows) for shard in found]
    assert max(counts) - min(counts) <= 1
    assert [shard.first for shard in found] == [sum(counts[:n]) for n in range(len(counts))]
    assert sorted(row.id for shard in found for row in shard.rows) == sorted(row.id for row in rows)


def test_shards_cut_in_another_way_take_the_place_of_the_earlier_ones(
    tmp_path: Path, corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in (2, 3, 5):
        assert main([str(corpus), str(tmp_path), "--utterances", str(number), "--workers", "1"]) == 0
        rows = list_shards(corpus, "train", utterances=number)
        assert sorted(file.name for file in tmp_path.glob("*.tar")) == [shard.name for shard in rows]
        for shard in rows:
            with tarfile.open(tmp_path / shard.name) as tar:
                assert sum(name.endswith(".flac") for name in tar.getnames()) == len(shard.rows)
        assert f"8 utterances in {len(rows)} shards, 0 skipped" in capsys.readouterr().out
    times = [file.stat().st_mtime_ns for file in sorted(tmp_path.glob("*.tar"))]
    assert main([str(corpus), str(tmp_path), "--utterances", "5", "--workers", "1"]) == 0
    assert [file.stat().st_mtime_ns for file in sorted(tmp_path.glob("*.tar"))] == times, "written again"


def test_a_manifest_without_lengths_is_cut_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    rows = [Utterance(str(n), tmp_path / "a.wav", None, None, "s", "train", 0.0) for n in range(9)]
    write_manifest(tmp_path / "manifest.tsv", rows)
    shards = list_shards(tmp_path / "manifest.tsv", "train")
    assert [len(shard.rows) for shard in shards] == [1, 1, 1, 1, 2, 1, 1, 1]


@pytest.mark.slow
def test_a_stopped_run_goes_on_and_bad_rows_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    manifest = make_corpus(tmp_path / "corpus", ("ada", "bob"), seconds=0.3)
    (tmp_path / "corpus" / "ada0.wav").write_bytes(b"no sound")
    arguments = [str(manifest), str(tmp_path / "out"), "--utterances", "2", "--workers", "1"]
    assert main(arguments) == 0
    assert "3 utterances in 2 shards, 1 skipped" in capsys.readouterr().out
    assert "ada0\t" in (tmp_path / "out" / "skipped.tsv").read_text()
    before = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "out").glob("*.tar")}
    (tmp_path / "out" / "train-000001.tar").unlink()
    assert main(arguments) == 0
    after = {p.name: p.stat().st_mtime_ns for p in (tmp_path / "out").glob("*.tar")}
    assert after["train-000000.tar"] == before["train-000000.tar"]
    assert after.keys() == before.keys()
    assert "ada0\t" in (tmp_path / "out" / "skipped.tsv").read_text()
    assert main([str(manifest), str(tmp_path / "out"), "--split", "test"]) == 1
    assert "no rows of split 'test'" in capsys.readouterr().err
