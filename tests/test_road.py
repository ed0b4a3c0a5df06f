"""From a corpus to a table in a paper: the commands of the README one after the other, on the synthetic corpus."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(folder: Path, *command: str) -> str:
    done = subprocess.run([sys.executable, "-m", *command], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.slow
def test_a_corpus_becomes_a_table(tmp_path: Path) -> None:
    run(tmp_path, "preprocessing.make_smoke", "data/smoke")
    lists = ("--faces", "--counts", "0,2,0", "--seconds", "1,2", "--workers", "1")
    run(tmp_path, "preprocessing.make_mixtures", "data/smoke/manifest.tsv", "data/lists", *lists)
    config = str(ROOT / "configs" / "audio_visual_smoke.yaml")
    limits = ("--trainer.max_epochs", "1", "--trainer.limit_train_batches", "3", "--trainer.limit_val_batches", "1")
    run(tmp_path, "avsep", "fit", "--config", config, *limits)
    checkpoint = next(tmp_path.rglob("last.ckpt"))
    run(tmp_path, "avsep", "export", str(checkpoint), "-o", "mine.safetensors")
    evaluate = (
        "data/lists/dev.tsv",
        "--model",
        "./mine.safetensors",
        "--oracle",
        "IRM",
        "--metrics",
        "si_sdr",
        "--json",
    )
    found = json.loads(run(tmp_path, "avsep", "evaluate", *evaluate, "-o", "table"))
    assert found
    with (tmp_path / "table" / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len({row["mixture"] for row in rows}) == 2
    assert (tmp_path / "table" / "si_sdri.png").is_file()
