"""Aligned cosine: the mean cosine of corresponding rows after the best rotation of X onto Y."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simbench.lazy import lazy_import
from simbench.metrics.kernels.centring import require_variance
from simbench.metrics.kernels.cross_products import cross_products, unordered
from simbench.metrics.metric import Pairs, metric

if TYPE_CHECKING:
    import torch
    from torch import Tensor

else:
    torch = lazy_import("torch")


@dataclass(frozen=True)
class Rows:
    """A matrix as it is, in float64, and the norms of its rows, (rows,)."""

    matrix: Tensor
    norms: Tensor


def aligned_cosine_of_pairs(prepared: Sequence[Rows], pairs: Pairs) -> Tensor:
    """Return the aligned cosine of many pairs of prepared matrices, shape (pairs,)."""
    unique, back = unordered(pairs)
    values = torch.empty(len(unique), dtype=torch.float64)
    for positions, products in cross_products([side.matrix for side in prepared], unique):
        for position, product in zip(positions, products, strict=True):
            a, b = unique[position]
            values[position] = _mean_cosine(prepared[a], prepared[b], product)
    return values[back]


def rows_with_norms(x: Tensor) -> Rows:
    """Return the rows of `x`, not centred, and their norms."""
    x = require_variance(x)
    return Rows(x, torch.linalg.vector_norm(x, dim=1))


@metric(
    "aligned_cosine",
    version=1,
    higher_is_more_similar=True,
    symmetric=True,
    value_range=(-1.0, 1.0),
    invariant_to={"orthogonal", "isotropic_scaling"},
    family="shape",
    formula="meanᵢ cos(Qᵀxᵢ, yᵢ), Q = argmin over orthogonal matrices of ‖X Q − Y‖",
    reference="Hamilton, Leskovec, Jurafsky (2016), Diachronic Word Embeddings Reveal Statistical Laws of Semantic "
    "Change (orthogonal Procrustes alignment, then cosines)",
    prepare=rows_with_norms,
    compare_many=aligned_cosine_of_pairs,
)
def aligned_cosine(x: Tensor, y: Tensor) -> Tensor:
    """Mean cosine between corresponding rows after the best rotation of X onto Y; neither is centred.

    x: (rows, features), y: (rows, other features; the narrower side is padded with zeros) → a scalar in [-1, 1]. Rows
    that are zero on either side have no direction and are left out. Raises `NotApplicable` without variance.

    >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [3.0, 4.0]])
    >>> round(float(aligned_cosine(x, -2 * x[:, [1, 0]])), 9)
    1.0
    """
    a, b = rows_with_norms(x), rows_with_norms(y)
    return _mean_cosine(a, b, a.matrix.T @ b.matrix)


def _mean_cosine(x: Rows, y: Rows, product: Tensor) -> Tensor:
    """With xᵀy = U S Vᵀ the alignment is Q = U Vᵀ; padding with zeros changes neither norms nor products."""
    u, values, vt = torch.linalg.svd(product, full_matrices=False)
    rounding = len(x.norms) * torch.finfo(torch.float64).eps * torch.linalg.vector_norm(x.norms)
    shared = values > rounding * torch.linalg.vector_norm(y.norms)  # elsewhere Q is arbitrary
    aligned = (x.matrix @ u[:, shared]) * (y.matrix @ vt[shared].T)
    norms = x.norms * y.norms
    cosines: Tensor = aligned.sum(dim=1)[norms > 0] / norms[norms > 0]
    return cosines.mean()
