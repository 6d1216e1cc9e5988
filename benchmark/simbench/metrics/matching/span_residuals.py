"""Distances of the units of one side from the span of those of the other, while units are taken away one after another.

The relative residual of a unit z against a set S of units is r(z; S) = min_c ‖z − Σ c_u u‖ / ‖z‖, without centring or
intercept. Two ways to it:

* from Gram matrices of unit vectors: c = K⁻¹k. Taking units away needs no new decomposition: with P = K⁻¹ and
  W = P K_xy, units m leave by W ← W − P_·m P_mm⁻¹ W_m·, P ← P − P_·m P_mm⁻¹ P_m·, and r² grows by W_m·ᵀ P_mm⁻¹ W_m·;
* where a Gram matrix is too ill-conditioned for that, from singular vectors of the units themselves.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simbench.errors import NotApplicable
from simbench.lazy import lazy_import
from simbench.metrics.kernels.centring import require_variance
from simbench.metrics.kernels.memoisation import memoised
from simbench.metrics.kernels.rounding import rounding

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy_import("torch")

# A Gram matrix of a larger condition number is not inverted: the residuals would have lost too many digits.
CONDITION = 1e10
# A unit whose rounding errors are a larger part of its norm is as good as zero.
MOSTLY = 0.5


@dataclass(frozen=True)
class UnitVectors:
    """The units that are more than rounding errors, each of norm 1, (rows, units), float64, and how many are not.

    inverse, condition: of the Gram matrix; no inverse where the condition number is too large, or where
    directions are only rounding. rounding: the norm of the units' rounding errors, as the numbers were stored.
    """

    columns: Tensor
    dead: int
    inverse: Tensor | None
    condition: float
    rounding: float

    @property
    def alive(self) -> int:
        """Number of units that are more than rounding errors."""
        return self.columns.shape[1]

    @property
    def count(self) -> int:
        """The number of all units."""
        return self.alive + self.dead


@memoised
def unit_vectors(x: Tensor) -> UnitVectors:
    """Return the units of `x`, (rows, features), uncentred; raise `NotApplicable` without variance."""
    columns = require_variance(x)
    largest = columns.abs().max()
    columns = columns / largest  # so that squares neither overflow nor vanish
    norms: Tensor = torch.linalg.vector_norm(columns, dim=0)
    # What errors are in a column of norm 1; a unit that is hardly more than them says nothing, as one of zeros does.
    errors = math.sqrt(len(x)) * rounding(x).errors / (norms * largest).clamp_min(torch.finfo(torch.float64).tiny)
    alive = (norms > 0) & (errors < MOSTLY)
    if not bool(alive.any()):
        raise NotApplicable("no variance: all units are zero")
    columns, reach = columns[:, alive] / norms[alive], float(errors[alive].max())
    values, vectors = torch.linalg.eigh(columns.T @ columns)
    condition = float(values[-1] / values[0]) if float(values[0]) > 0 else math.inf
    # Directions that are only rounding errors must not be inverted either.
    noise = reach * (1 + math.sqrt(columns.shape[1] / len(columns)))
    inverse = (vectors / values) @ vectors.T if condition <= CONDITION and float(values[0]) > noise**2 else None
    return UnitVectors(columns, int((~alive).sum()), inverse, condition, noise)


class SpanResiduals:
    """The residuals of the units left on each side against the span of those left on the other."""

    def __init__(self, a: UnitVectors, b: UnitVectors) -> None:
        """Begin with all units of both sides."""
        device = a.columns.device
        self.left = (
            torch.ones(a.alive, dtype=torch.bool, device=device),
            torch.ones(b.alive, dtype=torch.bool, device=device),
        )

    @property
    def residuals(self) -> tuple[Tensor, Tensor]:
        """Return those of (units of a,) and (units of b,); of units taken away they mean nothing."""
        raise NotImplementedError

    def remove(self, a: Tensor, b: Tensor) -> None:
        """Take away the units of a and of b for which these masks are true."""
        raise NotImplementedError


class GramResiduals(SpanResiduals):
    """Residuals from inverse Gram matrices, which are brought up to date with every removal."""

    def __init__(self, a: UnitVectors, b: UnitVectors) -> None:
        """Begin with all units of both sides, which must have inverse Gram matrices."""
        super().__init__(a, b)
        assert a.inverse is not None
        assert b.inverse is not None
        cross = a.columns.T @ b.columns
        self._inverses = [a.inverse.clone(), b.inverse.clone()]
        self._weights = [a.inverse @ cross, b.inverse @ cross.T]
        # Not 1 − kᵀK⁻¹k, of which half the digits would be lost where the residual is small.
        rests = a.columns - b.columns @ self._weights[1], b.columns - a.columns @ self._weights[0]
        self._squared = [rest.square().sum(dim=0) for rest in rests]
        epsilon = torch.finfo(torch.float64).eps
        self._rounding = [side.condition * (side.alive * epsilon) ** 2 for side in (b, a)]

    @property
    def residuals(self) -> tuple[Tensor, Tensor]:
        """Return the residuals; 0 where rounding errors cannot tell them from 0."""
        a, b = (
            torch.where(squared > rounding, squared, 0.0).sqrt().clamp(max=1)
            for squared, rounding in zip(self._squared, self._rounding, strict=True)
        )
        return a, b

    def remove(self, a: Tensor, b: Tensor) -> None:
        """Downdate the inverse of the side that loses units, and the residuals of the other side."""
        for side, lost in enumerate((a, b)):
            index = torch.nonzero(lost & self.left[side]).flatten()
            if len(index) == 0:
                continue
            self.left[side][index] = False
            inverse, weights = self._inverses[side], self._weights[side]
            block, column = inverse[index][:, index], inverse[:, index]
            gain, own = torch.linalg.solve(block, torch.cat([weights[index], column.T], dim=1)).split(
                [weights.shape[1], len(inverse)], dim=1
            )
            self._squared[1 - side] += (weights[index] * gain).sum(dim=0)
            self._weights[side] = weights - column @ gain
            self._inverses[side] = inverse - column @ own


class DirectResiduals(SpanResiduals):
    """Residuals from orthonormal bases of the spans, computed anew after every removal: for nearly dependent units."""

    def __init__(self, a: UnitVectors, b: UnitVectors) -> None:
        """Begin with all units of both sides."""
        super().__init__(a, b)
        both = torch.cat([a.columns, b.columns], dim=1)
        if both.shape[0] > both.shape[1]:
            both = torch.linalg.qr(both, mode="r").R  # coordinates in which nothing is longer than need be
        self._sides = both[:, : a.alive], both[:, a.alive :]
        self._threshold = max(a.rounding, b.rounding, max(a.columns.shape) * torch.finfo(torch.float64).eps)

    @property
    def residuals(self) -> tuple[Tensor, Tensor]:
        """Return the part outside the span of the units left on the other side; 0 where that is only rounding."""
        a, b = (self._outside(self._sides[k], self._sides[1 - k][:, self.left[1 - k]]) for k in range(2))
        return a, b

    def _outside(self, vectors: Tensor, span: Tensor) -> Tensor:
        if span.shape[1] == 0:
            return vectors.new_ones(vectors.shape[1])
        basis, values, _ = torch.linalg.svd(span, full_matrices=False)
        basis = basis[:, values > self._threshold]
        rest = vectors - basis @ (basis.T @ vectors)
        norms: Tensor = torch.linalg.vector_norm(rest, dim=0).clamp(max=1)
        return torch.where(norms > self._threshold, norms, 0.0)

    def remove(self, a: Tensor, b: Tensor) -> None:
        """Note the removal; the next residuals are computed without these units."""
        self.left[0][a] = False
        self.left[1][b] = False


def span_residuals(a: UnitVectors, b: UnitVectors) -> SpanResiduals:
    """Return the residuals, computed in the way that the condition of the two sides allows."""
    return DirectResiduals(a, b) if a.inverse is None or b.inverse is None else GramResiduals(a, b)
