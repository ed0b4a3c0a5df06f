"""Everything a user can get wrong: the exit code, a message with what, where and what next, and nothing written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from media_factory import damage, tone, write_media
from safetensors.numpy import save_file

from avsep.cli import models
from avsep.cli.main import main


def grid(seconds: float) -> np.ndarray:
    return np.arange(0, seconds, 0.04)


@pytest.fixture(scope="session")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds of sound and picture, without a face."""
    return write_media(tmp_path_factory.mktemp("media") / "good.mp4", sound=tone(2.0), times=grid(2.0))


def assert_clean_failure(result: tuple[int, str, str], folder: Path, *parts: str, code: int = 1) -> None:
    got, out, err = result
    assert got == code, err
    assert out == ""
    assert err.startswith("avsep: error: ")
    assert "Traceback" not in err
    assert "internal fault" not in err
    for part in parts:
        assert part in err, f"{part!r} not in: {err}"
    assert not (folder / "separated").exists()


# Inputs


def missing(folder: Path) -> Path:
    return folder / "missing.mp4"


def directory(folder: Path) -> Path:
    (folder / "folder.mp4").mkdir()
    return folder / "folder.mp4"


def empty(folder: Path) -> Path:
    (folder / "empty.mp4").touch()
    return folder / "empty.mp4"


def text(folder: Path) -> Path:
    (folder / "text.mp4").write_text("This is not a film.\n" * 50)
    return folder / "text.mp4"


def truncated(folder: Path) -> Path:
    path = write_media(folder / "truncated.mp4", sound=tone(2.0), times=grid(2.0))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def without_sound(folder: Path) -> Path:
    return write_media(folder / "mute.mp4", times=grid(1.0))


def no_samples(folder: Path) -> Path:
    soundfile.write(folder / "nothing.wav", np.zeros(0), 16000)
    return folder / "nothing.wav"


def not_a_number(folder: Path) -> Path:
    return float_wav(folder / "nan.wav", np.nan)


def infinite(folder: Path) -> Path:
    return float_wav(folder / "inf.wav", -np.inf)


def float_wav(path: Path, bad: float) -> Path:
    samples = tone(2.0)[0]
    samples[20000] = bad
    soundfile.write(path, samples, 16000, subtype="FLOAT")
    return path


BAD_INPUTS: list[tuple[Callable[[Path], Path], list[str]]] = [
    (missing, ["no such file", "Check the name"]),
    (directory, ["is a folder", "Name the files"]),
    (empty, ["is empty (0 bytes)", "again"]),
    (text, ["holds text", "Give a video or audio file"]),
    (truncated, ["is incomplete", "again"]),
    (without_sound, ["no audio stream", "Give a file with sound"]),
    (no_samples, ["no samples (0 s)", "another file"]),
]


@pytest.mark.parametrize(("make", "parts"), BAD_INPUTS, ids=lambda v: getattr(v, "__name__", None))
def test_bad_input(cli, tmp_path: Path, make: Callable[[Path], Path], parts: list[str]) -> None:
    path = make(tmp_path)
    assert_clean_failure(cli("separate", path), tmp_path, str(path), *parts)
    assert_clean_failure(cli("faces", path), tmp_path, str(path), *parts)


@pytest.mark.parametrize("make", [not_a_number, infinite])
def test_samples_that_are_no_numbers(cli, tmp_path: Path, make: Callable[[Path], Path]) -> None:
    path = make(tmp_path)
    assert_clean_failure(cli("separate", path), tmp_path, str(path), "1.250 s", "Export it again")


@pytest.mark.slow
def test_corrupt_frames_in_the_middle_are_passed_over(cli, tmp_path: Path) -> None:
    path = write_media(tmp_path / "corrupt.mkv", sound=tone(4.0), times=grid(4.0))
    damage(path, 0.45, 0.1)
    code, out, err = cli("separate", path, "--no-video")
    assert code == 0, err
    assert "warning" in out
    assert (tmp_path / "separated" / "corrupt" / "residual.wav").exists()


def test_start_after_the_end(cli, good: Path, tmp_path: Path) -> None:
    assert_clean_failure(cli("separate", good, "--start", "99"), tmp_path, "--start 99", "2.0", "Choose a start")


# Models


def test_unknown_model(cli, good: Path, tmp_path: Path) -> None:
    assert_clean_failure(cli("separate", good, "--model", "nonesuch"), tmp_path, "nonesuch", "Bundled:")
    assert_clean_failure(cli("models", "nonesuch"), tmp_path, "nonesuch", "Bundled:")


def test_missing_weights_file(cli, good: Path, tmp_path: Path) -> None:
    assert_clean_failure(cli("separate", good, "--model", "./mine.safetensors"), tmp_path, "mine.safetensors")


def foreign_weights(folder: Path) -> Path:
    save_file({"w": np.zeros(3, np.float32)}, folder / "foreign.safetensors")
    return folder / "foreign.safetensors"


def damaged_weights(folder: Path) -> Path:
    (folder / "damaged.safetensors").write_bytes(np.random.default_rng(0).bytes(5000))
    return folder / "damaged.safetensors"


def pickle_weights(folder: Path) -> Path:
    (folder / "pickle.safetensors").write_bytes(b"\x80\x04\x95" + bytes(100))
    return folder / "pickle.safetensors"


@pytest.mark.parametrize("make", [foreign_weights, damaged_weights, pickle_weights])
def test_weights_that_are_not_ours(cli, good: Path, tmp_path: Path, make: Callable[[Path], Path]) -> None:
    path = make(tmp_path)
    assert_clean_failure(cli("separate", good, "--model", path), tmp_path, str(path))
    assert_clean_failure(cli("separate", good, "--model", path, "--dry-run"), tmp_path, str(path))
    assert_clean_failure(cli("models", path), tmp_path, str(path))


# Output


def test_output_below_a_file(cli, good: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("a file")
    assert_clean_failure(cli("separate", good, "-o", "file"), tmp_path, "file is not a folder", "-o")


def test_output_where_nothing_can_be_made(cli, good: Path, tmp_path: Path) -> None:
    assert_clean_failure(cli("separate", good, "-o", "/proc/avsep"), tmp_path, "/proc", "-o")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_output_without_permission(cli, good: Path, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o555)
    assert_clean_failure(cli("separate", good, "-o", "locked"), tmp_path, "locked", "-o")


def test_output_exists(cli, good: Path, tmp_path: Path) -> None:
    (tmp_path / "out" / "good").mkdir(parents=True)
    assert_clean_failure(cli("separate", good, "-o", "out"), tmp_path, "out/good", "exists", "--overwrite")
    assert list((tmp_path / "out" / "good").iterdir()) == []


@pytest.mark.slow
def test_disk_full(tmp_path: Path) -> None:
    """A limit on file size fails a write just as a full disk does, and needs no disk."""
    program = (
        "import resource, signal, sys; from avsep.cli.main import main;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, resource.RLIM_INFINITY));"
        "sys.exit(main(sys.argv[1:]))"
    )
    sound = write_media(tmp_path / "sound.mka", sound=tone(4.0))
    done = subprocess.run(
        [sys.executable, "-c", program, "separate", sound], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 1, done.stderr
    assert "cannot be written" in done.stderr or "disk is full" in done.stderr
    assert "free some space" in done.stderr.lower()
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == [sound]


def test_disk_really_full(cli, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    sound = write_media(tmp_path / "sound.mka", sound=tone(4.0))
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", disk], capture_output=True).returncode:
        pytest.skip("only root can mount a small disk")
    try:
        assert_clean_failure(cli("separate", sound, "-o", disk), tmp_path, str(disk), "ree some space")
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", disk], check=True)


# Wrong usage


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ([], "COMMAND"),
        (["seperate", "x.mp4"], "seperate"),
        (["separate"], "CLIP"),
        (["separate", "x.mp4", "--speakers", "0"], "'0' is not a whole number >= 1, nor auto"),
        (["separate", "x.mp4", "--quality", "good"], "invalid choice: 'good' (choose from"),
        (["separate", "x.mp4", "--speakers", "two"], "'two' is not a whole number >= 1, nor auto"),
        (["separate", "x.mp4", "--threads", "-2"], "'-2' is not a whole number >= 1"),
        (["separate", "x.mp4", "--audio-stream", "-1"], "'-1' is not a whole number >= 0"),
        (["separate", "x.mp4", "--start", "-1"], "'-1' is not a number >= 0"),
        (["separate", "x.mp4", "--start", "nan"], "'nan' is not a number"),
        (["separate", "x.mp4", "--end", "1m"], "'1m' is not a number"),
        (["separate", "x.mp4", "--av-offset", "inf"], "'inf' is not a number"),
        (["separate", "x.mp4", "--start", "5", "--end", "3"], "--end 3 is not after --start 5"),
        (["separate", "x.mp4", "--device", "tpu"], "tpu"),
        (["separate", "x.mp4", "--no-vid"], "--no-vid"),
        (["separate", "x.mp4", "-v", "-q"], "not allowed with"),
        (["separate", "a/x.mp4", "b/x.mkv"], "both write the folder x/"),
        (["faces"], "CLIP"),
    ],
)
def test_wrong_usage_is_2(cli, tmp_path: Path, arguments: list[str], part: str) -> None:
    assert_clean_failure(cli(*arguments), tmp_path, part, code=2)


def test_audio_stream_that_is_not_there(cli, good: Path, tmp_path: Path) -> None:
    assert_clean_failure(
        cli("separate", good, "--audio-stream", "3"), tmp_path, "--audio-stream 3", "allowed: 0", code=2
    )


# Interruptions


def test_a_signal_that_a_library_swallows_comes_again(monkeypatch, capsys) -> None:
    caught = []

    def swallow_and_go_on(args, terminal) -> int:
        for _ in range(2):
            try:
                os.kill(os.getpid(), signal.SIGTERM)
                time.sleep(10)
            except BaseException as error:
                caught.append(type(error).__name__)
        time.sleep(10)
        return 0

    monkeypatch.setattr(models, "run", swallow_and_go_on)
    assert main(["models"]) == 143
    assert caught == ["_Terminated"] * 2
    assert "terminated" in capsys.readouterr().err
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_ctrl_c_while_a_library_runs_a_string(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "from avsep.cli import models\n\n\n"
        "def run(args, terminal):\n    exec('raise KeyboardInterrupt')\n\n\n"
        "models.run = run\n"
    )
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    got = subprocess.run(
        [sys.executable, "-m", "avsep", "models"], env=environment, capture_output=True, text=True, timeout=120
    )
    assert (got.returncode, got.stdout) == (130, ""), got.stderr
    assert "interrupted" in got.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_signals_leave_nothing_half_written(tmp_path: Path, number: int, code: int, word: str) -> None:
    write_media(tmp_path / "clip.mka", sound=tone(30.0))
    process = subprocess.Popen(
        [sys.executable, "-m", "avsep", "separate", "clip.mka"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background jobs ignore Ctrl-C, and what they start does, too.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        while not list(tmp_path.glob("separated/.*")):  # the hidden folder: it is at work now
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.05)
    except BaseException:
        process.kill()
        raise
    process.send_signal(number)
    out, err = process.communicate()
    assert (process.returncode, out) == (code, ""), err
    assert word in err
    assert "Traceback" not in err
    assert [p.name for p in tmp_path.iterdir()] == ["clip.mka"]
