"""Metrics that are functions of sums over rows, taken from a few rows at a time.

Each metric declares how sums give its score: `from_sums`, by `kernels.moments`, which has the mathematics.

Memory is that of R, (d_x + d_y)² numbers, and one minibatch; the time is that of a QR decomposition for every pair,
about 4 n (d_x + d_y)² operations when a minibatch has as many rows as there are columns, and more when it has fewer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from simbench.bounds import Inputs
from simbench.errors import SimbenchError
from simbench.lazy import lazy_import
from simbench.metrics.isolation import guarded
from simbench.metrics.kernels.cross_products import unordered
from simbench.metrics.kernels.moments import ROW_NORMS, Moments, accumulated
from simbench.metrics.metric import Metric, Pairs, Score
from simbench.metrics.wrappers.base import WrappedMetric, Wrapper, wrapped, wrapper
from simbench.registry import METRICS

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from simbench.representations.representation import Representation
else:
    torch = lazy_import("torch")


@wrapper("minibatch", short="rows")
def in_minibatches(metric: Metric, setting: str, *, rows: Inputs) -> WrappedMetric:
    """Compute a metric from `rows` rows at a time: the same values to rounding error, in any order of the minibatches.

    Refused, by a `SimbenchError`, for a metric that is no function of sums over rows.
    """
    if metric.from_sums is None:
        supported = ", ".join(sorted(name for name, each in METRICS if each.from_sums is not None))
        raise SimbenchError(f"{metric.name} is no function of sums over rows; those that are: {supported}")
    return wrapped(Minibatches(metric, rows), "minibatched@1", setting, {"minibatch": {"rows": rows}})


@dataclass(frozen=True)
class Minibatches(Wrapper):
    """Scores from the triangular factor of all rows."""

    rows: int

    def prepare(self, representation: Representation, **_: Any) -> Tensor:
        """Return the matrix as it is stored: nothing of its size is made."""
        return representation.matrix

    def compare_many(self, prepared: Sequence[Tensor], pairs: Pairs, **_: Any) -> list[Score | float]:
        """Score many pairs, each from one pass over the rows, which serves both directions."""
        scores: dict[int, Score | float] = {}
        unique, back = unordered(pairs)
        for position, (a, b) in enumerate(unique):
            moments = accumulated(
                prepared[a], prepared[b], self.rows, norms=getattr(self.metric.from_sums, ROW_NORMS, False)
            )
            for k in (k for k, where in enumerate(back) if where == position):
                scores[k] = self._score(moments if pairs[k] == (a, b) else moments.exchanged())
        return [scores[k] for k in range(len(pairs))]

    def _score(self, moments: Moments) -> Score | float:
        assert self.metric.from_sums is not None
        from_sums = guarded(self.metric, self.metric.from_sums)
        score: Score | float = from_sums(self.metric.function, moments, self.metric.parameters)
        return score
