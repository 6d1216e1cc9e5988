"""Congruence of aligned units, and the Riemannian distance of kernel matrices.

`tucker_congruence` is the coefficient by which factor analysts tell whether two factors are the same: the absolute
cosine of two columns, not centred, after the second matrix has been rotated onto the first.

`riemannian` is the affine-invariant distance √Σ log²λᵢ(A⁻¹B) of symmetric positive definite matrices. Those of two
representations of one set of rows are their n × n kernel matrices, of mean diagonal 1 and shrunk towards the identity,

    A = (1 − s) n X̃X̃ᵀ/‖X̃‖² + s I.

On the complement of both column spaces A = B = sI, which adds nothing to the distance: what is left to decompose is no
wider than the two ranks together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from simbench.lazy import lazy_import
from simbench.metrics.kernels.linear_algebra import cross_products, spectrum, unit_norm, unordered, varying
from simbench.metrics.metric import Pairs, metric

if TYPE_CHECKING:
    import torch
    from torch import Tensor

else:
    torch = lazy_import("torch")

Shrinkage = Annotated[float, Field(gt=0, lt=1)]


def tucker_of_pairs(prepared: Sequence[Tensor], pairs: Pairs) -> Tensor:
    """Tucker's congruence of many directed pairs, shape (pairs,); one decomposition serves both directions."""
    unique, back = unordered(pairs)
    found = torch.empty(len(unique), 2, dtype=torch.float64)
    for positions, products in cross_products(prepared, unique):
        for position, product in zip(positions, products, strict=True):
            a, b = unique[position]
            u, v = _alignment(prepared[a], prepared[b], product)
            found[position, 0] = _congruence(prepared[a], u, prepared[b] @ v)
            found[position, 1] = _congruence(prepared[b], v, prepared[a] @ u)
    return found[back, [int(a > b) for a, b in pairs]]


def units(x: Tensor) -> Tensor:
    x = varying(x)
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
    prepare=units,
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
    x, y = units(x), units(y)
    u, v = _alignment(x, y, x.T @ y)
    return _congruence(x, u, y @ v)


def _alignment(x: Tensor, y: Tensor, product: Tensor) -> tuple[Tensor, Tensor]:
    """U and V of xᵀy = U S Vᵀ, without the directions that the sides do not share: there any rotation is as good."""
    u, values, vt = torch.linalg.svd(product, full_matrices=False)
    norms = torch.linalg.matrix_norm(x) * torch.linalg.matrix_norm(y)
    shared = values > len(x) * torch.finfo(torch.float64).eps * norms
    return u[:, shared], vt[shared].T


def _congruence(target: Tensor, directions: Tensor, scores: Tensor) -> Tensor:
    """The mean absolute cosine of the columns of `target` and of `scores` `directions`ᵀ; 0 with a column of zeros."""
    aligned = scores @ directions.T
    norms = torch.linalg.vector_norm(target, dim=0) * torch.linalg.vector_norm(aligned, dim=0)
    cosines = (target * aligned).sum(dim=0).abs() / norms
    return torch.where(norms > 0, cosines, torch.zeros_like(cosines)).mean()


def riemannian_of_pairs(prepared: Sequence[Tensor], pairs: Pairs, *, shrinkage: float) -> Tensor:
    """The Riemannian distance of many pairs of kernels, shape (pairs,)."""
    unique, back = unordered(pairs)
    values = [_riemannian(prepared[a], prepared[b], shrinkage) for a, b in unique]
    return torch.stack(values).cpu()[back]


def kernel_root(x: Tensor, *, shrinkage: float) -> Tensor:
    full = spectrum(x)
    share = (1 - shrinkage) * len(full.left) / full.values.square().sum()
    return full.left * full.values * share.sqrt()


@metric(
    "riemannian",
    version=1,
    higher_is_more_similar=False,
    symmetric=True,
    value_range=(0.0, float("inf")),
    triangle_inequality=True,
    invariant_to={"orthogonal", "isotropic_scaling", "translation"},
    family="factor",
    formula="√Σᵢ log²λᵢ(A⁻¹B), A = (1 − s) n X̃X̃ᵀ/‖X̃‖² + sI, B = (1 − s) n ỸỸᵀ/‖Ỹ‖² + sI",
    reference="Shahbazi, Shirali, Aghajan, Nili (2021), Using Distance on the Riemannian Manifold to Compare "
    "Representations in Brain and in Models (kernels regularised by shrinkage)",
    prepare=kernel_root,
    compare_many=riemannian_of_pairs,
)
def riemannian(x: Tensor, y: Tensor, *, shrinkage: Shrinkage = 0.1) -> Tensor:
    """The affine-invariant Riemannian distance of the two kernel matrices, shrunk towards the identity.

    x: (rows, features), y: (rows, other features) → a scalar ≥ 0 that grows with the rows, a metric in the mathematical
    sense; `shrinkage` is the share of the identity. Raises `NotApplicable` without variance.

    >>> x = torch.tensor([[1.0], [-1.0], [1.0], [-1.0]])
    >>> y = torch.tensor([[1.0], [1.0], [-1.0], [-1.0]])
    >>> round(float(riemannian(x, y, shrinkage=0.5)), 6)  # two eigenvalues, 2.5/0.5 and 0.5/2.5: √2 log 5
    2.276089
    """
    kernels = []
    for side in (unit_norm(x), unit_norm(y)):
        rows = len(side)
        identity = torch.eye(rows, dtype=side.dtype, device=side.device)
        kernels.append((1 - shrinkage) * rows * side @ side.T + shrinkage * identity)
    factor = torch.linalg.cholesky(kernels[0])
    whitened = torch.linalg.solve_triangular(factor, kernels[1], upper=False)
    whitened = torch.linalg.solve_triangular(factor, whitened.T, upper=False)
    eigenvalues: Tensor = torch.linalg.eigvalsh((whitened + whitened.T) / 2)
    distance: Tensor = torch.linalg.vector_norm(eigenvalues.log())
    return distance


def _riemannian(x: Tensor, y: Tensor, shrinkage: float) -> Tensor:
    """In an orthonormal basis of both column spaces, x has multiples of its first vectors as columns: A is diagonal.

    So is its inverse root, and the symmetric A^(−1/2) B A^(−1/2) has the eigenvalues of A⁻¹B.
    """
    lengths = torch.linalg.vector_norm(x, dim=0)
    first = x / lengths
    inside = first.T @ y
    outside = torch.linalg.qr(y - first @ inside, mode="r").R
    both = torch.cat([inside, outside])
    diagonal = torch.full((len(both),), shrinkage, dtype=x.dtype, device=x.device)
    diagonal[: len(lengths)] += lengths.square()
    root = diagonal.rsqrt()
    matrix = both @ both.T
    matrix.diagonal().add_(shrinkage)
    eigenvalues: Tensor = torch.linalg.eigvalsh(root[:, None] * matrix * root)
    distance: Tensor = torch.linalg.vector_norm(eigenvalues.log())
    return distance
