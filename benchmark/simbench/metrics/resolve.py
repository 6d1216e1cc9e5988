"""Metrics by reference: a registered name, or the location of a user's own metric."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import yaml

from simbench.errors import SimbenchError
from simbench.metrics.metric import ATTRIBUTE, Metric
from simbench.parameters import ParameterError
from simbench.registry import METRICS, import_reference
from simbench.suite.names import is_group, is_location, names_in_group

# A name, a location, a `Metric`, or a function decorated with `@simbench.metric`.
MetricLike = str | Metric | Callable[..., Any]

HOW_TO_REGISTER = "decorate a function with @simbench.metric(...)"


def resolve_metrics(references: Sequence[str]) -> list[Metric]:
    """Return the metrics that `references` name, each once, in order.

    A reference is a registered name, `all`, `default`, `family:CKA`, `file.py` or `pkg.mod` (every metric defined
    there), `file.py:attr` or `pkg.mod:attr`; each may be followed by parameters, as labels are: `svcca(variance=0.9)`.
    """
    metrics: dict[str, Metric] = {}
    for reference in references:
        name, parameters = _split(reference)
        for metric in _resolve(name):
            chosen = set_parameters(metric, {**metric.parameters, **parameters}) if parameters else metric
            metrics.setdefault(chosen.label, chosen)
    return list(metrics.values())


def without(metrics: Sequence[Metric], excluded: Sequence[str]) -> list[Metric]:
    """Return the metrics but those that `excluded` names: by name or label, by file, or all of a family.

    Raises:
        UnknownNameError: nothing is called so.
    """
    names: set[str] = set()
    for reference in excluded:
        labels = {metric.label for metric in metrics}
        if reference in labels:
            names.add(reference)
        elif is_group(reference):
            names.update(names_in_group(reference))
        elif is_location(reference) and reference not in METRICS:
            names.update(metric.name for metric in resolve_metrics([reference]))
        else:
            names.add(METRICS.get(reference).name)
    return [metric for metric in metrics if metric.name not in names and metric.label not in names]


def as_metric(component: Any) -> Metric | None:
    """Return the metric that `@metric` attached to a function or class, or a metric itself; None for anything else."""
    if isinstance(component, Metric):
        return component
    attached = getattr(component, ATTRIBUTE, None)
    return attached if isinstance(attached, Metric) else None


def gather_given(given: Sequence[MetricLike]) -> list[Metric]:
    """Return the metrics given by name, by location or as functions, each once."""
    # Anew, since of a notebook the identity follows from what its functions are now.
    metrics = [replace(metric) for reference in given for metric in _given(reference)]
    return list({metric.label: metric for metric in metrics}.values())


def _given(reference: MetricLike) -> list[Metric]:
    if isinstance(reference, str):
        return resolve_metrics([reference])
    metric = as_metric(reference)
    if metric is None:
        raise SimbenchError(f"{reference!r} is not a metric; {HOW_TO_REGISTER}")
    return [metric]


def set_parameters(metric: Metric, parameters: Mapping[str, Any]) -> Metric:
    """Return the metric with these parameters, or wrapped; raise `SimbenchError` that names it and every bad one."""
    try:
        return metric.with_parameters(parameters)
    except ParameterError as error:
        raise SimbenchError(f"metric {metric.name}: {error}") from None


def _split(reference: str) -> tuple[str, dict[str, Any]]:
    """Split a reference into the name and the parameters in brackets behind it: YAML, but for the `=`.

    >>> _split("cka(calibrate={permutations: 200}, minibatch=64)")
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
    if is_group(reference):
        yield from (METRICS.get(name) for name in names_in_group(reference))
        return
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
