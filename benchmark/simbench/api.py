"""Score two arrays without a suite: the function for notebooks and scripts."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

from simbench.errors import SimbenchError
from simbench.metrics.metric import Metric
from simbench.metrics.resolve import as_metric, resolve_metrics
from simbench.metrics.scoring import score_pairs
from simbench.parameters import checked_parameters
from simbench.representations.array_files import as_tensor
from simbench.representations.representation import Representation


class ScoreWarning(UserWarning):
    """Remark on a score: what to know before its value is believed, such as that too few rows force it."""


class ScoreValue(float):
    """Value of a metric on two representations: a number, and what came with it.

    It prints and computes as the number that it is; what is computed from it is a plain float.

    Attributes:
        metric: label of the metric.
        warnings: remarks, such as that too few rows force the value, or that it leaves the range that is declared.
        standard_error: standard error of the value, for metrics that give one.
        auxiliary: other numbers that came with the value, such as a p-value.
    """

    metric: str
    warnings: tuple[str, ...]
    standard_error: float | None
    auxiliary: Mapping[str, float]

    def __new__(
        cls,
        value: float,
        metric: str = "",
        warnings: tuple[str, ...] = (),
        standard_error: float | None = None,
        auxiliary: Mapping[str, float] | None = None,
    ) -> ScoreValue:
        """Make a value with what came with it."""
        made = super().__new__(cls, value)
        made.metric, made.warnings, made.standard_error = metric, warnings, standard_error
        made.auxiliary = dict(auxiliary or {})
        return made


def score(x: Any, y: Any, metric: str | Callable[..., Any] | Metric = "cka", **parameters: Any) -> ScoreValue:
    """Return the value of one metric on two representations of the same inputs.

    The value is a float; its `warnings` say what to know before it is believed, such as that too few rows force it.
    Each of them is also given as a Python warning, a `ScoreWarning`.

    Args:
        x: `(inputs, features)` as a NumPy array, a torch tensor or a `Representation`; 3-D `(inputs, tokens, features)`
            and 4-D `(inputs, channels, height, width)` arrays are read as activations with positions.
        y: as `x`; the number of features may differ.
        metric: a registered name, `file.py:attr`, `pkg.mod:attr`, a decorated function, any function of two matrices.
        parameters: the metric's parameters.

    Raises:
        SimbenchError: the metric, a parameter or an array is not valid; the message says why.

    >>> import numpy as np
    >>> x = np.random.default_rng(0).normal(size=(50, 4))
    >>> round(score(x, 2 * x + 1, "cka"), 6)
    1.0
    """
    chosen = _metric(metric)
    chosen = chosen.with_parameters({**chosen.parameters, **parameters})
    representations = [_representation(x, "x"), _representation(y, "y")]
    result = score_pairs(chosen, representations, [(0, 1)])[0]
    if result.status != "ok" or result.value is None:
        raise SimbenchError(f"{chosen.label}: {result.reason}")
    for remark in result.warnings:
        warnings.warn(f"{chosen.label}: {remark}", ScoreWarning, stacklevel=2)
    return ScoreValue(result.value, chosen.label, result.warnings, result.standard_error, result.auxiliary)


def _metric(metric: str | Callable[..., Any] | Metric) -> Metric:
    if isinstance(metric, str):
        resolved = resolve_metrics([metric])
        if len(resolved) != 1:
            names = ", ".join(candidate.name for candidate in resolved)
            raise SimbenchError(f"{metric} defines several metrics ({names}); name one of them")
        return resolved[0]
    registered = as_metric(metric)
    if registered is not None:
        return registered
    if not callable(metric):
        raise SimbenchError(f"a metric is a name or a function of two matrices; got {type(metric).__name__}")
    # The direction does not matter to a single value: only tests that order values read it.
    return Metric(
        getattr(metric, "__name__", type(metric).__name__),
        metric,
        higher_is_more_similar=True,
        parameters=checked_parameters(metric, {}),
    )


def _representation(array: Any, name: str) -> Representation:
    if isinstance(array, Representation):
        return array
    try:
        return Representation.from_array(as_tensor(array), name)
    except (TypeError, ValueError) as error:
        reason = str(error).removeprefix(f"{name}: ")
        raise SimbenchError(f"{name}: {reason}") from None
