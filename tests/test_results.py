"""A result folder read back, changed, and what is refused."""

from __future__ import annotations

import json
import threading

import pytest

from avsep.errors import InputError, UsageError
from avsep.results.change import change_result, rename_tracks
from avsep.results.handwork import handwork
from avsep.results.result import Span, read_result


@pytest.fixture
def folder(tmp_path):
    def entry(number: int, kind: str = "person", **more):
        name = f"speaker_{number:02d}"
        return {"id": name, "kind": kind, "label": None, "audio": f"{name}.wav", "speaking": []} | more

    content = {
        "format": 1,
        "avsep_version": "0.1.0",
        "input": {"path": "talk.mp4", "duration_seconds": 8.0, "audio": {"sample_rate": 16000, "channels": 1}},
        "tracks": [
            entry(0, box=[1, 2, 3, 4], speaking=[{"start_seconds": 1.0, "end_seconds": 8.001}]),
            entry(1, "voice"),
            {"id": "source_00", "kind": "sound", "label": "rain", "audio": "source_00.wav"},
        ],
        "speakers": [],
        "residual": "residual.wav",
    }
    (tmp_path / "talk").mkdir()
    (tmp_path / "talk" / "manifest.json").write_text(json.dumps(content))
    return tmp_path / "talk"


def rewritten(folder, **changes):
    file = folder / "manifest.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_a_result_is_read(folder):
    result = read_result(folder)
    assert [track.id for track in result.tracks] == ["speaker_00", "speaker_01", "source_00"]
    first, second, sound = result.tracks
    assert first.speaking == (Span(1.0, 8.0),), "spans end with the clip"
    assert second.speaking == ()
    assert sound.speaking is None
    assert not sound.is_voice
    assert (first.name, sound.name) == ("speaker_00", "rain")
    assert result.track("rain") is sound


def test_an_unknown_track_is_told_with_those_there_are(folder):
    with pytest.raises(InputError, match=r"no track 'Ann'. There are: speaker_00, speaker_01, source_00 \(rain\)"):
        read_result(folder).track("Ann")


def test_no_result(tmp_path):
    with pytest.raises(InputError, match="is not there"):
        read_result(tmp_path / "none")
    with pytest.raises(InputError, match=r"no manifest\.json"):
        read_result(tmp_path)


@pytest.mark.parametrize(
    "damage",
    [
        {"format": "1"},
        {"tracks": [{"id": "../x", "kind": "voice", "audio": "a.wav"}]},
        {"tracks": [{"id": "x", "kind": "voice", "audio": "/etc/passwd"}]},
        {"tracks": [{"id": "x", "kind": "ghost", "audio": "x.wav"}]},
        {"tracks": [{"id": "x", "kind": "voice", "audio": "x.wav", "speaking": [{"start_seconds": 2}]}]},
        {
            "tracks": [
                {
                    "id": "x",
                    "kind": "voice",
                    "audio": "x.wav",
                    "speaking": [{"start_seconds": float("nan"), "end_seconds": 1}],
                }
            ]
        },
        {"tracks": 7},
        {"input": {}},
        {"residual": ["x"]},
    ],
)
def test_a_damaged_manifest_is_one_clear_error(folder, damage):
    rewritten(folder, **damage)
    with pytest.raises(InputError, match=r"manifest\.json: is damaged"):
        read_result(folder)


def test_names_stay_in_tracks_and_speakers(folder):
    result = rename_tracks(folder, {"speaker_00": " Ann  Lee ", "speaker_01": "Bob"})
    assert [track.label for track in result.tracks] == ["Ann Lee", "Bob", "rain"]
    assert [entry["label"] for entry in result.manifest["speakers"]] == ["Ann Lee", "Bob"]
    exchanged = rename_tracks(folder, {"Ann Lee": "Bob", "Bob": "Ann Lee"})
    assert [track.label for track in exchanged.tracks][:2] == ["Bob", "Ann Lee"]
    assert rename_tracks(folder, {"Bob": None}).tracks[0].label is None


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"speaker_00": "A\nB\x1b"}, "not a name"),
        ({"speaker_00": "x" * 101}, "not a name"),
        ({"speaker_00": "Ann", "speaker_01": "Ann"}, "would both be called 'Ann'"),
    ],
)
def test_bad_names_change_nothing(folder, names, message):
    before = (folder / "manifest.json").read_bytes()
    with pytest.raises(UsageError, match=message):
        rename_tracks(folder, names)
    assert (folder / "manifest.json").read_bytes() == before


def test_sounds_have_no_names(folder):
    with pytest.raises(InputError, match="source_00 is a sound"):
        rename_tracks(folder, {"source_00": "Ann"})


def test_two_writers_lose_nothing(folder):
    def add(key: str) -> None:
        for number in range(20):
            change_result(folder, lambda content, _, n=number: content.update({f"{key}{n}": n}))

    threads = [threading.Thread(target=add, args=(key,)) for key in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    manifest = read_result(folder).manifest
    assert all(manifest[f"{key}{n}"] == n for key in "ab" for n in range(20))


def test_the_command_names_tracks(cli, folder):
    code, out, err = cli("name", folder, "speaker_00=Ann Lee", "speaker_01=Bob = B.")
    assert (code, err) == (0, "")
    assert out == "speaker_00  Ann Lee\nspeaker_01  Bob = B.\nsource_00  rain\n"
    code, out, _ = cli("name", folder, "Ann Lee=", "--json")
    assert code == 0
    assert [entry["label"] for entry in json.loads(out)["tracks"]] == [None, "Bob = B.", "rain"]


@pytest.mark.parametrize(
    ("given", "code", "message"),
    [
        (["speaker_00=Ann", "speaker_00=Bob"], 2, "speaker_00 is given two names, 'Ann' and 'Bob'. Give one"),
        (["speaker_00=Ann", "speaker_01=Ann"], 2, "would both be called 'Ann'. Choose another name"),
        (["speaker_07=Ann"], 1, "there is no track 'speaker_07'. There are: speaker_00, speaker_01, source_00 (rain)"),
        (["rain=Ann"], 1, "source_00 is a sound, and only people have names"),
        (["Ann"], 2, "'Ann' names no track; give TRACK=NAME, such as speaker_00=Ann"),
        (["=Ann"], 2, "'=Ann' names no track"),
        ([], 2, "the following arguments are required: TRACK=NAME"),
    ],
)
def test_the_command_tells_what_cannot_be_named(cli, folder, given, code, message):
    before = (folder / "manifest.json").read_bytes()
    found, out, err = cli("name", folder, *given)
    assert (found, out) == (code, "")
    assert message in err
    assert (folder / "manifest.json").read_bytes() == before


def test_the_command_needs_a_result(cli, tmp_path):
    code, _, err = cli("name", tmp_path / "none", "speaker_00=Ann")
    assert code == 1
    assert "is not there. Give a folder that avsep separate wrote" in err


@pytest.mark.parametrize(
    ("names", "more", "told"),
    [
        ({}, {}, ""),
        ({"speaker_00": "Ann"}, {}, "the name Ann (speaker_00)"),
        (
            {"speaker_00": "Ann", "speaker_01": "Bob"},
            {"changes": [{"change": "merged"}, {"change": "split"}]},
            "the names Ann (speaker_00), Bob (speaker_01) and 2 changes of people or spans",
        ),
        ({"speaker_00": "Ann"}, {"choice": {"targets": [{"label": "Ann"}]}}, ""),
        ({"speaker_00": "Ann"}, {"changes": 7, "choice": [], "options": "turns"}, "the name Ann (speaker_00)"),
        ({"speaker_00": "Ann"}, {"options": {"turns": "gone.rttm"}}, "the name Ann (speaker_00)"),
    ],
)
def test_what_was_done_by_hand(folder, names, more, told):
    rename_tracks(folder, names)
    rewritten(folder, **more)
    assert handwork(folder) == told


def test_names_by_options_are_no_handwork(folder, tmp_path):
    def know(content, result):
        content["tracks"][0]["identity"] = {"name": "Ann"}

    rename_tracks(change_result(folder, know).folder, {"speaker_00": "Ann", "speaker_01": "Bob"})
    turns = tmp_path / "talk.rttm"
    turns.write_text("SPEAKER talk 1 0.0 1.0 <NA> <NA> Bob <NA> <NA>\n")
    rewritten(folder, options={"turns": str(turns)})
    assert handwork(folder) == ""
    rename_tracks(folder, {"speaker_00": "Anna"})
    assert handwork(folder) == "the name Anna (speaker_00)", "the library took her for somebody else"
    (folder / "manifest.json").write_text("{")
    assert handwork(folder) == ""
