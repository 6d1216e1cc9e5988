"""Canonical correlation analysis and its summaries.

With Q_x and Q_y orthonormal bases of the column spaces of the centred X and Y, of ranks r_x and r_y, the canonical
correlations ρ₁ ≥ ρ₂ ≥ … are the singular values of Q_xᵀQ_y = U diag(ρ) Vᵀ, and the canonical variates of X are Q_x U.

* `cca`: Σ ρᵢ / min(r_x, r_y); `cca_squared`: Σ ρᵢ² / min(r_x, r_y);
* `svcca`: `cca` after the smallest principal components of each side are left out;
* `pwcca`: the mean of ρᵢ weighted by how much of X, or of Y, the i-th variate accounts for.

The ranks are numerical (dead and duplicated units do not count). In the n − 1 dimensions of the centred sample space
the two column spaces have at least r_x + r_y − (n − 1) in common, and so many correlations are 1 whatever the data: the
value then carries a warning that begins with `saturated`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from simbench.lazy import lazy_import
from simbench.metrics.kernels.cross_products import cross_products, nuclear_cross_norms, squared_cross_norms, unordered
from simbench.metrics.kernels.moments import from_spans
from simbench.metrics.kernels.saturation import with_forced
from simbench.metrics.kernels.spectrum import Spectrum, spectrum
from simbench.metrics.metric import Pairs, Score, metric, rowwise

if TYPE_CHECKING:
    import torch
    from torch import Tensor

else:
    torch = lazy_import("torch")


# The side whose variates give the weights of projection-weighted CCA.
Weights = Literal["sender", "receiver"]


def cca_of_pairs(prepared: Sequence[Spectrum], pairs: Pairs, **_: float) -> list[float | Score]:
    """Mean canonical correlation of many pairs of spectra."""
    sums = nuclear_cross_norms([side.left for side in prepared], pairs).tolist()
    return [
        with_forced(total / min(prepared[a].rank, prepared[b].rank), prepared[a], prepared[b])
        for (a, b), total in zip(pairs, sums, strict=True)
    ]


@metric(
    "cca",
    version=2,
    higher_is_more_similar=True,
    symmetric=True,
    value_range=(0.0, 1.0),
    invariant_to={"affine"},
    family="CCA",
    formula="Σᵢ ρᵢ / min(r_x, r_y)",
    reference="Raghu, Gilmer, Yosinski, Sohl-Dickstein (2017), SVCCA, Section 2; Kornblith et al. (2019), Table 1",
    default=True,
    prepare=rowwise(spectrum),
    compare_many=cca_of_pairs,
    from_sums=from_spans,
)
def cca(x: Tensor, y: Tensor) -> float | Score:
    """Mean canonical correlation.

    x: (rows, features), y: (rows, other features) → a number in [0, 1]; a `Score` with the warning `saturated` where
    correlations are forced to 1. Raises `NotApplicable` without variance.

    >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0], [2.0, 2.0]])
    >>> round(float(cca(x, x @ torch.tensor([[2.0, 1.0], [0.0, 3.0]]) + 7)), 9)
    1.0
    """
    return _mean_correlation(spectrum(x), spectrum(y))


def squared_cca_of_pairs(prepared: Sequence[Spectrum], pairs: Pairs) -> list[float | Score]:
    """Mean squared canonical correlation of many pairs of spectra."""
    sums = squared_cross_norms([side.left for side in prepared], pairs).tolist()
    return [
        with_forced(total / min(prepared[a].rank, prepared[b].rank), prepared[a], prepared[b])
        for (a, b), total in zip(pairs, sums, strict=True)
    ]


@metric(
    "cca_squared",
    version=2,
    higher_is_more_similar=True,
    symmetric=True,
    value_range=(0.0, 1.0),
    invariant_to={"affine"},
    family="CCA",
    formula="Σᵢ ρᵢ² / min(r_x, r_y)",
    reference="Kornblith et al. (2019), Similarity of Neural Network Representations Revisited, Table 1",
    default=True,
    prepare=rowwise(spectrum),
    compare_many=squared_cca_of_pairs,
    from_sums=from_spans,
)
def cca_squared(x: Tensor, y: Tensor) -> float | Score:
    """Mean squared canonical correlation.

    x: (rows, features), y: (rows, other features) → a number in [0, 1]; a `Score` with the warning `saturated` where
    correlations are forced to 1. Raises `NotApplicable` without variance.

    >>> x = torch.tensor([[1.0], [-1.0], [0.0], [0.0]])
    >>> y = torch.tensor([[1.0], [0.0], [-1.0], [0.0]])
    >>> round(cca_squared(x, y), 9)  # the squared Pearson correlation
    0.25
    """
    a, b = spectrum(x), spectrum(y)
    return with_forced(float((a.left.T @ b.left).square().sum()) / min(a.rank, b.rank), a, b)


def principal_basis(x: Tensor, *, variance: float) -> Spectrum:
    """Return the fewest principal components that hold the share `variance` of the variance."""
    return _principal(spectrum(x), variance)


@metric(
    "svcca",
    version=2,
    higher_is_more_similar=True,
    symmetric=True,
    value_range=(0.0, 1.0),
    invariant_to={"orthogonal", "isotropic_scaling", "translation"},
    family="CCA",
    formula="Σᵢ ρᵢ / min(k_x, k_y) over the fewest principal components with ≥ 99 % of each side's variance",
    reference="Raghu, Gilmer, Yosinski, Sohl-Dickstein (2017), SVCCA, Section 2",
    default=True,
    prepare=rowwise(principal_basis),
    compare_many=cca_of_pairs,
    from_sums=from_spans,
)
def svcca(x: Tensor, y: Tensor, *, variance: Annotated[float, Field(gt=0, le=1)] = 0.99) -> float | Score:
    """Mean canonical correlation of the principal components that hold the share `variance` of each side's variance.

    x: (rows, features), y: (rows, other features) → a number in [0, 1]; a `Score` with the warning `saturated` where
    correlations are forced to 1. Raises `NotApplicable` without variance.

    >>> x = torch.tensor([[3.0, 0.1], [-3.0, 0.1], [3.0, -0.1], [-3.0, -0.1]])
    >>> round(svcca(x, x[:, :1]), 9)  # of x, only the first column is kept
    1.0
    """
    return _mean_correlation(_principal(spectrum(x), variance), _principal(spectrum(y), variance))


def basis_for_weights(x: Tensor, *, weights: Weights) -> Spectrum:
    """Return the spectrum, whichever side gives the weights."""
    return spectrum(x)


def pwcca_of_pairs(prepared: Sequence[Spectrum], pairs: Pairs, *, weights: Weights) -> list[float | Score]:
    """Projection-weighted CCA of many directed pairs of spectra; one decomposition serves both directions."""
    unique, _ = unordered(pairs)
    sides = [side.left for side in prepared]
    values: dict[tuple[int, int], float] = {}
    for positions, products in cross_products(sides, unique):
        for position, product in zip(positions, products, strict=True):
            a, b = unique[position]
            by_first, by_second = _weighted_by_each(prepared[a], prepared[b], product, weights)
            values[a, b] = by_first
            if (b, a) not in values:
                values[b, a] = by_second
    return [with_forced(values[pair], prepared[pair[0]], prepared[pair[1]]) for pair in pairs]


@metric(
    "pwcca",
    version=2,
    higher_is_more_similar=True,
    symmetric=False,
    value_range=(0.0, 1.0),
    invariant_to={"permutation", "isotropic_scaling", "translation"},
    purposes={"information"},
    family="CCA",
    formula="Σᵢ αᵢρᵢ / Σᵢ αᵢ, αᵢ = Σⱼ |⟨hᵢ, x̃ⱼ⟩|, hᵢ the canonical variates of X (or all those of Y)",
    reference="Morcos, Raghu, Bengio (2018), Insights on Representational Similarity in Neural Networks with "
    "Canonical Correlation, the section on projection weighted CCA",
    default=True,
    prepare=rowwise(basis_for_weights),
    compare_many=pwcca_of_pairs,
    from_sums=from_spans,
)
def pwcca(x: Tensor, y: Tensor, *, weights: Weights = "sender") -> float | Score:
    """Projection-weighted CCA: canonical correlations weighted by what X's variates account for in X. Directed.

    With `weights: receiver`, by what Y's variates account for in Y, all of them: a direction of Y that has no
    counterpart, as X has fewer, counts with correlation 0. So do Ding et al. (2021) with the weights of their
    reference, whose deleted components have no counterpart.

    x: (rows, features), y: (rows, other features) → a number in [0, 1]; a `Score` with the warning `saturated` where
    correlations are forced to 1. Where several correlations are equal, as those of several units that both sides
    have, the variates are not unique and neither is the value (a few 1e-4 apart). Raises `NotApplicable` without
    variance.

    >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0], [2.0, 2.0]])
    >>> round(pwcca(x, x[:, :1]), 9)
    1.0
    """
    a, b = spectrum(x), spectrum(y)
    return with_forced(_weighted_by_each(a, b, a.left.T @ b.left, weights)[0], a, b)


def _mean_correlation(a: Spectrum, b: Spectrum) -> float | Score:
    """Σ ρᵢ / min(rank)."""
    return with_forced(float(torch.linalg.svdvals(a.left.T @ b.left).mean()), a, b)


def _weighted_by_each(a: Spectrum, b: Spectrum, product: Tensor, weights: Weights) -> tuple[float, float]:
    """Compute the directed index of two spectra, and that of the two exchanged, from the product of their bases."""
    if weights == "sender":
        u, correlations, vt = torch.linalg.svd(product, full_matrices=False)
        return _weighted_mean(a, u, correlations), _weighted_mean(b, vt.T, correlations)
    u, correlations, vt = torch.linalg.svd(product, full_matrices=True)
    return _weighted_mean(b, vt.T, correlations), _weighted_mean(a, u, correlations)


def _weighted_mean(side: Spectrum, directions: Tensor, correlations: Tensor) -> float:
    """Σ αᵢρᵢ / Σ αᵢ with the variates hᵢ = left · directionᵢ, so that ⟨hᵢ, x̃ⱼ⟩ = directionᵢᵀ · values · rightⱼ.

    Directions beyond the last correlation have correlation 0. Any basis of them would do for that, but not for αᵢ: the
    variates there are the principal components of what is left.
    """
    projections = directions.T @ (side.values[:, None] * side.right)
    matched, rest = projections[: len(correlations)], projections[len(correlations) :]
    weights = matched.abs().sum(dim=1)
    _, values, right = torch.linalg.svd(rest, full_matrices=False)
    return float((weights @ correlations) / (weights.sum() + (values[:, None] * right).abs().sum()))


def _principal(full: Spectrum, variance: float) -> Spectrum:
    """Return the number of leading components, as few as can be, whose share of the variance reaches `variance`."""
    share = full.values.square().cumsum(dim=0) / full.values.square().sum()
    return full.truncated(min(int((share < variance).sum()) + 1, full.rank))
