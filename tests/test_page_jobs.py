"""Clips that are sent to the page and separated: one at a time, by a command that stands in for avsep separate."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from page_client import copy_talk, open_client
from starlette.testclient import TestClient

from avsep.errors import OutputError
from avsep.page import jobs, uploads
from avsep.results.result import read_result

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


@pytest.fixture
def folder(talk_result, tmp_path):
    return copy_talk(talk_result, tmp_path / "results")


@pytest.fixture
def open_page(folder, tmp_path):
    """Starts a page on the folder; returns its client."""
    script = tmp_path / "separate.py"
    script.write_text(SEPARATE)
    with ExitStack() as running:
        yield lambda **settings: running.enter_context(
            open_client(folder, command=(sys.executable, "-S", str(script)), **settings)
        )


@pytest.fixture
def page(open_page):
    return open_page()


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
