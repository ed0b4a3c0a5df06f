"""The library of people on disk: what is kept, what is refused, and what two writers leave."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import numpy as np
import pytest

from avsep.errors import InputError, OutputError, UsageError
from avsep.people.library import INDEX, Embeddings, changed_library, check_library, open_library


def embeddings(faces: int = 1, voices: int = 1, seed: int = 0, picture: bytes | None = b"jpeg") -> Embeddings:
    rng = np.random.default_rng(seed)

    def vectors(count: int, dims: int) -> np.ndarray:
        made = rng.standard_normal((count, dims)).astype(np.float32)
        return made / np.linalg.norm(made, axis=1, keepdims=True)

    return Embeddings(vectors(faces, 512), vectors(voices, 96), np.full(voices, 6, np.float32), picture)


@pytest.fixture
def folder(tmp_path):
    """A library of Ann, with two faces and a voice, and Bob, with a voice alone."""
    with changed_library(tmp_path / "lib", create=True) as library:
        library.add("Ann", embeddings(2, 1))
        library.add("Bob", embeddings(0, 1, seed=1, picture=None))
    return tmp_path / "lib"


def entries(folder: Path) -> dict[str, tuple[int, int]]:
    with open_library(folder) as library:
        return {entry.name: (entry.faces, entry.voices) for entry in library.entries}


def files(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_what_is_added_is_read_back(folder):
    with open_library(folder) as library:
        ann = library.find("Ann")
        assert (ann.faces, ann.voices, ann.thumbnail, ann.source) == (2, 1, True, None)
        found, given = library.embeddings(ann), embeddings(2, 1)
    np.testing.assert_array_equal(found.faces, given.faces)
    np.testing.assert_array_equal(found.voices, given.voices)
    assert (found.seconds.tolist(), found.picture) == ([6.0], b"jpeg")
    assert len(files(folder)) == 4, "the list, two files of embeddings, one picture"


def test_only_the_owner_may_look_into_it(folder):
    assert folder.stat().st_mode & 0o077 == 0


def test_names_are_no_paths(folder):
    with changed_library(folder) as library:
        library.add("../../etc/passwd", embeddings())
    assert entries(folder)["../../etc/passwd"] == (1, 1)
    assert all(file.parent == folder for file in folder.rglob("*"))


def test_more_of_somebody(folder):
    with changed_library(folder) as library:
        library.extend("Bob", embeddings(3, 2, seed=2))
    assert entries(folder) == {"Ann": (2, 1), "Bob": (3, 3)}
    with open_library(folder) as library:
        assert library.embeddings(library.find("Bob")).picture == b"jpeg"


def test_merged_people_leave_nothing_of_their_own(folder):
    with changed_library(folder) as library:
        library.merge("Ann", ["Bob"])
    assert entries(folder) == {"Ann": (2, 2)}
    assert len(files(folder)) == 3


def test_who_is_removed_is_gone_from_the_disk(folder):
    with open_library(folder) as library:
        ids = {entry.name: entry.id for entry in library.entries}
    with changed_library(folder) as library:
        library.remove("Ann")
    assert set(files(folder)) == {INDEX, f"{ids['Bob']}.safetensors"}
    assert "Ann" not in (folder / INDEX).read_text()


def test_numbers_of_learnt_people_are_not_used_again(folder):
    with changed_library(folder) as library:
        assert library.learn(embeddings(), "talk.mp4").name == "person-1"
        library.rename("Bob", "person-2")
    with changed_library(folder) as library:
        library.remove("person-1")
    with changed_library(folder) as library:
        made = library.learn(embeddings(), "talk.mp4")
    assert (made.name, made.source) == ("person-3", "talk.mp4")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda one: one.add("ann", embeddings()), UsageError, "Ann is there already"),
        (lambda one: one.add("\x1b[2J", embeddings()), UsageError, "is not a name"),
        (lambda one: one.rename("Ann", "Bob"), UsageError, "Bob is there already"),
        (lambda one: one.remove("Anne"), InputError, "nobody is called 'Anne'; the nearest is 'Ann'"),
        (lambda one: one.merge("Ann", ["Zoe"]), InputError, "nobody is called 'Zoe'"),
        (lambda one: one.merge("Ann", ["Bob", "Bob"]), UsageError, "a name is given twice"),
        (lambda one: one.merge("Ann", ["Ann"]), UsageError, "a name is given twice"),
        (lambda one: one.extend("Ann", embeddings(1000, 0)), UsageError, "Ann would have 1002 faces; at most 1000"),
    ],
)
def test_a_change_that_is_refused_changes_nothing(folder, change, error, message):
    def changed() -> None:
        with changed_library(folder) as library:
            library.learn(embeddings(seed=3), "talk.mp4")  # half of the change has been made
            change(library)

    before = files(folder)
    with pytest.raises(error, match=message):
        changed()
    assert files(folder) == before


def test_a_writer_that_dies_leaves_the_library_as_it_was(folder, monkeypatch):
    before = files(folder)
    with monkeypatch.context() as patch:
        patch.setattr("avsep.people.library.Library.write", lambda self: 1 / 0)
        with pytest.raises(ZeroDivisionError), changed_library(folder) as library:
            library.add("Carl", embeddings())
    assert files(folder) == before


def test_files_that_nobody_has_any_more_go_with_the_next_change(folder):
    left = folder / f"{'0' * 32}.safetensors"
    left.touch()
    (folder / "notes.txt").write_text("mine")
    with changed_library(folder) as library:
        library.remove("Bob")
    assert not left.exists()
    assert (folder / "notes.txt").read_text() == "mine"


def test_many_writers_lose_nothing(folder):
    names: list[str] = []

    def learn() -> None:
        for number in range(5):
            with changed_library(folder) as library:
                names.append(library.learn(embeddings(seed=number), "talk.mp4").name)

    threads = [threading.Thread(target=learn) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(names) == sorted(f"person-{n}" for n in range(1, 16))
    assert set(entries(folder)) == {"Ann", "Bob", *names}


# What is no library


def changed_index(folder: Path, **fields) -> None:
    (folder / INDEX).write_text(json.dumps(json.loads((folder / INDEX).read_text()) | fields))


def strange(folder: Path) -> None:
    (folder / INDEX).rename(folder / "notes.txt")


def no_json(folder: Path) -> None:
    (folder / INDEX).write_text("{")


def entry_of(**fields):
    def damage(folder: Path) -> None:
        people = json.loads((folder / INDEX).read_text())["people"]
        changed_index(folder, people=[people[0] | fields, people[1]])

    return damage


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (strange, r"is no people library, it has no library\.json and holds"),
        (no_json, r"library\.json: is damaged, or is no people library.*put a copy back"),
        (lambda f: changed_index(f, format=2), "is of format 2, which a later avsep wrote; this one reads format 1"),
        (lambda f: changed_index(f, format="1"), "is damaged"),
        (lambda f: changed_index(f, people=7), "is damaged"),
        (lambda f: changed_index(f, learnt=-1), "is damaged"),
        (lambda f: changed_index(f, embeddings={"face": "other"}), "were made by other weights"),
        (entry_of(id="../../x"), "is not the name of a file"),
        (entry_of(name="Bob"), "two people have the same name"),
        (entry_of(name="A\x1b"), "is not a name"),
        (entry_of(faces="2"), "is not a number of things"),
        (entry_of(source=["x"]), "is not as it is written"),
        (entry_of(more=1), "is damaged"),
    ],
)
def test_a_broken_library_is_one_clear_error_and_is_left_alone(folder, damage, message):
    damage(folder)
    before = files(folder)
    with pytest.raises(InputError, match=message), open_library(folder):
        pass
    with pytest.raises(InputError, match=message), changed_library(folder, create=True):
        pass
    assert files(folder) == before


def test_damaged_embeddings_are_told_by_name_and_can_be_removed(folder):
    for data in (b"", b"x" * 100, next(folder.glob("*.safetensors")).read_bytes()[:-4]):
        with open_library(folder) as library:
            ann = library.find("Ann")
        file = folder / f"{ann.id}.safetensors"
        whole = file.read_bytes()
        file.write_bytes(data)
        with pytest.raises(InputError, match=r"the embeddings of Ann cannot be read.*Remove Ann"):
            check_library(folder, create=False)
        file.write_bytes(whole)
    file.unlink()
    with pytest.raises(InputError, match="the embeddings of Ann cannot be read"):
        check_library(folder, create=True)
    with changed_library(folder) as library:
        library.remove("Ann")
    assert entries(folder) == {"Bob": (0, 1)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x | {"faces": x["faces"][:1]}, "not as many"),
        (lambda x: x | {"faces": x["faces"][:, :8]}, "not as many"),
        (lambda x: x | {"voices": x["voices"] * np.nan}, "no finite numbers"),
        (lambda x: x | {"seconds": x["seconds"] * 0}, "has no speech"),
        (lambda x: x | {"voices": x["voices"].astype(np.float64)}, "no finite numbers"),
        (lambda x: {"faces": x["faces"]}, "voices"),
    ],
)
def test_embeddings_that_are_not_as_they_are_written(folder, change, message):
    from safetensors.numpy import load_file, save_file

    with open_library(folder) as library:
        file = folder / f"{library.find('Ann').id}.safetensors"
    save_file({name: np.ascontiguousarray(one) for name, one in change(load_file(file)).items()}, file)
    with pytest.raises(InputError, match=message):
        check_library(folder, create=False)


def test_a_library_that_is_not_there(tmp_path):
    for use in (open_library, changed_library):
        with pytest.raises(InputError, match=r"there is no people library\. Make one with 'avsep people add"):
            use(tmp_path / "none").__enter__()
    assert check_library(tmp_path / "none", create=True).entries == []
    assert not (tmp_path / "none").exists()
    (tmp_path / "file").touch()
    for use in (open_library, changed_library):
        with pytest.raises(InputError, match="is a file, and a people library is a folder"):
            use(tmp_path / "file").__enter__()
    with pytest.raises(OutputError, match="cannot be written"):
        check_library(tmp_path / "file" / "lib", create=True)
    with pytest.raises(OutputError, match="cannot be written"):
        changed_library(tmp_path / "file" / "lib", create=True).__enter__()


def test_a_folder_that_cannot_be_written_is_told(folder, monkeypatch):
    def full(file, write):
        raise OSError(28, "No space left on device")

    before = files(folder)
    monkeypatch.setattr("avsep.people.library.write_whole", full)
    with (
        pytest.raises(OutputError, match=r"cannot be written \(No space left on device\)\. Name another folder"),
        changed_library(folder) as library,
    ):
        library.add("Carl", embeddings())
    assert files(folder) == before
    monkeypatch.setattr("os.access", lambda place, mode: False)
    with pytest.raises(OutputError, match="the people library cannot be written"):
        check_library(folder, create=True)
    assert len(check_library(folder, create=False).entries) == 2


def test_files_that_cannot_be_deleted_do_no_harm(folder, monkeypatch):
    """The change is valid once library.json is written; what is left over goes with the next one."""
    unlink = Path.unlink

    def stuck(file, missing_ok=False):
        if file.suffix == ".jpg":
            raise OSError(16, "Device or resource busy")
        unlink(file, missing_ok=missing_ok)

    def remove() -> None:
        with changed_library(folder) as library:
            library.remove("Ann")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", stuck)
        with pytest.raises(OutputError, match="busy"):
            remove()
    assert entries(folder) == {"Bob": (0, 1)}
    with changed_library(folder) as library:
        library.rename("Bob", "Rob")
    assert [file.suffix for file in folder.iterdir() if file.suffix == ".jpg"] == []
