"""What the machine does to a run - names, limits, memory - is told in one line, and is no fault of ours."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from media_factory import tone, write_media

from avsep.checkpoint import find_weights
from avsep.cli import models
from avsep.cli.main import main
from avsep.data import order
from avsep.errors import UsageError, WeightsError


def failure(cli, *arguments: object, code: int = 1) -> str:
    got, out, err = cli(*arguments)
    assert (got, out) == (code, ""), err
    assert err.startswith("avsep: error: ")
    assert "internal fault" not in err
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize("length", [300, 5000])
def test_names_that_no_file_has(cli, tmp_path: Path, length: int) -> None:
    clip, name = write_media(tmp_path / "a.wav", sound=tone(1.0), sound_codec="pcm_s16le"), "a" * length
    assert "too long" in failure(cli, "separate", f"{name}.mp4")
    assert "too long" in failure(cli, "separate", clip, "-o", name)
    assert "too long" in failure(cli, "faces", f"{name}.mp4")
    assert "too long" in failure(cli, "models", f"./{name}.safetensors")
    with pytest.raises(WeightsError, match="no weights file"):
        find_weights(f"./{name}.safetensors")
    failure(cli, "evaluate", f"{name}.tsv", "x")


@pytest.mark.parametrize("number", ["99999999999999999999", "4097", "0", "9" * 5000])
def test_more_threads_than_any_machine_has(cli, number: str) -> None:
    assert "--threads" in failure(cli, "separate", "a.wav", "--threads", number, code=2)


@pytest.mark.parametrize(
    ("error", "part"),
    [
        (MemoryError(), "not enough memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9"), "memory"),
        (RuntimeError("worker (pid 9) is killed: insufficient shared memory (shm)"), "too little shared memory"),
        (ImportError("libtorch_cpu.so: failed to map segment from shared object"), "a library cannot be loaded"),
        (OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), "x" * 300), "File name too long"),
        (OSError(errno.ESTALE, os.strerror(errno.ESTALE), b"\xff"), "\\udcff: "),
    ],
    ids=["memory", "allocator", "shared", "library", "name", "bytes"],
)
def test_what_the_machine_refuses(cli, monkeypatch: pytest.MonkeyPatch, error: Exception, part: str) -> None:
    def run(*_: object) -> int:
        raise error

    monkeypatch.setattr(models, "run", run)
    assert part in failure(cli, "models")


def test_other_errors_are_still_faults_of_ours(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for error in (ImportError("cannot import name 'x' from 'avsep'"), OSError("odd"), KeyError("x")):

        def run(*_: object, error: Exception = error) -> int:
            raise error

        monkeypatch.setattr(models, "run", run)
        assert main(["models"]) == 1
        assert "internal fault" in capsys.readouterr().err


def test_workers_without_shared_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(order.multiprocessing, "Lock", nowhere)
    assert order.training_loader([0, 1], 1, 2).num_workers == 0  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"no.* \(.*Read-only file system\).*--data.init_args.workers 0"):
        order.training_loader([0, 1], 1, 2, workers=1)  # type: ignore[arg-type]


@pytest.mark.slow
def test_an_address_space_that_holds_no_library(tmp_path: Path) -> None:
    clip = write_media(tmp_path / "a.wav", sound=tone(1.0), sound_codec="pcm_s16le")

    def separate(mebibytes: int) -> subprocess.CompletedProcess[str]:
        size = mebibytes * 2**20
        return subprocess.run(
            [sys.executable, "-m", "avsep", "separate", str(clip), "--dry-run"],
            capture_output=True, text=True, cwd=tmp_path, timeout=300,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (size, size)),
        )  # fmt: skip

    # What torch takes differs from build to build.
    done = next((done for size in (1024, 768, 512, 384) if (done := separate(size)).returncode), None)
    if done is None:
        pytest.skip("this build of torch fits into 384 MiB of address space")
    assert done.returncode == 1
    assert done.stderr.startswith("avsep: error: ")
    assert "internal fault" not in done.stderr
    assert done.stderr.count("\n") == 1


HOURS = 2


@pytest.mark.slow
def test_hours_of_sound_are_read_in_the_memory_of_a_second(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).standard_normal(60 * 16_000) * 0.01
    with soundfile.SoundFile(tmp_path / "hours.flac", "w", 16_000, 1) as file:
        for _ in range(HOURS * 60):
            file.write(noise)
    script = (
        "import resource, sys\nfrom pathlib import Path\nfrom avsep.media.decode import probe, read_audio\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))\n"
        "clip = probe(Path('hours.flac'))\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "blocks = read_audio(clip, sys.exit)\nnext(blocks)\nbefore = peak()\n"
        "print(sum(block.samples.shape[1] for block in blocks) + 16_000, peak() - before)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=300
    )
    samples, more = map(int, done.stdout.split())
    assert samples == HOURS * 3600 * 16_000
    assert more < 20_000  # KiB; the whole would take 450,000
