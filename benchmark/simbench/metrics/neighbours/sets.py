"""Indices on who is near whom: N_X(i) is the set of the k rows nearest to row i by cosine, itself left out.

* `mutual_knn`: the share of neighbours in common; `knn_jaccard`: |N_X ∩ N_Y| / |N_X ∪ N_Y|;
* `rank_similarity`: how alike the ranks of the common neighbours are;
* `second_order_cosine` and `cknna`: see `neighbours.kernels`.

All three are means over the rows i. Rows are not centred. Row i is left out of its own neighbours by its index,
not because it comes first: a duplicate row is a neighbour like any other. Of equally near rows (up to rounding errors)
the earlier ones are taken, the same ones on both sides, so that ties at the k-th neighbour make unrelated sides look
alike: the score then carries a warning that counts the rows to which the next row is as near as the k-th. An all-zero
row is equally near to every other; such rows are counted apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from simbench.errors import NotApplicable
from simbench.lazy import lazy_import
from simbench.metrics.kernels.cross_products import unordered
from simbench.metrics.kernels.memoisation import memoised
from simbench.metrics.kernels.memory import block_bytes
from simbench.metrics.kernels.nearest import GRID, Neighbourhood
from simbench.metrics.kernels.rdm import patterns
from simbench.metrics.metric import Pairs, Score, metric

if TYPE_CHECKING:
    import torch
    from torch import Tensor

else:
    torch = lazy_import("torch")

INVARIANT_TO = {"orthogonal", "isotropic_scaling"}


@dataclass(frozen=True)
class Neighbours:
    """The k nearest rows of every row.

    directions: rows of norm 1, (rows, features); indices: nearest first, (rows, k); cosines: those with them,
    (rows, k); without_direction: how many rows are all zero; tied: of how many others the k-th and the next are
    equally near, so that their indices decide.
    """

    directions: Tensor
    indices: Tensor
    cosines: Tensor
    without_direction: int
    tied: int

    @property
    def k(self) -> int:
        """The number of neighbours."""
        return self.indices.shape[1]

    @cached_property
    def kernel(self) -> Any:
        """The cosines with the neighbours, a sparse (rows, rows) matrix."""
        return self._sparse(self.cosines)

    @cached_property
    def mask(self) -> Any:
        """1 for every neighbour, a sparse (rows, rows) matrix."""
        return self._sparse(torch.ones_like(self.cosines))

    def _sparse(self, values: Tensor) -> Any:
        from scipy.sparse import csr_array

        rows = len(values)
        starts = torch.arange(rows + 1) * self.k
        # Copies: scipy orders the entries of a row in place, by column.
        parts = (values.cpu().flatten().numpy().copy(), self.indices.cpu().flatten().numpy().copy(), starts.numpy())
        return csr_array(parts, shape=(rows, rows))


@memoised
def neighbours(x: Tensor, k: int) -> Neighbours:
    """Search, block by block of rows. `NotApplicable` without variance or with fewer than k + 2 rows."""
    rows = len(x)
    if rows < k + 2:
        raise NotApplicable(f"{k} nearest neighbours need at least {k + 2} rows, there are {rows}")
    sides = patterns(x, "cosine")
    z, bits = sides.rows, (rows - 1).bit_length()
    later = torch.arange(rows - 1, -1, -1, device=z.device)
    # Made beforehand: small results between large blocks would keep the memory of the latter from being used again.
    indices, cosines = torch.empty(rows, k, dtype=torch.int64, device=z.device), z.new_empty(rows, k)
    tied = torch.zeros((), dtype=torch.int64, device=z.device)
    height = max(1, block_bytes() // (4 * 8 * rows))  # a block, its keys, and what these are made from
    for start in range(0, rows, height):
        block = z[start : start + height] @ z.T
        # Cosine and (descending) index in one integer: distinct keys, for which the order does not depend on rounding.
        keys = (block * GRID).round_().long().bitwise_left_shift_(bits).bitwise_or_(later)
        own = torch.arange(len(block), device=z.device)
        keys[own, start + own] = torch.iinfo(torch.int64).min
        span = slice(start, start + len(block))
        largest = keys.topk(k + 1, dim=1)
        indices[span] = largest.indices[:, :k]
        last = largest.values[:, k - 1 :] >> bits
        tied += ((last[:, 0] == last[:, 1]) & z[span].any(dim=1)).sum()
        cosines[span] = block.gather(1, indices[span])
    return Neighbours(z, indices, cosines, sides.without_direction, int(tied))


def nearest(x: Tensor, *, k: int) -> Neighbours:
    """Return the nearest neighbours of each row."""
    return neighbours(x, k)


def _of_pairs(
    value: Callable[[Neighbours, Neighbours], float], prepared: Sequence[Neighbours], pairs: Pairs
) -> list[float | Score]:
    """`value` of every pair, once for both orders."""
    unique, back = unordered(pairs)
    values = [value(prepared[a], prepared[b]) for a, b in unique]
    return scored([values[k] for k in back], prepared, pairs)


def scored(values: Sequence[float], prepared: Sequence[Neighbours], pairs: Pairs) -> list[float | Score]:
    """Return the values, each with warnings where rows are all zero or tied."""
    scores: list[float | Score] = []
    for value, (a, b) in zip(values, pairs, strict=True):
        x, y = prepared[a], prepared[b]
        counts = {
            "all-zero rows": (x.without_direction, y.without_direction),
            "rows with ties at the k-th neighbour": (x.tied, y.tied),
        }
        warnings = tuple(f"{first} and {second} {what}" for what, (first, second) in counts.items() if first or second)
        scores.append(Score(value, warnings=warnings) if warnings else value)
    return scores


def matches(a: Neighbours, b: Neighbours) -> Tensor:
    """Whether the r-th neighbour of a row in the one is its r′-th in the other, (rows, k, k)."""
    return a.indices[:, :, None] == b.indices[:, None, :]


def _mutual(a: Neighbours, b: Neighbours) -> float:
    return int(matches(a, b).sum()) / a.indices.numel()


def mutual_knn_of_pairs(prepared: Sequence[Neighbours], pairs: Pairs, **_: int) -> list[float | Score]:
    """Share of common neighbours, of many pairs."""
    return _of_pairs(_mutual, prepared, pairs)


@metric(
    "mutual_knn",
    version=1,
    higher_is_more_similar=True,
    symmetric=True,
    value_range=(0.0, 1.0),
    invariant_to=INVARIANT_TO,
    purposes={"neighbourhoods"},
    family="neighbours",
    formula="meanᵢ |N_X(i) ∩ N_Y(i)| / k",
    reference="Huh, Cheung, Wang, Isola (2024), The Platonic Representation Hypothesis, Appendix A",
    prepare=nearest,
    input_counts=("k",),
    compare_many=mutual_knn_of_pairs,
)
def mutual_knn(x: Tensor, y: Tensor, *, k: Neighbourhood = 10) -> float | Score:
    """Mean share of the k nearest neighbours, by cosine, that the two representations have in common.

    x: (rows, features), y: (rows, other features) → a number in [0, 1]; about k / (rows − 1) by chance. Raises
    `NotApplicable` without variance or with fewer than k + 2 rows.

    >>> x = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]])
    >>> mutual_knn(x, x[:, [1, 0]], k=1), mutual_knn(x, x[[0, 2, 1, 3]], k=1)
    (1.0, 0.0)
    """
    return mutual_knn_of_pairs([neighbours(x, k), neighbours(y, k)], [(0, 1)])[0]


def _jaccard(a: Neighbours, b: Neighbours) -> float:
    shared = matches(a, b).sum(dim=(1, 2)).double()
    return float((shared / (2 * a.k - shared)).mean())


def knn_jaccard_of_pairs(prepared: Sequence[Neighbours], pairs: Pairs, **_: int) -> list[float | Score]:
    """Jaccard similarity of the neighbourhoods, of many pairs."""
    return _of_pairs(_jaccard, prepared, pairs)


@metric(
    "knn_jaccard",
    version=1,
    higher_is_more_similar=True,
    symmetric=True,
    value_range=(0.0, 1.0),
    invariant_to=INVARIANT_TO,
    purposes={"neighbourhoods"},
    family="neighbours",
    formula="meanᵢ |N_X(i) ∩ N_Y(i)| / |N_X(i) ∪ N_Y(i)|",
    reference="Klabunde, Schumacher, Strohmaier, Lemmerich (2025), Similarity of Neural Network Models: A Survey of "
    "Functional and Representational Measures, the section on neighbourhood-based measures",
    prepare=nearest,
    input_counts=("k",),
    compare_many=knn_jaccard_of_pairs,
)
def knn_jaccard(x: Tensor, y: Tensor, *, k: Neighbourhood = 10) -> float | Score:
    """Mean Jaccard similarity of the sets of the k nearest neighbours by cosine.

    x: (rows, features), y: (rows, other features) → a number in [0, 1]. Raises `NotApplicable` without variance or
    with fewer than k + 2 rows.

    >>> x = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]])
    >>> knn_jaccard(x, x[:, [1, 0]], k=1)
    1.0
    """
    return knn_jaccard_of_pairs([neighbours(x, k), neighbours(y, k)], [(0, 1)])[0]


def _rank_similarity(a: Neighbours, b: Neighbours) -> float:
    r = torch.arange(1, a.k + 1, dtype=torch.float64, device=a.indices.device)
    weights = 2 / ((1 + (r[:, None] - r).abs()) * (r[:, None] + r))
    both = matches(a, b)
    best = torch.cat([torch.ones_like(r[:1]), (1 / r).cumsum(dim=0)])  # 1 where nothing is shared: 0 / 1
    return float(((both * weights).sum(dim=(1, 2)) / best[both.sum(dim=(1, 2))]).mean())


def rank_similarity_of_pairs(prepared: Sequence[Neighbours], pairs: Pairs, **_: int) -> list[float | Score]:
    """Rank similarity of the common neighbours, of many pairs."""
    return _of_pairs(_rank_similarity, prepared, pairs)


@metric(
    "rank_similarity",
    version=1,
    higher_is_more_similar=True,
    symmetric=True,
    value_range=(0.0, 1.0),
    invariant_to=INVARIANT_TO,
    purposes={"neighbourhoods"},
    family="neighbours",
    formula="meanᵢ (Σⱼ 2 / ((1 + |r − r′|)(r + r′))) / Σ_{m ≤ |Jᵢ|} 1/m, Jᵢ the common neighbours of ranks r and r′",
    reference="Wang, Rao, Guo et al. (2020), Towards Understanding the Instability of Network Embedding; as defined in "
    "Klabunde et al. (2025), the section on neighbourhood-based measures",
    prepare=nearest,
    input_counts=("k",),
    compare_many=rank_similarity_of_pairs,
)
def rank_similarity(x: Tensor, y: Tensor, *, k: Neighbourhood = 10) -> float | Score:
    """Similarity of the ranks of the common neighbours, near ones weighing most; 0 for a row without common ones.

    x: (rows, features), y: (rows, other features) → a number in [0, 1]. Raises `NotApplicable` without variance or
    with fewer than k + 2 rows.

    >>> x = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]])
    >>> rank_similarity(x, x[:, [1, 0]], k=2)
    1.0
    """
    return rank_similarity_of_pairs([neighbours(x, k), neighbours(y, k)], [(0, 1)])[0]
