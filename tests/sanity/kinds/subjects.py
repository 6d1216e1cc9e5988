"""Metrics that are nothing but their declarations: what a test kind is told of whom it asks."""

from __future__ import annotations

from typing import Any

from simbench.metrics.metric import Metric


def _no_function(x: object, y: object) -> float:
    raise AssertionError("a test kind looks at scores, never at a metric's function")


# Written-down scores know no shuffled rows: tests of the pairing gate declare that a metric pairs inputs.
_declared: dict[str, Any] = {
    "pairs_inputs": False,
    "higher_is_more_similar": True,
    "symmetric": True,
    "value_range": (0.0, 1.0),
}
AT_LAYERS = Metric("of_layers", _no_function, **_declared)
AT_HEAD = Metric("of_heads", _no_function, level="head", **_declared)
