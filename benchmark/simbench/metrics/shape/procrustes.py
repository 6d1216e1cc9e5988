"""Procrustes distance and normalised Bures similarity: how well a rotation carries one representation to the other.

With X̃ and Ỹ column-centred and of Frobenius norm 1, the best orthogonal alignment Q, which pads the narrower side with
zeros, attains

    min_Q ‖X̃ − ỸQ‖² = 2 − 2‖ỸᵀX̃‖∗,

where ‖·‖∗ is the nuclear norm. `nbs` is ‖ỸᵀX̃‖∗, the cosine of the angular shape distance, and `procrustes` the root of
the right-hand side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simbench.lazy import lazy_import
from simbench.metrics.kernels.centring import same_gram, unit_norm
from simbench.metrics.kernels.cross_products import for_products, nuclear_cross_norms, unordered
from simbench.metrics.kernels.moments import from_products
from simbench.metrics.metric import Pairs, metric, rowwise

if TYPE_CHECKING:
    import torch
    from torch import Tensor

else:
    torch = lazy_import("torch")

INVARIANT_TO = {"orthogonal", "isotropic_scaling", "translation"}
CLOSE = 0.1
"""A distance below which 2 − 2‖·‖∗ has lost too many digits, and the residual of the alignment is taken."""


@dataclass(frozen=True)
class Shape:
    """A centred matrix of norm 1, (rows, ≤ rows): in float64, and in the precision in which products are taken."""

    matrix: Tensor
    factor: Tensor

    def __getitem__(self, rows: Tensor) -> Shape:
        """Return the shape of these rows, which are all of them in another order."""
        return Shape(self.matrix[rows], self.factor[rows])


def shape(x: Tensor) -> Shape:
    """Return the centred matrix with norm 1."""
    matrix = same_gram(unit_norm(x))
    return Shape(matrix, for_products(matrix, x.dtype))


def nbs_of_pairs(prepared: Sequence[Shape], pairs: Pairs) -> Tensor:
    """Return the normalised Bures similarity of many pairs, (pairs,), to about 1e-7; 1 of each with itself."""
    values = nuclear_cross_norms([side.factor for side in prepared], pairs).clamp_max(1)
    values[[a == b for a, b in pairs]] = 1.0
    return values


@metric(
    "nbs",
    version=1,
    higher_is_more_similar=True,
    symmetric=True,
    value_range=(0.0, 1.0),
    invariant_to=INVARIANT_TO,
    family="shape",
    formula="‖ỸᵀX̃‖∗ / (‖X̃‖ ‖Ỹ‖)",
    reference="Tang, Maddox, Dickens, Diethe, Damianou (2020), Similarity of Neural Networks with Gradients; "
    "Harvey, Larsen, Williams (2023), Duality of Bures and Shape Distances with Implications for "
    "Comparing Neural Representations",
    default=True,
    prepare=rowwise(shape),
    compare_many=nbs_of_pairs,
    from_sums=from_products,
)
def nbs(x: Tensor, y: Tensor) -> Tensor:
    """Normalised Bures similarity: the cosine of the angle that the best rotation leaves between X and Y.

    x: (rows, features), y: (rows, other features) → a scalar in [0, 1]. Raises `NotApplicable` without variance.

    >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    >>> round(float(nbs(x, 5 * x[:, [1, 0]] - 2)), 9)
    1.0
    """
    x, y = same_gram(unit_norm(x)), same_gram(unit_norm(y))
    singular: Tensor = torch.linalg.svdvals(y.T @ x)
    return singular.sum()


def procrustes_of_pairs(prepared: Sequence[Shape], pairs: Pairs) -> Tensor:
    """Return the Procrustes distance of many pairs, (pairs,), to 1e-6; small ones to all digits, 0 of itself."""
    unique, back = unordered(pairs)
    distances = (2 - 2 * nbs_of_pairs(prepared, unique)).sqrt()
    for k in torch.nonzero(distances < CLOSE).flatten().tolist():
        a, b = unique[k]
        if a != b:
            distances[k] = _residual(prepared[a].matrix, prepared[b].matrix)
    return distances[back]


@metric(
    "procrustes",
    version=1,
    higher_is_more_similar=False,
    symmetric=True,
    value_range=(0.0, 2**0.5),
    triangle_inequality=True,
    invariant_to=INVARIANT_TO,
    family="shape",
    formula="√(2 − 2‖ỸᵀX̃‖∗), ‖X̃‖ = ‖Ỹ‖ = 1",
    reference="Ding, Denain, Steinhardt (2021), Grounding Representation Similarity Through Statistical Testing, "
    "the orthogonal Procrustes distance; "
    "Williams, Kunz, Kornblith, Linderman (2021), Generalized Shape Metrics on Neural Representations, "
    "Section 2",
    default=True,
    prepare=rowwise(shape),
    compare_many=procrustes_of_pairs,
    from_sums=from_products,
)
def procrustes(x: Tensor, y: Tensor) -> Tensor:
    """Procrustes distance: what the best rotation leaves between the centred representations of norm 1.

    x: (rows, features), y: (rows, other features) → a scalar in [0, √2], a metric in the mathematical sense.
    Raises `NotApplicable` without variance.

    >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    >>> float(procrustes(x, 5 * x[:, [1, 0]] - 2)) < 1e-12
    True
    """
    return _residual(same_gram(unit_norm(x)), same_gram(unit_norm(y)))


def _residual(x: Tensor, y: Tensor) -> Tensor:
    """Return min_Q ‖x − yQ‖, measured at the optimum.

    Near 0 the difference 2 − 2‖yᵀx‖∗ would keep half the digits only.
    With yᵀx = U S Vᵀ it is Q = UVᵀ that turns the narrower side, y, into the space of the wider one.
    """
    if x.shape[1] < y.shape[1]:
        x, y = y, x
    u, _, vt = torch.linalg.svd(y.T @ x, full_matrices=False)
    norm: Tensor = torch.linalg.matrix_norm(x - y @ (u @ vt))
    return norm
