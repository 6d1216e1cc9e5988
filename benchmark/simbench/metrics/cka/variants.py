"""Variants of linear CKA: over minibatches, as an angle, as a number of dimensions, debiased for units too.

Notation as in `cka`: X̃ and Ỹ are the column-centred representations, K = X̃X̃ᵀ, L = ỸỸᵀ, and HSIC₁ is the U-statistic.

* `cka_minibatch`: Σ_b HSIC₁(K_b, L_b) / √(Σ_b HSIC₁(K_b, K_b) · Σ_b HSIC₁(L_b, L_b)) over batches b of rows. The sums
  are estimates of what `cka_debiased` estimates; a mean of ratios, or sums of the biased HSIC, would not be.
* `cka_angular`: arccos cka, a metric.
* `ensd`: the effective number of shared dimensions, cka · √(PR(K) PR(L)) with participation ratios PR(K) = tr(K)²/‖K‖².
* `cka_dimension_corrected`: U-statistics over units as well as over rows. In HSIC₁(K, K) = Σ_{jk} HSIC₁(x̃ⱼx̃ⱼᵀ, x̃ₖx̃ₖᵀ) a
  unit meets itself in the terms j = k; these are left out of the normalisation, as they are never in HSIC₁(K, L) when X
  and Y are separate samples of units.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from simbench.lazy import lazy_import
from simbench.metrics.cka.linear import INVARIANT_TO, cka_of_pairs, cross_and_own
from simbench.metrics.kernels.centring import centred, unit_norm
from simbench.metrics.kernels.cross_products import (
    angle_of_chord,
    gram_distance,
    grouped,
    squared_cross_norms,
    unordered,
)
from simbench.metrics.kernels.hsic import MINIMUM_ROWS, NonPositiveSelfHSICError, hsic1, self_scale
from simbench.metrics.kernels.moments import from_products
from simbench.metrics.metric import Pairs, Score, metric, rowwise
from simbench.seeds import seed_for

if TYPE_CHECKING:
    import torch
    from torch import Tensor

else:
    torch = lazy_import("torch")

BatchSize = Annotated[int, Field(ge=MINIMUM_ROWS)]
CLOSE = 1e-4
"""A squared chord below which 2 − 2 cka has lost too many digits, and the difference of the Gram matrices is taken."""


def minibatch_cka_of_pairs(
    prepared: Sequence[tuple[Tensor, ...]], pairs: Pairs, *, batch_size: int, seed: int
) -> list[float | Score]:
    """Minibatch CKA of many pairs of prepared batches."""
    scores: dict[int, float | Score] = {}
    for positions in grouped(range(len(pairs)), lambda k: sum(len(batch) for batch in prepared[pairs[k][0]])):
        sums = _summed(prepared, [pairs[k] for k in positions])
        for k, (a, b), total in zip(positions, sums.pairs, sums.cross, strict=True):
            try:
                scores[k] = float(total / (sums.scale(a) * sums.scale(b)))
            except NonPositiveSelfHSICError as error:
                scores[k] = Score.error(f"{type(error).__name__}: {error}")
    return [scores[k] for k in range(len(pairs))]


def minibatches(x: Tensor, *, batch_size: int, seed: int) -> tuple[Tensor, ...]:
    """Rows in a seeded order, cut into the fewest batches that are no larger than asked for."""
    x = centred(x)
    count = max(1, min(math.ceil(len(x) / batch_size), len(x) // MINIMUM_ROWS))
    generator = torch.Generator().manual_seed(seed_for(purpose="minibatch CKA", rows=len(x), seed=seed))
    order = torch.randperm(len(x), generator=generator).to(x.device)
    return tuple(batch - batch.mean(dim=0) for batch in torch.tensor_split(x[order], count))


@metric(
    "cka_minibatch",
    version=1,
    higher_is_more_similar=True,
    symmetric=True,
    value_range=(-1.0, 1.0),
    invariant_to=INVARIANT_TO,
    family="CKA",
    formula="Σ_b HSIC₁(K_b, L_b) / √(Σ_b HSIC₁(K_b, K_b) Σ_b HSIC₁(L_b, L_b))",
    reference="Nguyen, Raghu, Kornblith (2021), Do Wide and Deep Networks Learn the Same Things? (minibatch CKA)",
    prepare=minibatches,
    compare_many=minibatch_cka_of_pairs,
)
def cka_minibatch(x: Tensor, y: Tensor, *, batch_size: BatchSize = 256, seed: int = 0) -> float | Score:
    """Linear CKA from sums of the unbiased HSIC₁ over minibatches of rows; one batch of all rows is `cka_debiased`.

    x: (rows, features), y: (rows, other features) → a scalar in [-1, 1]. The batches are random, about equally large
    and no larger than `batch_size`. Raises `ValueError` for fewer than 4 rows, `NonPositiveSelfHSICError` where the
    normalisation fails, `NotApplicable` without variance.

    >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0], [2.0, 2.0]]).repeat(4, 1)
    >>> round(cka_minibatch(x, 2 * x + 1, batch_size=10), 9)
    1.0
    """
    sums = _summed(
        [minibatches(x, batch_size=batch_size, seed=seed), minibatches(y, batch_size=batch_size, seed=seed)], [(0, 1)]
    )
    return float(sums.cross[0] / (sums.scale(0) * sums.scale(1)))


@dataclass(frozen=True)
class Sums:
    """Over all batches, the sums of HSIC₁(K, L) of each pair, and of HSIC₁(K, K) and ⟨K, K⟩ of each side."""

    pairs: Pairs
    rows: int
    cross: Tensor
    own: Tensor
    products: Tensor

    def scale(self, side: int) -> Tensor:
        """Return the root of the sum of HSIC₁(K, K); raise `NonPositiveSelfHSICError` where there is none."""
        return self_scale(self.own[side], self.products[side], self.rows)


def _summed(prepared: Sequence[tuple[Tensor, ...]], pairs: Pairs) -> Sums:
    used = sorted({index for pair in pairs for index in pair})
    slot = {index: k for k, index in enumerate(used)}
    pairs = [(slot[a], slot[b]) for a, b in pairs]
    cross = torch.zeros(len(pairs), dtype=torch.float64)
    own, products = (torch.zeros(len(used), dtype=torch.float64) for _ in range(2))
    for batches in zip(*(prepared[index] for index in used), strict=True):
        products_of_pairs, selves = cross_and_own(batches, pairs)
        rows = [batch.square().sum(dim=1) for batch in batches]
        values = [hsic1(product, rows[a], rows[b]) for (a, b), product in zip(pairs, products_of_pairs, strict=True)]
        cross += torch.stack(values)
        own += torch.stack([hsic1(product, row, row) for product, row in zip(selves, rows, strict=True)])
        products += selves
    return Sums(pairs, len(prepared[used[0]][0]), cross, own, products)


def angular_cka_of_pairs(prepared: Sequence[Tensor], pairs: Pairs) -> Tensor:
    """Return the angle between the Gram matrices of many pairs of centred matrices, shape (pairs,)."""
    unique, back = unordered(pairs)
    squared = 2 - 2 * cka_of_pairs(prepared, unique)
    chords = squared.clamp_min(0).sqrt()
    for k in torch.nonzero(squared < CLOSE).flatten().tolist():
        a, b = unique[k]
        chords[k] = _chord(prepared[a], prepared[b]) if a != b else 0.0  # a difference of the same numbers
    return angle_of_chord(chords)[back]


@metric(
    "cka_angular",
    version=1,
    higher_is_more_similar=False,
    symmetric=True,
    value_range=(0.0, math.pi / 2),
    triangle_inequality=True,
    invariant_to=INVARIANT_TO,
    family="CKA",
    formula="arccos(‖ỸᵀX̃‖² / (‖X̃ᵀX̃‖ ‖ỸᵀỸ‖))",
    reference="Williams, Kunz, Kornblith, Linderman (2021), Generalized Shape Metrics on Neural Representations, "
    "the relation to CKA",
    prepare=rowwise(centred),
    compare_many=angular_cka_of_pairs,
    from_sums=from_products,
)
def cka_angular(x: Tensor, y: Tensor) -> Tensor:
    """The angle between the two centred Gram matrices: arccos of linear CKA.

    x: (rows, features), y: (rows, other features) → a scalar in [0, π/2], a metric in the mathematical sense. Raises
    `NotApplicable` without variance.

    >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    >>> float(torch.cos(cka_angular(x, 3 * x[:, [1]])))
    0.79...
    """
    return angle_of_chord(_chord(centred(x), centred(y)))


def _chord(x: Tensor, y: Tensor) -> Tensor:
    """Return the distance between the Gram matrices of two centred matrices, each divided by its norm."""
    return gram_distance(*(side / torch.linalg.matrix_norm(side.T @ side).sqrt() for side in (x, y)))


def ensd_of_pairs(prepared: Sequence[Tensor], pairs: Pairs) -> Tensor:
    """Return the effective number of shared dimensions of many pairs of centred matrices, shape (pairs,)."""
    cross, own = cross_and_own(prepared, pairs)
    ratios = torch.stack([x.square().sum().cpu() for x in prepared]) / own
    a, b = torch.tensor(pairs).T
    return cross * ratios[a] * ratios[b]


@metric(
    "ensd",
    version=1,
    higher_is_more_similar=True,
    symmetric=True,
    value_range=(0.0, float("inf")),
    invariant_to=INVARIANT_TO,
    family="CKA",
    formula="tr(KL) tr(K) tr(L) / (‖K‖² ‖L‖²) = cka · √(PR(K) PR(L))",
    reference="Giaffar, Rullán Buxó, Aoi (2024), The Effective Number of Shared Dimensions Between Paired Datasets",
    prepare=rowwise(centred),
    compare_many=ensd_of_pairs,
    from_sums=from_products,
)
def ensd(x: Tensor, y: Tensor) -> Tensor:
    """Effective number of shared dimensions: how many directions of variance the representations have in common.

    x: (rows, features), y: (rows, other features) → a scalar between 0 and the larger participation ratio; that of x,
    when y is x. Raises `NotApplicable` without variance.

    >>> x = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    >>> round(float(ensd(x, x)), 9), round(float(ensd(x, x[:, :1])), 9)
    (2.0, 1.0)
    """
    x, y = centred(x), centred(y)
    product, own_x, own_y = (torch.linalg.matrix_norm(m).square() for m in (y.T @ x, x.T @ x, y.T @ y))
    value: Tensor = product * x.square().sum() * y.square().sum() / (own_x * own_y)
    return value


@dataclass(frozen=True)
class SampledUnits:
    """A centred matrix of norm 1, its squared row norms, and its HSIC₁ with itself over pairs of different units."""

    matrix: Tensor
    rows: Tensor
    distinct: float


def corrected_cka_of_pairs(prepared: Sequence[SampledUnits], pairs: Pairs) -> list[float]:
    """Dimension-corrected CKA of many pairs of prepared representations."""
    cross = squared_cross_norms([side.matrix for side in prepared], pairs)
    return [_corrected(prepared[a], prepared[b], product) for (a, b), product in zip(pairs, cross, strict=True)]


def sampled_units(x: Tensor) -> SampledUnits:
    """Return sums over pairs of different units: sums over all pairs less those over equal ones."""
    x = unit_norm(x)
    n, units = x.shape
    if n < MINIMUM_ROWS or units < 2:
        raise ValueError(f"the dimension-corrected HSIC needs at least {MINIMUM_ROWS} rows and 2 units, got {n, units}")
    rows, columns = x.square().sum(dim=1), x.square().sum(dim=0)
    inner = torch.linalg.matrix_norm(x.T @ x if units <= n else x @ x.T).square()
    product = inner - columns.square().sum()
    by_rows = rows @ rows - x.pow(4).sum()
    by_norms = columns.sum().square() - columns.square().sum()
    terms = float(product - n / (n - 2) * by_rows + by_norms / ((n - 1) * (n - 2)))
    if not terms > n * torch.finfo(torch.float64).eps * float(inner):
        raise NonPositiveSelfHSICError("HSIC₁ over pairs of different units of a representation is not positive")
    return SampledUnits(x, rows, terms / (n * (n - 3)) / (units * (units - 1)))


@metric(
    "cka_dimension_corrected",
    version=1,
    higher_is_more_similar=True,
    symmetric=True,
    invariant_to={"permutation", "isotropic_scaling", "translation"},
    purposes={"geometry"},
    family="CKA",
    formula="HSIC₁(K, L)/(d d′) / √(U(X) U(Y)), U(X) = Σ_{j≠k} HSIC₁(x̃ⱼx̃ⱼᵀ, x̃ₖx̃ₖᵀ) / (d(d − 1))",
    reference="Chun, Canatar, Chung, Lee (2025), Estimating Neural Representation Alignment from Sparsely Sampled "
    "Inputs and Features; Murphy, Zylberberg, Fyshe (2024), Correcting Biased Centered Kernel Alignment Measures "
    "in Biological and Artificial Neural Networks (rows)",
    prepare=sampled_units,
    compare_many=corrected_cka_of_pairs,
)
def cka_dimension_corrected(x: Tensor, y: Tensor) -> float:
    """Linear CKA of the populations that the rows and the units of X and Y were sampled from.

    x: (rows, features), y: (rows, other features) → a number, about 1 for separate samples of units of one
    population; not bounded, and above 1 for a representation with itself, whose units are no separate samples. Raises
    `ValueError` for fewer than 4 rows or 2 units, `NonPositiveSelfHSICError` where the normalisation fails,
    `NotApplicable` without variance.

    >>> from simbench.metrics.cka.linear import cka, cka_debiased
    >>> generator = torch.Generator().manual_seed(5)
    >>> latents = torch.randn(300, 60, generator=generator)
    >>> x, y = (latents @ torch.randn(60, 90, generator=generator) for _ in range(2))
    >>> [round(float(f(x, y)), 1) for f in (cka, cka_debiased, cka_dimension_corrected)]
    [0.6, 0.6, 1.0]
    """
    a, b = sampled_units(x), sampled_units(y)
    return _corrected(a, b, (a.matrix.T @ b.matrix).square().sum())


def _corrected(x: SampledUnits, y: SampledUnits, product: Tensor) -> float:
    cross = float(hsic1(product.cpu(), x.rows, y.rows)) / (x.matrix.shape[1] * y.matrix.shape[1])
    return cross / math.sqrt(x.distinct * y.distinct)
