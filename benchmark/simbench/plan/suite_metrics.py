"""The metrics that a suite puts to the test."""

from __future__ import annotations

from collections.abc import Sequence

from simbench.metrics.metric import Metric
from simbench.metrics.resolve import MetricLike, gather_given, resolve_metrics, set_parameters, without
from simbench.suite.names import is_group
from simbench.suite.schema import EXCEPT, Suite


def gather_metrics(suite: Suite, given: Sequence[MetricLike] = ()) -> list[Metric]:
    """Return the metrics that a suite declares, then those given, each once."""
    named = {choice.name for choice in suite.metrics}
    own: list[Metric] = []
    for choice in suite.metrics:
        parameters = {name: value for name, value in choice.parameters.items() if name != EXCEPT}
        metrics = resolve_metrics([choice.name])
        if is_group(choice.name):
            excluded = choice.parameters.get(EXCEPT, ())
            metrics = without([metric for metric in metrics if metric.name not in named], excluded)
        own += [set_parameters(metric, parameters) if parameters else metric for metric in metrics]
    return list({metric.label: metric for metric in [*own, *gather_given(given)]}.values())
