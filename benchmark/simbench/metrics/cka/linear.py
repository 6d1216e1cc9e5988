"""Centred kernel alignment with a linear kernel, biased and debiased.

With X̃ and Ỹ the column-centred representations, K = X̃X̃ᵀ and L = ỸỸᵀ, CKA is the cosine of an estimate of the
Hilbert-Schmidt independence criterion:

    cka(X, Y) = HSIC(K, L) / √(HSIC(K, K) · HSIC(L, L)).

The biased estimate is ⟨K, L⟩ = ‖ỸᵀX̃‖² (its factor 1/(n − 1)² cancels), the debiased one the U-statistic HSIC₁. As the
rows of centred Gram matrices add up to 0, all its terms can be had from ‖ỸᵀX̃‖² and the squared row norms, without any
n × n matrix when n > d:

    n(n − 3) · HSIC₁ = ‖ỸᵀX̃‖² − n/(n − 2) · Σᵢ ‖x̃ᵢ‖²‖ỹᵢ‖² + ‖X̃‖²‖Ỹ‖² / ((n − 1)(n − 2)).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from simbench.errors import NotApplicable
from simbench.lazy import lazy_import
from simbench.metrics.kernels.centring import centred
from simbench.metrics.kernels.cross_products import squared_cross_norms
from simbench.metrics.kernels.hsic import hsic1, hsic1_of_sums, self_scale
from simbench.metrics.kernels.moments import Moments, from_products, with_row_norms
from simbench.metrics.metric import Pairs, Score, metric, rowwise

if TYPE_CHECKING:
    import torch
    from torch import Tensor

else:
    torch = lazy_import("torch")

INVARIANT_TO = {"orthogonal", "isotropic_scaling", "translation"}


def cka_of_pairs(prepared: Sequence[Tensor], pairs: Pairs) -> Tensor:
    """CKA of many pairs of centred matrices, shape (pairs,)."""
    cross, own = cross_and_own(prepared, pairs)
    norms = own.sqrt()
    a, b = torch.tensor(pairs).T
    return cross / (norms[a] * norms[b])


@metric(
    "cka",
    version=1,
    higher_is_more_similar=True,
    symmetric=True,
    value_range=(0.0, 1.0),
    invariant_to=INVARIANT_TO,
    family="CKA",
    formula="‖ỸᵀX̃‖² / (‖X̃ᵀX̃‖ ‖ỸᵀỸ‖)",
    reference="Kornblith, Norouzi, Lee, Hinton (2019), Similarity of Neural Network Representations Revisited, "
    "Section 3 and Table 1",
    default=True,
    prepare=rowwise(centred),
    compare_many=cka_of_pairs,
    from_sums=from_products,
)
def cka(x: Tensor, y: Tensor) -> Tensor:
    """Linear CKA with the biased HSIC: the cosine of the two centred Gram matrices.

    x: (rows, features), y: (rows, other features) → a scalar in [0, 1]. Upwards biased for rows ≲ features.
    Raises `NotApplicable` when x or y has no variance.

    >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    >>> float(cka(x, 3 * x[:, [1]]))  # Gram matrices with ⟨K, L⟩ = 5/9, ‖K‖² = 10/9, ‖L‖² = 4/9
    0.79...
    """
    return cka_of_pairs([centred(x), centred(y)], [(0, 1)])[0]


def debiased_cka_of_pairs(prepared: Sequence[Tensor], pairs: Pairs) -> list[float | Score]:
    """Debiased CKA of many pairs of centred matrices; an error for those whose own HSIC₁ is not positive."""
    scores: list[float | Score] = []
    cross, own = cross_and_own(prepared, pairs)
    rows = [x.square().sum(dim=1) for x in prepared]
    selves = [hsic1(own[k], rows[k], rows[k]) for k in range(len(prepared))]
    for (a, b), product in zip(pairs, cross, strict=True):
        try:
            scale = self_scale(selves[a], own[a], len(rows[a])) * self_scale(selves[b], own[b], len(rows[b]))
            scores.append(float(hsic1(product, rows[a], rows[b]) / scale))
        except ValueError as error:
            scores.append(Score.error(f"{type(error).__name__}: {error}"))
    return scores


@with_row_norms
def debiased_from_sums(function: object, moments: Moments, parameters: object) -> float:
    """Compute debiased CKA from sums over rows, of products and of squared norms."""
    sides = [moments.centred(side) for side in (0, 1)]
    norms = [moments.row_norms(side) for side in (0, 1)]
    sums = [side.square().sum() for side in sides]
    if not all(bool(total > 0) for total in sums):
        raise NotApplicable("no variance: all rows are equal")
    products = {(a, b): (sides[a].T @ sides[b]).square().sum() for a, b in ((0, 0), (0, 1), (1, 1))}
    hsic = {
        (a, b): hsic1_of_sums(product.cpu(), norms[a] @ norms[b], sums[a] * sums[b], moments.rows)
        for (a, b), product in products.items()
    }
    scales = [self_scale(hsic[k, k], products[k, k].cpu(), moments.rows) for k in (0, 1)]
    return float(hsic[0, 1] / (scales[0] * scales[1]))


@metric(
    "cka_debiased",
    version=1,
    higher_is_more_similar=True,
    symmetric=True,
    value_range=(-1.0, 1.0),
    invariant_to=INVARIANT_TO,
    family="CKA",
    formula="HSIC₁(K, L) / √(HSIC₁(K, K) HSIC₁(L, L))",
    reference="Song, Smola, Gretton, Bedo, Borgwardt (2012), Feature Selection via Dependence Maximization "
    "(the unbiased estimator of HSIC); "
    "Nguyen, Raghu, Kornblith (2021), Do Wide and Deep Networks Learn the Same Things?",
    default=True,
    prepare=rowwise(centred),
    compare_many=debiased_cka_of_pairs,
    from_sums=debiased_from_sums,
)
def cka_debiased(x: Tensor, y: Tensor) -> Tensor:
    """Linear CKA with the unbiased HSIC₁ in numerator and denominator, on all rows.

    x: (rows, features), y: (rows, other features) → a scalar in [-1, 1]; about 0, and as often negative, for
    independent data. Raises `ValueError` for fewer than 4 rows, `NonPositiveSelfHSICError` where the normalisation
    fails, `NotApplicable` without variance.

    >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0], [2.0, 2.0]])
    >>> round(float(cka_debiased(x, 2 * x + 1)), 9)
    1.0
    """
    x, y = centred(x), centred(y)
    cross, own = cross_and_own([x, y], [(0, 1)])
    k, l = x.square().sum(dim=1), y.square().sum(dim=1)  # noqa: E741 - as in the formula
    scale = self_scale(hsic1(own[0], k, k), own[0], len(k)) * self_scale(hsic1(own[1], l, l), own[1], len(l))
    return hsic1(cross[0], k, l) / scale


def cross_and_own(centred_matrices: Sequence[Tensor], pairs: Pairs) -> tuple[Tensor, Tensor]:
    """⟨K, L⟩ of every pair and ⟨K, K⟩ of every matrix."""
    selves = [(k, k) for k in range(len(centred_matrices))]
    products = squared_cross_norms(centred_matrices, [*pairs, *selves])
    return products[: len(pairs)], products[len(pairs) :]
