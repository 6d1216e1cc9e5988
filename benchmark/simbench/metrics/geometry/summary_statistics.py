"""Differences of numbers that describe each representation on its own: they need no pairing of rows, and tell little.

* `magnitude_difference`: |‖x̄‖ − ‖ȳ‖| with the mean rows x̄ and ȳ;
* `concentricity_difference`: the mean cosine between the rows and their mean;
* `uniformity_difference`: log of the mean of exp(−2‖xᵢ − xⱼ‖²) over all pairs of rows, on the unit sphere;
* `participation_ratio_difference`: (Σλ)²/Σλ², λ the eigenvalues of the covariance: the number of dimensions in use.

Nothing is centred but the covariance, so a translation changes all others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from simbench.errors import NotApplicable
from simbench.lazy import lazy_import
from simbench.metrics.kernels.centring import centred, require_variance
from simbench.metrics.kernels.differences import differences_of_pairs
from simbench.metrics.kernels.memory import block_bytes
from simbench.metrics.metric import metric

if TYPE_CHECKING:
    import torch
    from torch import Tensor

else:
    torch = lazy_import("torch")

UNBOUNDED = (0.0, float("inf"))


def magnitude(x: Tensor) -> float:
    """Return the length of the mean row."""
    return float(torch.linalg.vector_norm(require_variance(x).mean(dim=0)))


@metric(
    "magnitude_difference",
    version=1,
    higher_is_more_similar=False,
    symmetric=True,
    value_range=UNBOUNDED,
    triangle_inequality=True,
    invariant_to={"orthogonal"},
    pairs_inputs=False,
    family="statistics",
    formula="|‖x̄‖ − ‖ȳ‖|",
    reference="Wang et al. (2020), Towards Understanding the Instability of Network Embedding (magnitude)",
    prepare=magnitude,
    compare_many=differences_of_pairs,
)
def magnitude_difference(x: Tensor, y: Tensor) -> float:
    """The difference in length of the mean rows.

    x: (rows, features), y: (rows, other features) → a number ≥ 0. Raises `NotApplicable` without variance.

    >>> x = torch.tensor([[3.0, 1.0], [3.0, 7.0]])
    >>> magnitude_difference(x, 3 * x)  # the means are (3, 4) and (9, 12)
    10.0
    """
    return abs(magnitude(x) - magnitude(y))


def concentricity(x: Tensor) -> float:
    """Return the mean cosine of the rows with the mean row; raise `NotApplicable` if that is zero."""
    x = require_variance(x)
    mean = x.mean(dim=0)
    length = torch.linalg.vector_norm(mean)
    if not bool(length > len(x) * torch.finfo(torch.float64).eps * x.abs().max()):
        raise NotApplicable("the mean row is zero and has no direction")
    return float((_unit_rows(x) @ (mean / length)).mean())


@metric(
    "concentricity_difference",
    version=1,
    higher_is_more_similar=False,
    symmetric=True,
    value_range=(0.0, 2.0),
    triangle_inequality=True,
    invariant_to={"orthogonal", "isotropic_scaling"},
    pairs_inputs=False,
    family="statistics",
    formula="|meanᵢ cos(xᵢ, x̄) − meanᵢ cos(yᵢ, ȳ)|",
    reference="Wang et al. (2020), Towards Understanding the Instability of Network Embedding (concentricity)",
    prepare=concentricity,
    compare_many=differences_of_pairs,
)
def concentricity_difference(x: Tensor, y: Tensor) -> float:
    """The difference in the mean cosine between rows and their mean row.

    x: (rows, features), y: (rows, other features) → a number in [0, 2]. Rows that are zero have no direction and are
    left out. Raises `NotApplicable` without variance, and where the mean row is zero.

    >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> y = torch.tensor([[1.0, 0.0], [2.0, 0.0]])
    >>> round(concentricity_difference(x, y), 9)  # 1/√2 and 1
    0.292893219
    """
    return abs(concentricity(x) - concentricity(y))


def uniformity(x: Tensor) -> float:
    """Return log mean exp(−2‖a − b‖²) over all pairs of rows, scaled to length 1.

    On the sphere ‖a − b‖² = 2 − 2⟨a, b⟩; the diagonal, exactly 1 each, is not left to rounding.
    """
    x = _unit_rows(require_variance(x))
    total, height = 0.0, max(1, block_bytes() // (4 * 8 * len(x)))
    for start in range(0, len(x), height):
        inner = x[start : start + height] @ x.T
        inner.diagonal(start).fill_(1)
        total += float(inner.sub_(1).mul_(4).exp_().sum())
    return float(torch.tensor(total / len(x) ** 2, dtype=torch.float64).log())


@metric(
    "uniformity_difference",
    version=1,
    higher_is_more_similar=False,
    symmetric=True,
    value_range=UNBOUNDED,
    triangle_inequality=True,
    invariant_to={"orthogonal", "isotropic_scaling"},
    pairs_inputs=False,
    family="statistics",
    formula="|log n⁻² Σᵢⱼ exp(−2‖x̂ᵢ − x̂ⱼ‖²) − log n⁻² Σᵢⱼ exp(−2‖ŷᵢ − ŷⱼ‖²)|, x̂ᵢ = xᵢ/‖xᵢ‖",
    reference="Wang, Isola (2020), Understanding Contrastive Representation Learning through Alignment and Uniformity "
    "on the Hypersphere, the uniformity loss (t = 2)",
    prepare=uniformity,
    compare_many=differences_of_pairs,
)
def uniformity_difference(x: Tensor, y: Tensor) -> float:
    """The difference in how evenly the directions of the rows cover the sphere.

    x: (rows, features), y: (rows, other features) → a number ≥ 0. Rows that are zero have no direction and are left
    out; without the sphere the exponentials would vanish for any wide representation. Raises `NotApplicable` without
    variance.

    >>> x = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    >>> y = torch.tensor([[1.0, 0.0], [2.0, 0.0]])
    >>> round(uniformity_difference(x, y), 9)  # −log((1 + e⁻⁴)/2) and 0
    0.674997253
    """
    return abs(uniformity(x) - uniformity(y))


def _unit_rows(x: Tensor) -> Tensor:
    norms: Tensor = torch.linalg.vector_norm(x, dim=1, keepdim=True)
    kept = norms[:, 0] > 0
    return x[kept] / norms[kept]


def participation_ratio(x: Tensor) -> float:
    """Return the participation ratio (Σλ)² / Σλ² of the eigenvalues λ of the covariance."""
    x = centred(x)
    gram = x.T @ x if x.shape[1] <= len(x) else x @ x.T
    return float(gram.trace().square() / gram.square().sum())


@metric(
    "participation_ratio_difference",
    version=1,
    higher_is_more_similar=False,
    symmetric=True,
    value_range=UNBOUNDED,
    triangle_inequality=True,
    invariant_to={"orthogonal", "isotropic_scaling", "translation"},
    pairs_inputs=False,
    family="statistics",
    formula="|tr(Σ_x)²/‖Σ_x‖² − tr(Σ_y)²/‖Σ_y‖²|",
    reference="Gao, Trautmann, Yu, Santhanam, Ryu, Shenoy, Ganguli (2017), A Theory of Multineuronal Dimensionality, "
    "Dynamics and Measurement (the participation ratio)",
    prepare=participation_ratio,
    compare_many=differences_of_pairs,
)
def participation_ratio_difference(x: Tensor, y: Tensor) -> float:
    """The difference in participation ratio: how many directions of variance each representation uses.

    x: (rows, features), y: (rows, other features) → a number ≥ 0. Raises `NotApplicable` without variance.

    >>> x = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    >>> round(participation_ratio_difference(x, x[:, :1]), 9)
    1.0
    """
    return abs(participation_ratio(x) - participation_ratio(y))
