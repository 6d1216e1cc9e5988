"""The singular value decomposition of a centred matrix, and its numerical rank.

No threshold is absolute: all are relative to the largest singular value and to the rounding of the numbers as stored.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simbench.lazy import lazy_import
from simbench.metrics.kernels.centring import centred
from simbench.metrics.kernels.memoisation import memoised

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy_import("torch")


@dataclass(frozen=True)
class Spectrum:
    """The singular value decomposition of a centred matrix, of its numerical rank: x ≈ left · values · right."""

    left: Tensor
    values: Tensor
    right: Tensor

    @property
    def rank(self) -> int:
        """Number of directions kept."""
        return len(self.values)

    def __getitem__(self, rows: Tensor) -> Spectrum:
        """Permute the rows of the matrix."""
        return Spectrum(self.left[rows], self.values, self.right)

    def truncated(self, rank: int) -> Spectrum:
        """Keep the `rank` largest directions only."""
        return Spectrum(self.left[:, :rank], self.values[:rank], self.right[:rank])


@memoised
def spectrum(x: Tensor) -> Spectrum:
    """Decompose the centred `x`, of numerical rank r: left (rows, r), values (r,) and right vectors (r, features)."""
    left, values, right = torch.linalg.svd(centred(x), full_matrices=False)
    full = Spectrum(left, values, right)
    return full.truncated(int((values > rank_threshold(x, float(values[0]))).sum()))


def rank_threshold(x: Tensor, largest: float) -> float:
    """Return the singular value of the centred `x` below which all is rounding error; `largest` is the first one."""
    return rounding_threshold(x.shape, x.dtype, largest, x.double().mean(dim=0))


def rounding_threshold(shape: Sequence[int], stored: torch.dtype, largest: float, mean: Tensor) -> float:
    """Return `rank_threshold` for a matrix of this shape and column `mean`, (features,), `stored` in this type.

    Rounding is relative to the numbers as they were stored, so a column's mean counts even though centring removes it.
    For float64 the usual worst case max(rows, features) · ε is affordable. For narrower types it is not (4,000 rows of
    float32 would hide real directions at 5e-4 of the first): there the rounding errors are taken as independent, and a
    matrix of independent entries of size ε has a norm of the order of ε · √max(rows, features).
    """
    size = max(shape)
    double = torch.finfo(torch.float64).eps
    epsilon = torch.finfo(stored).eps if stored.is_floating_point else double
    offset = math.sqrt(shape[0]) * float(mean.abs().max())
    return epsilon * (size if epsilon <= double else math.sqrt(size)) * max(largest, offset)
