"""Matching of units by their correlations: do two networks have the same units?

With C the Pearson correlations between the units of X (rows) and of Y (columns):

* `match_bipartite`: every unit gets at most one partner, the total correlation being the largest possible;
* `match_semi`: every unit of X takes the unit of Y that it correlates with most; units of Y may be taken repeatedly;
* `match_threshold`: the share of units of X with a partner of at least a given correlation;
* `soft_matching`: every unit spreads its share of the mass over partners, the numbers of units being free;
* `partial_soft_matching`: the same for the share of the mass that matches best; the rest stays without partner.

Correlations are signed. Dead units are left out (`dead: keep` counts them as units without partner), and the score
carries a warning that counts them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from simbench.metrics.kernels.units import Array, Dead, Units, matched, transport_library, units
from simbench.metrics.metric import Pairs, Score, metric

if TYPE_CHECKING:
    from torch import Tensor

INVARIANT_TO = {"permutation", "diagonal_scaling", "translation"}
CONVERGENT = (
    "Li, Yosinski, Clune, Lipson, Hopcroft (2016), Convergent Learning: Do Different Neural Networks Learn the Same "
    "Representations?, Section 3"
)
ITERATIONS = 10**7


def assigned(gain: Array) -> float:
    """Return the largest sum of entries of which no two share a row or a column."""
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(gain, maximize=True)
    return float(gain[rows, columns].sum())


def bipartite_of_pairs(prepared: Sequence[Units], pairs: Pairs, *, absolute: bool, dead: Dead) -> list[float | Score]:
    """One-to-one matching of many pairs."""

    def value(correlations: Array, a: Units, b: Units) -> float:
        return min(1.0, max(0.0, assigned(correlations) / max(a.counted(dead), b.counted(dead))))

    return matched(value, prepared, pairs, absolute=absolute)


@metric(
    "match_bipartite",
    version=2,
    higher_is_more_similar=True,
    symmetric=True,
    value_range=(0.0, 1.0),
    invariant_to=INVARIANT_TO,
    family="matching",
    formula="max_P Σᵢⱼ Pᵢⱼ Cᵢⱼ / max(d, d′), P a one-to-one assignment of units",
    reference=f"{CONVERGENT} (alignment by correlation)",
    prepare=units,
    compare_many=bipartite_of_pairs,
)
def match_bipartite(x: Tensor, y: Tensor, *, absolute: bool = False, dead: Dead = "drop") -> float | Score:
    """Mean correlation under the best one-to-one assignment of units; units without a partner count 0.

    x: (rows, features), y: (rows, other features) → a number in [0, 1]. Raises `NotApplicable` when all units of one
    side are dead.

    >>> import torch
    >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    >>> round(match_bipartite(x, 2 * x[:, [1, 0]] + 1), 9), match_bipartite(x, x[:, :1])
    (1.0, 0.5)
    """
    return bipartite_of_pairs([units(x), units(y)], [(0, 1)], absolute=absolute, dead=dead)[0]


def semi_of_pairs(prepared: Sequence[Units], pairs: Pairs, *, absolute: bool, dead: Dead) -> list[float | Score]:
    """Return the scores of matching with replacement of many directed pairs."""

    def value(correlations: Array, a: Units, b: Units) -> float:
        return float(np.clip(correlations.max(axis=1).sum() / a.counted(dead), 0, 1))

    return matched(value, prepared, pairs, absolute=absolute, directed=True)


@metric(
    "match_semi",
    version=2,
    higher_is_more_similar=True,
    symmetric=False,
    value_range=(0.0, 1.0),
    invariant_to=INVARIANT_TO,
    family="matching",
    formula="meanᵢ maxⱼ Cᵢⱼ",
    reference=f"{CONVERGENT} (alignment by correlation)",
    prepare=units,
    compare_many=semi_of_pairs,
)
def match_semi(x: Tensor, y: Tensor, *, absolute: bool = False, dead: Dead = "drop") -> float | Score:
    """Mean, over the units of X, of the correlation with the most similar unit of Y. Directed.

    x: (rows, features), y: (rows, other features) → a number in [0, 1], not below `match_bipartite` for equally many
    units. Raises `NotApplicable` when all units of one side are dead.

    >>> import torch
    >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    >>> round(match_semi(x[:, :1], x), 9), round(match_semi(x, x[:, :1]), 9)
    (1.0, 0.25)
    """
    return semi_of_pairs([units(x), units(y)], [(0, 1)], absolute=absolute, dead=dead)[0]


def threshold_of_pairs(
    prepared: Sequence[Units], pairs: Pairs, *, threshold: float, absolute: bool, dead: Dead
) -> list[float | Score]:
    """Share of matched units of many directed pairs."""

    def value(correlations: Array, a: Units, b: Units) -> float:
        return float((correlations.max(axis=1) >= threshold).sum()) / a.counted(dead)

    return matched(value, prepared, pairs, absolute=absolute, directed=True)


@metric(
    "match_threshold",
    version=2,
    higher_is_more_similar=True,
    symmetric=False,
    value_range=(0.0, 1.0),
    invariant_to=INVARIANT_TO,
    family="matching",
    formula="share of units i with maxⱼ Cᵢⱼ ≥ 0.5",
    reference=f"{CONVERGENT} (alignment by correlation), with a threshold in place of the mean",
    prepare=units,
    compare_many=threshold_of_pairs,
)
def match_threshold(
    x: Tensor,
    y: Tensor,
    *,
    threshold: Annotated[float, Field(ge=-1, lt=1)] = 0.5,
    absolute: bool = False,
    dead: Dead = "drop",
) -> float | Score:
    """Share of the units of X that correlate with some unit of Y by at least `threshold`. Directed.

    x: (rows, features), y: (rows, other features) → a number in [0, 1]. Raises `NotApplicable` when all units of one
    side are dead.

    >>> import torch
    >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    >>> match_threshold(x[:, :1], x), match_threshold(x, x[:, :1])
    (1.0, 0.5)
    """
    sides = [units(x), units(y)]
    return threshold_of_pairs(sides, [(0, 1)], threshold=threshold, absolute=absolute, dead=dead)[0]


def soft_matching_of_pairs(prepared: Sequence[Units], pairs: Pairs) -> list[float | Score]:
    """Soft matching of many pairs."""
    return matched(_transported, prepared, pairs)


def _transported(correlations: Array, a: Units, b: Units) -> float:
    """Return the optimal coupling; for equal numbers of units a permutation attains it (Birkhoff)."""
    if a.alive == b.alive:
        return assigned(correlations) / a.alive
    weights = np.full(a.alive, 1 / a.alive), np.full(b.alive, 1 / b.alive)
    library = transport_library("units of unequal number need")
    plan = library.emd(*weights, np.ascontiguousarray(1 - correlations), numItermax=ITERATIONS)
    return float((plan * correlations).sum())


@metric(
    "soft_matching",
    version=2,
    higher_is_more_similar=True,
    symmetric=True,
    value_range=(-1.0, 1.0),
    invariant_to=INVARIANT_TO,
    family="matching",
    formula="max_P Σᵢⱼ Pᵢⱼ Cᵢⱼ, P ≥ 0 with row sums 1/d and column sums 1/d′",
    reference="Khosla, Williams (2024), Soft Matching Distance: A Metric on Neural Representations That Captures "
    "Single-Neuron Tuning (the correlation instead of the distance)",
    prepare=units,
    compare_many=soft_matching_of_pairs,
)
def soft_matching(x: Tensor, y: Tensor) -> float | Score:
    """Mean correlation of units under the best transport plan between the units of X and those of Y.

    x: (rows, features), y: (rows, other features) → a number in [−1, 1]. Dead units are left out. Raises
    `NotApplicable` when all units of one side are dead, or where unequal numbers of units need the missing extra
    `transport`.

    >>> import torch
    >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    >>> round(soft_matching(x, 2 * x[:, [1, 0]] + 1), 9)
    1.0
    """
    return soft_matching_of_pairs([units(x), units(y)], [(0, 1)])[0]


def partial_soft_matching_of_pairs(prepared: Sequence[Units], pairs: Pairs, *, mass: float) -> list[float | Score]:
    """Partial soft matching of many pairs."""

    def value(correlations: Array, a: Units, b: Units) -> float:
        return _transported(correlations, a, b) if mass == 1 else _partly_transported(correlations, mass)

    return matched(value, prepared, pairs)


def _partly_transported(correlations: Array, mass: float) -> float:
    """1 − cost / mass, with costs 1 − C: where all of them are 0 the plan, not its cost, is arbitrary."""
    library = transport_library("transport of a part of the mass needs")
    cost = np.ascontiguousarray(1 - correlations)
    weights = [np.full(count, 1 / count) for count in cost.shape]
    plan = library.partial.partial_wasserstein(*weights, cost, m=mass, numItermax=ITERATIONS)
    return float(np.clip(1 - (plan * cost).sum() / mass, -1, 1))


@metric(
    "partial_soft_matching",
    version=2,
    higher_is_more_similar=True,
    symmetric=True,
    value_range=(-1.0, 1.0),
    invariant_to=INVARIANT_TO,
    family="matching",
    formula="max_P Σᵢⱼ Pᵢⱼ Cᵢⱼ / m, P ≥ 0 with row sums ≤ 1/d, column sums ≤ 1/d′ and total mass m",
    reference="Kapoor, Williams, Khosla (2026), partial soft matching, arXiv 2602.19331; Chapel, Alaya, Gasso (2020), "
    "Partial Optimal Transport with Applications on Positive-Unlabeled Learning (the linear programme)",
    prepare=units,
    compare_many=partial_soft_matching_of_pairs,
)
def partial_soft_matching(x: Tensor, y: Tensor, *, mass: Annotated[float, Field(gt=0, le=1)] = 0.9) -> float | Score:
    """Mean correlation of the share `mass` of the units that matches best under the best transport plan.

    x: (rows, features), y: (rows, other features) → a number in [−1, 1], not below `soft_matching`, which it is at
    mass 1: outliers on either side find no partner and do no harm. Dead units are left out. Raises `NotApplicable`
    when all units of one side are dead, or where the extra `transport` is missing.

    >>> import torch
    >>> x = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    >>> y = x * torch.tensor([2.0, 3.0, -1.0])  # the last unit has no partner
    >>> round(partial_soft_matching(x, y, mass=2 / 3), 9), round(partial_soft_matching(x, y, mass=1), 9)
    (1.0, 0.333333333)
    """
    return partial_soft_matching_of_pairs([units(x), units(y)], [(0, 1)], mass=mass)[0]
