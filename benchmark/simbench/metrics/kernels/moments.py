"""Scores from sums over the rows of two matrices, which are taken from a few rows at a time.

Many metrics ask of X and Y only the means and the products X̃ᵀX̃, X̃ᵀỸ and ỸᵀỸ of the centred matrices. One pass
over the rows keeps the triangular factor R of the QR decomposition of [1 X Y], to which the next rows are added by

    [R; 1 X_b Y_b] = Q R′.

The first column takes the means, so that what is right of it and below its row, (R_x R_y), has exactly the products of
the centred matrices, in d_x + d_y rows. The metric's own function is then given (R_x R_y), rotated so that its columns
have mean 0: no formula is written twice. Unlike the sums Σxxᵀ themselves, R does not square the condition number: a
direction of 1e-6 of the first keeps ten digits, and canonical correlations are exact where the full computation is.

Row norms: the squared norms ‖x̃ᵢ‖² = ‖xᵢ‖² − 2μᵀxᵢ + ‖μ‖² are combinations of the columns of [1 X ‖x‖²], so that with
two more columns R has their products, too.

A metric declares `from_sums=from_products` where it is a function of the products alone, `from_spans` where it leaves
out directions that are only rounding error, which is a question of how the numbers were stored, or a function
`(function, moments, parameters) → score` of its own, marked `with_row_norms` where it asks for those.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from simbench.errors import NotApplicable
from simbench.lazy import lazy_import
from simbench.metrics.kernels.rounding import Rounding, rounding
from simbench.metrics.kernels.spectrum import RANK_0

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from simbench.metrics.metric import Score
else:
    torch = lazy_import("torch")

ROW_NORMS = "__simbench_row_norms__"
C = TypeVar("C", bound=Callable[..., Any])


@dataclass(frozen=True)
class Moments:
    """The factor of [1 X Y], or of [1 X Y ‖x‖² ‖y‖²], both with `rows` rows, and the columns of each side in it.

    All is relative to the first rows, `origins`, so that a large mean costs no digits.
    """

    factor: Tensor
    columns: tuple[slice, slice]
    origins: tuple[Tensor, Tensor]
    errors: tuple[Rounding, Rounding]
    rows: int

    def exchanged(self) -> Moments:
        """Return the moments of Y and X, in this order."""
        return Moments(self.factor, self.columns[::-1], self.origins[::-1], self.errors[::-1], self.rows)

    def mean(self, side: int) -> Tensor:
        """Return the mean of one side's columns, (features,), relative to its origin."""
        return self.factor[0, self.columns[side]] / self.factor[0, 0]

    def centred(self, side: int) -> Tensor:
        """Return R_x or R_y, which have the products of the centred sides."""
        return self.factor[1:, self.columns[side]]

    def condensed(self, side: int, *, spanning: bool) -> Tensor:
        """Return a matrix of few rows, with column means 0 and the products of the centred side.

        A `spanning` one has no directions that are only rounding error of the numbers as they were stored.
        """
        x = self.centred(side)
        if spanning:
            left, values, right = torch.linalg.svd(x, full_matrices=False)
            kept = self.errors[side].exceeded_by(values, right)
            if not bool(kept.any()):
                raise NotApplicable(RANK_0)
            x = (left[:, kept] * values[kept]) @ right[kept]
        # A reflection that carries the first axis to the vector of ones, which what was 0 there is then orthogonal to.
        x = torch.cat([x.new_zeros(1, x.shape[1]), x])
        axis = x.new_full((len(x), 1), -1 / math.sqrt(len(x)))
        axis[0] += 1
        return x - 2 * axis @ (axis.T @ x) / axis.square().sum()

    def row_norms(self, side: int) -> Tensor:
        """Return the vector of ‖x̃ᵢ‖², in the coordinates of the rows of the factor."""
        mean, squares = self.mean(side), self.factor[:, -2:]
        first = self.columns[side].start == 1
        norms = squares[:, 0 if first else 1] - 2 * self.factor[:, self.columns[side]] @ mean
        return norms + mean.square().sum() * self.factor[:, 0]


def accumulated(x: Tensor, y: Tensor, rows: int, *, norms: bool = False) -> Moments:
    """Accumulate the moments of x, (n, d_x), and y, (n, d_y), `rows` rows at a time; or also of row norms."""
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
    return Moments(factor, columns, (origins[0][0], origins[1][0]), (rounding(x), rounding(y)), len(x))


def from_products(function: Callable[..., Any], moments: Moments, parameters: Mapping[str, Any]) -> Score | float:
    """Apply the metric's function to two matrices of few rows, with the products of the centred sides."""
    score: Score | float = function(*(moments.condensed(side, spanning=False) for side in (0, 1)), **parameters)
    return score


def from_spans(function: Callable[..., Any], moments: Moments, parameters: Mapping[str, Any]) -> Score | float:
    """Apply the metric's function to two matrices of few rows, without directions that are only rounding error."""
    score: Score | float = function(*(moments.condensed(side, spanning=True) for side in (0, 1)), **parameters)
    return score


def with_row_norms(from_sums: C) -> C:
    """Mark a function of moments that asks for `Moments.row_norms`."""
    setattr(from_sums, ROW_NORMS, True)
    return from_sums
