"""The notebooks run from top to bottom, and are stored without what they print."""

from __future__ import annotations

from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
SHORTER = {
    "03_train_on_a_small_corpus": {
        "epochs = 12\n": "epochs = 1\n",
        '"data/smoke")\n': '"data/smoke", "--utterances", 2, "--seconds", 2)\n',
        '"--trainer.max_epochs", epochs)\n': '"--trainer.max_epochs", epochs, "--data.init_args.epoch_items", 40)\n',
    }
}
"""What is changed for the test, where the reader's run takes minutes."""

LONGEST_CELL = 25
"""Lines."""


def read(path: Path):
    return nbformat.read(path, as_version=4)


def test_all_are_there() -> None:
    assert [path.stem[:3] for path in NOTEBOOKS] == ["01_", "02_", "03_", "col"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_stored_without_outputs(path: Path) -> None:
    notebook = read(path)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert len(cell.source.splitlines()) <= LONGEST_CELL, cell.source
        if cell.cell_type == "code":
            assert not cell.outputs
            assert cell.execution_count is None
    assert str(ROOT) not in path.read_text(encoding="utf-8")
    assert set(notebook.metadata) == {"kernelspec", "language_info"}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_links_lead_somewhere(path: Path) -> None:
    import re

    for cell in read(path).cells:
        for target in re.findall(r"\]\(([^)#]+)\)", cell.source) if cell.cell_type == "markdown" else []:
            assert (path.parent / target).exists(), target


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an empty folder, which stays empty: a reader's copy of the repository is not littered."""
    nbclient = pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    pytest.importorskip("matplotlib")
    notebook = read(path)
    for old, new in SHORTER.get(path.stem, {}).items():
        (cell,) = (cell for cell in notebook.cells if old in cell.source + "\n")
        cell.source = (cell.source + "\n").replace(old, new)
    for cell in notebook.cells:
        if "colab" in cell.metadata.get("tags", []):  # installs, uploads or downloads
            cell.source = "uploaded = []"
    (tmp_path / "here").mkdir()
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    resources = {"metadata": {"path": str(tmp_path / "here")}}
    nbclient.NotebookClient(notebook, timeout=800, kernel_name="python3", resources=resources).execute()
    shown = [o.get("data", {}) for c in notebook.cells for o in c.get("outputs", [])]
    if path.stem == "colab":
        assert sum("image/jpeg" in data for data in shown) == 2
        assert sum("<audio" in data.get("text/html", "") for data in shown) == 3
    else:
        assert sum("image/png" in data for data in shown) >= 3
    assert not list((tmp_path / "here").iterdir())
