"""Indices that transport one cloud of inputs onto the other: energy distance and Gromov–Wasserstein.

* `energy_distance`: with the centred representations scaled to a root mean square row norm of 1 and Y rotated onto X,
  2 E‖x − y‖ − E‖x − x′‖ − E‖y − y′‖ over all rows; which row belongs to which input only matters for the rotation;
* `gromov_wasserstein`: the distances between inputs, D_X and D_Y, under the best re-assignment of the inputs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from simbench.bounds import MOST_INPUTS
from simbench.lazy import lazy_import
from simbench.metrics.kernels.centring import same_gram, unit_norm
from simbench.metrics.kernels.cross_products import unordered
from simbench.metrics.kernels.distance_matrices import RowDistances, distances, mean_of, row_distances
from simbench.metrics.metric import Pairs, metric
from simbench.seeds import seed_for

if TYPE_CHECKING:
    import torch
    from torch import Tensor

else:
    torch = lazy_import("torch")

SWEEPS = 200


@dataclass(frozen=True)
class Cloud:
    """Centred rows of root mean square norm 1, at most as wide as long, and their mean distance from one another."""

    rows: Tensor
    spread: float


def cloud(x: Tensor) -> Cloud:
    """Return the rows of `x` as a `Cloud`; raise `NotApplicable` without variance."""
    rows = same_gram(unit_norm(x)) * math.sqrt(len(x))
    return Cloud(rows, RowDistances(rows).mean())


def energy_distance_of_pairs(prepared: Sequence[Cloud], pairs: Pairs) -> Tensor:
    """Return the energy distance of many pairs, shape (pairs,)."""
    unique, back = unordered(pairs)
    return torch.tensor([_energy(prepared[a], prepared[b]) for a, b in unique], dtype=torch.float64)[back]


def _energy(a: Cloud, b: Cloud) -> float:
    """Return the energy distance of two clouds after the best rotation of the second.

    With bᵀa = U S Vᵀ it turns bU onto aV; what lies outside V or U is orthogonal to the other side. Hence only the
    inner products of aV with bU enter the distances between a row of a and one of the rotated b.
    """
    u, _, vt = torch.linalg.svd(b.rows.T @ a.rows, full_matrices=True)
    width = max(a.rows.shape[1], b.rows.shape[1])
    first, second = (torch.nn.functional.pad(side, (0, width - side.shape[1])) for side in (a.rows @ vt.T, b.rows @ u))
    between = mean_of(lambda i, j: distances(first[i], second[j]), len(first), len(second))
    return max(0.0, 2 * between - a.spread - b.spread)


@metric(
    "energy_distance",
    version=1,
    higher_is_more_similar=False,
    symmetric=True,
    value_range=(0.0, 2 * 2**0.5),
    invariant_to={"orthogonal", "isotropic_scaling", "translation"},
    family="distance",
    formula="2 E‖x − y‖ − E‖x − x′‖ − E‖y − y′‖ after centring, scaling and rotating Y onto X",
    reference="Székely, Rizzo (2013), Energy Statistics: A Class of Statistics Based on Distances; alignment as in "
    "Williams et al. (2021), Generalized Shape Metrics on Neural Representations, Section 2",
    prepare=cloud,
    compare_many=energy_distance_of_pairs,
)
def energy_distance(x: Tensor, y: Tensor) -> float:
    """Energy distance between the clouds of rows, centred, of root mean square norm 1, the one rotated onto the other.

    x: (rows, features), y: (rows, other features) → a number in [0, 2√2), 0 for equal clouds. Raises `NotApplicable`
    without variance.

    >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    >>> energy_distance(x, 5 * x[:, [1, 0]] - 2) < 1e-12
    True
    """
    return _energy(cloud(x), cloud(y))


def chosen_distances(x: Tensor, *, rows: int, seed: int) -> Tensor:
    """Return the distances between the rows of `x`, or between as many as `rows` drawn ones if it has more."""
    if len(x) > rows:
        generator = torch.Generator().manual_seed(seed_for(purpose="gromov_wasserstein", rows=len(x), seed=seed))
        x = x[torch.randperm(len(x), generator=generator)[:rows].to(x.device)]
    return row_distances(x).matrix()


def gromov_wasserstein_of_pairs(prepared: Sequence[Tensor], pairs: Pairs, **_: int) -> Tensor:
    """Return the Gromov–Wasserstein distance of many pairs, shape (pairs,)."""
    unique, back = unordered(pairs)
    values = [_gromov_wasserstein(prepared[a], prepared[b]) if a != b else 0.0 for a, b in unique]
    return torch.tensor(values, dtype=torch.float64)[back]


def _gromov_wasserstein(a: Tensor, b: Tensor) -> float:
    """Return the best of a few local minima: from the given correspondence, and from none (ties: by order).

    Distances are conditionally negative definite, so the objective is concave in the coupling: its minima over the
    couplings of uniform marginals are permutations, and replacing a coupling by the best one for the linearised
    objective never increases it.
    """
    nowhere = a.mean(dim=1)[:, None] * b.mean(dim=1)  # the gradient D_X 11ᵀ D_Y / n² at the uniform coupling
    given = _descend(a, b, torch.arange(len(a)))
    return min(given, _descend(a, b, _best_assignment(nowhere)), _descend(b, a, _best_assignment(nowhere.T)))


def _descend(a: Tensor, b: Tensor, assigned: Tensor) -> float:
    """‖D_X − P D_Y Pᵀ‖ / n at the local minimum below the permutation `assigned`."""
    best = math.inf
    for _ in range(SWEEPS):
        value = float(torch.linalg.matrix_norm(a - b[assigned][:, assigned])) / len(a)
        if not value < best:
            break
        best = value
        assigned = _best_assignment(a @ b[assigned])
    return best


def _best_assignment(gain: Tensor) -> Tensor:
    """Return the permutation p with the largest Σᵢ gain[i, pᵢ]."""
    from scipy.optimize import linear_sum_assignment

    _, columns = linear_sum_assignment(gain.cpu().numpy(), maximize=True)
    return torch.from_numpy(np.asarray(columns))


@metric(
    "gromov_wasserstein",
    version=1,
    higher_is_more_similar=False,
    symmetric=True,
    value_range=(0.0, math.inf),
    invariant_to={"orthogonal", "translation"},
    pairs_inputs=False,
    family="distance",
    formula="√min_P Σ (D_X[i,k] − D_Y[j,l])² Pᵢⱼ Pₖₗ, P with uniform marginals 1/n",
    reference="Mémoli (2011), Gromov–Wasserstein Distances and the Metric Approach to Object Matching, Definition 5.7",
    cost="heavy",
    prepare=chosen_distances,
    compare_many=gromov_wasserstein_of_pairs,
)
def gromov_wasserstein(
    x: Tensor,
    y: Tensor,
    *,
    rows: Annotated[int, Field(ge=3, le=MOST_INPUTS)] = 500,
    seed: Annotated[int, Field(ge=0)] = 0,
) -> float:
    """Gromov–Wasserstein distance between the rows of the two representations; uses no correspondence of inputs.

    x: (rows, features), y: (rows, other features) → a number in [0, ∞), in the units of the activations (without the
    ½ of some authors). An upper bound of a non-convex minimum. From more than `rows` rows that many are drawn.

    >>> x = torch.tensor([[0.0], [3.0], [4.0], [9.0]])
    >>> gromov_wasserstein(x, 2 - x[[2, 0, 3, 1]])
    0.0
    """
    return _gromov_wasserstein(chosen_distances(x, rows=rows, seed=seed), chosen_distances(y, rows=rows, seed=seed))
