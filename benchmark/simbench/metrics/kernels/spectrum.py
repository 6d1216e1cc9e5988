"""The singular value decomposition of a centred matrix, and its numerical rank.

No threshold is absolute: all are relative to the rounding of the numbers as stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from simbench.errors import NotApplicable
from simbench.lazy import lazy_import
from simbench.metrics.kernels.centring import centred
from simbench.metrics.kernels.memoisation import memoised
from simbench.metrics.kernels.rounding import Rounding, rounding

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy_import("torch")

RANK_0 = "rank 0: whatever varies is within the rounding errors of the numbers as they were stored"


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

    @property
    def coordinates(self) -> Tensor:
        """The rows in the basis of the right vectors, (rows, rank): a matrix with the same Gram matrix."""
        return self.left * self.values

    def __getitem__(self, rows: Tensor) -> Spectrum:
        """Permute the rows of the matrix."""
        return Spectrum(self.left[rows], self.values, self.right)

    def truncated(self, rank: int) -> Spectrum:
        """Keep the `rank` largest directions only."""
        return Spectrum(self.left[:, :rank], self.values[:rank], self.right[:rank])


@memoised
def spectrum(x: Tensor) -> Spectrum:
    """Decompose the centred `x`, of numerical rank r: left (rows, r), values (r,) and right vectors (r, features).

    Raises `NotApplicable` when no column varies, or none by more than the rounding of the numbers as stored.
    """
    return decompose(centred(x), rounding(x))


def decompose(x: Tensor, errors: Rounding) -> Spectrum:
    """Decompose a matrix with these rounding errors into the directions that exceed them.

    Raises `NotApplicable` when there are none.
    """
    left, values, right = torch.linalg.svd(x, full_matrices=False)
    kept = errors.exceeded_by(values, right)
    if not bool(kept.any()):
        raise NotApplicable(RANK_0)
    return Spectrum(left[:, kept], values[kept], right[kept])
