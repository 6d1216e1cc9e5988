"""Generalised linear shape distance, between that of rotations and that of all linear maps.

Generalised shape metrics whiten each representation partially before it is rotated. With X̃ centred and of norm 1, its
singular value decomposition X̃ = U S Vᵀ up to the numerical rank, and α in [0, 1],

    φ(X) = X̃ (α I + (1 − α) (X̃ᵀX̃)^(−1/2)) = U (α S + (1 − α) I) Vᵀ,

and the distance is the angular Procrustes distance of φ(X) and φ(Y). At α = 1 nothing is whitened: Procrustes. At α = 0
everything is: cos = Σρᵢ / √(r_x r_y) with canonical correlations ρ and ranks r. As α weighs I against (X̃ᵀX̃)^(−1/2),
which shrinks as X grows, the norm is fixed *first*; without that a rescaled X would be at a distance from itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from simbench.lazy import lazy_import
from simbench.metrics.kernels.cross_products import angle_of_chord
from simbench.metrics.kernels.moments import from_spans
from simbench.metrics.kernels.saturation import with_forced
from simbench.metrics.kernels.spectrum import Spectrum, spectrum
from simbench.metrics.metric import Pairs, Score, metric, rowwise
from simbench.metrics.shape.procrustes import Shape, procrustes, procrustes_of_pairs

if TYPE_CHECKING:
    import torch
    from torch import Tensor

else:
    torch = lazy_import("torch")

Alpha = Annotated[float, Field(ge=0, le=1)]


def shape_linear_of_pairs(prepared: Sequence[Spectrum], pairs: Pairs, *, alpha: float) -> list[float | Score]:
    """Return the generalised shape distance of many pairs of whitened representations."""
    matrices = [side.coordinates for side in prepared]
    # Whitening enlarges what is small, rounding errors too: products stay in float64.
    shapes = [Shape(matrix, matrix) for matrix in matrices]
    angles = angle_of_chord(procrustes_of_pairs(shapes, pairs)).tolist()
    return [_warned(angle, alpha, prepared[a], prepared[b]) for (a, b), angle in zip(pairs, angles, strict=True)]


def partially_whitened(x: Tensor, *, alpha: float) -> Spectrum:
    """Return the spectrum of X(αI + (1 − α)(XᵀX)^−½), of norm 1, X being centred and of norm 1."""
    full = spectrum(x)
    values = alpha * full.values / torch.linalg.vector_norm(full.values) + (1 - alpha)
    return Spectrum(full.left, values / torch.linalg.vector_norm(values), full.right)


@metric(
    "shape_linear",
    version=2,
    higher_is_more_similar=False,
    symmetric=True,
    value_range=(0.0, math.pi / 2),
    triangle_inequality=True,
    invariant_to={"orthogonal", "isotropic_scaling", "translation"},
    family="shape",
    formula="arccos ‖φ(Y)ᵀφ(X)‖∗ / (‖φ(X)‖ ‖φ(Y)‖), φ(X) = X̃(α I + (1 − α)(X̃ᵀX̃)^(−1/2)), ‖X̃‖ = 1",
    reference="Williams, Kunz, Kornblith, Linderman (2021), Generalized Shape Metrics on Neural Representations, "
    "Section 2 (partial whitening); normalised before whitening",
    prepare=rowwise(partially_whitened),
    compare_many=shape_linear_of_pairs,
    from_sums=from_spans,
)
def shape_linear(x: Tensor, y: Tensor, *, alpha: Alpha = 0.5) -> float | Score:
    """Generalised linear shape distance: the angle after partial whitening; α = 1 Procrustes, α = 0 CCA.

    x: (rows, features), y: (rows, other features) → an angle in [0, π/2], a metric in the mathematical sense. At α = 0
    it is invariant to affine maps, and carries the warning `saturated` where correlations are forced to 1.
    Raises `NotApplicable` without variance.

    >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0], [2.0, 2.0]])
    >>> stretched = x * torch.tensor([5.0, 1.0])
    >>> [round(float(shape_linear(x, stretched, alpha=alpha)), 2) for alpha in (0.0, 0.5, 1.0)]
    [0.0, 0.2, 0.45]
    """
    a, b = partially_whitened(x, alpha=alpha), partially_whitened(y, alpha=alpha)
    angle = angle_of_chord(procrustes(a.coordinates, b.coordinates))
    return _warned(float(angle), alpha, a, b)


def _warned(angle: float, alpha: float, *sides: Spectrum) -> float | Score:
    """Return the angle, with a warning where full whitening, which forgets all but the basis, forces it."""
    return with_forced(angle, *sides) if alpha == 0 else angle
