"""Commands and links of the README and of docs/ work as they stand there: fenced blocks marked `test` are run."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import pytest
from doc_blocks import blocks, commands, run, write_talk

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DEMO_CLIP = ROOT / "avsep" / "assets" / "demo" / "demo.mp4"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
TEXT = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)

MARKED = {"README.md": ["sh", "sh", "sh", "python"], "docs/library.md": ["python"] * 4}
"""The blocks that are run."""


def anchors(text: str) -> set[str]:
    """What links to headings of a page end in."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not DEMO_CLIP.exists(), reason="the demo clip is not made yet")
def test_marked_blocks_run(tmp_path: Path, cli, one_thread) -> None:
    """The first command as a user starts it, the others in this process, where the libraries are loaded already."""
    write_talk(tmp_path / "talk.mp4")
    shutil.copy(DEMO_CLIP.with_name("left.flac"), tmp_path / "ann.flac")
    pages = {page: [block for block in blocks(ROOT / page) if block.mark == "test"] for page in MARKED}
    assert {page: [block.kind for block in found] for page, found in pages.items()} == MARKED
    is_first = True
    for page, found in pages.items():
        for block in found:
            if block.kind == "python":
                exec(compile(block.code, page, "exec"), {"__name__": page})
                continue
            for program, *words in commands(block):
                if is_first:
                    done = run([program, *words], tmp_path)
                    code, messages = done.returncode, done.stderr
                else:
                    assert program == "avsep"
                    code, _, messages = cli(*words)
                assert code == 0, f"{' '.join(words)}\n{messages}"
                is_first = False
    for name in ("separated/talk/manifest.json", "part/talk/residual.wav", "faces/talk/people.json", "tracks/talk"):
        assert (tmp_path / name).exists(), name
    assert [one["track"] for one in json.loads((tmp_path / "ann/talk/manifest.json").read_text())["choice"]["targets"]]
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize("target", sorted(set(re.findall(r"(?:^|`)make ([a-z]+)(?=`| +#)", TEXT, re.MULTILINE))))
def test_make_targets_exist(target: str) -> None:
    done = run(["make", "--dry-run", target], ROOT)
    assert done.returncode == 0, done.stderr


def test_options_named_exist() -> None:
    shown = run([sys.executable, "-m", "avsep", "separate", "--help"], ROOT).stdout
    table = README.split("## Options that matter")[1].split("## ")[0]
    for option in set(re.findall(r"--[a-z][a-z-]+", table)):
        assert option in shown, f"{option} is in the README but not in the help"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith("http"):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file.read_text(encoding="utf-8")), target
