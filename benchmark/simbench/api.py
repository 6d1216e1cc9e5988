"""Score two arrays without a suite: the function for notebooks and scripts."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from os import PathLike, fspath
from typing import Any

from torch import Tensor

from simbench.errors import SimbenchError
from simbench.metrics.kernels.memory import DEFAULT
from simbench.metrics.layer_pairs import LayerScores, LayerToScore, score_all_pairs
from simbench.metrics.metric import Metric
from simbench.metrics.resolve import as_metric, resolve_metrics
from simbench.metrics.scoring import score_pairs
from simbench.parameters import checked_parameters
from simbench.representations.array_layers import ArrayLayer, layers_of
from simbench.representations.array_pairs import ArrayPair, check_options, declared_layouts, read_layer, read_pair
from simbench.representations.layouts import DeclaredLayout
from simbench.representations.representation import Representation
from simbench.representations.tensors import as_tensor


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
        spatial: the rule by which positions became rows or columns; None where there are none.
        layouts: which axis of either array holds the features.
    """

    metric: str
    warnings: tuple[str, ...]
    standard_error: float | None
    auxiliary: Mapping[str, float]
    spatial: str | None = None
    layouts: tuple[str | None, ...] = ()

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


def score(
    x: Any,
    y: Any,
    metric: str | Callable[..., Any] | Metric = "cka",
    *,
    spatial: str | None = None,
    layout: str | Sequence[str] | None = None,
    **parameters: Any,
) -> ScoreValue:
    """Return the value of one metric on two representations of the same inputs.

    The value is a float; its `warnings` say what to know before it is believed, such as that too few rows force it.
    Each of them is also given as a Python warning, a `ScoreWarning`.

    Args:
        x: `(inputs, features)` as a NumPy array, a torch tensor or a `Representation`; or with positions, such as
            `(inputs, channels, height, width)` or `(inputs, tokens, features)`.
        y: as `x`; the number of features may differ.
        metric: a registered name, `file.py:attr`, `pkg.mod:attr`, a decorated function, any function of two matrices.
        spatial: what becomes of positions, as `probe.spatial` in a suite. `positions`, the default: each input is read
            at one position, drawn at random. `pool`: features are averaged over positions. `flatten`: every feature at
            every position is a column. `all`: every position of every input is a row.
        layout: which axis holds the features, where sizes do not tell it: `channels_first`, `channels_last` or
            `tokens`, for both arrays or a pair of them.
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
    pair = _pair((x, y), spatial, layout, sequences="sequence" in chosen.needs)
    result = score_pairs(chosen, pair.sides, [(0, 1)])[0]
    if result.status != "ok" or result.value is None:
        raise SimbenchError(f"{chosen.label}: {result.reason}")
    remarks = result.warnings
    if spatial is None and pair.spatial is not None and not isinstance(x, Representation):
        remarks = (*remarks, f"read {pair.reading}; say `spatial` to choose a rule")
    for remark in remarks:
        warnings.warn(f"{chosen.label}: {remark}", ScoreWarning, stacklevel=2)
    value = ScoreValue(result.value, chosen.label, remarks, result.standard_error, result.auxiliary)
    value.spatial, value.layouts = pair.spatial, pair.layouts
    return value


def score_layers(
    x: Any,
    y: Any,
    metric: str | Callable[..., Any] | Metric = "cka",
    *,
    spatial: str | None = None,
    layout: str | Sequence[str] | None = None,
    memory_limit: int = DEFAULT,
    **parameters: Any,
) -> LayerScores:
    """Return the scores of all layers of one network with all layers of another, on the same inputs.

    The matrix stands in `values`, the names of its rows and columns in `rows` and `columns`, and the most similar pair
    in `most_similar`, with those of every row and column in `most_similar_by_row` and `most_similar_by_column`. Pairs
    without a value are NaN, and stand with the reason in `problems`.

    Args:
        x: the layers of one network: a mapping of names to arrays as `score` takes them, a folder of array files, or a
            file of several arrays. Layers of a folder are in natural order (`block2` before `block10`).
        y: as `x`; of a directed metric, layers of `x` send and those of `y` receive.
        metric: as for `score`.
        spatial: as for `score`.
        layout: as for `score`; it holds for all layers of a network.
        memory_limit: bytes for what is read and prepared at a time. Files are mapped into memory.
        parameters: the metric's parameters.

    Raises:
        SimbenchError: the metric, a parameter or an option is not valid, or there are no layers.

    >>> import numpy as np
    >>> x = np.random.default_rng(0).normal(size=(50, 4))
    >>> scores = score_layers({"a": x, "b": x**2}, {"c": x + 1}, "cka")
    >>> scores.values.round(2).tolist(), scores.most_similar.row
    ([[1.0], [0.06]], 'a')
    """
    chosen = _metric(metric)
    chosen = chosen.with_parameters({**chosen.parameters, **parameters})
    check_options(spatial, layout)
    layouts = declared_layouts(layout)
    if layouts[0] == layouts[1] and (x is y or (isinstance(x, str | PathLike) and x == y)):
        rows = columns = _layers_to_score(x, "x", spatial, layouts[0], chosen)
    else:
        rows, columns = (
            _layers_to_score(source, name, spatial, declared, chosen)
            for source, name, declared in zip((x, y), ("x", "y"), layouts, strict=True)
        )
    return score_all_pairs(chosen, rows, columns, memory_limit)


def _layers_to_score(
    source: Any, name: str, spatial: str | None, layout: DeclaredLayout | None, metric: Metric
) -> list[LayerToScore]:
    def read(layer: ArrayLayer) -> Representation:
        array = layer.load()
        return read_layer(array, layer.name, spatial=spatial, layout=layout, sequences="sequence" in metric.needs)

    return [
        LayerToScore(layer.name, partial(read, layer), layer.numbers)
        for layer in layers_of(fspath(source) if isinstance(source, PathLike) else source, name)
    ]


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


def _pair(
    arrays: tuple[Any, Any], spatial: str | None, layout: str | Sequence[str] | None, *, sequences: bool
) -> ArrayPair:
    names = ("x", "y")
    given = [
        array if isinstance(array, Representation) else _tensor(array, name)
        for array, name in zip(arrays, names, strict=True)
    ]
    try:
        return read_pair(given, names, spatial=spatial, layout=layout, sequences=sequences)
    except ValueError as error:
        raise SimbenchError(str(error)) from None


def _tensor(array: Any, name: str) -> Tensor:
    try:
        return as_tensor(array)
    except (TypeError, ValueError) as error:
        raise SimbenchError(f"{name}: {error}") from None
