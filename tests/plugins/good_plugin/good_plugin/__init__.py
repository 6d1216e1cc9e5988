"""Two metrics, and one component of every other kind, that somebody else wrote and packaged."""

from __future__ import annotations

import simbench
from good_plugin import data, engines, models, representations, tests, wrappers  # noqa: F401 - each registers its components
from simbench.metrics.kernels.moments import from_products
from simbench.metrics.metric import rowwise


def centred(x):
    """Return the matrix with mean 0 in every column, row by row."""
    x = x.double()
    return x - x.mean(dim=0)


def alignments(prepared, pairs):
    """Return the alignment of every pair of prepared matrices."""
    sides = [(prepared[a], prepared[b]) for a, b in pairs]
    return [float((x.T @ y).norm() ** 2 / ((x.T @ x).norm() * (y.T @ y).norm())) for x, y in sides]


@simbench.metric(
    "good_plugin/alignment",
    version=1,
    higher_is_more_similar=True,
    symmetric=True,
    invariant_to={"orthogonal", "isotropic_scaling", "translation"},
    value_range=(0, 1),
    formula="‖X̃ᵀỸ‖² / (‖X̃ᵀX̃‖ ‖ỸᵀỸ‖)",
    prepare=rowwise(centred),
    compare_many=alignments,
    from_sums=from_products,
)
def alignment(x, y):
    """Cosine of the Gram matrices of centred columns, which wrappers may take apart."""
    return alignments([centred(x), centred(y)], [(0, 1)])[0]


@simbench.metric(
    "good_plugin/distance_correlation",
    version=1,
    higher_is_more_similar=True,
    symmetric=True,
    invariant_to={"orthogonal", "isotropic_scaling", "translation"},
    value_range=(0, 1),
    family="distances",
    formula="⟨A, B⟩ / (‖A‖ ‖B‖), A and B the double-centred matrices of distances between rows",
    reference="Székely, Rizzo, Bakirov (2007), Measuring and testing dependence by correlation of distances",
)
def distance_correlation(x, y):
    """Cosine of the double-centred matrices of distances between rows.

    x: (rows, features), y: (rows, other features) → a scalar in [0, 1].
    """
    a, b = (_centred_distances(one.double()) for one in (x, y))
    return ((a * b).sum() / (a.norm() * b.norm())).clamp(0, 1)


def _centred_distances(x):
    distances = (x[:, None] - x[None]).norm(dim=-1)
    return distances - distances.mean(0) - distances.mean(1, keepdim=True) + distances.mean()
