"""From a corpus to a table in a paper: the commands of the README one after the other, on the synthetic corpus."""

import csv
import json
from pathlib import Path

import pytest

from preprocessing import make_mixtures, make_smoke

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_a_corpus_becomes_a_table(tmp_path: Path, cli, one_thread) -> None:
    def avsep(*arguments: str) -> str:
        code, out, err = cli(*arguments)
        assert code == 0, f"{arguments}\n{out}\n{err}"
        return out

    assert make_smoke.main(["data/smoke", "--songs", "4"]) == 0
    lists = ["--faces", "--counts", "0,2,0", "--seconds", "1,2", "--workers", "1"]
    assert make_mixtures.main(["data/smoke/manifest.tsv", "data/lists", *lists]) == 0
    config = str(ROOT / "configs" / "audio_visual_smoke.yaml")
    limits = ("--trainer.max_epochs", "1", "--trainer.limit_train_batches", "3", "--trainer.limit_val_batches", "1")
    avsep("fit", "--config", config, *limits)
    checkpoint = next(tmp_path.rglob("last.ckpt"))
    avsep("export", str(checkpoint), "-o", "mine.safetensors")
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
    found = json.loads(avsep("evaluate", *evaluate, "-o", "table"))
    assert found
    with (tmp_path / "table" / "results.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len({row["mixture"] for row in rows}) == 2
    assert (tmp_path / "table" / "si_sdri.png").is_file()
