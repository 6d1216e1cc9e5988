"""Subspace match: which units of two representations span the same subspace?

A pair of sets of units (X, Y) is an ε-match if every unit of X has a relative residual of at most ε against the span
of Y, and every unit of Y against that of X. Unions of matches are matches, so there is one maximum match
(X*, Y*)(ε), and it grows with ε.

* `subspace_match`: the share of units in the maximum match at one ε;
* `subspace_match_auc`: the same share integrated over ε from 0 to 1. With c(v) the smallest ε at which the unit v is in
  the maximum match, that is the mean of 1 − c(v).

Units are vectors of activations, neither centred nor fitted with an intercept. All-zero units are in no match and count
in the denominator. With too few rows everything spans everything: fewer than five rows per unit carry a warning.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from simbench.lazy import lazy_import
from simbench.metrics.kernels.cross_products import unordered
from simbench.metrics.matching.span_residuals import SpanResiduals, UnitVectors, span_residuals, unit_vectors
from simbench.metrics.metric import Pairs, Score, metric

if TYPE_CHECKING:
    import torch
    from torch import Tensor

else:
    torch = lazy_import("torch")

INVARIANT_TO = {"permutation", "diagonal_scaling"}
REFERENCE = (
    "Wang, Hu, Gu, Wu, Hu, He, Hopcroft (2018), Towards Understanding Learning Representations: To What Extent Do "
    "Different Neural Networks Learn the Same Representation, Section 3"
)
ROWS_PER_UNIT = 5


def shrink(state: SpanResiduals, epsilon: float) -> None:
    """Take units away until those left are the maximum ε-match among them.

    A unit that fails against a superset of its possible partners is in no match, so the order does not matter.
    """
    while any(bool(left.any()) for left in state.left):
        a, b = (left & (r > epsilon) for left, r in zip(state.left, state.residuals, strict=True))
        if not bool(a.any() or b.any()):
            return
        state.remove(a, b)


def levels(state: SpanResiduals) -> tuple[Tensor, Tensor]:
    """c(v) of every unit of either side, found by peeling off the worst: the level is the running minimum of that."""
    level = 1.0
    outside = tuple(torch.ones(len(left), dtype=torch.float64, device=left.device) for left in state.left)
    while any(bool(left.any()) for left in state.left):
        residuals = state.residuals
        worst = max(float(r[left].max()) for r, left in zip(residuals, state.left, strict=True) if bool(left.any()))
        level = min(level, worst)
        a, b = (left & (r >= level) for left, r in zip(state.left, residuals, strict=True))
        outside[0][a], outside[1][b] = level, level
        state.remove(a, b)
    return outside[0], outside[1]


def _of_pairs(
    value: Callable[[UnitVectors, UnitVectors], float], prepared: Sequence[UnitVectors], pairs: Pairs
) -> list[float | Score]:
    """`value` of every pair, once for both orders, with a warning where rows are few."""
    unique, back = unordered(pairs)
    values = [value(prepared[a], prepared[b]) for a, b in unique]
    scores: list[float | Score] = []
    for k, (a, b) in zip(back, pairs, strict=True):
        rows, units = len(prepared[a].columns), max(prepared[a].alive, prepared[b].alive)
        few = rows < ROWS_PER_UNIT * units
        scores.append(Score(values[k], warnings=(f"only {rows} rows for {units} units",)) if few else values[k])
    return scores


def share_of_pairs(prepared: Sequence[UnitVectors], pairs: Pairs, *, epsilon: float) -> list[float | Score]:
    """Return the share of units in the maximum match, of many pairs."""

    def share(a: UnitVectors, b: UnitVectors) -> float:
        state = span_residuals(a, b)
        shrink(state, epsilon)
        return sum(int(left.sum()) for left in state.left) / (a.count + b.count)

    return _of_pairs(share, prepared, pairs)


@metric(
    "subspace_match",
    version=2,
    higher_is_more_similar=True,
    symmetric=True,
    value_range=(0.0, 1.0),
    invariant_to=INVARIANT_TO,
    family="subspace match",
    formula="(|X*(ε)| + |Y*(ε)|) / (d + d′), (X*, Y*) the maximum ε-match",
    reference=f"{REFERENCE} (ε-approximate matches)",
    prepare=unit_vectors,
    compare_many=share_of_pairs,
)
def subspace_match(x: Tensor, y: Tensor, *, epsilon: Annotated[float, Field(ge=0, lt=1)] = 0.25) -> float | Score:
    """Share of units that are mutually spanned up to a relative residual of `epsilon`.

    x: (rows, features), y: (rows, other features) → a number in [0, 1]. Raises `NotApplicable` without variance.

    >>> x = torch.eye(25, 3, dtype=torch.float64)
    >>> subspace_match(x, torch.eye(25, dtype=torch.float64)[:, 1:6])  # 2 of 3 and 2 of 5 units
    0.5
    """
    return share_of_pairs([unit_vectors(x), unit_vectors(y)], [(0, 1)], epsilon=epsilon)[0]


def area_of_pairs(prepared: Sequence[UnitVectors], pairs: Pairs) -> list[float | Score]:
    """Return the area under the curve of shares over ε, of many pairs."""

    def area(a: UnitVectors, b: UnitVectors) -> float:
        return sum(float((1 - c).sum()) for c in levels(span_residuals(a, b))) / (a.count + b.count)

    return _of_pairs(area, prepared, pairs)


@metric(
    "subspace_match_auc",
    version=2,
    higher_is_more_similar=True,
    symmetric=True,
    value_range=(0.0, 1.0),
    invariant_to=INVARIANT_TO,
    family="subspace match",
    formula="∫₀¹ (|X*(ε)| + |Y*(ε)|) / (d + d′) dε = mean over units of 1 − min {ε : v in the maximum ε-match}",
    reference=f"{REFERENCE} (ε-approximate matches), integrated over ε",
    prepare=unit_vectors,
    compare_many=area_of_pairs,
)
def subspace_match_auc(x: Tensor, y: Tensor) -> float | Score:
    """Subspace match without an ε: the share of mutually spanned units, averaged over all ε from 0 to 1.

    x: (rows, features), y: (rows, other features) → a number in [0, 1]. Raises `NotApplicable` without variance.

    >>> x = torch.eye(25, 3, dtype=torch.float64)
    >>> subspace_match_auc(x, 2 * x[:, [2, 0, 1]]), subspace_match_auc(x, torch.eye(25, dtype=torch.float64)[:, 1:6])
    (1.0, 0.5)
    """
    return area_of_pairs([unit_vectors(x), unit_vectors(y)], [(0, 1)])[0]
