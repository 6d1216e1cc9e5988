"""Shapes between rotations and linear maps, and the cosine that is left after a rotation.

Generalised shape metrics whiten each representation partially before it is rotated. With X̃ centred and of norm 1, its
singular value decomposition X̃ = U S Vᵀ cut at the numerical rank, and α in [0, 1],

    φ(X) = X̃ (α I + (1 − α) (X̃ᵀX̃)^(−1/2)) = U (α S + (1 − α) I) Vᵀ,

and the distance is the angular Procrustes distance of φ(X) and φ(Y). At α = 1 nothing is whitened: Procrustes. At α = 0
everything is: cos = Σρᵢ / √(r_x r_y) with canonical correlations ρ and ranks r. As α weighs I against (X̃ᵀX̃)^(−1/2),
which shrinks as X grows, the norm is fixed *first*; without that a rescaled X would be at a distance from itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from simbench.lazy import lazy_import
from simbench.metrics.kernels.linear_algebra import (
    Spectrum,
    angle_of_chord,
    cross_products,
    spectrum,
    unordered,
    varying,
)
from simbench.metrics.kernels.moments import from_spans
from simbench.metrics.kernels.saturation import with_forced
from simbench.metrics.metric import Pairs, Score, metric, rowwise
from simbench.metrics.shape.procrustes import Shape, procrustes, procrustes_of_pairs

if TYPE_CHECKING:
    import torch
    from torch import Tensor

else:
    torch = lazy_import("torch")

Alpha = Annotated[float, Field(ge=0, le=1)]


def shape_linear_of_pairs(prepared: Sequence[Spectrum], pairs: Pairs, *, alpha: float) -> list[float | Score]:
    """The generalised shape distance of many pairs of whitened representations."""
    matrices = [side.left * side.values for side in prepared]
    # Whitening enlarges what is small, rounding errors too: products stay in float64.
    shapes = [Shape(matrix, matrix) for matrix in matrices]
    angles = angle_of_chord(procrustes_of_pairs(shapes, pairs)).tolist()
    return [_warned(angle, alpha, prepared[a], prepared[b]) for (a, b), angle in zip(pairs, angles, strict=True)]


def partially_whitened(x: Tensor, *, alpha: float) -> Spectrum:
    full = spectrum(x)
    values = alpha * full.values / torch.linalg.vector_norm(full.values) + (1 - alpha)
    return Spectrum(full.left, values / torch.linalg.vector_norm(values), full.right)


@metric(
    "shape_linear",
    version=1,
    higher_is_more_similar=False,
    symmetric=True,
    value_range=(0.0, math.pi / 2),
    triangle_inequality=True,
    invariant_to={"orthogonal", "isotropic_scaling", "translation"},
    family="shape",
    formula="arccos ‖φ(Y)ᵀφ(X)‖∗ / (‖φ(X)‖ ‖φ(Y)‖), φ(X) = X̃(α I + (1 − α)(X̃ᵀX̃)^(−1/2)), ‖X̃‖ = 1",
    reference="Williams, Kunz, Kornblith, Linderman (2021), Generalized Shape Metrics on Neural Representations, "
    "Section 2 (partial whitening); normalised before whitening",
    prepare=rowwise(partially_whitened),
    compare_many=shape_linear_of_pairs,
    from_sums=from_spans,
)
def shape_linear(x: Tensor, y: Tensor, *, alpha: Alpha = 0.5) -> float | Score:
    """Generalised linear shape distance: the angle after partial whitening; α = 1 Procrustes, α = 0 CCA.

    x: (rows, features), y: (rows, other features) → an angle in [0, π/2], a metric in the mathematical sense. At α = 0
    it is invariant to affine maps, and carries the warning `saturated` where correlations are forced to 1.
    Raises `NotApplicable` without variance.

    >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0], [2.0, 2.0]])
    >>> stretched = x * torch.tensor([5.0, 1.0])
    >>> [round(float(shape_linear(x, stretched, alpha=alpha)), 2) for alpha in (0.0, 0.5, 1.0)]
    [0.0, 0.2, 0.45]
    """
    a, b = partially_whitened(x, alpha=alpha), partially_whitened(y, alpha=alpha)
    angle = angle_of_chord(procrustes(a.left * a.values, b.left * b.values))
    return _warned(float(angle), alpha, a, b)


def _warned(angle: float, alpha: float, *sides: Spectrum) -> float | Score:
    """Only full whitening forgets all but the basis."""
    return with_forced(angle, *sides) if alpha == 0 else angle


@dataclass(frozen=True)
class Rows:
    """A matrix as it is, in float64, and the norms of its rows, (rows,)."""

    matrix: Tensor
    norms: Tensor


def aligned_cosine_of_pairs(prepared: Sequence[Rows], pairs: Pairs) -> Tensor:
    """The aligned cosine of many pairs of prepared matrices, shape (pairs,)."""
    unique, back = unordered(pairs)
    values = torch.empty(len(unique), dtype=torch.float64)
    for positions, products in cross_products([side.matrix for side in prepared], unique):
        for position, product in zip(positions, products, strict=True):
            a, b = unique[position]
            values[position] = _mean_cosine(prepared[a], prepared[b], product)
    return values[back]


def rows_with_norms(x: Tensor) -> Rows:
    x = varying(x)
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
