"""A metric, and one component of every other kind, that somebody else wrote and packaged."""

from __future__ import annotations

import simbench
from good_plugin import data, engines, models, representations, tests, wrappers  # noqa: F401 - each registers its components


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
