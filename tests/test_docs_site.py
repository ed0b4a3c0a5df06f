"""The documentation as a site: it builds without a warning, and no page needs another host."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

pytest.importorskip("material")
pytest.importorskip("mkdocstrings")

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "docs" / "site" / "mkdocs.yml"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make docs` builds."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-f", CONFIG, "-d", folder],
        capture_output=True, text=True, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


class Loaded(HTMLParser):
    """Addresses that a browser loads with a page; links to click on are none."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        told = dict(attributes)
        if tag not in ("a", "form"):
            self.addresses += [told[name] or "" for name in ("src", "srcset", "href", "data") if name in told]


@pytest.mark.slow
def test_every_page_is_there(site: Path) -> None:
    pages = [page.relative_to(ROOT / "docs") for page in (ROOT / "docs").rglob("*.md")]
    assert len(pages) > 40
    for page in pages:
        name = "index.html" if page.name == "README.md" else page.with_suffix(".html").name
        assert (site / page.with_name(name)).is_file(), page
    for name in ("index", "SECURITY", "CHANGELOG"):  # files beside docs/ to which pages link
        assert (site / f"{name}.html").is_file()
    assert (site / "avsep/assets/systems.csv").read_bytes() == (ROOT / "avsep/assets/systems.csv").read_bytes()
    assert not [file for file in site.rglob("*") if file.suffix in (".py", ".yml") or file.name == "Dockerfile"]


def test_no_page_loads_from_another_host(site: Path) -> None:
    for page in site.rglob("*.html"):
        parser = Loaded()
        parser.feed(page.read_text(encoding="utf-8"))
        assert parser.addresses
        foreign = [a for a in parser.addresses if re.match(r"(https?:)?//", a)]
        assert not foreign, (page, foreign)
    for style in site.rglob("*.css"):
        assert not re.findall(r"url\([\"']?(?:https?:)?//[^)]*|@import[^;]*", style.read_text(encoding="utf-8")), style


def test_words_for_the_tests_are_not_shown(site: Path) -> None:
    shown = (site / "extending.html").read_text(encoding="utf-8")
    assert '<span class="filename">avsep/models/separators/gru.py</span>' in shown
    page = (site / "howto" / "names.html").read_text(encoding="utf-8")
    assert "```" not in page
    assert "needs=" not in page


def test_api_pages_show_what_they_name(site: Path) -> None:
    for page in (ROOT / "docs" / "api").glob("*.md"):
        shown = (site / "api" / page.with_suffix(".html").name).read_text(encoding="utf-8")
        for name in re.findall(r"^::: (\S+)$", page.read_text(encoding="utf-8"), re.MULTILINE):
            assert f'id="{name}' in shown, name
    assert 'id="avsep.pipeline.Separator.separate"' in (site / "api" / "separation.html").read_text(encoding="utf-8")


def test_search_knows_the_questions(site: Path) -> None:
    entries = json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))["docs"]
    assert "How do I get subtitles that say who speaks?" in {entry["title"] for entry in entries}
    assert (site / "search" / "search_index.js").is_file()  # for a page opened from a folder


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this system")
def test_in_a_browser_from_a_folder(site: Path) -> None:
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        asked, errors = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto((site / "index.html").as_uri())
        query = page.locator("[data-md-component=search-query]").first
        query.click()
        query.type("subtitles")
        result = page.locator("a.md-search-result__link", has_text="How do I get subtitles").first
        result.wait_for(timeout=60_000)
        browser.close()
    assert not errors
    assert not [address for address in asked if not address.startswith(("file:", "data:", "blob:"))]
