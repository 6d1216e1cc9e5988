"""Indices on the Euclidean distances between inputs: D_X with Dᵢⱼ = ‖xᵢ − xⱼ‖.

* `distance_correlation`: the correlation of the doubly centred D_X and D_Y;
* `rsm_norm_difference`: a norm of D_X − D_Y.

Both stream over blocks of D, which is never held for more than one pair.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from simbench.lazy import lazy_import
from simbench.metrics.kernels.cross_products import grouped, unordered
from simbench.metrics.kernels.distance_matrices import (
    RESIDENT,
    RowDistances,
    doubly_centred,
    row_distances,
    symmetric_inner_products,
)
from simbench.metrics.kernels.memory import block_bytes, working_bytes
from simbench.metrics.metric import Pairs, metric

if TYPE_CHECKING:
    import torch
    from scipy.sparse.linalg import LinearOperator
    from torch import Tensor

else:
    torch = lazy_import("torch")

INVARIANT_TO = {"orthogonal", "isotropic_scaling", "translation"}
CLOSE = 1e-6
"""Of ‖D_X‖² + ‖D_Y‖²: below it ‖D_X − D_Y‖² is summed entry by entry, as the inner products have cancelled."""
MINIMUM_ROWS = 4
SMALL = 64
"""Matrices of at most this size get a full decomposition."""


class NonPositiveDistanceVarianceError(ValueError):
    """The unbiased distance variance of a representation is not positive, so that nothing can be normalised by it."""


def offset_distances(x: Tensor, **_: bool) -> RowDistances:
    """Return the distances of the rows of `x` less about their mean, for centring to lose few digits."""
    return row_distances(x, near_mean=True)


def distance_correlation_of_pairs(prepared: Sequence[RowDistances], pairs: Pairs, *, unbiased: bool) -> Tensor:
    """Distance correlation of many pairs, shape (pairs,)."""
    values = torch.empty(len(pairs), dtype=torch.float64)
    for positions in grouped(range(len(pairs)), lambda k: prepared[pairs[k][0]].rows):
        used = sorted({index for k in positions for index in pairs[k]})
        sides = [prepared[index] for index in used]
        covariances = _unbiased_covariances(sides) if unbiased else _covariances(sides)
        variances = covariances.diagonal()
        correlations = covariances / torch.outer(variances, variances).sqrt()
        slot = {index: k for k, index in enumerate(used)}
        block = correlations[[slot[pairs[k][0]] for k in positions], [slot[pairs[k][1]] for k in positions]].cpu()
        values[positions] = block if unbiased else block.clamp_min(0).sqrt()
    return values


def _covariances(sides: Sequence[RowDistances]) -> Tensor:
    """n² dCov² of every two: ⟨A, B⟩ with the doubly centred A = HDH. H removes the offset, the diagonal's as well."""
    n = sides[0].rows
    offsets = torch.tensor([side.offset for side in sides], dtype=torch.float64, device=sides[0].x.device)
    hollow, sums = symmetric_inner_products(sides, n)
    return doubly_centred(hollow + n * torch.outer(offsets, offsets), sums - offsets[:, None])


def _unbiased_covariances(sides: Sequence[RowDistances]) -> Tensor:
    """Return the U-statistic: HSIC₁ with distances in place of kernels; an offset off the diagonal drops out of it."""
    n = sides[0].rows
    if n < MINIMUM_ROWS:
        raise ValueError(f"the unbiased distance covariance needs at least {MINIMUM_ROWS} rows, got {n}")
    inner, sums = symmetric_inner_products(sides, n)
    totals = sums.sum(dim=1)
    terms = inner - 2 / (n - 2) * (sums @ sums.T) + torch.outer(totals, totals) / ((n - 1) * (n - 2))
    if bool((terms.diagonal() <= n * torch.finfo(torch.float64).eps * inner.diagonal()).any()):
        raise NonPositiveDistanceVarianceError("the unbiased distance variance of a representation is not positive")
    return terms / (n * (n - 3))


@metric(
    "distance_correlation",
    version=1,
    higher_is_more_similar=True,
    symmetric=True,
    value_range=(-1.0, 1.0),
    invariant_to=INVARIANT_TO,
    family="distance",
    formula="√(dCov²(X, Y) / √(dVar²(X) dVar²(Y))), dCov² = ⟨HD_XH, HD_YH⟩ / n²",
    reference="Székely, Rizzo, Bakirov (2007), Measuring and Testing Dependence by Correlation of Distances, "
    "the empirical distance correlation; unbiased: Székely, Rizzo (2014), Partial Distance Correlation with Methods "
    "for Dissimilarities, the bias-corrected statistic",
    prepare=offset_distances,
    compare_many=distance_correlation_of_pairs,
)
def distance_correlation(x: Tensor, y: Tensor, *, unbiased: bool = False) -> Tensor:
    """Distance correlation: 0 in the population only for independent representations.

    x: (rows, features), y: (rows, other features) → a scalar in [0, 1] (V-statistic; upwards biased for rows ≲
    features). `unbiased`: the bias-corrected squared correlation, which can be negative. Raises `NotApplicable`
    without variance.

    >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    >>> round(float(distance_correlation(x, 5 * x[:, [1, 0]] - 2)), 9)
    1.0
    """
    sides = [row_distances(side, near_mean=True) for side in (x, y)]
    return distance_correlation_of_pairs(sides, [(0, 1)], unbiased=unbiased)[0]


def norm_difference_of_pairs(
    prepared: Sequence[RowDistances], pairs: Pairs, *, norm: Literal["frobenius", "spectral"]
) -> Tensor:
    """Return a norm of the difference of the distance matrices of many pairs, shape (pairs,)."""
    unique, back = unordered(pairs)
    if norm == "spectral":
        norms = [_spectral_norm(prepared[a], prepared[b]) if a != b else 0.0 for a, b in unique]
        return torch.tensor(norms, dtype=torch.float64)[back]
    squared = torch.empty(len(unique), dtype=torch.float64)
    for positions in grouped(range(len(unique)), lambda k: prepared[unique[k][0]].rows):
        used = sorted({index for k in positions for index in unique[k]})
        inner = symmetric_inner_products([prepared[index] for index in used], prepared[used[0]].rows)[0].cpu()
        slot = {index: k for k, index in enumerate(used)}
        for k in positions:
            a, b = (slot[index] for index in unique[k])
            scale = inner[a, a] + inner[b, b]
            squared[k] = scale - 2 * inner[a, b]
            if a == b:
                squared[k] = 0.0  # a difference of the same numbers
            elif squared[k] < CLOSE * scale:
                squared[k] = _squared_difference(prepared[unique[k][0]], prepared[unique[k][1]])
    return squared.sqrt()[back]


def _squared_difference(a: RowDistances, b: RowDistances) -> float:
    """‖D_a − D_b‖² from the differences themselves."""
    both = symmetric_inner_products([lambda rows, columns: a(rows, columns) - b(rows, columns)], a.rows)[0]
    return float(both)


def _spectral_norm(a: RowDistances, b: RowDistances) -> float:
    """Return the largest absolute eigenvalue of D_a − D_b: Lanczos, of which one vector is asked."""
    from scipy.sparse.linalg import ArpackNoConvergence, eigsh

    start = np.random.default_rng(0).normal(size=a.rows)
    if 3 * 8 * a.rows**2 > working_bytes(RESIDENT):
        if _squared_difference(a, b) == 0.0:
            return 0.0
        return float(np.abs(eigsh(_difference_operator(a, b), k=1, v0=start, return_eigenvectors=False)[0]))
    array = (a.matrix() - b.matrix()).cpu().numpy()
    largest = float(np.abs(array).max())
    if largest == 0.0:
        return 0.0
    if len(array) > SMALL:
        try:
            return largest * float(np.abs(eigsh(array / largest, k=1, v0=start, return_eigenvectors=False)[0]))
        except ArpackNoConvergence:  # eigenvalues too close to tell apart: the full decomposition does not mind
            pass
    return float(np.abs(np.linalg.eigvalsh(array)).max())


def _difference_operator(a: RowDistances, b: RowDistances) -> LinearOperator:
    """D_a − D_b as what it makes of a vector, for matrices that do not fit: their blocks are made for each product."""
    from scipy.sparse.linalg import LinearOperator

    whole, height = slice(0, a.rows), max(1, block_bytes() // (4 * 8 * a.rows))
    blocks = [slice(top, min(top + height, a.rows)) for top in range(0, a.rows, height)]

    def product(vector: NDArray[np.float64]) -> NDArray[np.float64]:
        column = torch.as_tensor(vector.ravel()).to(a.x)
        image = torch.empty_like(column)
        for block in blocks:
            image[block] = (a(block, whole) - b(block, whole)) @ column
        return image.cpu().numpy()

    return LinearOperator((a.rows, a.rows), matvec=product, dtype=np.float64)


@metric(
    "rsm_norm_difference",
    version=1,
    higher_is_more_similar=False,
    symmetric=True,
    value_range=(0.0, math.inf),
    triangle_inequality=True,
    invariant_to={"orthogonal", "translation"},
    family="distance",
    formula="‖D_X − D_Y‖, Dᵢⱼ = ‖xᵢ − xⱼ‖",
    reference="Klabunde, Schumacher, Strohmaier, Lemmerich (2025), Similarity of Neural Network Models: A Survey of "
    "Functional and Representational Measures, the section on measures based on similarity matrices",
    prepare=row_distances,
    compare_many=norm_difference_of_pairs,
)
def rsm_norm_difference(x: Tensor, y: Tensor, *, norm: Literal["frobenius", "spectral"] = "frobenius") -> Tensor:
    """Norm of the difference of the two matrices of Euclidean distances between rows; depends on the scales.

    x: (rows, features), y: (rows, other features) → a scalar in [0, ∞). `norm`: "frobenius" over the whole matrix, or
    "spectral", the largest absolute eigenvalue. Raises `NotApplicable` without variance.

    >>> x = torch.tensor([[0.0], [3.0], [4.0]])
    >>> round(float(rsm_norm_difference(x, -2 * x)) ** 2, 9)  # twice 3² + 4² + 1²
    52.0
    """
    return norm_difference_of_pairs([row_distances(x), row_distances(y)], [(0, 1)], norm=norm)[0]
