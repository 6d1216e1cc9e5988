"""The metrics that a suite puts to the test."""

from __future__ import annotations

from collections.abc import Sequence

from simbench.metrics.metric import Metric
from simbench.metrics.resolve import MetricLike, gather_given, resolve_metrics, set_parameters
from simbench.registry import METRICS
from simbench.suite.schema import DEFAULT, Suite


def gather_metrics(suite: Suite, given: Sequence[MetricLike] = ()) -> list[Metric]:
    """Return the metrics that a suite declares, then those given, each once."""
    named = {choice.name for choice in suite.metrics}
    own: list[Metric] = []
    for choice in suite.metrics:
        if choice.name == DEFAULT:
            own += [metric for name, metric in METRICS if metric.default and name not in named]
        else:
            metrics = resolve_metrics([choice.name])
            own += [set_parameters(metric, choice.parameters) if choice.parameters else metric for metric in metrics]
    return list({metric.label: metric for metric in [*own, *gather_given(given)]}.values())
