"""Metrics by reference: a registered name, or where a user's own metric stands."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from simbench.errors import SimbenchError
from simbench.metrics.metric import ATTRIBUTE, Metric
from simbench.registry import METRICS, import_reference
from simbench.suite.names import is_location
from simbench.suite.schema import DEFAULT, Suite

MetricLike = str | Metric | Callable[..., Any]
"""A name, a location, a `Metric`, or a function decorated with `@simbench.metric`."""

HOW_TO_REGISTER = "decorate a function with @simbench.metric(...)"


def resolve_metrics(references: Sequence[str]) -> list[Metric]:
    """The metrics that `references` name, each once, in order.

    A reference is a registered name, `file.py` or `pkg.mod` (every metric defined there), `file.py:attr` or
    `pkg.mod:attr`.
    """
    found: dict[str, Metric] = {}
    for reference in references:
        for metric in _resolve(reference):
            found.setdefault(metric.name, metric)
    return list(found.values())


def as_metric(component: Any) -> Metric | None:
    """The metric that `@metric` attached to a function or class, or the metric itself; None for anything else."""
    if isinstance(component, Metric):
        return component
    attached = getattr(component, ATTRIBUTE, None)
    return attached if isinstance(attached, Metric) else None


def gather_metrics(suite: Suite, given: Sequence[MetricLike] = ()) -> list[Metric]:
    """The metrics that a suite declares, then those given, each once."""
    named = {choice.name for choice in suite.metrics}
    own: list[Metric] = []
    for choice in suite.metrics:
        if choice.name == DEFAULT:
            own += [metric for name, metric in METRICS if metric.default and name not in named]
        else:
            found = resolve_metrics([choice.name])
            own += [one.with_parameters(choice.parameters) if choice.parameters else one for one in found]
    extra = [metric for one in given for metric in _given(one)]
    return list({metric.label: metric for metric in [*own, *extra]}.values())


def _given(one: MetricLike) -> list[Metric]:
    if isinstance(one, str):
        return resolve_metrics([one])
    metric = as_metric(one)
    if metric is None:
        raise SimbenchError(f"{one!r} is not a metric; {HOW_TO_REGISTER}")
    return [metric]


def _resolve(reference: str) -> Iterator[Metric]:
    # The look-up loads the built-in metrics first, so that a user's metric of the same name is reported as the second.
    if reference in METRICS or not is_location(reference):
        yield METRICS.get(reference)
        return
    module, attribute = import_reference(reference)
    if attribute is not None:
        metric = as_metric(getattr(module, attribute))
        if metric is None:
            raise SimbenchError(f"{reference} is not a metric; {HOW_TO_REGISTER}")
        yield metric
        return
    defined = [metric for _, metric in METRICS if metric.origin.module == module.__name__]
    if not defined:
        raise SimbenchError(f"{reference} defines no metric; {HOW_TO_REGISTER}")
    yield from defined
