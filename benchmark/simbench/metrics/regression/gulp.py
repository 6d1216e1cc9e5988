"""Comparison of two representations by the linear predictions that ridge regression makes from them.

With U_x the left singular vectors of the centred X, s its singular values and r_x its numerical rank, the ridge
regression of anything on X smooths it by the n × n matrix H_x = U_x diag(w) U_xᵀ, w = s²/(s² + nλ). With ρ the
canonical correlations, the singular values of U_xᵀU_y:

* `gulp`: ‖H_x − H_y‖, at λ = 0 √(r_x + r_y − 2Σρ²);
* `decoding_similarity`: the cosine of H_x and H_y, at λ = 0 Σρ²/√(r_x r_y), for λ → ∞ linear CKA.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from simbench.lazy import lazy_import
from simbench.metrics.kernels.cross_products import gram_distance, squared_cross_norms
from simbench.metrics.kernels.moments import Moments, from_spans
from simbench.metrics.kernels.saturation import with_forced
from simbench.metrics.kernels.spectrum import Spectrum, spectrum
from simbench.metrics.metric import Pairs, Score, metric

if TYPE_CHECKING:
    import torch
    from torch import Tensor

else:
    torch = lazy_import("torch")

Ridge = Annotated[float, Field(ge=0)]
# A squared distance, relative to the squared norms, below which their difference has lost too many digits.
CLOSE = 1e-4


@dataclass(frozen=True)
class Smoother:
    """The smoothing matrix H = root rootᵀ, its squared norm, and the spectrum that it was made from."""

    root: Tensor
    squared_norm: float
    spectrum: Spectrum


def smoother(x: Tensor, *, ridge: float, squared: bool) -> Smoother:
    """Return the smoothing matrix of ridge regression from `x`."""
    return _smoother(spectrum(x), ridge)


def gulp_of_pairs(prepared: Sequence[Smoother], pairs: Pairs, *, ridge: float, squared: bool) -> list[float | Score]:
    """Return the GULP distance of many pairs of smoothing matrices."""
    scores: list[float | Score] = []
    products = squared_cross_norms([side.root for side in prepared], pairs).tolist()
    for (a, b), product in zip(pairs, products, strict=True):
        x, y = prepared[a], prepared[b]
        size = x.squared_norm + y.squared_norm
        far = size - 2 * product
        distance = math.sqrt(far) if far > CLOSE * size else float(gram_distance(x.root, y.root))
        scores.append(_gulp(distance, squared, ridge, x, y))
    return scores


def gulp_from_sums(function: Callable[..., Any], moments: Moments, parameters: Mapping[str, Any]) -> Score | float:
    """Compute GULP from sums over rows; its penalty is relative to their number."""
    condensed_rows = 1 + len(moments.centred(0))
    return from_spans(function, moments, {**parameters, "ridge": parameters["ridge"] * moments.rows / condensed_rows})


@metric(
    "gulp",
    version=2,
    higher_is_more_similar=False,
    symmetric=True,
    value_range=(0.0, float("inf")),
    triangle_inequality=True,
    invariant_to={"affine"},
    family="regression",
    formula="√(tr(Σ_x^λ⁻¹ Σ_x Σ_x^λ⁻¹ Σ_x) + tr(Σ_y^λ⁻¹ Σ_y Σ_y^λ⁻¹ Σ_y) − 2 tr(Σ_x^λ⁻¹ Σ_xy Σ_y^λ⁻¹ Σ_yx)), "
    "Σ^λ = Σ + λI; at λ = 0 √(r_x + r_y − 2Σρ²)",
    reference="Boix-Adserà, Lawrence, Stepaniants, Rigollet (2022), GULP: a prediction-based metric between "
    "representations, the definition of the distance and its form by covariances",
    prepare=smoother,
    compare_many=gulp_of_pairs,
    from_sums=gulp_from_sums,
)
def gulp(x: Tensor, y: Tensor, *, ridge: Ridge = 0.0, squared: bool = False) -> float | Score:
    """GULP: the largest difference between ridge regressions on X and on Y, on average over targets.

    x: (rows, features), y: (rows, other features) → a number ≥ 0, a metric in the mathematical sense unless `squared`.
    For `ridge` > 0 (in the units of a variance) it is invariant to translations and rotations only. Carries the warning
    `saturated` where correlations are forced to 1 and nothing is regularised. Raises `NotApplicable` without variance.

    >>> x = torch.tensor([[1.0], [-1.0], [0.0], [0.0]])
    >>> y = torch.tensor([[1.0], [0.0], [-1.0], [0.0]])
    >>> round(gulp(x, y, squared=True), 9)  # 1 + 1 − 2ρ², with the correlation ρ = 1/2
    1.5
    """
    a, b = _smoother(spectrum(x), ridge), _smoother(spectrum(y), ridge)
    return _gulp(float(gram_distance(a.root, b.root)), squared, ridge, a, b)


def _smoother(full: Spectrum, ridge: float) -> Smoother:
    variances = full.values.square()
    weights = variances / (variances + len(full.left) * ridge)
    return Smoother(full.left * weights.sqrt(), float(weights.square().sum()), full)


def _gulp(distance: float, squared: bool, ridge: float, x: Smoother, y: Smoother) -> float | Score:
    value = distance**2 if squared else distance
    return with_forced(value, x.spectrum, y.spectrum) if ridge == 0 else value


def readout(x: Tensor, *, ridge: float) -> Smoother:
    """Return the smoothing matrix of ridge regression from `x` for a penalty relative to the total variance."""
    return _readout(spectrum(x), ridge)


def decoding_similarity_of_pairs(prepared: Sequence[Smoother], pairs: Pairs, *, ridge: float) -> list[float | Score]:
    """Return the decoding similarity of many pairs of read-outs."""
    products = squared_cross_norms([side.root for side in prepared], pairs).tolist()
    return [
        _alignment(product, ridge, prepared[a], prepared[b]) for (a, b), product in zip(pairs, products, strict=True)
    ]


@metric(
    "decoding_similarity",
    version=2,
    higher_is_more_similar=True,
    symmetric=True,
    value_range=(0.0, 1.0),
    invariant_to={"orthogonal", "isotropic_scaling", "translation"},
    family="regression",
    formula="tr(H_x H_y) / (‖H_x‖ ‖H_y‖), H_x = X̃(X̃ᵀX̃ + λ‖X̃‖²I)⁻¹X̃ᵀ",
    reference="Harvey, Lipshutz, Williams (2024), What Representational Similarity Measures Imply about Decodable "
    "Information (average alignment of optimal read-outs)",
    prepare=readout,
    compare_many=decoding_similarity_of_pairs,
    from_sums=from_spans,
)
def decoding_similarity(x: Tensor, y: Tensor, *, ridge: Ridge = 0.01) -> float | Score:
    """The normalised alignment of what the best ridge read-outs of X and Y say, on average over random tasks.

    x: (rows, features), y: (rows, other features) → a number in [0, 1]. `ridge` is the penalty as a share of each
    side's total variance: 0 gives Σρ²/√(r_x r_y), with the warning `saturated` where correlations are forced to 1; a
    large one gives linear CKA. Raises `NotApplicable` without variance.

    >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0], [2.0, 2.0]])
    >>> round(decoding_similarity(x, 3 * x + 1), 9)
    1.0
    """
    a, b = _readout(spectrum(x), ridge), _readout(spectrum(y), ridge)
    return _alignment(float((a.root.T @ b.root).square().sum()), ridge, a, b)


def _readout(full: Spectrum, ridge: float) -> Smoother:
    return _smoother(full, ridge * float(full.values.square().sum()) / len(full.left))


def _alignment(product: float, ridge: float, x: Smoother, y: Smoother) -> float | Score:
    value = product / math.sqrt(x.squared_norm * y.squared_norm)
    return with_forced(value, x.spectrum, y.spectrum) if ridge == 0 else value
