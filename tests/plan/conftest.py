"""A small suite, metrics of our own, and plans of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from simbench.metrics.metric import Metric
from simbench.plan.plan import Plan, make_plan
from simbench.suite.load import load_suite
from simbench.suite.schema import Suite

SUITE = """\
suite: planned
version: 1
probe: {dataset: digits, inputs: 100, spatial: positions, rows: 400, fit: {inputs: 200}}
models:
  net:
    architecture: {name: mlp, width: 8, depth: 3}
    train: {dataset: digits, epochs: 2, learning_rate: 0.01}
    seeds: [0, 1, 2]
tests:
  - {id: same, kind: identity, models: [net]}
  - {id: across, kind: correspondence, models: [net], distance: 2}
  - {id: turned, kind: invariance, models: [net], transforms: [orthogonal], layers: [block1]}
  - {id: rewritten, kind: distribution_invariance, models: [net], layers: [block2]}
  - {id: synthetic, kind: distribution_sensitivity, rho: [5.0], seeds: [0]}
"""


def strength_of_both(x: Any, y: Any, *, strength: float = 1.0) -> float:
    return strength


PLAIN = Metric(
    "plain", strength_of_both, higher_is_more_similar=True, pairs_inputs=False, version=1, parameters={"strength": 1.0}
)


@pytest.fixture
def plain() -> Metric:
    """A directed metric of two matrices with one parameter."""
    return PLAIN


@pytest.fixture
def symmetric() -> Metric:
    return replace(PLAIN, name="symmetric", symmetric=True)


@pytest.fixture
def learning() -> Metric:
    """A metric that learns a map on the fitting inputs."""
    return replace(PLAIN, name="learning", needs=frozenset({"fit"}))


@pytest.fixture
def at_head() -> Metric:
    return replace(PLAIN, name="at_head", level="head", needs=frozenset({"head"}))


@pytest.fixture
def all_metrics(plain: Metric, symmetric: Metric, learning: Metric, at_head: Metric) -> list[Metric]:
    return [plain, symmetric, learning, at_head]


@pytest.fixture
def suite_with(tmp_path: Path) -> Callable[..., Suite]:
    """The suite, with pieces of text replaced."""

    def load(*changes: tuple[str, str]) -> Suite:
        text = SUITE
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new)
        path = tmp_path / "planned.yaml"
        path.write_text(text)
        return load_suite(str(path))

    return load


@pytest.fixture
def plan(suite_with: Callable[..., Suite], all_metrics: list[Metric]) -> Plan:
    return make_plan(suite_with(), all_metrics)
