"""Rounding errors of numbers as they were stored: what cannot be told from them is no direction and no living unit.

Why the errors are those of columns and rows, and where the factors come from: docs/decisions/numerical-rank.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simbench.lazy import lazy_import
from simbench.metrics.kernels.memoisation import memoised
from simbench.metrics.kernels.memory import block_bytes

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy_import("torch")

# Errors of a network's arithmetic in units of one rounding. Products of numbers in half precision are added up in
# single precision and rounded once (2.5 units were measured after 24 residual blocks), those of wider numbers are added
# up in their own precision (11.7 units, for sums of 65,536 terms).
HALF, WIDER = 3.0, 16.0


@dataclass(frozen=True)
class Rounding:
    """Rounding errors of a matrix of `rows` rows as it was stored.

    errors: the standard deviation in each column, (features,), float64; 0 where nothing varies. heaviest: the largest
    size of a row beside that of a mean row, each column in units of its root mean square.
    """

    errors: Tensor
    rows: int
    heaviest: float

    def __getitem__(self, columns: Tensor) -> Rounding:
        """Return the rounding of these columns."""
        return Rounding(self.errors[columns], self.rows, self.heaviest)

    def in_units_of(self, scale: Tensor) -> Rounding:
        """Return the rounding after every column was divided by its `scale`, (features,)."""
        return Rounding(self.errors / scale, self.rows, self.heaviest)

    def norms(self, right: Tensor) -> Tensor:
        """Return the norm that rounding alone gives each direction, (directions,); right: (directions, features).

        A matrix of independent errors has a norm of √rows times their size in a column plus the norm of its largest
        row, but for fluctuations of smaller order; in direction v the errors of the columns add up to Σⱼ eⱼ² vⱼ².
        """
        largest = self.errors.amax().clamp_min(torch.finfo(self.errors.dtype).tiny)
        level: Tensor = (right.square() @ (self.errors / largest).square()).sqrt() * largest
        return (math.sqrt(self.rows) + self.heaviest * math.sqrt(int((self.errors > 0).sum()))) * level

    def exceeded_by(self, values: Tensor, right: Tensor) -> Tensor:
        """Tell which singular values are more than rounding, (values,), bool.

        values: the largest first; right: the right singular vectors, (values, features). The decomposition itself, in
        float64, is exact to max(rows, features) · ε of the largest value.
        """
        decomposition = max(self.rows, right.shape[1]) * torch.finfo(torch.float64).eps * values[:1]
        return values > torch.maximum(self.norms(right), decomposition)


def rounding_of_size(size: Tensor, stored: torch.dtype) -> Tensor:
    """Return the standard deviation of the errors of numbers of this size, in this type; integers count as float64.

    The error of a number between two neighbours that are g apart is uniform on ±g/2, with standard deviation g / √12;
    g is ε times the size, but never less than the smallest number of the type.
    """
    kind = torch.finfo(stored if stored.is_floating_point else torch.float64)
    gap = kind.eps * size.clamp_min(kind.smallest_normal)
    return (HALF if kind.bits <= 16 else WIDER) / math.sqrt(12) * gap


@memoised
def rounding(x: Tensor) -> Rounding:
    """Return the rounding errors of `x`, (rows, features), as it was stored.

    A column's mean counts although centring removes it: 3,000 ± 1 in bfloat16 is hardly more than rounding.
    """
    largest = torch.stack([part.abs().amax() for part in _parts(x)]).amax().clamp_min(torch.finfo(torch.float64).tiny)
    squares = torch.stack([(part / largest).square().sum(dim=0) for part in _parts(x)]).sum(dim=0)
    varies = (x != x[:1]).any(dim=0)
    size = (squares / len(x)).sqrt()
    unit = torch.where(varies, size, torch.inf)
    heaviest = max(float((part / largest / unit).square().sum(dim=1).amax()) for part in _parts(x))
    errors = torch.where(varies, rounding_of_size(size * largest, x.dtype), 0.0)
    return Rounding(errors, len(x), math.sqrt(heaviest / max(1, int(varies.sum()))))


def _parts(x: Tensor) -> Iterator[Tensor]:
    """Yield blocks of rows in float64."""
    rows = max(1, block_bytes() // (16 * x.shape[1]))
    for start in range(0, len(x), rows):
        yield x[start : start + rows].double()
