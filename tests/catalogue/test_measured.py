"""The packaged figures are what the kit finds, and docs/metrics.md is what its generator writes."""

from __future__ import annotations

import importlib.util
from dataclasses import asdict, replace
from pathlib import Path
from types import ModuleType

import pytest

from simbench.catalogue.measured import COSTS, Measured, measured_of
from simbench.registry import METRICS
from simbench.testing.measurement import measure, seconds_per_pair

DOCS = Path(__file__).parents[2] / "docs"
TIMED = ("seconds",)


@pytest.fixture
def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_metrics", DOCS / "make_metrics.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_is_what_the_generator_writes(generator: ModuleType) -> None:
    assert (DOCS / "metrics.md").read_text(encoding="utf-8") == generator.table(), "python docs/make_metrics.py"


def test_the_table_has_every_metric_once_under_its_family(generator: ModuleType) -> None:
    rows = [line.split("`")[1] for line in generator.table().splitlines() if line.startswith("| `")]
    assert sorted(rows) == sorted(metric.name for metric in generator.built_in())


@pytest.mark.parametrize("name", ["cka", "pwcca", "procrustes", "mutual_knn", "kl"])
def test_measuring_again_finds_the_same(name: str) -> None:
    kept, again = (asdict(found) for found in (measured_of(METRICS.get(name)), measure(METRICS.get(name))))
    for figure in again:
        if figure not in TIMED:
            assert again[figure] == (
                pytest.approx(kept[figure], rel=2e-3) if figure.startswith("null") else kept[figure]
            )


def test_another_version_has_no_figures() -> None:
    assert measured_of(METRICS.get("cka")) is not None
    assert measured_of(replace(METRICS.get("cka"), version=99)) is None


@pytest.mark.parametrize(
    ("seconds", "cost"), [(5e-5, "< 0.1 ms"), (1e-3, "1–10 ms"), (0.5, "0.1–1 s"), (70.0, "> 10 s")]
)
def test_a_cost_is_an_order_of_magnitude(seconds: float, cost: str) -> None:
    assert Measured("m@1", (), True, True, None, None, None, None, seconds).cost == cost


def test_what_has_no_value_has_no_cost() -> None:
    assert Measured("m@1", (), True, True, None, None, None, None, None).cost == ""
    assert [limit for limit, _ in COSTS] == sorted(limit for limit, _ in COSTS)


def test_a_matrix_product_costs_less_than_transporting_neurons() -> None:
    quick, slow = (seconds_per_pair(METRICS.get(name)) for name in ("cka", "partial_soft_matching"))
    assert quick is not None
    assert slow is not None
    assert 0 < quick < slow
