"""RTD: topological features that one representation has and the other lacks, by persistent homology.

For two matrices r₁, r₂ of distances between the same rows, let R(r) be the Vietoris–Rips complex. As its scale grows,
R(r₁) always lies within R(min(r₁, r₂)). What tells the two apart is the Rips complex of twice as many points,

    [[0, r₁⁺ᵀ], [r₁⁺, min(r₁, r₂)]],    r₁⁺ being r₁ with ∞ below the diagonal,

in which the first copy of the rows makes R(r₁) contractible. Its bars in dimension 1 are components of R(r₁) that are
connected in R(min), and cycles of R(min) that R(r₁) does not have. The order of the rows does not matter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from simbench.bounds import MOST_INPUTS, Repetitions
from simbench.errors import NotApplicable
from simbench.lazy import lazy_import
from simbench.metrics.kernels.centring import require_variance
from simbench.metrics.kernels.cross_products import unordered
from simbench.metrics.kernels.distance_matrices import row_distances
from simbench.metrics.metric import Pairs, Score, metric
from simbench.seeds import seed_for

if TYPE_CHECKING:
    import torch
    from torch import Tensor

else:
    torch = lazy_import("torch")

Array = NDArray[np.float64]
QUANTILE = 0.9
"""The quantile of the distances to which they are scaled."""


def require_gudhi(name: str) -> None:
    """`NotApplicable`, with what to install, where gudhi is missing."""
    try:
        import gudhi  # noqa: F401 - whether it can be imported is the question
    except ImportError:
        raise NotApplicable(f'{name} needs gudhi: pip install "simbench-leaderboard[topology]"') from None


def cross_barcode(first: Array, second: Array) -> Array:
    """Return the bars in dimension 1 of the complex above, (bars, 2): births and deaths; (rows, rows) distances each.

    At the scale of the largest distance of `first` everything is filled, so all bars are finite.
    """
    from gudhi.sklearn.rips_persistence import RipsPersistence

    below = np.tri(len(first), k=-1, dtype=bool)
    ordered = np.where(below, np.inf, first)
    doubled = np.block([[np.zeros_like(first), ordered.T], [ordered, np.minimum(first, second)]])
    rips = RipsPersistence(
        homology_dimensions=[1],
        threshold=float(first.max()),
        input_type="full distance matrix",
        num_collapses=0,
        homology_coeff_field=2,
    )
    bars: Array = np.asarray(rips.fit_transform([doubled])[0][0], dtype=np.float64).reshape(-1, 2)
    return bars


def divergence(first: Array, second: Array) -> float:
    """Return the total length of the bars, mean of both directions; from distances (rows, rows)."""
    bars = np.concatenate([cross_barcode(first, second), cross_barcode(second, first)])
    return math.fsum(bars[:, 1] - bars[:, 0]) / 2


def scaled_distances(x: Tensor) -> Array:
    """Distances between the rows of `x` over their 0.9 quantile, (rows, rows). `NotApplicable` where that is 0."""
    distances: Array = row_distances(x).matrix().cpu().numpy()
    # Symmetric to the last digit: of an asymmetric matrix gudhi makes no complex.
    distances = np.maximum(distances, distances.T)
    scale = float(np.quantile(distances, QUANTILE))
    if scale == 0:
        raise NotApplicable("no scale: nine tenths of the distances are 0")
    return distances / scale


def batches_of(x: Tensor, *, batch: int, batches: int, seed: int) -> list[Tensor]:
    """`batches` seeded choices of `batch` rows of `x`, a function of the number of rows; all of them if so few."""
    x = require_variance(x)
    if len(x) <= batch:
        return [x]
    generator = torch.Generator().manual_seed(seed_for(purpose="rtd", rows=len(x), seed=seed))
    return [x[torch.randperm(len(x), generator=generator)[:batch].to(x.device)] for _ in range(batches)]


def rtd_of_pairs(prepared: Sequence[list[Tensor]], pairs: Pairs, **_: Any) -> list[Score]:
    """RTD of many pairs."""
    unique, back = unordered(pairs)
    scores = [_rtd(prepared[a], prepared[b]) for a, b in unique]
    return [scores[k] for k in back]


def _rtd(a: Sequence[Tensor], b: Sequence[Tensor]) -> Score:
    """Return the mean over the batches."""
    require_gudhi("rtd")
    values = np.array([divergence(scaled_distances(x), scaled_distances(y)) for x, y in zip(a, b, strict=True)])
    error = float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else None
    return Score(float(values.mean()), standard_error=error)


@metric(
    "rtd",
    version=1,
    higher_is_more_similar=False,
    symmetric=True,
    value_range=(0.0, math.inf),
    invariant_to={"orthogonal", "isotropic_scaling", "translation"},
    family="topology",
    formula="½ Σ over both directions of the bar lengths in H₁ of the Rips complex of [[0, r₁⁺ᵀ], [r₁⁺, min(r₁, r₂)]]",
    reference="Barannikov, Trofimov, Balabin, Burnaev (2022), Representation Topology Divergence: A Method for "
    "Comparing Neural Network Representations",
    cost="heavy",
    prepare=batches_of,
    compare_many=rtd_of_pairs,
)
def rtd(
    x: Tensor,
    y: Tensor,
    *,
    batch: Annotated[int, Field(ge=3, le=MOST_INPUTS)] = 200,
    batches: Repetitions = 10,
    seed: Annotated[int, Field(ge=0)] = 0,
) -> Score:
    """Representation topology divergence: topological features at all scales that one side has and the other lacks.

    x: (rows, features), y: (rows, other features) → a number in [0, ∞), 0 for equal distances up to a factor. The mean
    over `batches` draws of `batch` rows, with its standard error over the draws; all rows, once, where there are no
    more. The sum of bars grows with the batch: values from batches of other sizes (the paper's have 500 rows) do not
    compare. Needs gudhi. Raises `NotApplicable` without variance.

    >>> square = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    >>> rtd(square, 5 - 2 * square[:, [1, 0]]).value
    0.0
    """
    sides = [batches_of(side, batch=batch, batches=batches, seed=seed) for side in (x, y)]
    return rtd_of_pairs(sides, [(0, 1)])[0]
