"""A page with one result, `talk`, and a client that asks it as its own script does."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from starlette.testclient import TestClient

from avsep.page.catalog import identify
from avsep.page.server import Settings, build_app

HOST = "127.0.0.1:8765"
OWN = {"origin": f"http://{HOST}", "x-avsep": "page"}
TALK = f"/api/results/{identify('talk')}"


def copy_talk(made: Path, folder: Path) -> Path:
    """`made` again, as `talk` in `folder`, which is returned. The files are the same ones, not to be written to."""
    copy = folder / "talk"
    copy.mkdir(parents=True)
    for name in os.listdir(made):
        os.link(made / name, copy / name)
    return folder


@contextmanager
def open_client(folder: Path, **settings) -> Iterator[TestClient]:
    app = build_app(Settings(folder, **settings))
    with TestClient(app, base_url=f"http://{HOST}", headers=OWN, raise_server_exceptions=False) as client:
        yield client


def change(page: TestClient, what: str, **asked) -> object:
    return page.post(f"{TALK}/change/{what}", json=asked)
