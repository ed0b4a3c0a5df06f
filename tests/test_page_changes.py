"""Changes of a result by the page, undone, refused, and told."""

from __future__ import annotations

import os

import pytest
from page_client import TALK, change, copy_talk, open_client

from avsep.results.change import change_result, rename_tracks
from avsep.results.result import read_result


@pytest.fixture
def folder(talk_result, tmp_path):
    return copy_talk(talk_result, tmp_path / "results")


@pytest.fixture
def page(folder):
    with open_client(folder) as client:
        yield client


def test_changes_are_made_and_told(page, folder):
    before = page.get(TALK).json()["version"]
    renamed = change(page, "rename", track="speaker_00", name="Ann").json()
    assert renamed["tracks"][0]["name"] == "Ann"
    assert renamed["version"] != before
    split = change(page, "split", track="Ann", spans=[[0, 1]], name="Bob").json()
    assert [track["name"] for track in split["tracks"]] == ["Ann", "Bob", "speaker_01"]
    taken = change(page, "take", track="speaker_01", spans=[[1, 2]]).json()
    assert taken["tracks"][2]["speaking"] == [[3.0, 4.0]]
    merged = change(page, "merge", track="Ann", other="Bob").json()
    assert [track["name"] for track in merged["tracks"]] == ["Ann", "speaker_01"]
    assert [one["change"] for one in read_result(folder / "talk").manifest["changes"]] == [
        "split",
        "taken away",
        "merged",
    ]


@pytest.mark.parametrize(
    ("what", "asked"),
    [
        ("merge", {"track": "speaker_00", "other": "speaker_01"}),
        ("split", {"track": "speaker_00", "spans": [[0, 1]]}),
        ("take", {"track": "speaker_01", "spans": [[1, 2]]}),
    ],
)
def test_the_last_change_is_undone_to_the_byte(page, folder, what, asked):
    def files() -> dict[str, bytes]:
        return {name: (folder / "talk" / name).read_bytes() for name in os.listdir(folder / "talk")}

    (folder / "talk" / "notes.txt").write_text("mine")
    before = files()
    assert change(page, what, **asked).json()["undo"]
    assert files() != before
    undone = change(page, "undo").json()
    assert [track["name"] for track in undone["tracks"]] == ["speaker_00", "speaker_01"]
    assert not undone["undo"]
    assert files() == before
    assert os.listdir(folder) == ["talk"]
    assert "no change that can be undone" in change(page, "undo").json()["error"]
    assert files() == before


@pytest.mark.parametrize(
    ("what", "asked"),
    [
        ("rename", {"track": "speaker_00", "name": "Ann"}),
        ("merge", {"track": "speaker_00", "other": "speaker_01"}),
        ("split", {"track": "speaker_00", "spans": [[0, 1]]}),
        ("take", {"track": "speaker_01", "spans": [[1, 2]]}),
    ],
)
def test_time_lines_of_before_a_change_are_told_and_written_again(page, folder, what, asked):
    made = change(page, "formats", formats=["rttm", "audacity"]).json()
    assert made["outdated"] == {"files": [], "formats": []}
    old = (folder / "talk" / "timeline.rttm").read_bytes()
    told = change(page, what, **asked).json()["outdated"]
    assert told == {"files": ["labels.txt", "timeline.rttm"], "formats": ["rttm", "audacity"]}
    assert page.get(TALK).json()["outdated"] == told, "whoever opens it later sees it, too"
    again = change(page, "formats", formats=told["formats"]).json()
    assert again["outdated"]["files"] == []
    assert (folder / "talk" / "timeline.rttm").read_bytes() != old
    assert read_result(folder / "talk").manifest["files"] == ["faces.json", "labels.txt", "timeline.rttm"]


def test_files_that_the_page_cannot_write_again_are_told_without_a_format(page, folder):
    (folder / "talk" / "captions.vtt").write_text("WEBVTT\n")
    change_result(folder / "talk", lambda content, result: content["files"].append("captions.vtt"))
    told = change(page, "rename", track="speaker_00", name="Ann").json()["outdated"]
    assert told == {"files": ["captions.vtt"], "formats": []}


def test_what_is_undone_leaves_the_time_lines_right(page, folder):
    change(page, "formats", formats=["rttm"])
    assert change(page, "take", track="speaker_01", spans=[[1, 2]]).json()["outdated"]["files"] == ["timeline.rttm"]
    assert change(page, "undo").json()["outdated"]["files"] == []


def test_what_was_changed_since_is_not_undone(page, folder):
    assert change(page, "take", track="speaker_01", spans=[[1, 2]]).json()["undo"]
    rename_tracks(folder / "talk", {"speaker_00": "Ann"})
    answer = change(page, "undo")
    assert (answer.status_code, "changed since" in answer.json()["error"]) == (422, True)
    assert page.get(TALK).json()["tracks"][0]["name"] == "Ann"
    assert not change(page, "rename", track="speaker_01", name="Bob").json()["undo"]


def test_what_is_asked_of_an_older_version_changes_nothing(page, folder):
    seen = page.get(TALK).json()["version"]
    first = page.post(f"{TALK}/change/rename?v={seen}", json={"track": "speaker_00", "name": "Ann"})
    assert first.status_code == 200
    late = page.post(f"{TALK}/change/rename?v={seen}", json={"track": "speaker_00", "name": "Bob"})
    assert (late.status_code, late.json()["error"]) == (409, "The result was changed elsewhere. Reload the page")
    now = page.get(TALK).json()
    assert (now["tracks"][0]["name"], now["version"]) == ("Ann", first.json()["version"])


@pytest.mark.parametrize(
    ("what", "asked", "status", "message"),
    [
        ("rename", {"track": "speaker_00", "name": "a\x07"}, 422, "is not a name"),
        ("rename", {"track": "nobody", "name": "Ann"}, 422, "no track 'nobody'"),
        ("rename", {"track": ["x"], "name": "Ann"}, 400, "does not say what to do"),
        ("merge", {"track": "speaker_00"}, 400, "does not say what to do"),
        ("take", {"track": "speaker_00", "spans": [[1]]}, 400, "does not say what to do"),
        ("take", {"track": "speaker_00", "spans": [[5, 9]]}, 422, "no part of the clip"),
        ("formats", {"formats": ["../x"]}, 400, "formats"),
        ("explode", {}, 404, "no such change"),
    ],
)
def test_bad_changes_are_told_and_change_nothing(page, folder, what, asked, status, message):
    before = (folder / "talk" / "manifest.json").read_bytes()
    answer = change(page, what, **asked)
    assert (answer.status_code, message in answer.json()["error"]) == (status, True), answer.text
    assert (folder / "talk" / "manifest.json").read_bytes() == before


@pytest.mark.parametrize("body", [b"{", b"[]", b"[" * 100_000, b"x" * 300_000])
def test_what_is_no_change_at_all(page, body):
    answer = page.post(f"{TALK}/change/rename", content=body)
    assert answer.status_code in (400, 413)
    assert "error" in answer.json()
