"""The page in a browser: Chromium of the system, without a window. Which track sounds is measured in the browser."""

from __future__ import annotations

import contextlib
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
from avsep.results.change import rename_tracks
from avsep.results.result import read_result
from avsep.timeline.write import add_formats

pytestmark = pytest.mark.slow

WAIT = 60_000
"""Milliseconds, for machines with much else to do."""

KEEP_CONTEXT = """
const Own = AudioContext;
window.AudioContext = class extends Own { constructor(settings) { super(settings); window.audio = this; } };
"""

OUTLINES = """async () => {
    let seed = 1;
    const random = (below) => (seed = (seed * 16807) % 2147483647) % below;
    const tiles = [0, 1, 2, 3].map(() => Int8Array.from({ length: 24000 }, (_, n) => (n % 2 ? 1 : -1) * random(128)));
    const own = window.fetch;
    window.fetch = async (path, settings) => {
        const number = path.match(/none.outline.(.)/)?.[1];
        return number ? new Response(tiles[number].slice()) : own(path, settings);
    };
    const sound = { bins_per_second: 100, tile_seconds: 60 };
    const { Outlines } = await import("/static/outline.js");
    const outlines = new Outlines({ id: "none", seconds: 240, sound }, 2);
    await outlines.fetch();
    window.fetch = own;
    let asked = 0;
    const get = outlines.tiles.get.bind(outlines.tiles);
    outlines.tiles.get = (number) => (asked += 1) && get(number);
    const plain = (track, first, last) => {
        const found = [127, -127];
        for (let bin = first; bin < Math.min(last, 24000); bin += 1) {
            const at = 2 * (track * 6000 + (bin % 6000));
            const tile = tiles[Math.floor(bin / 6000)];
            found[0] = Math.min(found[0], tile[at]);
            found[1] = Math.max(found[1], tile[at + 1]);
        }
        return found;
    };
    const wrong = [];
    for (let n = 0; n < 300; n += 1) {
        const [track, first, length] = [n % 2, random(24000), 1 + random(n < 200 ? 50 : 24000)];
        const found = outlines.between(track, (first + 0.5) / 100, (first + length - 0.5) / 100);
        if (String(found) !== String(plain(track, first, first + length))) wrong.push([track, first, length, found]);
    }
    asked = 0;
    outlines.between(0, 0, 240);
    return { wrong, asked };
}"""
"""What the outlines of random sound say against a plain look at all bins, and how often they ask for a piece."""


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
        page.add_init_script(KEEP_CONTEXT)
        # Chromium's loader of videos now and then asks for what lies behind the end of the file.
        page.on("console", lambda said: complaints.append(said.text) if is_complaint(said) else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(address)
        return page

    start.complaints = complaints
    yield start
    for context in contexts:
        context.close()
    for server in servers:
        server.terminate()
        server.wait(20)
        server.stdout.close()
    assert not complaints


def is_complaint(said) -> bool:
    """Whether what the console says is an error, other than that a picture was asked for beyond its end, or that the
    result is another one by now, which is how the page learns of it."""
    beyond = " 416 " in said.text and said.location.get("url", "").endswith("/video")
    return said.type == "error" and not beyond and " 409 " not in said.text


def only(page, track: str, timeout: float = WAIT) -> None:
    """Wait until this track is heard, and no other."""
    page.wait_for_function(
        "(track) => Object.entries(avsep.levels()).every(([id, l]) => id === track ? l > 2e-3 : l < 1e-4)",
        arg=track,
        timeout=timeout,
    )


def only_from(page, track: str, seconds: float) -> None:
    """The same from this place on, which is gone to again where a busy machine lets the clip end before."""
    from playwright.sync_api import TimeoutError as TooLate

    for _ in range(5):
        seek(page, seconds)
        if page.get_attribute("#play", "aria-label") == "Play":  # it has ended
            page.click("#play")
        with contextlib.suppress(TooLate):
            return only(page, track, WAIT / 6)
    return only(page, track, WAIT / 6)


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

    # A muted track stays silent when it is soloed, and not when its face is clicked
    page.keyboard.press(" ")
    page.click("button[aria-label='Mute speaker_00']")
    page.wait_for_function("() => avsep.levels().speaker_00 < 1e-4 && avsep.levels().speaker_01 > 2e-3")
    page.click("button[aria-label='Solo speaker_00']")
    page.wait_for_function("() => Object.values(avsep.levels()).every((level) => level < 1e-4)")
    page.click("button[aria-label='Solo speaker_01']")
    only(page, "speaker_01")
    page.click("button[aria-label='Solo speaker_01']")
    page.locator(".face[data-track=speaker_00]").click()
    only(page, "speaker_00")
    assert page.get_attribute("button[aria-label='Mute speaker_00']", "aria-pressed") == "false"
    page.keyboard.press(" ")

    # A name, in the page and on disk
    page.click("button[aria-label='Edit speaker_00']")
    page.fill("#person-name", "Ann")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Hear Ann").first.wait_for()
    assert json.loads((folder / "manifest.json").read_text())["tracks"][0]["label"] == "Ann"

    # Who is seen at once is not one person, which is told before they are merged
    page.click("button[aria-label='Edit Ann']")
    page.get_by_text("Both are seen at 0:00.0, so they seem to be two people").wait_for()
    page.keyboard.press("Escape")

    # A span becomes a new person's
    move_first_span(page, "Ann")
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


def test_a_result_changes_while_it_is_shown(open_page, tmp_path):
    folder = make_result(tmp_path / "results" / "talk", seconds=30.0, rate=8000, video=False)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["tracks"][0]["warnings"] = ["is soft"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    add_formats(read_result(folder), ["rttm"], lambda warning: None)
    page = open_page(folder.parent)
    told = page.evaluate(OUTLINES)
    assert told["wrong"] == []
    assert told["asked"] <= 5, "a look at all of it does not walk every bin"

    # An outline that fails at first
    failed = []

    def fail_once(route) -> None:
        failed.append(route)
        if len(failed) == 1:
            route.fulfill(status=500, body="{}")
        else:
            route.continue_()

    page.route("**/outline/0?*", fail_once)
    page.click(".card")
    page.wait_for_function("() => avsep.ready()?.drawn === 1")

    # A name, in the warnings too
    page.click("button[aria-label='Edit speaker_00']")
    page.fill("#person-name", "Ann")
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.getElementById('warnings').textContent.includes('Ann: is soft')")

    # A time line of before that
    assert "Written before the last change: timeline.rttm." in page.text_content("#outdated")
    page.get_by_role("button", name="Write them again").click()
    page.wait_for_selector("#outdated", state="hidden")
    assert " Ann " in (folder / "timeline.rttm").read_text()

    # Moved, undone, moved again; the ruler then moves once
    before = {name: (folder / name).read_bytes() for name in os.listdir(folder)}
    for undo in (True, False):
        move_first_span(page, "Ann")
        page.wait_for_selector(".track[data-track=speaker_02]")
        if undo:
            page.get_by_role("button", name="Undo").click()
            page.wait_for_selector(".track[data-track=speaker_02]", state="detached")
            assert {name: (folder / name).read_bytes() for name in os.listdir(folder)} == before
    for _ in range(2):
        page.click("#zoom-in")
    box = page.locator("#ruler").bounding_box()
    page.mouse.move(box["x"] + 300, box["y"] + 5)
    page.mouse.down()
    page.mouse.move(box["x"] + 180, box["y"] + 5, steps=4)
    page.mouse.up()
    start = 0.3 * page.evaluate("parseFloat(document.querySelector('#overview i').style.left)")
    assert start == pytest.approx(7.5 * 120 / box["width"], abs=0.05)

    # Changed elsewhere
    page.click("#play")
    page.wait_for_function("() => audio.state === 'running' && avsep.place() > 0.1")
    rename_tracks(folder, {"Ann": "Eve"})
    seek(page, 27.0)
    page.get_by_role("button", name="Edit Eve").wait_for()
    assert "changed elsewhere" in page.text_content("#toast")
    page.wait_for_function("() => avsep.ready().sound && avsep.ready().drawn === 1")

    # Left before a change is shown
    held = []
    page.route("**/faces?*", lambda route: held.append(route))
    with page.expect_request("**/faces?*"):
        move_first_span(page, "Eve")
    page.evaluate("location.hash = ''")
    page.wait_for_selector(".card")
    with page.expect_response("**/faces?*"):
        held[0].continue_()
    page.click("#results-title")
    page.wait_for_timeout(300)
    assert not page.is_visible("#view")
    assert "Cannot" not in page.text_content("#toast")
    assert page.evaluate("audio.state") == "suspended", "nothing is played there"
    assert all(" 500 " in one for one in open_page.complaints), open_page.complaints
    open_page.complaints.clear()


def move_first_span(page, name: str) -> None:
    page.click(f"button[aria-label='Edit {name}']")
    page.locator(".spans input").first.check()
    page.get_by_role("button", name="Move to a new person").click()


def test_the_page_fits_a_phone_and_every_control_has_a_name(open_page, tmp_path):
    folder = make_result(tmp_path / "results" / ("a" * 60), seconds=4.0, people=3)
    (folder.parent / "broken").mkdir()
    (folder.parent / "broken" / "manifest.json").write_text("{")
    page = open_page(folder.parent, width=390)
    page.get_by_text("broken/manifest.json: cannot be read").wait_for()
    for _ in range(2):
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        nameless = page.evaluate(
            """() => [...document.querySelectorAll('button, a, input, select')].filter((one) => one.checkVisibility()
                && !one.getAttribute('aria-label') && !one.labels?.length && !one.textContent.trim()
            ).map((one) => one.outerHTML)"""
        )
        assert nameless == []
        if page.locator("a.card").is_visible():
            page.click("a.card")
            page.wait_for_selector(".face")


def test_a_clip_is_dropped_separated_and_heard(open_page, tmp_path):
    page = open_page(tmp_path)
    page.set_input_files("#file", CLIP)
    page.get_by_role("link", name="Open demo.mp4").click(timeout=8 * WAIT)
    page.wait_for_selector(".face")
    seek(page, 3.0)  # from where on both speak for a while
    tracks = [face.get_attribute("data-track") for face in page.locator(".face").all()]
    assert len(tracks) == 2
    for track in tracks:
        seek(page, 3.0)
        page.locator(f".face[data-track={track}]").click()
        only_from(page, track, 3.0)
    assert (tmp_path / "demo" / "faces.json").is_file()
