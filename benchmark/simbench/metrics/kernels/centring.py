"""Centring and scaling of matrices, (rows, features), in float64.

Centring comes before anything else, because a mean that is large beside the spread costs digits in every later product.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simbench.errors import NotApplicable
from simbench.lazy import lazy_import
from simbench.metrics.kernels.memoisation import memoised

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy_import("torch")


@memoised
def centred(x: Tensor) -> Tensor:
    """Return `x`, (rows, features), in float64 and with columns of mean 0.

    Raises `NotApplicable` when no column varies.

    >>> centred(torch.tensor([[1.0, 7.0], [3.0, 7.0]])).tolist()
    [[-1.0, 0.0], [1.0, 0.0]]
    """
    x = x.double()
    x = x - x[:1]  # first, so that a constant column becomes exactly 0 and not the rounding error of its mean
    x = x - x.mean(dim=0)
    if not bool(x.any()):
        raise NotApplicable("no variance: all rows are equal")
    return x


def require_variance(x: Tensor) -> Tensor:
    """Return `x` in float64, not centred; raise `NotApplicable` when no column varies."""
    if bool((x == x[:1]).all()):
        raise NotApplicable("no variance: all rows are equal")
    return x.double()


@memoised
def unit_norm(x: Tensor) -> Tensor:
    """Return the centred matrix divided by its Frobenius norm."""
    x = centred(x)
    norm: Tensor = torch.linalg.matrix_norm(x)
    return x / norm


def unit_columns(x: Tensor) -> Tensor:
    """Return the centred matrix with columns of norm 1, without constant columns."""
    x = centred(x)
    norms: Tensor = torch.linalg.vector_norm(x, dim=0)
    return x[:, norms > 0] / norms[norms > 0]


@memoised
def same_gram(x: Tensor) -> Tensor:
    """Return a matrix of shape (rows, ≤ rows) with the Gram matrix x xᵀ: from xᵀ = QR follows x xᵀ = RᵀR.

    Whatever depends on x xᵀ only may use it in place of a wide `x`.
    """
    if x.shape[1] <= x.shape[0]:
        return x
    r: Tensor = torch.linalg.qr(x.T, mode="r").R
    return r.T


def rows_of_inputs(inputs: Tensor, per_input: int) -> Tensor:
    """Return the rows of these inputs: `per_input` consecutive rows for each, one for each of its positions.

    >>> rows_of_inputs(torch.tensor([2, 0]), 3).tolist()
    [6, 7, 8, 0, 1, 2]
    """
    return (inputs[:, None] * per_input + torch.arange(per_input)).flatten()
