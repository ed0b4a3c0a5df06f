"""The server of `avsep page`: what it shows, sends, changes and separates."""

from __future__ import annotations

import asyncio
import io
import json
import os
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from page_results import RATE, make_result
from starlette.testclient import TestClient

from avsep.cli import page as command
from avsep.errors import OutputError
from avsep.page import jobs, uploads
from avsep.page.catalog import identify
from avsep.page.server import Settings, build_app
from avsep.results.change import change_result, rename_tracks
from avsep.results.edit import merge_tracks
from avsep.results.result import read_result

HOST = "127.0.0.1:8765"
OWN = {"origin": f"http://{HOST}", "x-avsep": "page"}

SEPARATE = """
import json, os, signal, sys, time
folder, clip = sys.argv[sys.argv.index("-o") + 1], sys.argv[-1]
target = os.path.join(folder, os.path.splitext(os.path.basename(clip))[0])
partial = target.replace(folder, folder + "/.", 1) + ".partial"
def say(step, completed): print(json.dumps({"step": step, "completed": completed, "total": 2.0}), file=sys.stderr)
def end(*_):
    os.rmdir(partial)
    sys.exit(143)
signal.signal(signal.SIGTERM, end)
os.mkdir(partial)
say("faces", 1.0)
told = open(clip, "rb").read()
if told == b"bad":
    os.rmdir(partial)
    print("avsep: error: talk.mp4: has no sound", file=sys.stderr)
    sys.exit(1)
if told == b"die":
    os.rmdir(partial)
    os.kill(os.getpid(), 9)
while told == b"long" and not os.path.exists(folder + "/go"):
    time.sleep(0.01)
json.dump({"format": 1, "avsep_version": "0", "options": sys.argv, "input": {"path": clip, "duration_seconds": 2,
    "audio": {"sample_rate": 8000}}, "tracks": [], "residual": None}, open(partial + "/manifest.json", "w"))
os.rename(partial, target)
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_result(tmp_path_factory.mktemp("made") / "talk", people=2)


@pytest.fixture
def folder(made, tmp_path):
    copy = tmp_path / "results" / "talk"
    copy.mkdir(parents=True)
    for name in os.listdir(made):
        os.link(made / name, copy / name)
    return copy.parent


@pytest.fixture
def open_page(folder, tmp_path):
    """Starts a page on the folder; returns its client."""
    script = tmp_path / "separate.py"
    script.write_text(SEPARATE)
    running: list[TestClient] = []

    def start(**settings) -> TestClient:
        app = build_app(Settings(folder, command=(sys.executable, "-S", str(script)), **settings))
        client = TestClient(app, base_url=f"http://{HOST}", headers=OWN, raise_server_exceptions=False)
        running.append(client.__enter__())
        return client

    yield start
    for client in running:
        client.__exit__(None, None, None)


@pytest.fixture
def page(open_page):
    return open_page()


TALK = f"/api/results/{identify('talk')}"


def change(page: TestClient, what: str, **asked) -> object:
    return page.post(f"{TALK}/change/{what}", json=asked)


def job_that(page: TestClient, *states: str) -> dict:
    """The newest job once it is in one of the states."""
    for _ in range(2000):
        job = page.get("/api/jobs").json()[-1]
        if job["state"] in states:
            return job
        time.sleep(0.01)
    raise AssertionError(f"the job is {job}, not {states}")


def send(page: TestClient, content: bytes, name: str = "new.mp4", **options):
    return page.post("/api/jobs", params={"name": name} | options, content=content)


# What there is


def test_results_are_listed_and_told(page, folder):
    (folder / "notes").mkdir()
    (folder / ".talk.partial-1").mkdir()
    (folder / ".talk.partial-1" / "manifest.json").write_bytes((folder / "talk" / "manifest.json").read_bytes())
    listed = page.get("/api/results").json()
    assert [(one["name"], one["seconds"], one["tracks"]) for one in listed] == [
        ("talk", 4.0, ["speaker_00", "speaker_01"])
    ]
    told = page.get(f"/api/results/{listed[0]['id']}").json()
    assert told["picture"] == {"width": 160, "height": 120, "begin": 0.0}
    assert told["tracks"][1]["speaking"] == [[1.0, 2.0], [3.0, 4.0]]
    assert {file["name"] for file in told["files"]} == set(os.listdir(folder / "talk"))
    assert set(page.get(f"{TALK}/faces").json()) == {"speaker_00", "speaker_01"}


def test_damaged_results_are_listed_with_the_reason(page, folder):
    for name in ("cut", "linked", "other"):
        (folder / name).mkdir()
    (folder / "cut" / "manifest.json").write_text("{")
    (folder / "other" / "manifest.json").write_text('{"format": 1}')
    (folder / "linked" / "manifest.json").symlink_to(folder / "talk" / "manifest.json")
    listed = page.get("/api/results").json()
    assert [one["name"] for one in listed] == ["talk", "cut", "linked", "other"]
    for one, reason in zip(listed[1:], ("cannot be read", "is a link", "is damaged"), strict=True):
        assert set(one) == {"name", "damaged"}, "there is nothing to open it by"
        assert f"{one['name']}/manifest.json: {reason}" in one["damaged"]
        assert reason in page.get(f"/api/results/{identify(one['name'])}").json()["error"]


def test_results_of_folders_within_are_there_and_links_are_not_followed(page, folder, tmp_path):
    make_result(folder / "mon" / "late" / "call", video=False)
    make_result(tmp_path / "elsewhere" / "secret", video=False)
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    assert {one["name"] for one in page.get("/api/results").json()} == {"talk", "mon/late/call"}
    call = f"/api/results/{identify('mon/late/call')}"
    assert page.get(call).json()["name"] == "mon/late/call"
    assert "filename*=utf-8''call.zip" in page.get(f"{call}/archive").headers["content-disposition"]
    # Somebody puts a link in the place of a folder that was listed.
    (folder / "mon").rename(tmp_path / "moved")
    (folder / "mon").symlink_to(tmp_path / "moved")
    assert page.get(call).status_code == 404


def test_spans_not_to_be_trusted_are_told(page, folder):
    def doubt(content, result):
        content["tracks"][0]["doubtful"] = [
            {"start_seconds": 1.0, "end_seconds": 2.0, "kind": "swap", "reason": "may be the voice of speaker_01"}
        ]

    change_result(folder / "talk", doubt)
    first, second = page.get(TALK).json()["tracks"]
    assert first["doubtful"] == [[1.0, 2.0]]
    assert first["warnings"] == ["1.0 to 2.0 s may be the voice of speaker_01"]
    assert (second["doubtful"], second["warnings"]) == ([], [])


def test_faces_that_are_seen_together_are_told(page, folder):
    def seen(content, result):
        times = ([(0.0, 1.0), (2.0, 3.5)], [(1.0, 2.0), (3.25, 4.0)])
        for track, spans in zip(content["tracks"], times, strict=True):
            track["appearances"] = [{"start_seconds": start, "end_seconds": end} for start, end in spans]

    assert [one["seen_with"] for one in page.get(TALK).json()["tracks"]] == [{"speaker_01": 0.0}, {"speaker_00": 0.0}]
    change_result(folder / "talk", seen)
    assert [one["seen_with"] for one in page.get(TALK).json()["tracks"]] == [{"speaker_01": 3.25}, {"speaker_00": 3.25}]
    split = change(page, "split", track="speaker_01", spans=[[3, 4]]).json()
    assert split["tracks"][2]["seen_with"] == {}, "a voice without a face"
    merged = change(page, "merge", track="speaker_00", other="speaker_01").json()
    assert [track["id"] for track in merged["tracks"]] == ["speaker_00", "speaker_02"], "it is not forbidden"


def test_the_page_itself_is_sent_whole(page):
    index = page.get("/").text
    for name in ("style.css", "app.js", "icon.svg"):
        assert f"static/{name}" in index
        assert page.get(f"/static/{name}").status_code == 200
    static = Path(command.__file__).parents[1] / "page" / "static"
    for file in static.glob("*.js"):
        for line in file.read_text().splitlines():
            if line.startswith("import "):
                assert (static / line.split('"./')[1].rstrip('";')).is_file(), line
    everything = "".join(file.read_text() for file in static.iterdir())
    addresses = {part.split('"')[0] for part in everything.split("http")[1:]}
    assert addresses == {"://www.w3.org/2000/svg"}, "no other host is ever asked"


def test_pieces_of_sound_together_are_the_tracks(page, folder):
    told = page.get(TALK).json()["sound"]
    assert (told["rate"], told["channels"], told["chunk_seconds"]) == (RATE, 1, 2)
    pieces = []
    for number in range(2):
        answer = page.get(f"{TALK}/sound/{number}")
        values = np.frombuffer(answer.content, "<i2").reshape(3, 1, 2 * RATE)
        pieces.append(values * float(answer.headers["x-scale"]))
    heard = np.concatenate(pieces, axis=2)[:, 0]
    for name, one in zip(("speaker_00", "speaker_01", "residual"), heard, strict=True):
        np.testing.assert_allclose(one, soundfile.read(folder / "talk" / f"{name}.wav")[0], atol=1e-4)


def test_sound_beyond_full_scale_and_of_many_channels_is_played(page, folder):
    loud = np.full((RATE, 6), 3.0, np.float32)
    for name in ("speaker_00", "speaker_01", "residual"):
        (folder / "talk" / f"{name}.wav").unlink()
        soundfile.write(folder / "talk" / f"{name}.wav", loud, RATE, subtype="FLOAT")
    assert page.get(TALK).json()["sound"]["channels"] == 2
    answer = page.get(f"{TALK}/sound/0")
    values = np.frombuffer(answer.content, "<i2").reshape(3, 2, 2 * RATE) * float(answer.headers["x-scale"])
    assert values[:, :, :RATE] == pytest.approx(3.0)
    assert not values[:, :, RATE:].any(), "silence beyond the end"


def test_outlines_show_where_the_sound_is(page):
    bins = np.frombuffer(page.get(f"{TALK}/outline/0").content, np.int8).reshape(3, 6000, 2)
    assert bins[0, 20:80, 1].min() > 30
    assert bins[0, 20:80, 0].max() < -30
    assert not bins[0, 110:190].any(), "the first one is silent while the second one speaks"
    assert bins[1, 110:190, 1].min() > 30


def test_a_result_that_was_changed_elsewhere_is_not_mixed_with_the_old_one(page, folder):
    version = page.get(TALK).json()["version"]
    paths = [f"{TALK}/{one}?v=" for one in ("sound/0", "outline/0", "faces", "thumbnail/speaker_00")]
    assert [page.get(path + version).status_code for path in paths] == [200] * 4
    merge_tracks(folder / "talk", "speaker_00", "speaker_01")
    for path in paths:
        answer = page.get(path + version)
        assert (answer.status_code, "Reload the page" in answer.json()["error"]) == (409, True)
        assert answer.headers["cache-control"] == "no-store"
    assert page.get(paths[0] + page.get(TALK).json()["version"]).status_code == 200


@pytest.mark.parametrize("path", ["/sound/9", "/sound/-1", "/sound/x", "/outline/7", "/thumbnail/speaker_09", "/none"])
def test_what_is_not_there(page, path):
    assert page.get(TALK + path).status_code == 404


def test_the_video_is_sent_in_parts(page, folder):
    whole = (folder / "talk" / "speaker_00.mp4").read_bytes()
    part = page.get(f"{TALK}/video", headers={"range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, whole[10:20])
    assert part.headers["content-type"] == "video/mp4"


def test_files_are_downloaded_one_some_or_all(page, folder):
    one = page.get(f"{TALK}/file/speaker_01.wav")
    assert one.content == (folder / "talk" / "speaker_01.wav").read_bytes()
    assert 'filename="speaker_01.wav"' in one.headers["content-disposition"]
    some = page.get(f"{TALK}/archive", params={"file": ["residual.wav", "speaker_00.wav"]})
    assert zipfile.ZipFile(io.BytesIO(some.content)).namelist() == ["residual.wav", "speaker_00.wav"]
    (folder / "talk" / "notes.txt").write_text("mine")
    archive = zipfile.ZipFile(io.BytesIO(page.get(f"{TALK}/archive").content))
    assert archive.testzip() is None
    assert set(archive.namelist()) == set(os.listdir(folder / "talk")) - {"notes.txt"}
    assert archive.read("speaker_00.mp4") == (folder / "talk" / "speaker_00.mp4").read_bytes()


# Changes


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


# Jobs


def test_a_clip_that_is_sent_becomes_a_result(page, folder):
    answer = send(page, b"clip", "my talk.mp4", quality="fast")
    assert answer.status_code == 201
    job = job_that(page, "done")
    assert (job["step"], job["completed"], job["total"]) == ("faces", 1.0, 2.0)
    assert (folder / "my talk.mp4").read_bytes() == b"clip"
    assert page.get(f"/api/results/{job['result']}").json()["error"] == "There is no sound in this result"
    assert read_result(folder / "my talk").manifest["options"][-4:-2] == ["--quality", "fast"]
    assert page.get("/api/results").json()[0]["name"] == "my talk", "the newest first"


def test_nothing_is_ever_replaced(page, folder):
    names = [send(page, b"clip", "talk.mp4").json()["name"] for _ in range(2)]
    assert names == ["talk 2.mp4", "talk 3.mp4"], "talk is a result already"


def test_clips_that_wait_together_have_results_of_their_own(page, folder):
    names = ["recording", "a.mp4", "a.wav"]
    named = [send(page, b"clip", name).json()["name"] for name in names]
    assert named == ["recording.clip", "a.mp4", "a 2.wav"]
    job_that(page, "done")
    assert [job["state"] for job in page.get("/api/jobs").json()] == ["done"] * 3
    assert len(page.get("/api/results").json()) == 4


def test_a_fault_of_one_job_does_not_stop_the_others(page, folder, monkeypatch):
    def fault(*args):
        raise RuntimeError("out of luck")

    with monkeypatch.context() as patch:
        patch.setattr(jobs, "_follow", fault)
        send(page, b"clip", "first.mp4")
        assert job_that(page, "failed")["message"] == "internal fault: RuntimeError('out of luck')"
    send(page, b"clip", "second.mp4")
    job_that(page, "done")
    assert sorted(os.listdir(folder)) == ["second", "second.mp4", "talk"]


def test_a_clip_that_cannot_be_separated_says_why_and_leaves_nothing(page, folder):
    send(page, b"bad")
    assert job_that(page, "failed")["message"] == "talk.mp4: has no sound"
    send(page, b"die")
    assert "exit code -9" in job_that(page, "failed")["message"]
    assert sorted(os.listdir(folder)) == ["talk"]


def test_a_job_is_cancelled_while_it_runs_and_while_it_waits(page, folder):
    first = send(page, b"long", "first.mp4").json()
    second = send(page, b"clip", "second.mp4").json()
    while page.get("/api/jobs").json()[0]["step"] != "faces":
        time.sleep(0.01)
    assert page.get("/api/jobs").json()[1]["state"] == "waiting", "one at a time"
    for job in (second, first):
        assert page.post(f"/api/jobs/{job['id']}/cancel").json()["state"] == "cancelled"
    third = send(page, b"clip", "third.mp4").json()
    assert job_that(page, "done")["id"] == third["id"]
    assert sorted(os.listdir(folder)) == ["talk", "third", "third.mp4"]
    assert page.post("/api/jobs/none/cancel").status_code == 404


def test_a_page_that_ends_ends_its_jobs_as_the_command_would(open_page, folder):
    page = open_page()
    send(page, b"long")
    send(page, b"clip", "waits.mp4")
    while page.get("/api/jobs").json()[0]["step"] != "faces":
        time.sleep(0.01)
    page.__exit__(None, None, None)
    assert sorted(os.listdir(folder)) == ["talk"]


def test_clips_are_bounded_in_number_and_size(open_page, folder):
    page = open_page(most_jobs=2, most_bytes=10)
    too_large = send(page, b"x" * 11)
    assert (too_large.status_code, "--max-gib" in too_large.json()["error"]) == (413, True)

    def body() -> Iterator[bytes]:  # without a length
        yield b"x" * 6
        yield b"x" * 6

    assert page.post("/api/jobs?name=a.mp4", content=body()).status_code == 413
    assert sorted(os.listdir(folder)) == ["talk"]
    assert [send(page, b"long", f"{n}.mp4").status_code for n in range(3)] == [201, 201, 429]
    assert send(page, b"x", quality="--help").status_code == 400


def test_a_full_disk_is_told_and_nothing_is_left(page, folder, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(uploads, "_claim", full)
    answer = send(page, b"clip")
    assert answer.status_code == 507
    assert "the disk is full" in answer.json()["error"]
    assert sorted(os.listdir(folder)) == ["talk"]


def test_a_browser_that_goes_away_leaves_nothing(tmp_path):
    async def body():
        yield b"begin"
        raise ConnectionError

    with pytest.raises((ConnectionError, OutputError)):
        asyncio.run(uploads.save_clip(tmp_path, "a.mp4", body(), 100))
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize(
    ("told", "name"),
    [
        ("talk.mp4", "talk.mp4"),
        ("../../etc/passwd", "passwd"),
        ("C:\\clips\\a.mov", "a.mov"),
        ("..", "clip"),
        ("", "clip"),
        (".hidden.mp4", "hidden.mp4"),
        ("-o x.mp4", "o x.mp4"),
        ("a\0b\nc\x1b[2J.mp4", "a_b_c_2J.mp4"),
        ("Gespräch ü.mkv", "Gespräch ü.mkv"),
        ("x" * 300 + ".webm", "x" * 120 + ".webm"),
        ("a.what is this", "a_what is this"),
    ],
)
def test_names_of_clips_are_never_paths(told, name):
    assert uploads.clip_name(told) == name
    assert len(uploads.clip_name("ü" * 300 + ".mp4").encode()) < 200


# The command


@pytest.mark.timeout(60)
def test_the_command_says_what_is_wrong(cli, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    code, _, error = cli("page", str(tmp_path / "file"))
    assert (code, "is not a folder" in error) == (1, True)
    code, _, error = cli("page", str(tmp_path / "none"))
    assert (code, "is not there" in error) == (1, True)
    result = make_result(tmp_path / "out" / "talk", seconds=0.5, video=False)
    code, _, error = cli("page", str(result))
    assert (code, f"avsep page {tmp_path / 'out'}" in error) == (1, True)
    code, _, error = cli("page", str(tmp_path), "--host", "0.0.0.0", "--token", "short", "--port", "0")
    assert (code, "--token has 5 characters" in error) == (2, True)
    monkeypatch.setitem(sys.modules, "starlette.applications", None)
    monkeypatch.delitem(sys.modules, "avsep.page.server")
    monkeypatch.delattr("avsep.page.server")
    code, _, error = cli("page", str(tmp_path))
    assert (code, "the page needs starlette: pip install 'avsep[page]'" in error) == (2, True)


def test_two_pages_on_one_port(cli, tmp_path):
    from avsep.page.server import listen

    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        code, _, error = cli("page", str(tmp_path), "--port", str(port))
    assert code == 1
    assert f"port {port} of 127.0.0.1 cannot be opened" in error
    assert "--port" in error


def test_manifest_of_the_factory_is_one_of_ours(made):
    assert json.loads((made / "manifest.json").read_text())["files"] == ["faces.json"]
