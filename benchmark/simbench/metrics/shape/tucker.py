"""Tucker's congruence coefficient of aligned units.

Factor analysts tell by this coefficient whether two factors are the same: it is the absolute cosine of two columns, not
centred, after the second matrix has been rotated onto the first.
"""

from __future__ import annotations

from collections.abc import Sequence
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


def tucker_of_pairs(prepared: Sequence[Tensor], pairs: Pairs) -> Tensor:
    """Tucker's congruence of many directed pairs, shape (pairs,); one decomposition serves both directions."""
    unique, back = unordered(pairs)
    values = torch.empty(len(unique), 2, dtype=torch.float64)
    for positions, products in cross_products(prepared, unique):
        for position, product in zip(positions, products, strict=True):
            a, b = unique[position]
            u, v = _alignment(prepared[a], prepared[b], product)
            values[position, 0] = _congruence(prepared[a], u, prepared[b] @ v)
            values[position, 1] = _congruence(prepared[b], v, prepared[a] @ u)
    return values[back, [int(a > b) for a, b in pairs]]


def nonzero_units(x: Tensor) -> Tensor:
    """Return the units of `x` that are not all zero, not centred."""
    x = require_variance(x)
    return x[:, x.any(dim=0)]


@metric(
    "tucker_congruence",
    version=1,
    higher_is_more_similar=True,
    symmetric=False,
    value_range=(0.0, 1.0),
    invariant_to={"permutation", "isotropic_scaling"},
    family="factor",
    formula="meanⱼ |xⱼᵀŷⱼ| / (‖xⱼ‖ ‖ŷⱼ‖), Ŷ = Y Q, Q = argmin over orthogonal matrices of ‖X − Y Q‖",
    reference="Tucker (1951), A Method for Synthesis of Factor Analysis Studies; Lorenzo-Seva, ten Berge (2006), "
    "Tucker's Congruence Coefficient as a Meaningful Index of Factor Similarity",
    prepare=nonzero_units,
    compare_many=tucker_of_pairs,
)
def tucker_congruence(x: Tensor, y: Tensor) -> Tensor:
    """Tucker's congruence: the mean absolute cosine of X's units with those of Y rotated onto X. Directed.

    x: (rows, features), the target; y: (rows, other features; the narrower side is padded with zeros) → a scalar in
    [0, 1], invariant to rotations of y. Nothing is centred; units that are always 0 are left out. Raises
    `NotApplicable` when all rows are equal.

    >>> x = torch.tensor([[1.0, 2.0], [0.0, 1.0], [3.0, 1.0]])
    >>> round(float(tucker_congruence(x, -2 * x[:, [1, 0]])), 9)
    1.0
    """
    x, y = nonzero_units(x), nonzero_units(y)
    u, v = _alignment(x, y, x.T @ y)
    return _congruence(x, u, y @ v)


def _alignment(x: Tensor, y: Tensor, product: Tensor) -> tuple[Tensor, Tensor]:
    """U and V of xᵀy = U S Vᵀ, without the directions that the sides do not share: there any rotation is as good."""
    u, values, vt = torch.linalg.svd(product, full_matrices=False)
    norms = torch.linalg.matrix_norm(x) * torch.linalg.matrix_norm(y)
    shared = values > len(x) * torch.finfo(torch.float64).eps * norms
    return u[:, shared], vt[shared].T


def _congruence(target: Tensor, directions: Tensor, scores: Tensor) -> Tensor:
    """Return the mean absolute cosine of the columns of `target` and of `scores` `directions`ᵀ; 0 with zeros."""
    aligned = scores @ directions.T
    norms = torch.linalg.vector_norm(target, dim=0) * torch.linalg.vector_norm(aligned, dim=0)
    cosines = (target * aligned).sum(dim=0).abs() / norms
    return torch.where(norms > 0, cosines, torch.zeros_like(cosines)).mean()
