"""The pages of docs/ are read on code hosts as well as on the site; what differs between the two is put right here.

Files outside docs/ to which a page links (README.md, SECURITY.md, a table) become part of the site under the path that
they have in the repository. `sh test` and `python file=x.py` of fenced blocks are for the tests.
"""

from __future__ import annotations

import re
from pathlib import Path
from posixpath import dirname, relpath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

DOCS = Path(__file__).parents[1]
ROOT = DOCS.parent
HOME = ROOT / "README.md"
LINK = re.compile(r"(?<=\]\()(?!https?:|#)([^)#\s]+)")
FENCE = re.compile(r"^(```\w+) +(?:file=(\S+)|\S.*)$", re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add README.md and, from page to page, all files outside docs/ that are linked to."""
    pages = [HOME, *(Path(file.abs_src_path) for file in files.documentation_pages() if file.abs_src_path)]
    _add(files, config, HOME)
    for page in pages:  # grows
        for name in LINK.findall(page.read_text(encoding="utf-8")) if page.suffix == ".md" else []:
            target = (page.parent / name).resolve()
            if target.is_file() and not target.is_relative_to(DOCS) and _add(files, config, target):
                pages.append(target)
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Links as the site has its files, and fences without the words of the tests."""
    source = Path(page.file.abs_src_path or "")

    def link(match: re.Match[str]) -> str:
        target = (source.parent / match[1]).resolve()
        if not target.is_file():
            return match[1]  # MkDocs says so
        return relpath(_uri(target), dirname(page.file.src_uri))

    markdown = LINK.sub(link, markdown)
    return FENCE.sub(lambda fence: fence[1] + (f' title="{fence[2]}"' if fence[2] else ""), markdown)


def _uri(file: Path) -> str:
    """Of a file of the repository, its path on the site."""
    return file.relative_to(DOCS if file.is_relative_to(DOCS) else ROOT).as_posix()


def _add(files: Files, config: MkDocsConfig, file: Path) -> bool:
    if new := files.get_file_from_path(_uri(file)) is None:
        files.append(File.generated(config, _uri(file), abs_src_path=str(file)))
    return new
