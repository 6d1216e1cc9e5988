"""Bundled suites with a few of their networks and metrics, and what is read off their runs."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from simbench.grading import lookup, stored_records
from simbench.references import Comparison, RepresentationRef
from simbench.results.store import Store
from simbench.run.session import RunResult, prepare
from simbench.suite.load import load_suite
from simbench.suite.schema import ModelSpec, Suite
from simbench.verdicts.verdict import Verdict


def reduced(name: str, metrics: Collection[str], *, seeds: int = 2, epochs: int | None = None) -> Suite:
    """Return the suite with the first seeds of every group, some of its metrics, and as many epochs, if given."""
    suite = load_suite(name)
    models = {group: _reduced(spec, seeds, epochs) for group, spec in suite.models.items()}
    chosen = [choice for choice in suite.metrics if choice.name in metrics]
    return suite.model_copy(update={"models": models, "metrics": chosen})


def _reduced(spec: ModelSpec, seeds: int, epochs: int | None) -> ModelSpec:
    train = spec.train if spec.train is None or epochs is None else spec.train.model_copy(update={"epochs": epochs})
    return spec.model_copy(update={"seeds": spec.seeds[:seeds], "train": train})


def verdict(result: RunResult, metric: str, test: str) -> Verdict:
    """Return the verdict of a metric, by its label."""
    return next(ranked.row.verdicts[test] for ranked in result.board.rows if ranked.row.metric.label == metric)


def grade(result: RunResult, metric: str, test: str) -> float:
    """Return the grade of a metric, which has to be there."""
    found = verdict(result, metric, test).grade
    assert found is not None
    return found


def profile(suite: Suite, store: Path, metric: str) -> list[float]:
    """Return the similarity of each layer of the first network of `cnn` with that layer of the second."""
    plan = prepare(suite)
    planned = next(one.metric for one in plan.metrics if one.metric.label == metric)
    scores = lookup(plan, planned, stored_records(plan, Store(store)))
    one, other = plan.groups["cnn"].models
    layers = plan.groups["cnn"].layers
    return [scores(Comparison(RepresentationRef(one, la), RepresentationRef(other, la))).value for la in layers]
