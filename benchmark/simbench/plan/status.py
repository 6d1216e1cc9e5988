"""Status of a plan: which artifacts the store has, which are missing, and why."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from simbench.files import from_home, is_file
from simbench.models.model_record import CorruptError, read_record
from simbench.plan.obtainable import (
    layer_problems,
    layout_problems,
    model_problems,
    name_problems,
    network_problems,
    source_problems,
)
from simbench.plan.plan import Plan, PlannedActivations, PlannedModel
from simbench.results.record import ScoreRecord
from simbench.results.store import Store

State = Literal["cached", "missing", "failed"]


@dataclass(frozen=True)
class ItemStatus:
    """Status of one artifact of the plan."""

    name: str
    key: str
    state: State
    why: str


@dataclass(frozen=True)
class MetricStatus:
    """Status of one metric: how many scores are asked for, are in the store, and failed last time, and why."""

    metric: str
    total: int
    cached: int
    failed: int
    why: str


@dataclass(frozen=True)
class PlanStatus:
    """Status of all artifacts of a plan in a store."""

    models: tuple[ItemStatus, ...]
    activations: Counter[str]
    metrics: tuple[MetricStatus, ...]
    problems: tuple[str, ...] = ()
    """A line for everything that keeps models from being obtained, or layers from being read."""

    def to_dict(self) -> dict[str, Any]:
        """Return the status as plain data."""
        return {
            "models": [vars(model) for model in self.models],
            "activations": {"cached": self.activations["cached"], "missing": self.activations["missing"]},
            "metrics": [vars(metric) for metric in self.metrics],
            **({"problems": list(self.problems)} if self.problems else {}),
        }


def plan_status(plan: Plan, store: Store) -> PlanStatus:
    """Look up every artifact of a plan."""
    sources = source_problems(plan.suite)
    models = tuple(
        model_status(model, store, sources.get(model.ref)) for model in plan.models.values() if model.spec is not None
    )
    activations = Counter(
        "cached" if _is_stored(planned, store) else "missing" for planned in plan.activations.values()
    )
    metrics = tuple(
        metric_status(planned.metric.label, planned.scores, store.scores(planned.metric.identity))
        for planned in plan.metrics
    )
    problems = [*model_problems(plan.suite, sources), *layout_problems(plan.suite)]
    if "torch" in sys.modules:  # else to look at layers would take longer than to plan
        problems = [*network_problems(plan.suite), *name_problems(plan.suite), *problems, *layer_problems(plan.suite)]
    return PlanStatus(models, activations, metrics, tuple(problems))


def _is_stored(planned: PlannedActivations, store: Store) -> bool:
    keys = (planned.key,) if planned.whole else planned.keys
    return any(store.activations(key).is_file() for key in keys)


def model_status(model: PlannedModel, store: Store, problem: str | None = None) -> ItemStatus:
    """Return the status of a model; one that is loaded from a file is never in the store, and counts as cached.

    Unless it cannot be loaded, for which `problem` is the reason.
    """
    name, key = str(model.ref), model.key
    if model.spec is not None and model.spec.activations is not None:
        return ItemStatus(name, key, "cached", f"given as activations of {len(model.spec.layers or ())} layers")
    if model.spec is not None and model.spec.load is not None:
        weights = model.spec.weights(model.ref)
        if problem is not None:
            state: State = "failed" if is_file(from_home(weights)) else "missing"
            return ItemStatus(name, key, state, problem)
        return ItemStatus(name, key, "cached", f"loaded from {weights}")
    if store.has_model(key):
        try:
            read_record(store.model(key), key)
        except CorruptError as error:
            return ItemStatus(name, key, "missing", str(error))
        return ItemStatus(name, key, "cached", "its checkpoint is in the store")
    failure = store.failure("models", key)
    if failure is not None:
        return ItemStatus(name, key, "failed", f"failed last time: {failure}")
    return ItemStatus(name, key, "missing", "nothing with this key was ever made")


def metric_status(label: str, wanted: Mapping[str, object], stored: Mapping[str, ScoreRecord]) -> MetricStatus:
    """Return the status of a metric's scores."""
    settled = sum(1 for key in wanted if key in stored and stored[key].settled)
    failures = [stored[key] for key in wanted if key in stored and not stored[key].settled]
    if failures:
        why = f"{len(failures)} failed last time: {failures[0].reason}"
    elif settled == len(wanted):
        why = "all in the store"
    elif settled == 0:
        why = "no score of this metric and version on these comparisons"
    else:
        why = f"{len(wanted) - settled} comparisons are new"
    return MetricStatus(label, len(wanted), settled, len(failures), why)
