"""The Procrustes distance in its other forms: squared, as an angle, with sizes kept, and over permutations only.

`procrustes` is the chord c between the best aligned shapes of norm 1, 2 − c² = 2‖ỸᵀX̃‖∗. From it follow

* `procrustes_squared`: c², no metric (Ding et al. call this one the Procrustes distance);
* `procrustes_angular`: the angle that belongs to the chord, arccos ‖ỸᵀX̃‖∗ = 2 arcsin(c/2);
* `procrustes_size_shape`: without normalisation, ‖X̃‖² + ‖Ỹ‖² − 2‖ỸᵀX̃‖∗ = (‖X̃‖ − ‖Ỹ‖)² + ‖X̃‖‖Ỹ‖c², its root.

`procrustes_permutation` allows permutations of units instead of rotations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simbench.lazy import lazy_import
from simbench.metrics.kernels.centring import centred, require_variance
from simbench.metrics.kernels.cross_products import angle_of_chord, cross_products, unordered
from simbench.metrics.kernels.moments import from_products
from simbench.metrics.metric import Pairs, metric, rowwise
from simbench.metrics.shape.procrustes import INVARIANT_TO, Shape, procrustes, procrustes_of_pairs, shape

if TYPE_CHECKING:
    import scipy.optimize as optimize
    import torch
    from torch import Tensor

else:
    torch, optimize = lazy_import("torch"), lazy_import("scipy.optimize")


def squared_of_pairs(prepared: Sequence[Shape], pairs: Pairs) -> Tensor:
    """Return the squared Procrustes distance of many pairs of prepared shapes, shape (pairs,)."""
    return procrustes_of_pairs(prepared, pairs).square()


@metric(
    "procrustes_squared",
    version=1,
    higher_is_more_similar=False,
    symmetric=True,
    value_range=(0.0, 2.0),
    invariant_to=INVARIANT_TO,
    family="shape",
    formula="2 − 2‖ỸᵀX̃‖∗, ‖X̃‖ = ‖Ỹ‖ = 1",
    reference="Ding, Denain, Steinhardt (2021), Grounding Representation Similarity Through Statistical Testing, "
    "the orthogonal Procrustes distance",
    prepare=rowwise(shape),
    compare_many=squared_of_pairs,
    from_sums=from_products,
)
def procrustes_squared(x: Tensor, y: Tensor) -> Tensor:
    """Squared Procrustes distance of the centred representations of norm 1; violates the triangle inequality.

    x: (rows, features), y: (rows, other features) → a scalar in [0, 2]. Raises `NotApplicable` without variance.

    >>> x = torch.tensor([[1.0], [-1.0], [0.0], [0.0]])
    >>> y = torch.tensor([[1.0], [0.0], [-1.0], [0.0]])
    >>> round(float(procrustes_squared(x, y)), 9)  # 2 − 2 · the correlation, 1/2
    1.0
    """
    return procrustes(x, y).square()


def angular_of_pairs(prepared: Sequence[Shape], pairs: Pairs) -> Tensor:
    """Return the angular Procrustes distance of many pairs of prepared shapes, shape (pairs,)."""
    return angle_of_chord(procrustes_of_pairs(prepared, pairs))


@metric(
    "procrustes_angular",
    version=1,
    higher_is_more_similar=False,
    symmetric=True,
    value_range=(0.0, math.pi / 2),
    triangle_inequality=True,
    invariant_to=INVARIANT_TO,
    family="shape",
    formula="arccos ‖ỸᵀX̃‖∗, ‖X̃‖ = ‖Ỹ‖ = 1",
    reference="Williams, Kunz, Kornblith, Linderman (2021), Generalized Shape Metrics on Neural Representations, "
    "Section 2",
    prepare=rowwise(shape),
    compare_many=angular_of_pairs,
    from_sums=from_products,
)
def procrustes_angular(x: Tensor, y: Tensor) -> Tensor:
    """The angle that the best rotation leaves between the centred representations: a Riemannian shape distance.

    x: (rows, features), y: (rows, other features) → a scalar in [0, π/2], a metric in the mathematical sense.
    Raises `NotApplicable` without variance.

    >>> x = torch.tensor([[1.0], [-1.0], [0.0], [0.0]])
    >>> y = torch.tensor([[1.0], [0.0], [-1.0], [0.0]])
    >>> round(float(procrustes_angular(x, y)) * 180 / torch.pi, 9)  # arccos 1/2
    60.0
    """
    return angle_of_chord(procrustes(x, y))


@dataclass(frozen=True)
class SizedShape:
    """A shape of norm 1, and the norm that it had."""

    shape: Shape
    size: float


def sized_shape(x: Tensor) -> SizedShape:
    """Return the centred shape and its size, the norm."""
    size = float(torch.linalg.matrix_norm(centred(x)))
    return SizedShape(shape(x), size)


def size_shape_of_pairs(prepared: Sequence[SizedShape], pairs: Pairs) -> Tensor:
    """Return the size-and-shape distance of many pairs of sized shapes, shape (pairs,)."""
    chords = procrustes_of_pairs([side.shape for side in prepared], pairs)
    sizes = torch.tensor([side.size for side in prepared], dtype=torch.float64)
    a, b = torch.tensor(pairs).T
    return _size_and_shape(sizes[a], sizes[b], chords)


@metric(
    "procrustes_size_shape",
    version=1,
    higher_is_more_similar=False,
    symmetric=True,
    value_range=(0.0, float("inf")),
    triangle_inequality=True,
    invariant_to={"orthogonal", "translation"},
    family="shape",
    formula="√(‖X̃‖² + ‖Ỹ‖² − 2‖ỸᵀX̃‖∗)",
    reference="Williams, Kunz, Kornblith, Linderman (2021), Generalized Shape Metrics on Neural Representations, "
    "Section 2; the Bures distance of the Gram matrices: Harvey, Larsen, Williams (2023), Duality of "
    "Bures and Shape Distances with Implications for Comparing Neural Representations",
    prepare=sized_shape,
    compare_many=size_shape_of_pairs,
    from_sums=from_products,
)
def procrustes_size_shape(x: Tensor, y: Tensor) -> Tensor:
    """Procrustes size-and-shape distance: what the best rotation leaves of the centred matrices, sizes kept.

    x: (rows, features), y: (rows, other features) → a scalar ≥ 0 that grows with √rows, a metric in the mathematical
    sense. Raises `NotApplicable` without variance.

    >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]])
    >>> round(float(procrustes_size_shape(x, 3 * x[:, [1, 0]] + 7)), 9)  # ‖x‖ = 2 and ‖y‖ = 6
    4.0
    """
    sizes = [torch.linalg.matrix_norm(centred(side)) for side in (x, y)]
    return _size_and_shape(sizes[0], sizes[1], procrustes(x, y))


def _size_and_shape(first: Tensor, second: Tensor, chord: Tensor) -> Tensor:
    """Return the distance from sums of squares only, so that nothing cancels."""
    return ((first - second).square() + first * second * chord.square()).sqrt()


def permutation_of_pairs(prepared: Sequence[Tensor], pairs: Pairs, *, centre: bool) -> Tensor:
    """Return the permutation Procrustes distance of many pairs of prepared matrices, shape (pairs,)."""
    unique, back = unordered(pairs)
    values = torch.empty(len(unique), dtype=torch.float64)
    for positions, products in cross_products(prepared, unique):
        for position, product in zip(positions, products, strict=True):
            a, b = unique[position]
            values[position] = _permuted_residual(prepared[a], prepared[b], product)
    return values[back]


def units_to_match(x: Tensor, *, centre: bool) -> Tensor:
    """Return the units of `x`, centred if `centre` says so."""
    return centred(x) if centre else require_variance(x)


@metric(
    "procrustes_permutation",
    version=1,
    higher_is_more_similar=False,
    symmetric=True,
    value_range=(0.0, float("inf")),
    invariant_to={"permutation"},
    family="shape",
    formula="min over permutations P of ‖X P − Y‖, the narrower side padded with zeros",
    reference="Williams, Kunz, Kornblith, Linderman (2021), Generalized Shape Metrics on Neural Representations, "
    "Section 2 (the group of permutations)",
    prepare=units_to_match,
    compare_many=permutation_of_pairs,
)
def procrustes_permutation(x: Tensor, y: Tensor, *, centre: bool = False) -> Tensor:
    """Procrustes distance over permutations of units: no rotation, no scaling and, unless asked for, no centring.

    x: (rows, features), y: (rows, other features) → a scalar ≥ 0, a metric in the mathematical sense among equally wide
    representations (between [u] and [−u] the way over [u, −u]/2 is shorter). With `centre` it is also invariant to
    translation. Raises `NotApplicable` without variance.

    >>> x = torch.tensor([[1.0, 5.0], [2.0, 0.0], [0.0, 1.0]])
    >>> float(procrustes_permutation(x, x[:, [1, 0]])), float(procrustes_permutation(x, x[:, [1]]))
    (0.0, 2.23...)
    """
    x, y = units_to_match(x, centre=centre), units_to_match(y, centre=centre)
    return _permuted_residual(x, y, x.T @ y)


def _permuted_residual(x: Tensor, y: Tensor, product: Tensor) -> Tensor:
    """‖x P − y‖ for the P that maximises tr(Pᵀ xᵀy), taken from the residual itself: a small one keeps its digits."""
    rows, columns = optimize.linear_sum_assignment(product.cpu().numpy(), maximize=True)
    left = [torch.ones(side.shape[1], dtype=torch.bool, device=side.device) for side in (x, y)]
    left[0][rows], left[1][columns] = False, False
    parts = (x[:, rows] - y[:, columns], x[:, left[0]], y[:, left[1]])
    squared: Tensor = torch.stack([part.square().sum() for part in parts]).sum()
    return squared.sqrt()
