"""The how-to pages: each command on them is run on a short clip of two people, or names what a test has not."""

from __future__ import annotations

import itertools
import shutil
from collections import Counter
from pathlib import Path

import pytest
from doc_blocks import blocks, commands, run, write_inputs

from avsep.cli.main import build_parser

DOCS = Path(__file__).parents[1] / "docs"
PAGES = {page.stem: page for page in [DOCS / "start.md", *sorted((DOCS / "howto").glob("*.md"))]}
QUESTIONS = sorted(PAGES.keys() - {"start", "index"})
REDIRECTS = ("<", ">", "|")


def test_what_no_test_can_run() -> None:
    marks = Counter(block.mark for page in PAGES.values() for block in blocks(page))
    assert marks.pop("made") >= 8
    assert marks.pop("test") >= 35
    # Everything else says why it is not run.
    assert marks == {
        "needs=network": 3,
        "needs=docker": 1,
        "needs=cluster": 1,
        "needs=microphone": 1,
        "needs=browser": 1,
    }


def test_the_list_of_questions_is_whole() -> None:
    listed = PAGES["index"].read_text(encoding="utf-8")
    for name in QUESTIONS:
        title = PAGES[name].read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
        assert title.endswith("?")
        assert f"| [{title}]({name}.md) |" in listed
        assert blocks(PAGES[name])[0].mark.startswith(("test", "needs="))


@pytest.mark.parametrize("name", PAGES)
def test_commands_are_known(name: str) -> None:
    """Also those that are not run."""
    parser = build_parser()
    for block in blocks(PAGES[name]):
        for words in commands(block) if block.kind == "sh" else ():
            for place, (program, command) in enumerate(itertools.pairwise(words), 1):
                if program == "avsep" and command.isalpha():
                    own = itertools.takewhile(lambda word: word not in REDIRECTS, words[place:])
                    parser.parse_args(list(own))  # ends where it is wrong


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    write_inputs(folder)
    return folder


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, ...], Path]:
    """What first commands of pages wrote: many pages begin with the same one, which is run once."""
    return {}


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", PAGES)
def test_page_runs(
    name: str, inputs: Path, results: dict, cli, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, one_thread
) -> None:
    shutil.copytree(inputs, tmp_path, dirs_exist_ok=True)
    for number, block in enumerate(b for b in blocks(PAGES[name]) if b.mark in ("test", "made")):
        if block.mark == "made":
            for file in block.code.split():
                assert (tmp_path / file).is_file(), file
        elif block.kind == "python":
            exec(compile(block.code, f"{name}.md", "exec"), {"__name__": name})
        else:
            for place, (program, *words) in enumerate(commands(block)):
                assert program == "avsep"
                if any(sign in words for sign in REDIRECTS):
                    done = run(["bash", "-c", f"avsep {' '.join(words)}"], tmp_path)
                    assert done.returncode == 0, done.stderr
                    continue
                first = number == place == 0
                if first and tuple(words) in results:
                    shutil.copytree(results[tuple(words)], tmp_path, dirs_exist_ok=True)
                    continue
                code, _, messages = cli(*words)
                assert code == 0, f"{' '.join(words)}\n{messages}"
                if first:
                    results[tuple(words)] = Path(shutil.copytree(tmp_path, tmp_path_factory.mktemp("result") / "all"))
