"""How soon does `avsep page` sound after a click, how fast does a long result open, what memory does the browser take?

    python tests/benchmarks/page_speed.py [--people 4] [--minutes 10] [--long 60] [--rate 48000] [--runs 7]

Needs Chromium. Results are made of tones. First sound: from the click on a face until that track is measured to sound
in the browser, medians and the slowest, in a result of so many minutes. Memory: what the processes of the browser that
show the page hold for themselves (PSS), after the outlines of the long result are all there and after jumps through it.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import soundfile
from bench import machine
from playwright.sync_api import Page, sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1]))
from page_results import make_result

from avsep.media.encode import WavWriter

SOUNDS = """(press) => new Promise((done) => {
  const begin = performance.now();
  press = document.querySelector(press);
  const wanted = press.dataset.track;
  press.click();
  const look = () => {
    if (avsep.levels()[wanted] > 1e-3) done(performance.now() - begin);
    else setTimeout(look, 0);
  };
  look();
})"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=4)
    parser.add_argument("--minutes", type=int, default=10)
    parser.add_argument("--long", type=int, default=60, help="minutes of the long result")
    parser.add_argument("--rate", type=int, default=48_000)
    parser.add_argument("--runs", type=int, default=7)
    args = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as place, sync_playwright() as playwright:
        folder = Path(place)
        long_result(folder / "short", args.minutes, args.people, args.rate)
        long_result(folder / "long", args.long, args.people, args.rate)
        command = [sys.executable, "-m", "avsep", "page", place, "--port", "0"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert server.stdout is not None
        address = next(word for word in server.stdout.readline().split() if word.startswith("http"))
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=["--no-sandbox", "--autoplay-policy=no-user-gesture-required"],
        )
        try:
            page = browser.new_page()
            page.goto(address)
            print(f"{args.people} people and the residual, {args.rate} Hz")
            first_sound(page, args.minutes, args.runs)
            opening(page, address, args.long)
            print(f"browser, outlines whole: {memory(browser) / 1e6:.0f} MB")
            for part in range(1, 20):
                seek(page, args.long * 3 * part)
                page.wait_for_function("() => avsep.ready().sound")
            print(f"browser, after 19 jumps: {memory(browser) / 1e6:.0f} MB")
        finally:
            browser.close()
            server.terminate()
            server.wait()


def long_result(folder: Path, minutes: int, people: int, rate: int) -> None:
    """A minute of a made result, over and over."""
    make_result(folder, seconds=60.0, people=people, rate=rate, turn=None)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["input"]["duration_seconds"] = 60.0 * minutes
    for track in manifest["tracks"]:
        track["appearances"] = [{"start_seconds": 0.0, "end_seconds": 60.0 * minutes}]
        track["speaking"] = [{"start_seconds": 60.0 * n, "end_seconds": 60.0 * n + 50} for n in range(minutes)]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    for file in folder.glob("*.wav"):
        samples = soundfile.read(file, dtype="float32", always_2d=True)[0].T
        with WavWriter(file, rate, 1) as writer:
            for _ in range(minutes):
                writer.write(samples)


def first_sound(page: Page, minutes: int, runs: int) -> None:
    page.get_by_role("link", name=re.compile("^short")).click()
    page.wait_for_selector(".face")
    started, jumped, switched = [], [], []
    for run in range(runs):
        page.reload()
        page.wait_for_function("() => avsep.ready()?.sound")
        started.append(page.evaluate(SOUNDS, ".face[data-track=speaker_01]"))
        switched.append(page.evaluate(SOUNDS, ".face[data-track=speaker_00]"))
        page.click("#play")
        seek(page, 60 * minutes * (run + 1) / (runs + 1))
        jumped.append(page.evaluate(SOUNDS, ".face[data-track=speaker_01]"))
    for what, found in (("first click", started), ("another face", switched), ("after a jump", jumped)):
        print(f"{what}: {statistics.median(found):.0f} ms to its sound, at most {max(found):.0f} ms, {runs} times")


def opening(page: Page, address: str, minutes: int) -> None:
    page.goto(address)
    link = page.get_by_role("link", name=re.compile("^long"))
    link.wait_for()
    begin = time.perf_counter()
    link.click()
    page.wait_for_function("() => avsep.ready()?.sound && avsep.ready().drawn > 0")
    opened = time.perf_counter() - begin
    page.wait_for_function("() => avsep.ready().drawn === 1", timeout=600_000)
    whole = time.perf_counter() - begin
    print(f"{minutes} minutes: open and ready to play after {opened:.1f} s, outlines whole after {whole:.1f} s")


def seek(page: Page, seconds: float) -> None:
    page.evaluate("(seconds) => (document.getElementById('seek').value = seconds)", seconds)
    page.dispatch_event("#seek", "input")


def memory(browser) -> int:
    """Bytes that the browser's page processes hold, shared ones in parts."""
    session = browser.new_browser_cdp_session()
    total = 0
    for process in session.send("SystemInfo.getProcessInfo")["processInfo"]:
        if process["type"] == "renderer":
            text = Path(f"/proc/{process['id']}/smaps_rollup").read_text()
            total += 1024 * int(re.search(r"^Pss:\s+(\d+)", text, re.MULTILINE)[1])
    return total


if __name__ == "__main__":
    main()
