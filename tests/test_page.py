"""The server of `avsep page`: what it shows and sends, and the command that starts it."""

from __future__ import annotations

import io
import json
import os
import sys
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from page_client import TALK, change, copy_talk, open_client
from page_results import RATE, make_result

from avsep.cli import page as command
from avsep.output.exchange import hidden_folder, settle_stale
from avsep.output.ownership import SEPARATION
from avsep.page import audio
from avsep.page.catalog import identify
from avsep.results.change import change_result
from avsep.results.edit import merge_tracks


@pytest.fixture
def folder(talk_result, tmp_path):
    return copy_talk(talk_result, tmp_path / "results")


@pytest.fixture
def page(folder):
    with open_client(folder) as client:
        yield client


def test_results_are_listed_and_told(page, folder):
    (folder / "notes").mkdir()
    (folder / ".talk.partial-1").mkdir()
    (folder / ".talk.partial-1" / "manifest.json").write_bytes((folder / "talk" / "manifest.json").read_bytes())
    listed = page.get("/api/results").json()
    assert [(one["name"], one["seconds"], one["tracks"]) for one in listed] == [
        ("talk", 4.0, ["speaker_00", "speaker_01"])
    ]
    told = page.get(f"/api/results/{listed[0]['id']}").json()
    assert told["picture"] == {"width": 160, "height": 120, "begin": 0.0}
    assert told["tracks"][1]["speaking"] == [[1.0, 2.0], [3.0, 4.0]]
    assert {file["name"] for file in told["files"]} == set(os.listdir(folder / "talk"))
    assert set(page.get(f"{TALK}/faces").json()) == {"speaker_00", "speaker_01"}


def test_damaged_results_are_listed_with_the_reason(page, folder):
    for name in ("cut", "linked", "other"):
        (folder / name).mkdir()
    (folder / "cut" / "manifest.json").write_text("{")
    (folder / "other" / "manifest.json").write_text('{"format": 1}')
    (folder / "linked" / "manifest.json").symlink_to(folder / "talk" / "manifest.json")
    listed = page.get("/api/results").json()
    assert [one["name"] for one in listed] == ["talk", "cut", "linked", "other"]
    for one, reason in zip(listed[1:], ("cannot be read", "is a link", "is damaged"), strict=True):
        assert set(one) == {"name", "damaged"}, "there is nothing to open it by"
        assert f"{one['name']}/manifest.json: {reason}" in one["damaged"]
        assert reason in page.get(f"/api/results/{identify(one['name'])}").json()["error"]


def test_results_of_folders_within_are_there_and_links_are_not_followed(page, folder, tmp_path):
    make_result(folder / "mon" / "late" / "call", video=False)
    make_result(tmp_path / "elsewhere" / "secret", video=False)
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    assert {one["name"] for one in page.get("/api/results").json()} == {"talk", "mon/late/call"}
    call = f"/api/results/{identify('mon/late/call')}"
    assert page.get(call).json()["name"] == "mon/late/call"
    assert "filename*=utf-8''call.zip" in page.get(f"{call}/archive").headers["content-disposition"]
    # Somebody puts a link in the place of a folder that was listed.
    (folder / "mon").rename(tmp_path / "moved")
    (folder / "mon").symlink_to(tmp_path / "moved")
    assert page.get(call).status_code == 404


def test_spans_not_to_be_trusted_are_told(page, folder):
    def doubt(content, result):
        content["tracks"][0]["doubtful"] = [
            {"start_seconds": 1.0, "end_seconds": 2.0, "kind": "swap", "reason": "may be the voice of speaker_01"}
        ]

    change_result(folder / "talk", doubt)
    first, second = page.get(TALK).json()["tracks"]
    assert first["doubtful"] == [[1.0, 2.0]]
    assert first["warnings"] == ["1.0 to 2.0 s may be the voice of speaker_01"]
    assert (second["doubtful"], second["warnings"]) == ([], [])


def test_faces_that_are_seen_together_are_told(page, folder):
    def seen(content, result):
        times = ([(0.0, 1.0), (2.0, 3.5)], [(1.0, 2.0), (3.25, 4.0)])
        for track, spans in zip(content["tracks"], times, strict=True):
            track["appearances"] = [{"start_seconds": start, "end_seconds": end} for start, end in spans]

    assert [one["seen_with"] for one in page.get(TALK).json()["tracks"]] == [{"speaker_01": 0.0}, {"speaker_00": 0.0}]
    change_result(folder / "talk", seen)
    assert [one["seen_with"] for one in page.get(TALK).json()["tracks"]] == [{"speaker_01": 3.25}, {"speaker_00": 3.25}]
    split = change(page, "split", track="speaker_01", spans=[[3, 4]]).json()
    assert split["tracks"][2]["seen_with"] == {}, "a voice without a face"
    merged = change(page, "merge", track="speaker_00", other="speaker_01").json()
    assert [track["id"] for track in merged["tracks"]] == ["speaker_00", "speaker_02"], "it is not forbidden"


def test_the_page_itself_is_sent_whole(page):
    index = page.get("/").text
    for name in ("style.css", "app.js", "icon.svg"):
        assert f"static/{name}" in index
        assert page.get(f"/static/{name}").status_code == 200
    static = Path(command.__file__).parents[1] / "page" / "static"
    for file in static.glob("*.js"):
        for line in file.read_text().splitlines():
            if line.startswith("import "):
                assert (static / line.split('"./')[1].rstrip('";')).is_file(), line
    everything = "".join(file.read_text() for file in static.iterdir())
    addresses = {part.split('"')[0] for part in everything.split("http")[1:]}
    assert addresses == {"://www.w3.org/2000/svg"}, "no other host is ever asked"


def test_pieces_of_sound_together_are_the_tracks(page, folder):
    told = page.get(TALK).json()["sound"]
    assert (told["rate"], told["channels"], told["chunk_seconds"]) == (RATE, 1, 2)
    pieces = []
    for number in range(2):
        answer = page.get(f"{TALK}/sound/{number}")
        values = np.frombuffer(answer.content, "<i2").reshape(3, 1, 2 * RATE)
        pieces.append(values * float(answer.headers["x-scale"]))
    heard = np.concatenate(pieces, axis=2)[:, 0]
    for name, one in zip(("speaker_00", "speaker_01", "residual"), heard, strict=True):
        np.testing.assert_allclose(one, soundfile.read(folder / "talk" / f"{name}.wav")[0], atol=1e-4)


def test_sound_beyond_full_scale_and_of_many_channels_is_played(page, folder):
    loud = np.full((RATE, 6), 3.0, np.float32)
    for name in ("speaker_00", "speaker_01", "residual"):
        (folder / "talk" / f"{name}.wav").unlink()
        soundfile.write(folder / "talk" / f"{name}.wav", loud, RATE, subtype="FLOAT")
    assert page.get(TALK).json()["sound"]["channels"] == 2
    answer = page.get(f"{TALK}/sound/0")
    values = np.frombuffer(answer.content, "<i2").reshape(3, 2, 2 * RATE) * float(answer.headers["x-scale"])
    assert values[:, :, :RATE] == pytest.approx(3.0)
    assert not values[:, :, RATE:].any(), "silence beyond the end"


def test_outlines_show_where_the_sound_is(page):
    bins = np.frombuffer(page.get(f"{TALK}/outline/0").content, np.int8).reshape(3, 6000, 2)
    assert bins[0, 20:80, 1].min() > 30
    assert bins[0, 20:80, 0].max() < -30
    assert not bins[0, 110:190].any(), "the first one is silent while the second one speaks"
    assert bins[1, 110:190, 1].min() > 30


def test_a_result_that_was_changed_elsewhere_is_not_mixed_with_the_old_one(page, folder):
    version = page.get(TALK).json()["version"]
    paths = [f"{TALK}/{one}?v=" for one in ("sound/0", "outline/0", "faces", "thumbnail/speaker_00")]
    assert [page.get(path + version).status_code for path in paths] == [200] * 4
    merge_tracks(folder / "talk", "speaker_00", "speaker_01")
    for path in paths:
        answer = page.get(path + version)
        assert (answer.status_code, "Reload the page" in answer.json()["error"]) == (409, True)
        assert answer.headers["cache-control"] == "no-store"
    assert page.get(paths[0] + page.get(TALK).json()["version"]).status_code == 200


@pytest.mark.parametrize(("part", "reader"), [("sound", "chunk"), ("outline", "outline")])
def test_sound_that_is_changed_while_it_is_read_is_not_sent(page, folder, monkeypatch, part, reader):
    version = page.get(TALK).json()["version"]
    read = getattr(audio, reader)

    def read_late(files, *args):
        merge_tracks(folder / "talk", "speaker_00", "speaker_01")
        return read(files, *args)  # the second of the files is gone

    monkeypatch.setattr(audio, reader, read_late)
    answer = page.get(f"{TALK}/{part}/0?v={version}")
    assert (answer.status_code, "changed elsewhere" in answer.json()["error"]) == (409, True)


@pytest.mark.parametrize("looked", [False, True], ids=["asked", "all listed meanwhile"])
def test_a_result_that_is_being_exchanged_is_waited_for(page, folder, looked):
    version = page.get(TALK).json()["version"]
    aside, lock = hidden_folder(folder / "talk")
    (folder / "talk").rename(aside / "old")
    back = threading.Timer(0.2, (aside / "old").rename, [folder / "talk"])
    back.start()
    if looked:
        assert [one["name"] for one in page.get("/api/results").json()] == ["talk"]
    assert page.get(f"{TALK}/sound/0?v={version}").status_code == 200
    back.join()
    os.close(lock)


def test_a_result_that_a_killed_run_set_aside_is_not_there_until_it_is_settled(page, folder):
    assert page.get(TALK).status_code == 200
    aside, lock = hidden_folder(folder / "talk")
    (folder / "talk").rename(aside / "old")
    os.close(lock)
    assert page.get(TALK).status_code == 404
    settle_stale(folder / "talk", SEPARATION, lambda text: None)
    assert page.get(TALK).status_code == 200


@pytest.mark.parametrize("path", ["/sound/9", "/sound/-1", "/sound/x", "/outline/7", "/thumbnail/speaker_09", "/none"])
def test_what_is_not_there(page, path):
    assert page.get(TALK + path).status_code == 404


def test_the_video_is_sent_in_parts(page, folder):
    whole = (folder / "talk" / "speaker_00.mp4").read_bytes()
    part = page.get(f"{TALK}/video", headers={"range": "bytes=10-19"})
    assert (part.status_code, part.content) == (206, whole[10:20])
    assert part.headers["content-type"] == "video/mp4"


def test_files_are_downloaded_one_some_or_all(page, folder):
    one = page.get(f"{TALK}/file/speaker_01.wav")
    assert one.content == (folder / "talk" / "speaker_01.wav").read_bytes()
    assert 'filename="speaker_01.wav"' in one.headers["content-disposition"]
    some = page.get(f"{TALK}/archive", params={"file": ["residual.wav", "speaker_00.wav"]})
    assert zipfile.ZipFile(io.BytesIO(some.content)).namelist() == ["residual.wav", "speaker_00.wav"]
    (folder / "talk" / "notes.txt").write_text("mine")
    archive = zipfile.ZipFile(io.BytesIO(page.get(f"{TALK}/archive").content))
    assert archive.testzip() is None
    assert set(archive.namelist()) == set(os.listdir(folder / "talk")) - {"notes.txt"}
    assert archive.read("speaker_00.mp4") == (folder / "talk" / "speaker_00.mp4").read_bytes()


# The command


@pytest.mark.timeout(60)
def test_the_command_says_what_is_wrong(cli, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    code, _, error = cli("page", str(tmp_path / "file"))
    assert (code, "is not a folder" in error) == (1, True)
    code, _, error = cli("page", str(tmp_path / "none"))
    assert (code, "is not there" in error) == (1, True)
    result = make_result(tmp_path / "out" / "talk", seconds=0.5, video=False)
    code, _, error = cli("page", str(result))
    assert (code, f"avsep page {tmp_path / 'out'}" in error) == (1, True)
    code, _, error = cli("page", str(tmp_path), "--host", "0.0.0.0", "--token", "short", "--port", "0")
    assert (code, "--token has 5 characters" in error) == (2, True)
    monkeypatch.setitem(sys.modules, "starlette.applications", None)
    monkeypatch.delitem(sys.modules, "avsep.page.server")
    monkeypatch.delattr("avsep.page.server")
    code, _, error = cli("page", str(tmp_path))
    assert (code, "the page needs starlette: pip install 'avsep[page]'" in error) == (2, True)


def test_two_pages_on_one_port(cli, tmp_path):
    from avsep.page.server import listen

    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        code, _, error = cli("page", str(tmp_path), "--port", str(port))
    assert code == 1
    assert f"port {port} of 127.0.0.1 cannot be opened" in error
    assert "--port" in error


def test_manifest_of_the_factory_is_one_of_ours(talk_result):
    assert json.loads((talk_result / "manifest.json").read_text())["files"] == ["faces.json"]
