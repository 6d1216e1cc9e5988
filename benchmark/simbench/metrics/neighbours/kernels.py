"""Neighbour indices that also read the similarities, not only who the neighbours are: see `neighbours.sets`.

* `second_order_cosine`: the cosine of the two vectors of similarities to the union of the neighbours;
* `cknna`: debiased CKA restricted to common neighbours.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from simbench.lazy import lazy_import
from simbench.metrics.kernels.cross_products import unordered
from simbench.metrics.kernels.distance_matrices import RESIDENT
from simbench.metrics.kernels.hsic import NonPositiveSelfHSICError
from simbench.metrics.kernels.memory import block_bytes, working_bytes
from simbench.metrics.kernels.nearest import Neighbourhood
from simbench.metrics.metric import Pairs, Score, metric
from simbench.metrics.neighbours.sets import INVARIANT_TO, Neighbours, matches, nearest, neighbours, scored

if TYPE_CHECKING:
    import torch
    from torch import Tensor
else:
    torch = lazy_import("torch")

MINIMUM_ROWS = 4


def second_order_cosine_of_pairs(prepared: Sequence[Neighbours], pairs: Pairs, **_: int) -> list[float | Score]:
    """Second-order cosine of many pairs: the cosines of one representation are formed once for all its partners."""
    unique, back = unordered(pairs)
    values: list[float] = []
    size = max(1, working_bytes(RESIDENT) // (16 * max(side.indices.numel() for side in prepared)))
    for start in range(0, len(unique), size):
        chunk = unique[start : start + size]
        partners = defaultdict(list)
        for a, b in chunk:
            partners[a].append(b)
            partners[b].append(a)
        cross = {(a, b): cosines for a in partners for b, cosines in _cosines_with(prepared, a, partners[a])}
        values += [_second_order(prepared[a], prepared[b], cross[a, b], cross[b, a]) for a, b in chunk]
    return scored([values[k] for k in back], prepared, pairs)


def _cosines_with(prepared: Sequence[Neighbours], a: int, partners: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
    """For each partner b, the cosines in a of every row with its neighbours in b, (rows, k)."""
    z = prepared[a].directions
    indices = torch.stack([prepared[b].indices for b in partners])
    cosines = torch.empty(indices.shape, dtype=z.dtype, device=z.device)
    height = max(1, block_bytes() // (4 * 8 * len(z)))
    for start in range(0, len(z), height):
        block = z[start : start + height] @ z.T
        rows = slice(start, start + len(block))
        cosines[:, rows] = block.expand(len(partners), *block.shape).gather(2, indices[:, rows])
    yield from zip(partners, cosines, strict=True)


def _second_order(a: Neighbours, b: Neighbours, a_at_b: Tensor, b_at_a: Tensor) -> float:
    """Return the mean cosine between a row's similarities, in a and in b, to its neighbours in either."""
    new = ~matches(a, b).any(dim=1)  # those of b that are not among those of a
    first = torch.cat([a.cosines, a_at_b * new], dim=1)
    second = torch.cat([b_at_a, b.cosines * new], dim=1)
    norms = torch.linalg.vector_norm(first, dim=1), torch.linalg.vector_norm(second, dim=1)
    product = norms[0] * norms[1]
    cosines = (first * second).sum(dim=1) / torch.where(product > 0, product, 1.0)
    # A row that is orthogonal to all its neighbours in both is like itself.
    return float(torch.where(norms[0] + norms[1] > 0, cosines, 1.0).mean())


@metric(
    "second_order_cosine",
    version=1,
    higher_is_more_similar=True,
    symmetric=True,
    value_range=(-1.0, 1.0),
    invariant_to=INVARIANT_TO,
    purposes={"neighbourhoods"},
    family="neighbours",
    formula="meanᵢ cos(s_X(i, U), s_Y(i, U)), s(i, U) the cosines of row i with U = N_X(i) ∪ N_Y(i)",
    reference="Hamilton, Leskovec, Jurafsky (2016), Cultural Shift or Linguistic Drift?, the local "
    "neighbourhood measure",
    prepare=nearest,
    input_counts=("k",),
    compare_many=second_order_cosine_of_pairs,
)
def second_order_cosine(x: Tensor, y: Tensor, *, k: Neighbourhood = 10) -> float | Score:
    """Mean cosine between a row's cosine similarities, in X and in Y, to the union of its k nearest neighbours.

    x: (rows, features), y: (rows, other features) → a number in [−1, 1]. Raises `NotApplicable` without variance or
    with fewer than k + 2 rows.

    >>> x = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]])
    >>> round(float(second_order_cosine(x, x[:, [1, 0]], k=1)), 12)
    1.0
    """
    return second_order_cosine_of_pairs([neighbours(x, k), neighbours(y, k)], [(0, 1)])[0]


def cknna_of_pairs(prepared: Sequence[Neighbours], pairs: Pairs, **_: int) -> list[float | Score]:
    """CKNNA of many pairs; the self-terms once for each representation."""
    unique, back = unordered(pairs)
    used = sorted({index for pair in unique for index in pair})
    own = {index: _self_hsic(prepared[index].kernel) for index in used}
    values = []
    for a, b in unique:
        k, l = prepared[a].kernel * prepared[b].mask, prepared[b].kernel * prepared[a].mask  # noqa: E741 - as in the formula
        values.append(_hsic1(k, l) / math.sqrt(own[a] * own[b]))
    return scored([values[k] for k in back], prepared, pairs)


def _hsic1(k: Any, l: Any) -> float:  # noqa: E741 - as in the formula
    """HSIC₁ of hollow sparse matrices, which need not be symmetric: 1ᵀKL1 is the mean of both orders."""
    n = k.shape[0]
    both = (k.sum(axis=0) @ l.sum(axis=1) + l.sum(axis=0) @ k.sum(axis=1)) / 2
    terms = (k * l.T).sum() + k.sum() * l.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * both
    return float(terms / (n * (n - 3)))


def _self_hsic(k: Any) -> float:
    if k.shape[0] < MINIMUM_ROWS:
        raise ValueError(f"the debiased HSIC needs at least {MINIMUM_ROWS} rows, got {k.shape[0]}")
    value = _hsic1(k, k)
    if value <= 0:
        raise NonPositiveSelfHSICError(f"HSIC₁ of a representation with itself is {value:.3g}, not positive")
    return value


@metric(
    "cknna",
    version=1,
    higher_is_more_similar=True,
    symmetric=True,
    invariant_to=INVARIANT_TO,
    purposes={"neighbourhoods"},
    family="neighbours",
    formula="HSIC₁(M∘K, M∘L) / √(HSIC₁(M_X∘K, M_X∘K) HSIC₁(M_Y∘L, M_Y∘L)), M = M_X∘M_Y, K and L the cosines",
    reference="Huh, Cheung, Wang, Isola (2024), The Platonic Representation Hypothesis, Appendix A",
    prepare=nearest,
    input_counts=("k",),
    compare_many=cknna_of_pairs,
)
def cknna(x: Tensor, y: Tensor, *, k: Neighbourhood = 10) -> float | Score:
    """Debiased CKA of the cosine similarities, restricted to the neighbours that the two have in common.

    x: (rows, features), y: (rows, other features) → a number, 1 for identical neighbourhoods and similarities, about 0
    for unrelated ones. Raises `NotApplicable` without variance or with fewer than k + 2 rows, and
    `NonPositiveSelfHSICError` where the normalisation fails.

    >>> x = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0], [-1.0, 0.1], [-1.0, 0.2]])
    >>> round(float(cknna(x, x[:, [1, 0]], k=1)), 12)
    1.0
    """
    return cknna_of_pairs([neighbours(x, k), neighbours(y, k)], [(0, 1)])[0]
