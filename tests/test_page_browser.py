"""The page in a browser: Chromium of the system, without a window. Which track sounds is measured in the browser."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from page_results import make_result

from avsep.cli.demo import CLIP

pytestmark = pytest.mark.slow

WAIT = 60_000
"""Milliseconds, for machines with much else to do."""


@pytest.fixture(scope="module")
def browser():
    """Chromium, driven by playwright; skips where there is none."""
    api = pytest.importorskip("playwright.sync_api", reason="no browser test: the package playwright is not installed")
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no browser test: there is no Chromium here. On Debian: apt-get install chromium")
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def open_page(browser):
    """Starts `avsep page` on a folder and opens it; everything the browser complains about fails the test."""
    servers: list[subprocess.Popen] = []
    complaints: list[str] = []
    contexts = []

    def start(folder: Path, width: int = 1280):
        command = [sys.executable, "-m", "avsep", "page", str(folder), "--port", "0"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        servers.append(server)
        address = next(word for word in server.stdout.readline().split() if word.startswith("http://"))
        contexts.append(browser.new_context(viewport={"width": width, "height": 800}, accept_downloads=True))
        page = contexts[-1].new_page()
        page.set_default_timeout(WAIT)
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(address)
        return page

    yield start
    for context in contexts:
        context.close()
    for server in servers:
        server.terminate()
        server.wait(20)
        server.stdout.close()
    assert not complaints


def only(page, track: str) -> None:
    """Wait until this track is heard, and no other."""
    page.wait_for_function(
        "(track) => Object.entries(avsep.levels()).every(([id, l]) => id === track ? l > 2e-3 : l < 1e-4)", arg=track
    )


def seek(page, seconds: float) -> None:
    page.evaluate("(seconds) => (document.getElementById('seek').value = seconds)", seconds)
    page.dispatch_event("#seek", "input")


def downloaded(page, what) -> bytes:
    with page.expect_download() as download:
        what.click()
    return Path(download.value.path()).read_bytes()


def test_a_face_is_clicked_and_that_person_is_heard(open_page, tmp_path):
    folder = make_result(tmp_path / "results" / "talk", seconds=300.0, rate=8000, turn=None)
    page = open_page(folder.parent)
    page.click(".card")
    page.locator(".face[data-track=speaker_01]").click()
    only(page, "speaker_01")
    seek(page, 100.0)
    place, clock = page.evaluate("[avsep.place(), performance.now() / 1000]")
    page.locator(".face[data-track=speaker_00]").click()
    only(page, "speaker_00")
    moved, passed = page.evaluate(
        "([place, clock]) => [avsep.place() - place, performance.now() / 1000 - clock]", [place, clock]
    )
    assert 0 < moved <= passed + 0.1, "the place is not lost"
    page.wait_for_function("() => Math.abs(avsep.off()) < 0.02")
    page.locator("h1").focus()
    page.keyboard.press("2")
    only(page, "speaker_01")
    page.keyboard.press("0")
    page.wait_for_function("() => Object.values(avsep.levels()).every((level) => level > 1e-3)")
    page.keyboard.press(" ")
    assert page.get_attribute("#play", "aria-label") == "Play"

    # A name, in the page and on disk
    page.click("button[aria-label='Edit speaker_00']")
    page.fill("#person-name", "Ann")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Hear Ann").first.wait_for()
    assert json.loads((folder / "manifest.json").read_text())["tracks"][0]["label"] == "Ann"

    # A span becomes a new person's
    page.click("button[aria-label='Edit Ann']")
    page.locator(".spans input").first.check()
    page.get_by_role("button", name="Move to a new person").click()
    page.wait_for_selector(".track[data-track=speaker_02]")
    assert (folder / "speaker_02.wav").is_file()

    # Files as they are on disk
    page.click("#open-download")
    one = downloaded(page, page.get_by_role("link", name="Download residual.wav"))
    assert one == (folder / "residual.wav").read_bytes()
    archive = zipfile.ZipFile(io.BytesIO(downloaded(page, page.get_by_role("link", name="Download all"))))
    assert {name: archive.read(name) for name in archive.namelist()} == {
        name: (folder / name).read_bytes() for name in os.listdir(folder)
    }


def test_the_page_fits_a_phone_and_every_control_has_a_name(open_page, tmp_path):
    folder = make_result(tmp_path / "results" / ("a" * 60), seconds=4.0, people=3)
    page = open_page(folder.parent, width=390)
    for _ in range(2):
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        nameless = page.evaluate(
            """() => [...document.querySelectorAll('button, a, input, select')].filter((one) => one.checkVisibility()
                && !one.getAttribute('aria-label') && !one.labels?.length && !one.textContent.trim()
            ).map((one) => one.outerHTML)"""
        )
        assert nameless == []
        if page.locator(".card").is_visible():
            page.click(".card")
            page.wait_for_selector(".face")


def test_a_clip_is_dropped_separated_and_heard(open_page, tmp_path):
    page = open_page(tmp_path)
    page.set_input_files("#file", CLIP)
    page.get_by_role("link", name="Open demo.mp4").click(timeout=8 * WAIT)
    page.wait_for_selector(".face")
    seek(page, 3.0)
    for face in page.locator(".face").all():
        face.click()
        only(page, face.get_attribute("data-track"))
        seek(page, 3.0)
    assert page.locator(".face").count() == 2
    assert (tmp_path / "demo" / "faces.json").is_file()
