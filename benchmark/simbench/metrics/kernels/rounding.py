"""Rounding errors of numbers as they were stored: what cannot be told from them is no direction and no living unit.

Why the errors are those of each column, and where the factors come from: docs/decisions/numerical-rank.md.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from simbench.lazy import lazy_import

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy_import("torch")

# Errors of a network's arithmetic in units of one rounding, with room to spare. Products of numbers in half precision
# are added up in single precision and rounded once (at most 1.2 units were measured), those of wider numbers are added
# up in their own precision (at most 5.3 units, for sums of 1,000 terms).
HALF, WIDER = 2.0, 8.0


def rounding_of_size(size: Tensor, stored: torch.dtype) -> Tensor:
    """Return the standard deviation of the errors of numbers of this size, in this type; integers count as float64.

    The error of a number between two neighbours that are g apart is uniform on ±g/2, with standard deviation g / √12;
    g is ε times the size, but never less than the smallest number of the type.
    """
    kind = torch.finfo(stored if stored.is_floating_point else torch.float64)
    gap = kind.eps * size.clamp_min(kind.smallest_normal)
    return (HALF if kind.bits <= 16 else WIDER) / math.sqrt(12) * gap


def rounding_errors(x: Tensor) -> Tensor:
    """Return the standard deviation of the rounding errors in each column of `x` as stored, (features,), float64.

    A column's mean counts although centring removes it: 3,000 ± 1 in bfloat16 is hardly more than rounding.
    """
    largest = x.abs().amax().double().clamp_min(torch.finfo(torch.float64).tiny)
    return rounding_of_size((x.double() / largest).square().mean(dim=0).sqrt() * largest, x.dtype)


def rounding_norms(errors: Tensor, right: Tensor, rows: int) -> Tensor:
    """Return the norm that rounding alone gives each direction, (directions,).

    errors: (features,); right: unit vectors, (directions, features). A matrix of independent errors of standard
    deviation e has a norm of (√rows + √features) e at most, but for fluctuations of smaller order; in the direction v
    the errors of the columns add up to e² = Σⱼ eⱼ² vⱼ².
    """
    reach = math.sqrt(rows) + math.sqrt(right.shape[1])
    largest = errors.amax().clamp_min(torch.finfo(errors.dtype).tiny)
    level: Tensor = (right.square() @ (errors / largest).square()).sqrt() * largest
    return reach * level


def above_rounding(values: Tensor, right: Tensor, errors: Tensor, rows: int) -> Tensor:
    """Tell which singular values of a matrix are more than rounding, (values,), bool.

    values: (values,), the largest first; right: the right singular vectors, (values, features); errors: (features,).
    The decomposition itself, in float64, is exact to max(rows, features) · ε of the largest value.
    """
    decomposition = max(rows, right.shape[1]) * torch.finfo(torch.float64).eps * values[:1]
    return values > torch.maximum(rounding_norms(errors, right, rows), decomposition)
