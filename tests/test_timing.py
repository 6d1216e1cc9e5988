"""What a score cost is what its metric did: neither the loading of what it compares nor an import is in it."""

from __future__ import annotations

import builtins
import importlib
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from simbench.metrics.metric import Metric
from simbench.references import Comparison, ModelRef, RepresentationRef
from simbench.representations.representation import Representation
from simbench.results.record import ScoreRecord
from simbench.run.tasks import ScoreBlock, score_block
from simbench.timing import without_imports

PAUSE = 0.3


@pytest.fixture
def slow_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module that takes `PAUSE` to import, half of it in a module that it imports."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "slowly_read_part.py").write_text(f"import time\ntime.sleep({PAUSE / 2})\n")
    (tmp_path / "slowly_read.py").write_text(f"import slowly_read_part\nimport time\ntime.sleep({PAUSE / 2})\n")
    for name in ("slowly_read", "slowly_read_part"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    importlib.invalidate_caches()
    return "slowly_read"


def test_imports_are_left_out_and_all_else_is_counted(slow_module: str) -> None:
    started = time.perf_counter()
    with without_imports() as elapsed:
        time.sleep(PAUSE / 3)
        import slowly_read  # type: ignore[import-not-found]  # noqa: F401
    assert time.perf_counter() - started >= 4 / 3 * PAUSE
    assert PAUSE / 3 <= elapsed.seconds < PAUSE


def test_the_import_statement_is_left_as_it_was_whatever_happens() -> None:
    before = builtins.__import__
    with pytest.raises(ModuleNotFoundError), without_imports() as elapsed:
        import no_module_of_this_name  # type: ignore[import-not-found]  # noqa: F401
    assert builtins.__import__ is before
    assert elapsed.seconds >= 0


def scored(metric: Metric, load_seconds: float) -> list[ScoreRecord]:
    """The records of a block of two comparisons whose representations take `load_seconds` each to load."""
    refs = [RepresentationRef(ModelRef("net", seed), "block") for seed in range(3)]
    comparisons = {f"key{place}": Comparison(refs[place], refs[place + 1]) for place in range(2)}

    def obtain(ref: RepresentationRef, metric: Metric) -> Representation:
        time.sleep(load_seconds)
        generator = torch.Generator().manual_seed(ref.model.seed)
        return Representation(torch.randn(10, 3, generator=generator), layer=ref.layer)

    materials: Any = SimpleNamespace(
        store=SimpleNamespace(write_block=lambda records: None), suite=SimpleNamespace(title="t"), time_limit=60.0
    )
    return score_block(materials, ScoreBlock(metric, comparisons, {ref: str(ref) for ref in refs}, {}, "here"), obtain)


def test_the_seconds_of_a_score_are_those_of_the_metric(slow_module: str) -> None:
    def pausing(x: torch.Tensor, y: torch.Tensor) -> float:
        import slowly_read  # noqa: F401

        time.sleep(PAUSE / 10)
        return float((x * y).mean())

    records = scored(Metric("pausing", pausing, higher_is_more_similar=True), load_seconds=PAUSE)
    assert [record.status for record in records] == ["ok", "ok"]
    assert all(PAUSE / 10 <= record.seconds < PAUSE / 3 for record in records)
