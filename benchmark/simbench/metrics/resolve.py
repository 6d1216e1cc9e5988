"""Metrics by reference: a registered name, or where a user's own metric stands."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import yaml

from simbench.errors import SimbenchError
from simbench.metrics.metric import ATTRIBUTE, Metric
from simbench.parameters import ParameterError
from simbench.registry import METRICS, import_reference
from simbench.suite.names import is_location
from simbench.suite.schema import DEFAULT, Suite

MetricLike = str | Metric | Callable[..., Any]
"""A name, a location, a `Metric`, or a function decorated with `@simbench.metric`."""

HOW_TO_REGISTER = "decorate a function with @simbench.metric(...)"


def resolve_metrics(references: Sequence[str]) -> list[Metric]:
    """The metrics that `references` name, each once, in order.

    A reference is a registered name, `file.py` or `pkg.mod` (every metric defined there), `file.py:attr` or
    `pkg.mod:attr`; each may be followed by parameters, as labels are: `svcca(variance=0.9)`.
    """
    found: dict[str, Metric] = {}
    for reference in references:
        name, parameters = _with_parameters(reference)
        for metric in _resolve(name):
            chosen = _set(metric, {**metric.parameters, **parameters}) if parameters else metric
            found.setdefault(chosen.label, chosen)
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
            own += [_set(one, choice.parameters) if choice.parameters else one for one in found]
    return list({metric.label: metric for metric in [*own, *gather_given(given)]}.values())


def gather_given(given: Sequence[MetricLike]) -> list[Metric]:
    """The metrics given by name, location or as functions, each once."""
    found = [metric for one in given for metric in _given(one)]
    return list({metric.label: metric for metric in found}.values())


def _given(one: MetricLike) -> list[Metric]:
    if isinstance(one, str):
        return resolve_metrics([one])
    metric = as_metric(one)
    if metric is None:
        raise SimbenchError(f"{one!r} is not a metric; {HOW_TO_REGISTER}")
    return [metric]


def _set(metric: Metric, parameters: Mapping[str, Any]) -> Metric:
    try:
        return metric.with_parameters(parameters)
    except ParameterError as error:
        raise SimbenchError(f"metric {metric.name}: {error}") from None


def _with_parameters(reference: str) -> tuple[str, dict[str, Any]]:
    """The name, and the parameters in brackets behind it: YAML, but for the `=`.

    >>> _with_parameters("cka(calibrate={permutations: 200}, minibatch=64)")
    ('cka', {'calibrate': {'permutations': 200}, 'minibatch': 64})
    """
    match = re.fullmatch(r"([^()]+)\((.*)\)", reference)
    if match is None:
        return reference, {}
    try:
        parameters = yaml.safe_load(f"{{{re.sub(r'=', ': ', match[2])}}}")
    except yaml.YAMLError:
        raise SimbenchError(f"{reference}: parameters are written as name(parameter=value, …)") from None
    return match[1], {str(name): value for name, value in parameters.items()}


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
