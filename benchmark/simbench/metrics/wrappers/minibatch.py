"""Metrics that are functions of sums over rows, taken from a few rows at a time.

What these metrics ask of X and Y are the means and the products X̃ᵀX̃, X̃ᵀỸ and ỸᵀỸ of the centred matrices. One pass
over the rows keeps the triangular factor R of the QR decomposition of [1 X Y], to which the next rows are added by

    [R; 1 X_b Y_b] = Q R′.

The first column takes the means, so that what is right of it and below its row, (R_x R_y), has exactly the products of
the centred matrices, in d_x + d_y rows. The metric's own function is then given (R_x R_y), rotated so that its columns
have mean 0: no formula is written twice. Unlike the sums Σxxᵀ themselves, R does not square the condition number: a
direction of 1e-6 of the first keeps ten digits, and canonical correlations are exact where the full computation is.

Debiased CKA also asks for Σ‖x̃‖²‖ỹ‖². The squared norms ‖x̃ᵢ‖² = ‖xᵢ‖² − 2μᵀxᵢ + ‖μ‖² are combinations of the columns of
[1 X ‖x‖²], so with two more columns R has their products, too.

Memory is that of R, (d_x + d_y)² numbers, and one minibatch; the time is that of a QR decomposition for every pair,
about 4 n (d_x + d_y)² operations when a minibatch has as many rows as there are columns, and more when it has fewer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from simbench.errors import NotApplicable, SimbenchError
from simbench.lazy import lazy_import
from simbench.metrics.kernels.hsic import hsic1_of_sums, self_scale
from simbench.metrics.kernels.linear_algebra import rounding_cut, unordered
from simbench.metrics.metric import Metric, Pairs, Score
from simbench.metrics.wrappers.base import WrappedMetric, Wrapper, wrapped
from simbench.registry import METRICS

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from simbench.representations.representation import Representation
else:
    torch = lazy_import("torch")

OF_PRODUCTS = (
    "cka",
    "cka_angular",
    "ensd",
    "nbs",
    "procrustes",
    "procrustes_squared",
    "procrustes_angular",
    "procrustes_size_shape",
)
OF_SPANS = (
    "cca",
    "cca_squared",
    "svcca",
    "pwcca",
    "subspace_angles",
    "shape_linear",
    "linear_regression",
    "gulp",
    "decoding_similarity",
)
"""These leave out directions that are only rounding error, which is a question of how the numbers were stored."""
OF_ROW_NORMS = "cka_debiased"
SUPPORTED = (*OF_PRODUCTS, *OF_SPANS, OF_ROW_NORMS)


def in_minibatches(metric: Metric, setting: str, *, rows: Annotated[int, Field(ge=1)]) -> WrappedMetric:
    """`metric` from `rows` rows at a time: the same values to rounding error, whatever the order of the minibatches.

    Refused, by a `SimbenchError`, for a metric that is no function of sums over rows.
    """
    if metric.name not in SUPPORTED or METRICS.get(metric.name).function is not metric.function:
        known = ", ".join(sorted(SUPPORTED))
        raise SimbenchError(f"{metric.name} is no function of sums over rows; those that are: {known}")
    return wrapped(Minibatches(metric, rows), "minibatched@1", setting, {"minibatch": {"rows": rows}})


@dataclass(frozen=True)
class Minibatches(Wrapper):
    """Scores from the triangular factor that is left of all rows."""

    rows: int

    def prepare(self, representation: Representation, **_: Any) -> Tensor:
        """The matrix as it is stored: nothing of its size is made."""
        return representation.matrix

    def compare_many(self, prepared: Sequence[Tensor], pairs: Pairs, **_: Any) -> list[Score | float]:
        """The scores of many pairs, each from one pass over the rows, which serves both directions."""
        scores: dict[int, Score | float] = {}
        unique, back = unordered(pairs)
        for position, (a, b) in enumerate(unique):
            moments = accumulated(prepared[a], prepared[b], self.rows, norms=self.metric.name == OF_ROW_NORMS)
            for k in (k for k, where in enumerate(back) if where == position):
                scores[k] = self._score(moments if pairs[k] == (a, b) else moments.exchanged())
        return [scores[k] for k in range(len(pairs))]

    def _score(self, moments: Moments) -> Score | float:
        if self.metric.name == OF_ROW_NORMS:
            return _debiased_cka(moments)
        x, y = (moments.condensed(side, spanning=self.metric.name in OF_SPANS) for side in (0, 1))
        parameters = dict(self.metric.parameters)
        if self.metric.name == "gulp":  # whose penalty is relative to the number of rows
            parameters["ridge"] *= moments.rows / len(x)
        score: Score | float = self.metric.function(x, y, **parameters)
        return score


@dataclass(frozen=True)
class Moments:
    """Of two matrices with `rows` rows: the factor of [1 X Y], or of [1 X Y ‖x‖² ‖y‖²], and which columns are whose.

    All is relative to the first rows, `origins`, so that a large mean costs no digits.
    """

    factor: Tensor
    columns: tuple[slice, slice]
    origins: tuple[Tensor, Tensor]
    types: tuple[torch.dtype, torch.dtype]
    rows: int

    def exchanged(self) -> Moments:
        """Y and X."""
        return Moments(self.factor, self.columns[::-1], self.origins[::-1], self.types[::-1], self.rows)

    def mean(self, side: int) -> Tensor:
        """The mean of one side's columns, (features,), relative to its origin."""
        return self.factor[0, self.columns[side]] / self.factor[0, 0]

    def centred(self, side: int) -> Tensor:
        """R_x or R_y, with the products of the centred sides."""
        return self.factor[1:, self.columns[side]]

    def condensed(self, side: int, *, spanning: bool) -> Tensor:
        """A matrix of few rows, with column means 0 and the products of the centred side.

        A `spanning` one has no directions that are only rounding error of the numbers as they were stored.
        """
        x = self.centred(side)
        if spanning:
            left, values, right = torch.linalg.svd(x, full_matrices=False)
            mean = self.mean(side) + self.origins[side]
            kept = values > rounding_cut((self.rows, x.shape[1]), self.types[side], float(values[0]), mean)
            x = (left[:, kept] * values[kept]) @ right[kept]
        # A reflection that carries the first axis to the vector of ones, which what was 0 there is then orthogonal to.
        x = torch.cat([x.new_zeros(1, x.shape[1]), x])
        axis = x.new_full((len(x), 1), -1 / math.sqrt(len(x)))
        axis[0] += 1
        return x - 2 * axis @ (axis.T @ x) / axis.square().sum()

    def row_norms(self, side: int) -> Tensor:
        """The vector of ‖x̃ᵢ‖², in the coordinates of the rows of the factor."""
        mean, squares = self.mean(side), self.factor[:, -2:]
        first = self.columns[side].start == 1
        norms = squares[:, 0 if first else 1] - 2 * self.factor[:, self.columns[side]] @ mean
        return norms + mean.square().sum() * self.factor[:, 0]


def accumulated(x: Tensor, y: Tensor, rows: int, *, norms: bool = False) -> Moments:
    """The moments of x, (n, d_x), and y, (n, d_y), in one pass of `rows` rows at a time; with those of row norms."""
    sides = (x, y)
    origins = (x[:1].double(), y[:1].double())
    width = 1 + x.shape[1] + y.shape[1] + (2 if norms else 0)
    factor = origins[0].new_zeros(0, width)
    for start in range(0, len(x), rows):
        parts = [side[start : start + rows].double() - origin for side, origin in zip(sides, origins, strict=True)]
        squares = [part.square().sum(dim=1, keepdim=True) for part in parts] if norms else []
        block = torch.cat([torch.ones_like(parts[0][:, :1]), *parts, *squares], dim=1)
        factor = torch.linalg.qr(torch.cat([factor, block]), mode="r").R
    middle = 1 + x.shape[1]
    columns = (slice(1, middle), slice(middle, middle + y.shape[1]))
    return Moments(factor, columns, (origins[0][0], origins[1][0]), (x.dtype, y.dtype), len(x))


def _debiased_cka(moments: Moments) -> float:
    sides = [moments.centred(side) for side in (0, 1)]
    norms = [moments.row_norms(side) for side in (0, 1)]
    sums = [side.square().sum() for side in sides]
    if not all(bool(total > 0) for total in sums):
        raise NotApplicable("no variance: all rows are equal")
    products = {(a, b): (sides[a].T @ sides[b]).square().sum() for a, b in ((0, 0), (0, 1), (1, 1))}
    hsic = {
        (a, b): hsic1_of_sums(product.cpu(), norms[a] @ norms[b], sums[a] * sums[b], moments.rows)
        for (a, b), product in products.items()
    }
    scales = [self_scale(hsic[k, k], products[k, k].cpu(), moments.rows) for k in (0, 1)]
    return float(hsic[0, 1] / (scales[0] * scales[1]))
