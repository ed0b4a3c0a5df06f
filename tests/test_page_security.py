"""Who may ask `avsep page` for anything: not other sites, not by another name, not without the token."""

from __future__ import annotations

import os

import pytest
from page_results import make_result
from starlette.testclient import TestClient

from avsep.errors import UsageError
from avsep.page.catalog import identify
from avsep.page.security import is_loopback, token_for
from avsep.page.server import Settings, address, build_app

HOST = "127.0.0.1:8765"
TALK = f"/api/results/{identify('talk')}"
TOKEN = "a-long-enough-token"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_result(tmp_path_factory.mktemp("results") / "talk", seconds=1.0, video=False).parent


def client(folder, called: str = HOST, **settings) -> TestClient:
    """called: by which the browser calls the page."""
    return TestClient(build_app(Settings(folder, **settings)), base_url=f"http://{called}", follow_redirects=False)


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8765", "127.0.0.1:9999", "127.0.0.1", ""])
def test_the_page_answers_by_its_own_name_alone(folder, host):
    """Else a name that an attacker points to this machine would be let in (DNS rebinding)."""
    page = client(folder)
    assert page.get("/api/results", headers={"host": host}).status_code == 421
    for own in (HOST, "localhost:8765", "[::1]:8765", "LOCALHOST:8765"):
        assert page.get("/api/results", headers={"host": own}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-avsep": "page"},
        {"origin": f"http://{HOST}"},
        {"origin": "http://evil.example", "x-avsep": "page"},
        {"origin": "http://127.0.0.1:8766", "x-avsep": "page"},
        {"origin": "null", "x-avsep": "page"},
        {"origin": f"http://{HOST}.evil.example", "x-avsep": "page"},
    ],
)
@pytest.mark.parametrize("path", [f"{TALK}/change/rename", "/api/jobs?name=a.mp4", "/api/jobs/x/cancel"])
def test_other_sites_change_nothing(folder, headers, path):
    before = (folder / "talk" / "manifest.json").read_bytes()
    page = client(folder)
    answer = page.post(path, json={"track": "speaker_00", "name": "Eve"}, headers=headers)
    assert answer.status_code == 403
    assert (folder / "talk" / "manifest.json").read_bytes() == before
    assert os.listdir(folder) == ["talk"]


def test_other_sites_embed_nothing(folder):
    page = client(folder)
    for site in ("cross-site", "same-site"):
        headers = {"sec-fetch-site": site, "sec-fetch-mode": "no-cors"}
        assert page.get(f"{TALK}/thumbnail/speaker_00", headers=headers).status_code == 403
    assert page.get("/", headers={"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}).status_code == 200


def test_every_answer_has_the_policy(folder):
    page = client(folder)
    for path in ("/", "/static/app.js", "/api/results", "/none", f"{TALK}/sound/0"):
        headers = page.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "http" not in policy
        assert headers["x-content-type-options"] == "nosniff"
    assert page.get("/", headers={"host": "evil.example"}).headers["content-security-policy"]
    assert "access-control-allow-origin" not in headers


def test_a_token_is_asked_for_and_kept_as_a_cookie(folder):
    here = "192.0.2.7:8765"
    page = client(folder, here, host="0.0.0.0", token=TOKEN)
    assert page.get("/").status_code == 401
    assert page.get("/api/results").status_code == 401
    assert page.get("/?token=another-long-token").status_code == 401
    assert page.get("/", headers={"cookie": "avsep-8765=another-long-token"}).status_code == 401
    assert page.post("/api/jobs", headers={"origin": f"http://{here}", "x-avsep": "page"}).status_code == 401
    entered = page.get(f"http://{here}//evil.example/?token={TOKEN}&x=1")
    assert (entered.status_code, entered.headers["location"]) == (303, "/evil.example/?x=1")
    cookie = entered.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "samesite=strict" in cookie.lower()
    assert page.get("/api/results").status_code == 200
    assert page.post(f"{TALK}/change/rename", json={}, headers={"origin": "http://evil.example"}).status_code == 403


@pytest.mark.parametrize("other", ['prefs={"a": 1}', "a=b c", "flag", "=", "ä=ö", 'a="b', ""])
def test_cookies_of_other_ports_do_not_matter(folder, other):
    page = client(folder, host="0.0.0.0", token=TOKEN)
    for cookie in (f"{other}; avsep-8765={TOKEN}", f"avsep-8765={TOKEN}; {other}"):
        assert page.get("/api/about", headers={"cookie": cookie.encode()}).status_code == 200
    assert page.get("/api/about", headers={"cookie": f"{other}; avsep-8766={TOKEN}".encode()}).status_code == 401


def test_who_needs_a_token():
    assert token_for("127.0.0.1", None) is None
    assert token_for("::1", None) is None
    assert len(token_for("0.0.0.0", None)) > 30
    assert token_for("0.0.0.0", None) != token_for("0.0.0.0", None)
    assert token_for("127.0.0.1", TOKEN) == TOKEN
    entered = address(Settings("x", host="0.0.0.0", port=80, token="abc&d=#%41+efg")).rpartition("?token=")[2]
    assert entered == "abc%26d%3D%23%2541%2Befg"
    for bad in ("short", "has spaces in it", "nöt-ascii-at-all"):
        with pytest.raises(UsageError, match="letters and digits"):
            token_for("127.0.0.1", bad)
    assert [is_loopback(host) for host in ("localhost", "127.9.9.9", "::1", "0.0.0.0", "192.0.2.7", "box")] == [
        True, True, True, False, False, False,
    ]  # fmt: skip
    assert address(Settings("x", host="192.0.2.7", port=80, token="t")) == "http://192.0.2.7:80/?token=t"


@pytest.mark.parametrize(
    "path",
    [
        "/static/../server.py",
        "/static/%2e%2e/server.py",
        "/static/..%2fserver.py",
        f"{TALK}/file/..%2f..%2fsecret",
        f"{TALK}/file/%2e%2e%2fsecret",
        f"{TALK}/file/secret",
        f"{TALK}/file/link.wav",
        f"{TALK}/archive?file=../../secret",
        f"{TALK}/archive?file=link.wav",
        f"{TALK}/thumbnail/..%2fspeaker_00",
        "/api/results/..",
        "/api/results/talk",
        f"/api/results/{identify('elsewhere')}",
    ],
)
def test_nothing_but_files_of_results_is_sent(tmp_path, path):
    folder = make_result(tmp_path / "results" / "talk", seconds=0.2, video=False)
    (tmp_path / "secret").write_text("secret")
    (folder.parent / "secret").write_text("secret")
    (folder / "secret").write_text("secret")
    (folder / "link.wav").symlink_to(tmp_path / "secret")
    manifest = folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"files": [', '"files": ["link.wav", "../secret", '))
    other = make_result(tmp_path / "elsewhere", seconds=0.2, video=False)
    (folder.parent / "elsewhere").symlink_to(other)
    page = client(folder.parent)
    answer = page.get(path)
    assert answer.status_code == 404
    assert "secret" not in answer.text
    assert [one["name"] for one in page.get("/api/results").json()] == ["talk"]


def test_tracks_that_are_links_are_not_played(tmp_path):
    folder = make_result(tmp_path / "results" / "talk", seconds=0.2, video=False)
    for name in ("speaker_00.wav", "speaker_01.jpg"):
        (folder / name).rename(tmp_path / name)
        (folder / name).symlink_to(tmp_path / name)
    page = client(folder.parent)
    for path in ("", "/sound/0", "/outline/0", "/thumbnail/speaker_01"):
        assert page.get(TALK + path).status_code == 404, path
