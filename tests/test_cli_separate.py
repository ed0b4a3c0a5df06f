"""`avsep separate`, `faces`, `models` as commands: what they print where, what they write, how they end."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from fake_pipeline import fake_pipeline
from safetensors.numpy import save_file

from avsep.errors import InputError, OutputError

HEAVY = ("torch", "numpy", "av", "cv2", "rich", "scipy", "soundfile")


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_sound(tmp_path / "talk.wav")


def make_sound(path: Path, seconds: float = 2.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.1 * np.sin(np.arange(int(16000 * seconds)) * 0.1), 16000)
    return path


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch):
    """Put a fake pipeline in place; returns a function that makes another one."""

    def use(**settings):
        module = fake_pipeline(**settings)
        monkeypatch.setitem(sys.modules, "avsep.pipeline", module)
        return module

    return use


def files_below(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


# Help


def test_help_is_instant_it_and_usage_errors_import_nothing_heavy() -> None:
    program = f"""
import sys
from avsep.cli.main import main
for command in (["--help"], ["separate", "--help"], ["faces", "--help"], ["models", "--help"], ["evaluate", "--help"]):
    assert main(command) == 0, command
assert main(["separate"]) == 2
print([m for m in {HEAVY} if m in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.slow
def test_sound_alone_loads_neither_the_compiler_nor_what_faces_need(tmp_path: Path) -> None:
    """Each takes longer to load than a short clip to separate."""
    soundfile.write(tmp_path / "a.wav", 0.1 * np.random.default_rng(0).standard_normal(16000), 16000)
    program = """
import sys
from avsep.cli.main import main
assert main(["separate", "a.wav"]) == 0
print([name for name in ("torchvision", "torch._dynamo", "facenet_pytorch", "lightning") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.splitlines()[-1] == "[]"


# Results


def test_block_on_stdout_mode_on_stderr(cli, clip, pipeline) -> None:
    pipeline()
    code, out, err = cli("separate", clip)
    assert code == 0
    for part in (
        "separated/talk",
        "speaker_00.wav",
        "speaker_00.mp4",
        "0.4-1.5 s",
        "0.93",
        "the face is small",
        "residual.wav",
    ):
        assert part in out
    assert err == "avsep: talk.wav: audio-visual, 1 person\n"


def test_audio_only_says_why(cli, clip, pipeline) -> None:
    pipeline(mode="audio-only")
    _, _, err = cli("separate", clip)
    assert err == "avsep: talk.wav: audio-only (no video stream), 1 voice\n"


def test_json_is_one_document_and_nothing_else(cli, clip, pipeline) -> None:
    pipeline()
    second = make_sound(clip.parent / "ünïcode 日本.wav")
    code, out, _ = cli("separate", clip, second, "--json")
    manifests = json.loads(out)
    assert code == 0
    assert [m["input"]["path"] for m in manifests] == [str(clip), str(second)]
    assert manifests[0]["folder"] == "separated/talk"


def test_quiet_leaves_results_only(cli, clip, pipeline) -> None:
    pipeline()
    code, out, err = cli("separate", clip, "-q")
    assert (code, err) == (0, "")
    assert "speaker_00.wav" in out


def test_options_reach_the_separator(cli, clip, pipeline) -> None:
    module = pipeline()
    code, _, _ = cli(
        *(
            "separate",
            clip,
            "-o",
            "out",
            "--model",
            "m",
            "--speakers",
            3,
            "--audio-stream",
            0,
            "--start",
            0.5,
            "--end",
            1,
        ),
        *("--no-video", "--av-offset", "-0.12", "--device", "cpu", "--threads", 1, "--quality", "best"),
    )
    made, (path, output, options) = module.calls
    assert code == 0
    assert made == ("Separator", "m", "cpu", 1)
    assert (path, output) == (clip, Path("out"))
    assert (options.speakers, options.audio_stream, options.start, options.end) == (3, 0, 0.5, 1.0)
    assert (options.video, options.overwrite, options.av_offset) == (False, False, -0.12)
    assert options.quality == "best"


def test_the_number_of_speakers_is_auto_by_name_and_by_default(cli, clip, pipeline) -> None:
    module = pipeline()
    assert cli("separate", clip, "-o", "a", "--speakers", "auto")[0] == cli("separate", clip, "-o", "b")[0] == 0
    found = [call[2] for call in module.calls if call[0] == clip]
    assert [(options.speakers, options.voices) for options in found] == [("auto", None)] * 2


def test_videos_are_marked_when_asked_for(cli, clip, pipeline) -> None:
    module = pipeline()
    assert cli("separate", clip, "-o", "plain")[0] == cli("separate", clip, "--mark", "-o", "marked")[0] == 0
    assert [call[2].mark for call in module.calls if call[0] == clip] == [False, True]
    code, _, err = cli("separate", clip, "--mark", "--no-video")
    assert code == 2
    assert "argument --no-video: not allowed with argument --mark" in err


def test_one_separator_for_all_clips(cli, clip, pipeline) -> None:
    module = pipeline()
    cli("separate", clip, make_sound(clip.parent / "b.wav"))
    assert [c[0] for c in module.calls] == ["Separator", clip, clip.parent / "b.wav"]


def test_dry_run_says_what_would_be_done_and_writes_nothing(cli, clip, pipeline, weights) -> None:
    module = pipeline()
    before = files_below(clip.parent)
    code, out, _ = cli("separate", clip, "--dry-run", "--start", "0.5")
    assert code == 0
    for part in ("16000 Hz", "mono", "1.50 s", "separated/talk", "small-av", "audio-only"):
        assert part in out
    _, out, _ = cli("separate", clip, "--dry-run", "--json")
    assert json.loads(out)[0]["plan"]["audio"]["sample_rate"] == 16000
    assert files_below(clip.parent) == before
    assert not (clip.parent / "separated").exists()
    assert [call[0] for call in module.calls] == ["Separator", "check"] * 2


# Several clips


def test_same_name_is_refused_before_anything_starts(cli, clip, pipeline) -> None:
    module = pipeline()
    code, out, err = cli("separate", clip, make_sound(clip.parent / "other" / "talk.wav"))
    assert (code, out, module.calls) == (2, "", [])
    assert "both write the folder talk/" in err
    assert "different -o" in err


def test_all_clips_are_checked_before_the_first_is_decoded(cli, clip, pipeline) -> None:
    module = pipeline()
    code, _, err = cli("separate", clip, "missing.mp4", "gone.mp4")
    assert (code, module.calls) == (1, [])
    assert "missing.mp4" in err
    assert "gone.mp4" in err


def test_keep_going_separates_the_others_and_exits_1(cli, clip, pipeline) -> None:
    def fail_on_bad(path: Path) -> None:
        if path.stem == "bad":
            raise InputError(f"{path} broke. Mend it")

    pipeline(on_separate=fail_on_bad)
    bad = make_sound(clip.parent / "bad.wav")
    code, out, err = cli("separate", "missing.mp4", bad, clip, "--keep-going", "--json")
    results = json.loads(out)
    assert code == 1
    assert [r.get("error", "fine")[-14:] for r in results[1:]] == ["broke. Mend it", "fine"]
    assert results[0]["input"] == "missing.mp4"
    assert "avsep: error: " in err


def test_without_keep_going_the_first_failure_ends_it(cli, clip, pipeline) -> None:
    def fail(path: Path) -> None:
        raise InputError("broke. Mend it")

    module = pipeline(on_separate=fail)
    code, out, _ = cli("separate", clip, make_sound(clip.parent / "b.wav"), "--json")
    assert code == 1
    assert json.loads(out) == [{"input": str(clip), "error": "broke. Mend it"}]
    assert len(module.calls) == 2


# Output folders


def test_existing_output_needs_overwrite(cli, clip, pipeline) -> None:
    module = pipeline()
    assert cli("separate", clip)[0] == 0
    code, _, err = cli("separate", clip)
    assert code == 1
    assert "separated/talk: exists already" in err
    assert "--overwrite" in err
    assert cli("separate", clip, "--overwrite")[0] == 0
    assert len(module.calls) == 4


def test_names_that_overwrite_loses_are_told_before(cli, clip, pipeline) -> None:
    pipeline()
    assert cli("separate", clip)[0] == 0
    assert cli("name", "separated/talk", "speaker_00=Ann")[0] == 0
    told = "avsep: warning: separated/talk: is replaced, which loses the name Ann (speaker_00)\n"
    assert told not in cli("separate", clip)[2], "it is not replaced"
    for options in (("--dry-run",), ()):
        assert cli("separate", clip, "--overwrite", *options)[2].startswith(told)
    assert told not in cli("separate", clip, "--overwrite")[2], "there is no name any more"


def test_overwrite_leaves_foreign_folders_alone(cli, clip, pipeline) -> None:
    module = pipeline()
    (clip.parent / "talk").mkdir()
    (clip.parent / "talk" / "thesis.tex").write_text("years of work")
    code, _, err = cli("separate", clip, "-o", ".", "--overwrite")
    assert (code, module.calls) == (1, [])
    assert "was not written by avsep" in err
    assert (clip.parent / "talk" / "thesis.tex").exists()


def test_clip_inside_the_folder_it_would_replace(cli, clip, pipeline) -> None:
    pipeline()
    cli("separate", clip)
    inner = make_sound(clip.parent / "separated" / "talk" / "talk.wav")
    code, _, err = cli("separate", inner, "--overwrite")
    assert code == 1
    assert "lies in it" in err
    assert inner.exists()


@pytest.mark.parametrize("order", [1, -1])
def test_no_clip_lies_in_the_folder_of_another(cli, clip, pipeline, order: int) -> None:
    module = pipeline()
    cli("separate", clip)
    track = make_sound(clip.parent / "separated" / "talk" / "speaker_00.wav")
    clips = [clip, track][::order]
    code, _, err = cli("separate", *clips, "--overwrite")
    assert (code, len(module.calls)) == (1, 2)
    assert f"separated/talk: would be replaced, but the input {track} lies in it" in err
    code, _, _ = cli("separate", *clips, "--overwrite", "--keep-going")
    assert code == 1
    assert [call[0] for call in module.calls[2:]] == ["Separator", track]
    assert track.exists()


def test_weights_in_the_folder_that_would_be_replaced(cli, clip, pipeline) -> None:
    pipeline()
    cli("separate", clip)
    weights = clip.parent / "separated" / "talk" / "mine.safetensors"
    weights.touch()
    code, _, err = cli("separate", clip, "--overwrite", "--model", weights)
    assert code == 1
    assert f"the input {weights} lies in it" in err


@pytest.mark.parametrize("command", ["separate", "faces"])
@pytest.mark.parametrize("name", ["..mp4", "...mp4"])
def test_a_clip_without_a_name(cli, clip, pipeline, monkeypatch, command: str, name: str) -> None:
    module = pipeline()
    monkeypatch.setattr("avsep.media.decode.probe", lambda path, **span: FakeInfo())
    code, out, err = cli(command, clip.rename(clip.parent / name), "-o", "out", "--overwrite")
    assert (code, out, module.calls) == (2, "", [])
    assert err.endswith(
        f"/{name}: its name without the ending is {name[:-4]!r}, which names no folder. Rename the clip\n"
    )
    assert len(err.splitlines()) == 1


def test_the_library_replaces_no_foreign_folder_either(clip, tmp_path: Path) -> None:
    from avsep.pipeline import Options, Separator

    (tmp_path / "out" / "talk").mkdir(parents=True)
    (tmp_path / "out" / "talk" / "thesis.tex").write_text("years of work")
    with pytest.raises(OutputError, match="was not written by avsep"):
        Separator(device="cpu").faces(clip, tmp_path / "out", Options(overwrite=True))
    assert (tmp_path / "out" / "talk" / "thesis.tex").read_text() == "years of work"


# Endings


@pytest.mark.parametrize(("error", "code"), [(KeyboardInterrupt, 130), (ZeroDivisionError, 1)])
def test_endings(cli, clip, pipeline, error: type[BaseException], code: int) -> None:
    def fail(path: Path) -> None:
        raise error("oh dear")

    pipeline(on_separate=fail)
    got, _, err = cli("separate", clip)
    assert got == code
    assert "Traceback" not in err
    if code == 1:
        assert f"internal fault: {error.__name__}: oh dear. Run again with -v for the traceback" in err
        assert len(err.splitlines()) == 1
        assert "Traceback" in cli("separate", clip, "-v")[2]


def test_too_little_memory_is_no_fault_of_ours(cli, clip, pipeline) -> None:
    def fail(path: Path) -> None:
        raise MemoryError

    pipeline(on_separate=fail)
    code, _, err = cli("separate", clip)
    assert code == 1
    assert err.startswith("avsep: error: there is not enough memory for this.")
    assert len(err.splitlines()) == 1


def test_interrupted_json_has_the_clips_that_were_done(cli, clip, pipeline) -> None:
    def stop_at_b(path: Path) -> None:
        if path.stem == "b":
            raise KeyboardInterrupt

    pipeline(on_separate=stop_at_b)
    code, out, _ = cli("separate", clip, make_sound(clip.parent / "b.wav"), "--json")
    assert code == 130
    assert [m["input"]["path"] for m in json.loads(out)] == [str(clip)]


def test_reader_of_stdout_may_go_away(tmp_path: Path) -> None:
    program = (
        "from avsep.cli.terminal import Terminal; t = Terminal(); [t.result(str(i)) for i in range(99999)]; t.flush()"
    )
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; '{sys.executable}' -c '{program}' | head -1"], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n", "")


def test_separated_with_stdout_closed(cli, clip, pipeline, monkeypatch) -> None:
    pipeline()
    monkeypatch.setattr(sys, "stdout", None)
    code, out, err = cli("separate", clip)
    assert (code, out) == (0, "")
    assert err == "avsep: talk.wav: audio-visual, 1 person\n"
    assert (clip.parent / "separated" / "talk" / "manifest.json").exists()


# Other commands


def test_faces_prints_people_and_writes_beside(cli, clip, pipeline, monkeypatch) -> None:
    module = pipeline()
    monkeypatch.setattr("avsep.media.decode.probe", lambda path, **span: FakeInfo())
    code, out, _ = cli("faces", clip)
    assert code == 0
    assert "1 person" in out
    assert "0.0-2.0 s" in out
    assert "x 10-30, y 20-40" in out
    assert (clip.parent / "faces" / "talk" / "people.json").exists()
    assert cli("faces", clip)[0] == 1
    code, out, _ = cli("faces", clip, "--overwrite", "--json")
    assert json.loads(out)["people"][0]["id"] == "speaker_00"
    assert module.calls[-1][1] == Path("faces")


class FakeInfo:
    video = object()


def test_faces_of_a_sound_file(cli, clip, pipeline) -> None:
    pipeline()
    code, _, err = cli("faces", clip)
    assert code == 1
    assert "no video stream" in err
    assert "avsep separate" in err


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of bundled weights with one file that has a header and no more."""
    folder = tmp_path / "weights"
    folder.mkdir()
    card = {
        "name": "small-av",
        "class_path": "avsep.models.conv_tasnet.ConvTasNet",
        "init_args": {"sources": 2},
        "parameters": 1234567,
        "licence": "CC BY 4.0",
        "lineage": {"data": "GRID corpus"},
        "scores": {},
        "format": 1,
    }
    save_file({"weight": np.zeros(3, np.float32)}, folder / "small-av.safetensors", {"avsep": json.dumps(card)})
    monkeypatch.setattr("avsep.checkpoint.BUNDLED", folder)
    return folder


def test_models_lists_the_bundled_weights(cli, weights) -> None:
    code, out, _ = cli("models")
    assert code == 0
    for part in ("small-av", "1,234,567", "CC BY 4.0", "GRID corpus"):
        assert part in out
    assert "init args" not in out
    assert json.loads(cli("models", "--json")[1])[0]["licence"] == "CC BY 4.0"


def test_models_shows_one_in_full(cli, weights) -> None:
    for name in ("small-av", weights / "small-av.safetensors"):
        _, out, _ = cli("models", name)
        assert "init args" in out
        assert str(weights) in out
    assert json.loads(cli("models", "small-av", "--json")[1])["init_args"] == {"sources": 2}


def test_progress_for_programs_is_lines_of_json(cli, clip, pipeline) -> None:
    pipeline()
    code, _, err = cli("separate", clip, "-q", "--progress-json")
    lines = [json.loads(line) for line in err.splitlines()]
    assert code == 0
    assert lines == [
        {"clip": clip.name, "step": "faces", "completed": 1.0, "total": 2.0},
        {"clip": clip.name, "step": "separation", "completed": 2.0, "total": 2.0},
    ]
