"""The notebooks of the documentation run, each in a kernel of its own."""

from __future__ import annotations

import os
from pathlib import Path

import jupytext
import pytest
from nbclient import NotebookClient
from tests.shared_runs import train_once

import simbench
from simbench.results.store import Store
from simbench.run.session import prepare

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.py"))
# Far more than a cell takes on a machine that is busy.
SECONDS = 300


@pytest.mark.trains
@pytest.mark.process
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, shared_store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = jupytext.read(path)
    if any('"quick"' in cell.source and "simbench.run" in cell.source for cell in notebook.cells):
        train_once(prepare("quick", ["cka"], suite_metrics=False), Store(shared_store))
    monkeypatch.setenv("SIMBENCH_STORE", str(shared_store))
    monkeypatch.setenv("PYTHONPATH", str(Path(simbench.__file__).parents[1]), prepend=os.pathsep)
    NotebookClient(
        notebook, timeout=SECONDS, kernel_name="python3", resources={"metadata": {"path": str(path.parent)}}
    ).execute()
    assert any(cell.get("outputs") for cell in notebook.cells)


def test_there_are_three_notebooks_without_outputs() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["own_activations", "own_metric", "reading_results"]
