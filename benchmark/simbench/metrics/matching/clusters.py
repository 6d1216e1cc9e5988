"""Many-to-many matching of units: clusters of units of both sides that vary together.

The living units of X and of Y are the nodes of one graph, their absolute correlations its weights. The leading
eigenvectors of D^(−½) A D^(−½), D the degrees, place the units in as many dimensions as there are to be clusters, and
Ward's method clusters their directions.

* `spectral_clusters`: do the clusters mix the two sides? Σ min(a_c / d, b_c / d′) over clusters with a_c units of X and
  b_c of Y, adjusted for the mixing that chance alone gives;
* `spectral_subspace`: do the two halves of a cluster span the same subspace? The mean squared canonical correlation.

An isolated unit, which correlates with none, is a cluster of its own; the units that the leading eigenvectors leave at
the origin are one together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean, stdev
from typing import TYPE_CHECKING, Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from simbench.bounds import MOST_REPETITIONS
from simbench.lazy import lazy_import
from simbench.metrics.kernels.centring import centred
from simbench.metrics.kernels.cross_products import unordered
from simbench.metrics.kernels.memoisation import memoised
from simbench.metrics.kernels.rounding import Rounding, rounding
from simbench.metrics.kernels.saturation import forced_correlations
from simbench.metrics.kernels.spectrum import Spectrum, decompose
from simbench.metrics.kernels.units import Array, Units, dead_units, living, units
from simbench.metrics.matching.mutual_information import exchanged_rows
from simbench.metrics.metric import Pairs, Score, metric, of_representation
from simbench.seeds import seed_for

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from simbench.representations.representation import Representation
else:
    torch = lazy_import("torch")

Labels = NDArray[np.int64]
ClusterSize = Annotated[float, Field(gt=1)]
"""The parameter `cluster_size`: there are (d + d′) / cluster_size clusters."""
INVARIANT_TO = {"permutation", "diagonal_scaling", "translation"}
REFERENCE = (
    "Li, Yosinski, Clune, Lipson, Hopcroft (2016), Convergent Learning: Do Different Neural Networks Learn the Same "
    "Representations?, the section on many-to-many mappings; Ng, Jordan, Weiss (2001), On Spectral Clustering: "
    "Analysis and an Algorithm, Section 2"
)
ROUNDING = 1e-12
"""A smaller correlation, or a smaller eigenvalue, is zero."""
AT_ORIGIN = float(np.finfo(np.float64).eps) ** 0.5
"""Of a row of orthonormal eigenvectors: below this norm its direction is rounding error."""


@dataclass(frozen=True)
class Side:
    """A representation as nodes of the graph.

    units: the living units, standardised; errors: their rounding errors, which decide about ranks;
    within: their absolute correlations, (units, units); inputs: of which the rows are positions.
    """

    units: Units
    errors: Rounding
    within: Tensor
    inputs: int

    def exchanged(self, seed: int) -> Tensor:
        """Return the standardised units after inputs, with all their positions, were exchanged in pairs at random."""
        columns = self.units.columns
        return columns[exchanged_rows(len(columns), self.inputs, seed).to(columns.device)]


@memoised
def side(x: Tensor, inputs: int) -> Side:
    """Return the units of `x`, (rows, features), `rows / inputs` consecutive rows being positions of one input."""
    alive, standardised = living(x), units(x)
    errors = rounding(x)[alive].in_units_of(torch.linalg.vector_norm(centred(x)[:, alive], dim=0))
    return Side(standardised, errors, _absolute(standardised.columns, standardised.columns), inputs)


def side_of(representation: Representation, **_: object) -> Side:
    """Return the standardised units that the spectral metrics cluster."""
    return side(representation.matrix, len(representation.activations))


def _absolute(a: Tensor, b: Tensor) -> Tensor:
    correlations = (a.T @ b).abs().clamp(max=1)
    return torch.where(correlations > ROUNDING, correlations, 0.0)


def clustered(a: Side, b: Side, columns: Tensor, cluster_size: float) -> tuple[Labels, Labels]:
    """Return the clusters of either side; `columns` are the standardised units of b or a form of them."""
    between = _absolute(a.units.columns, columns)
    affinity = torch.cat([torch.cat([a.within, between], dim=1), torch.cat([between.T, b.within], dim=1)]).cpu().numpy()
    labels = spectral_labels(affinity, max(1, round(len(affinity) / cluster_size)))
    return labels[: a.units.alive], labels[a.units.alive :]


def spectral_labels(affinity: Array, clusters: int) -> Labels:
    """Return a cluster for each node of the graph with these weights, (nodes, nodes); the diagonal is ignored.

    There are fewer clusters where the graph has fewer positive eigenvalues: other eigenvectors tell apart what is most
    alike. So a unit and its copy, which share all eigenvectors but one of a negative eigenvalue, are never separated.

    >>> spectral_labels(np.kron(np.eye(2), np.ones((3, 3))), 2).tolist()
    [1, 1, 1, 2, 2, 2]
    """
    from scipy.cluster.hierarchy import fcluster, ward
    from scipy.linalg import eigh

    affinity = affinity * (1 - np.eye(len(affinity)))
    degree = affinity.sum(axis=0)
    labels = -1 - np.arange(len(affinity))  # an isolated unit is a cluster of its own
    connected = np.flatnonzero(degree > 0)
    if len(connected) == 0:
        return labels
    root = np.sqrt(degree[connected])
    count = min(clusters, len(connected))
    values, vectors = eigh(
        affinity[np.ix_(connected, connected)] / np.outer(root, root),
        subset_by_index=[len(connected) - count, len(connected) - 1],
    )
    vectors = vectors[:, values > ROUNDING]
    norms = np.linalg.norm(vectors, axis=1)
    placed = norms > AT_ORIGIN
    labels[connected] = 0
    directions = vectors[placed] / norms[placed, None]
    many = directions.shape[1] > 1
    labels[connected[placed]] = fcluster(ward(directions), directions.shape[1], "maxclust") if many else 1
    return labels


def mixing(a: Labels, b: Labels) -> float:
    """Σ_c min(a_c / d, b_c / d′) over clusters with a_c of the d units of the one side and b_c of the d′ of the other.

    >>> mixing(np.array([1, 1, 2]), np.array([1, 2, 2])), mixing(np.array([1]), np.array([2]))
    (0.6666666666666666, 0.0)
    """
    common = sum(min(int((a == c).sum()) * len(b), int((b == c).sum()) * len(a)) for c in np.unique(a))
    return common / (len(a) * len(b))  # of whole numbers, so that all mixed is 1 without rounding error


def clusters_of_pairs(
    prepared: Sequence[Side], pairs: Pairs, *, cluster_size: float, permutations: int, seed: int
) -> list[Score]:
    """Return the adjusted mixing of many pairs."""
    unique, back = unordered(pairs)
    scores = [_adjusted_mixing(prepared[a], prepared[b], cluster_size, permutations, seed) for a, b in unique]
    return [_counting_dead(scores[k], prepared[a], prepared[b]) for (a, b), k in zip(pairs, back, strict=True)]


def _adjusted_mixing(a: Side, b: Side, cluster_size: float, permutations: int, seed: int) -> Score:
    def mixed(columns: Tensor) -> float:
        return mixing(*clustered(a, b, columns, cluster_size))

    seeds = [seed_for(purpose="spectral_clusters", draw=draw, seed=seed) for draw in range(permutations)]
    by_chance = [mixed(b.exchanged(draw)) for draw in seeds]
    chance = fmean(by_chance)
    if chance == 1:
        return Score.skip("too few clusters: by chance alone they mix the units perfectly")
    observed = mixed(b.units.columns)
    error = stdev(by_chance) / permutations**0.5 * (1 - observed) / (1 - chance) ** 2
    return Score((observed - chance) / (1 - chance), standard_error=error)


@metric(
    "spectral_clusters",
    version=2,
    higher_is_more_similar=True,
    symmetric=True,
    value_range=(float("-inf"), 1.0),
    invariant_to=INVARIANT_TO,
    family="matching",
    formula="(S − S₀) / (1 − S₀), S = Σ_c min(a_c/d, b_c/d′) over (d + d′)/5 spectral clusters of the units of both "
    "sides, S₀ the same after inputs of one side were exchanged",
    reference=REFERENCE,
    prepare=of_representation(side_of),
    compare_many=clusters_of_pairs,
)
def spectral_clusters(
    x: Tensor,
    y: Tensor,
    *,
    cluster_size: ClusterSize = 5.0,
    permutations: Annotated[int, Field(ge=2, le=MOST_REPETITIONS)] = 5,
    seed: Annotated[int, Field(ge=0)] = 0,
) -> Score:
    """Evenness with which clusters of correlated units mix the two sides, adjusted for chance.

    x: (rows, features), y: (rows, other features) → a number ≤ 1, about 0 by chance; its standard error is that of the
    mean of `permutations` draws of S₀. Dead units are left out. Every row is taken for an input; only a
    `Representation` says which rows are positions of one. Skipped where chance mixes perfectly. Raises `NotApplicable`
    when all units of one side are dead.

    >>> x = torch.randn(60, 8, generator=torch.Generator().manual_seed(0))
    >>> spectral_clusters(x, 2 * x.flip(1) + 1).value
    1.0
    """
    sides = [side(matrix, len(matrix)) for matrix in (x, y)]
    return clusters_of_pairs(sides, [(0, 1)], cluster_size=cluster_size, permutations=permutations, seed=seed)[0]


def subspaces_of_pairs(prepared: Sequence[Side], pairs: Pairs, *, cluster_size: float) -> list[Score]:
    """Return the canonical correlations within the clusters of many pairs."""
    unique, back = unordered(pairs)
    scores = [_shared_subspace(prepared[a], prepared[b], cluster_size) for a, b in unique]
    return [_counting_dead(scores[k], prepared[a], prepared[b]) for (a, b), k in zip(pairs, back, strict=True)]


def _shared_subspace(a: Side, b: Side, cluster_size: float) -> Score:
    total, forced = 0.0, dict[str, None]()
    labels = clustered(a, b, b.units.columns, cluster_size)
    for cluster in np.intersect1d(*labels):
        inside = [assigned == cluster for assigned in labels]
        x, y = (_basis(node, group) for node, group in zip((a, b), inside, strict=True))
        total += sum(int(group.sum()) for group in inside) * squared_correlation(x, y)
        forced |= dict.fromkeys(forced_correlations(x, y))
    value = min(1.0, total / (len(labels[0]) + len(labels[1])))
    return Score(value, warnings=tuple(forced))


def _basis(node: Side, group: NDArray[np.bool_]) -> Spectrum:
    chosen = torch.as_tensor(group, device=node.units.columns.device)
    return decompose(node.units.columns[:, chosen], node.errors[chosen])


def squared_correlation(x: Spectrum, y: Spectrum) -> float:
    """Return the mean squared canonical correlation, Σ ρᵢ² / min(r_x, r_y)."""
    return float((x.left.T @ y.left).square().sum()) / min(x.rank, y.rank)


def _counting_dead(score: Score, a: Side, b: Side) -> Score:
    return replace(score, warnings=score.warnings + dead_units(a.units, b.units))


@metric(
    "spectral_subspace",
    version=2,
    higher_is_more_similar=True,
    symmetric=True,
    value_range=(0.0, 1.0),
    invariant_to=INVARIANT_TO,
    family="matching",
    formula="Σ_c (a_c + b_c) / (d + d′) · Σᵢ ρ²_cᵢ / min(r_a, r_b) over (d + d′)/5 spectral clusters of the units of "
    "both sides, 0 for those of one side",
    reference=REFERENCE,
    prepare=of_representation(side_of),
    compare_many=subspaces_of_pairs,
)
def spectral_subspace(x: Tensor, y: Tensor, *, cluster_size: ClusterSize = 5.0) -> Score:
    """Mean squared canonical correlation of the two sides of clusters of correlated units, weighted by their units.

    x: (rows, features), y: (rows, other features) → a number in [0, 1], with the warning `saturated` where correlations
    of a cluster are forced to 1. Dead units are left out. Raises `NotApplicable` when all units of one side are dead.

    >>> x = torch.randn(60, 8, generator=torch.Generator().manual_seed(0))
    >>> round(spectral_subspace(x, 2 * x.flip(1) + 1).value, 9)
    1.0
    """
    return subspaces_of_pairs([side(matrix, len(matrix)) for matrix in (x, y)], [(0, 1)], cluster_size=cluster_size)[0]
