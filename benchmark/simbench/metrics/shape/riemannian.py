"""Affine-invariant Riemannian distance of kernel matrices.

The distance of two symmetric positive definite matrices is √Σ log²λᵢ(A⁻¹B). Those of two representations of one set of
rows are their n × n kernel matrices, of mean diagonal 1 and shrunk towards the identity,

    A = (1 − s) n X̃X̃ᵀ/‖X̃‖² + s I.

On the complement of both column spaces A = B = sI, which adds nothing to the distance: the matrix left to decompose is
no wider than the two ranks together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from simbench.lazy import lazy_import
from simbench.metrics.kernels.cross_products import unordered
from simbench.metrics.kernels.spectrum import spectrum
from simbench.metrics.metric import Pairs, metric

if TYPE_CHECKING:
    import torch
    from torch import Tensor

else:
    torch = lazy_import("torch")

Shrinkage = Annotated[float, Field(gt=0, lt=1)]


def riemannian_of_pairs(prepared: Sequence[Tensor], pairs: Pairs, *, shrinkage: float) -> Tensor:
    """Return the Riemannian distance of many pairs of kernels, shape (pairs,)."""
    unique, back = unordered(pairs)
    values = [_riemannian(prepared[a], prepared[b], shrinkage) for a, b in unique]
    return torch.stack(values).cpu()[back]


def kernel_root(x: Tensor, *, shrinkage: float) -> Tensor:
    """Return R with RRᵀ the centred kernel of `x`, of trace (1 − shrinkage) · rows; (rows, rank)."""
    full = spectrum(x)
    share = (1 - shrinkage) * len(full.left) / full.values.square().sum()
    return full.coordinates * share.sqrt()


@metric(
    "riemannian",
    version=2,
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
    for root in (kernel_root(x, shrinkage=shrinkage), kernel_root(y, shrinkage=shrinkage)):
        kernels.append(root @ root.T + shrinkage * torch.eye(len(root), dtype=root.dtype, device=root.device))
    factor = torch.linalg.cholesky(kernels[0])
    whitened = torch.linalg.solve_triangular(factor, kernels[1], upper=False)
    whitened = torch.linalg.solve_triangular(factor, whitened.T, upper=False)
    eigenvalues: Tensor = torch.linalg.eigvalsh((whitened + whitened.T) / 2)
    distance: Tensor = torch.linalg.vector_norm(eigenvalues.log())
    return distance


def _riemannian(x: Tensor, y: Tensor, shrinkage: float) -> Tensor:
    """Return the distance of two shrunk kernel matrices, from roots with orthogonal columns.

    In an orthonormal basis of both column spaces, x has multiples of its first vectors as columns, so A is diagonal. So
    is its inverse root, and the symmetric A^(−1/2) B A^(−1/2) has the eigenvalues of A⁻¹B.
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
