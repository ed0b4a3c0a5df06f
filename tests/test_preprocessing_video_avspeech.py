"""preprocessing.avspeech: pieces of online videos, fetched by a stand-in."""

from __future__ import annotations

import functools
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from talking_videos import FaceAt, write_video

from avsep.data.manifest import read_manifest
from avsep.errors import InputError
from preprocessing import avspeech
from preprocessing.avspeech import DeadLink, fetch_and_make, list_avspeech
from preprocessing.faces_corpus import make_clip, make_corpus

TRAIN = """\
AvWWVOgaMlk,90.000000,93.566667,0.2,0.5
AvWWVOgaMlk,120.5,124.0,0.8,0.5
-gone_id__1,0.0,3.0,0.5,0.5
"""
TEST = "tEsT-video_,7.000000,10.000000,0.5,0.05\nnet_trouble,1,4,0.2,0.5\n"


@dataclass
class Site:
    """A video site: one video for everybody, except for two ids."""

    video: Path
    asked: list[str]

    def __call__(self, piece: str, target: Path) -> None:
        self.asked.append(piece)
        if piece.startswith("-gone"):
            raise DeadLink("dead link: Video unavailable")
        if piece.startswith("net"):
            raise InputError("not fetched: timed out")
        shutil.copy(self.video, target)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "avspeech"
    folder.mkdir()
    (folder / "avspeech_train.csv").write_text(TRAIN)
    (folder / "avspeech_test.csv").write_text(TEST)
    return folder


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(write_video(tmp_path / "online.mp4"), [])


def run(corpus: Path, out: Path, site: Site, **options: bool) -> int:
    """All of the corpus, with two faces in every picture, left and right."""
    make = functools.partial(make_clip, out=out, detector=FaceAt(((0.2, 0.5), (0.8, 0.5))))
    work = functools.partial(fetch_and_make, make=make, fetch=site, out=out, **options)
    return make_corpus(list(list_avspeech(corpus, out / "videos", dev_share=0.0)), out, work)


def test_the_face_of_the_list_is_followed_and_dead_links_are_recorded(tmp_path: Path, corpus: Path, site: Site) -> None:
    out = tmp_path / "out"
    assert run(corpus, out, site) == 2
    rows = read_manifest(out / "manifest.tsv")
    assert [(r.id, r.speaker, r.split) for r in rows] == [
        ("train/AvWWVOgaMlk/90.000000", "AvWWVOgaMlk", "train"),
        ("train/AvWWVOgaMlk/120.5", "AvWWVOgaMlk", "train"),
    ]
    # The pictures are dark on the left and bright on the right.
    light = []
    for row in rows:
        assert row.lips is not None
        with np.load(row.lips) as arrays:
            light.append(arrays["lips"].mean())
    assert light[0] + 50 < light[1]
    lines = (out / "skipped.tsv").read_text().splitlines()[1:]
    reasons = dict(line.split("\t") for line in lines)
    assert reasons["train/-gone_id__1/0.0"] == "dead link: Video unavailable"
    assert reasons["test/net_trouble/1"] == "not fetched: timed out"
    assert "no face at (0.5, 0.05)" in reasons["test/tEsT-video_/7.000000"]
    assert not list((out / "videos").iterdir()), "a video stayed behind"

    site.asked.clear()
    assert run(corpus, out, site) == 2
    assert site.asked == ["net_trouble_1_4"], "asked again for what is made or hopeless"
    assert (out / "skipped.tsv").read_text().splitlines()[1:] == lines
    site.asked.clear()
    assert run(corpus, out, site, retry=True) == 2
    assert len(site.asked) == 3


def test_videos_that_are_kept_are_not_fetched_again(tmp_path: Path, corpus: Path, site: Site) -> None:
    out = tmp_path / "out"
    assert run(corpus, out, site, keep=True) == 2
    kept = sorted(f.name for f in (out / "videos").iterdir())
    assert "AvWWVOgaMlk_90.000000_93.566667.mp4" in kept
    assert len(kept) == 3
    shutil.rmtree(out / "train")
    site.asked.clear()
    assert run(corpus, out, site, keep=True) == 2
    assert not [piece for piece in site.asked if piece.startswith("AvWW")]


@pytest.mark.parametrize(
    "line", ["AvWWVOgaMlk,90.0,93.5,0.5", "id,9,3,0.5,0.5", "../up,1,3,0.5,0.5", "YouTube ID,start,end,X,Y"]
)
def test_a_bad_row_is_named(tmp_path: Path, corpus: Path, capsys: pytest.CaptureFixture[str], line: str) -> None:
    (corpus / "avspeech_train.csv").write_text(TRAIN + line + "\n")
    assert avspeech.main([str(corpus), str(tmp_path / "out")]) == 1
    message = capsys.readouterr().err
    assert "avspeech_train.csv, line 4: expected YouTube id, start, end, x, y" in message
    assert line in message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("tool", "message"), [("yt_dlp", "avsep[avspeech]"), ("ffmpeg", "ffmpeg is not installed")])
def test_a_missing_tool_is_named(
    tmp_path: Path,
    corpus: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tool: str,
    message: str,
) -> None:
    monkeypatch.setattr(avspeech.importlib.util, "find_spec", lambda name: None if name == tool else object())
    monkeypatch.setattr(avspeech.shutil, "which", lambda name: None)
    assert avspeech.main([str(corpus), str(tmp_path / "out")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("ERROR: [youtube] abc: Video unavailable. This video has been removed by the uploader", DeadLink),
        ("ERROR: [youtube] abc: Private video. Sign in if you've been granted access", DeadLink),
        ("ERROR: [youtube] abc: Sign in to confirm you're not a bot", InputError),
        ("\x1b[0;31mERROR:\x1b[0m [generic] Unable to download webpage: timed out", InputError),
    ],
)
def test_what_the_downloader_says_tells_dead_from_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, kind: type
) -> None:
    yt_dlp = pytest.importorskip("yt_dlp")

    def fail(self: object, urls: list[str]) -> None:
        assert urls == ["https://www.youtube.com/watch?v=a_b-c"]
        raise yt_dlp.utils.DownloadError(said)

    monkeypatch.setattr(yt_dlp.YoutubeDL, "download", fail)
    with pytest.raises(InputError) as caught:
        avspeech.fetch_piece("a_b-c_1.5_3", tmp_path / "a.mp4")
    assert type(caught.value) is kind
    assert "\x1b" not in str(caught.value)
    assert "ERROR" not in str(caught.value)
    assert not list(tmp_path.iterdir())
