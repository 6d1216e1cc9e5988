"""Distances and similarities of the column spaces of two representations.

With U_x and U_y orthonormal bases of the column spaces, of ranks r_x and r_y, and ρ the singular values of U_xᵀU_y
(the canonical correlations, for centred matrices):

* `subspace_angles`: the principal angles θ = arccos ρ between the centred column spaces, summarised;
* `eigenspace_overlap`: Σρ²/max(r_x, r_y), of the matrices as they are, not centred.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from simbench.lazy import lazy_import
from simbench.metrics.kernels.centring import require_variance
from simbench.metrics.kernels.cross_products import cross_products, squared_cross_norms, unordered
from simbench.metrics.kernels.moments import from_spans
from simbench.metrics.kernels.rounding import rounding
from simbench.metrics.kernels.saturation import forced_in_common, with_forced
from simbench.metrics.kernels.spectrum import Spectrum, decompose, spectrum
from simbench.metrics.metric import Pairs, Score, metric, rowwise

if TYPE_CHECKING:
    import torch
    from torch import Tensor

else:
    torch = lazy_import("torch")

Summary = Literal["geodesic", "projection", "largest"]


def angles_of_pairs(prepared: Sequence[Spectrum], pairs: Pairs, *, summary: Summary) -> list[float | Score]:
    """Return the summarised principal angles of many pairs of spectra."""
    unique, back = unordered(pairs)
    values = [0.0] * len(unique)
    for positions, products in cross_products([side.left for side in prepared], unique):
        for position, cosines in zip(positions, torch.linalg.svdvals(products), strict=True):
            a, b = unique[position]
            values[position] = _summarised(prepared[a], prepared[b], cosines, summary)
    return [with_forced(values[k], prepared[a], prepared[b]) for (a, b), k in zip(pairs, back, strict=True)]


@metric(
    "subspace_angles",
    version=2,
    higher_is_more_similar=False,
    symmetric=True,
    value_range=(0.0, float("inf")),
    triangle_inequality=True,
    invariant_to={"affine"},
    family="CCA",
    formula="‖θ‖, ‖sin θ‖ or max θ, θᵢ = arccos ρᵢ for i ≤ min(r_x, r_y), and |r_x − r_y| angles of π/2",
    reference="Björck, Golub (1973), Numerical Methods for Computing Angles Between Linear Subspaces; Ye, Lim (2016), "
    "Schubert Varieties and Distances between Subspaces of Different Dimensions (unequal ranks)",
    prepare=rowwise(spectrum),
    compare_many=angles_of_pairs,
    from_sums=from_spans,
)
def subspace_angles(x: Tensor, y: Tensor, *, summary: Summary = "geodesic") -> float | Score:
    """Principal angles between the centred column spaces: geodesic ‖θ‖, `projection` ‖sin θ‖ or the `largest`.

    x: (rows, features), y: (rows, other features) → a number ≥ 0, a metric on subspaces in the mathematical sense.
    Carries the warning `saturated` where correlations are forced to 1. Raises `NotApplicable` without variance.

    >>> x = torch.tensor([[1.0], [-1.0], [0.0], [0.0]])
    >>> y = torch.tensor([[1.0], [0.0], [-1.0], [0.0]])
    >>> round(math.degrees(subspace_angles(x, y)), 9)  # the correlation is 1/2
    60.0
    """
    a, b = spectrum(x), spectrum(y)
    return with_forced(_summarised(a, b, torch.linalg.svdvals(a.left.T @ b.left), summary), a, b)


def _summarised(x: Spectrum, y: Spectrum, cosines: Tensor, summary: Summary) -> float:
    """Angles from cosines where they are large, from sines where they are small: neither is exact at both ends."""
    angles = torch.acos(cosines.clamp(max=1))
    if bool((cosines > 0.9).any()):
        small, large = sorted((x, y), key=lambda side: side.rank)
        sines = torch.linalg.svdvals(small.left - large.left @ (large.left.T @ small.left)).flip(0)
        angles = torch.where(cosines > 0.9, torch.asin(sines.clamp(max=1)), angles)
    angles = torch.cat([angles, angles.new_full((abs(x.rank - y.rank),), math.pi / 2)])
    if summary == "largest":
        return float(angles.max())
    return float(torch.linalg.vector_norm(angles.sin() if summary == "projection" else angles))


def eigenspace_overlap_of_pairs(prepared: Sequence[Tensor], pairs: Pairs) -> list[float | Score]:
    """Return the overlap of many pairs of bases."""
    products = squared_cross_norms(prepared, pairs).tolist()
    return [_overlap(product, prepared[a], prepared[b]) for (a, b), product in zip(pairs, products, strict=True)]


def uncentred_basis(x: Tensor) -> Tensor:
    """Return an orthonormal basis of the column space of `x`, not centred, (rows, rank)."""
    return decompose(require_variance(x), rounding(x)).left


@metric(
    "eigenspace_overlap",
    version=2,
    higher_is_more_similar=True,
    symmetric=True,
    value_range=(0.0, 1.0),
    invariant_to={"invertible_linear"},
    family="CCA",
    formula="‖U_xᵀU_y‖² / max(r_x, r_y), U the left singular vectors of the uncentred matrix",
    reference="May, Zhang, Dao, Ré (2019), On the Downstream Performance of Compressed Word Embeddings, the "
    "eigenspace overlap score (there divided by the larger width)",
    prepare=uncentred_basis,
    compare_many=eigenspace_overlap_of_pairs,
)
def eigenspace_overlap(x: Tensor, y: Tensor) -> float | Score:
    """Eigenspace overlap score: how much of the larger uncentred column space the other one spans.

    x: (rows, features), y: (rows, other features) → a number in [0, 1]; a `Score` with the warning `saturated` where
    an overlap is forced by too few rows. Raises `NotApplicable` when all rows are equal.

    >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    >>> round(eigenspace_overlap(x, x[:, :1]), 9)
    0.5
    """
    a, b = uncentred_basis(x), uncentred_basis(y)
    return _overlap(float((a.T @ b).square().sum()), a, b)


def _overlap(product: float, x: Tensor, y: Tensor) -> float | Score:
    rows, width, other_width = len(x), x.shape[1], y.shape[1]
    value, forced = product / max(width, other_width), forced_in_common(width, other_width, rows, rows)
    return Score(value, warnings=forced) if forced else value
