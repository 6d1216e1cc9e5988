"""Geometry score: how many loops two clouds of rows have, and for how long, whatever row is whose counterpart.

A few rows are drawn as landmarks; all rows are witnesses. At scale α the witness complex holds those sets of landmarks
σ (with all their faces) that some row w witnesses: d(w, l) ≤ d(w, l′) + α for all l in σ and l′ outside. As α grows to
α_max = γ · (the largest distance between a witness and a landmark), loops appear and are filled. The relative living
time RLT(i) is the share of [0, α_max] during which the complex has i loops, MRLT(i) its mean over draws of landmarks.
Both representations are seen through the same draws.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from simbench.bounds import MOST_INPUTS, MOST_REPETITIONS
from simbench.errors import NotApplicable
from simbench.lazy import lazy_import
from simbench.metrics.geometry.rtd import require_gudhi
from simbench.metrics.kernels.centring import centred
from simbench.metrics.kernels.cross_products import unordered
from simbench.metrics.kernels.distance_matrices import distances
from simbench.metrics.kernels.memory import block_bytes
from simbench.metrics.metric import Pairs, Score, metric
from simbench.seeds import seed_for

if TYPE_CHECKING:
    import torch
    from torch import Tensor

else:
    torch = lazy_import("torch")

Array = NDArray[np.float64]
MOST_LOOPS = 100
"""Times with this many loops or more do not enter (i_max of the paper)."""
GAMMA_PER_ROW = 1 / 128 / 5000
"""γ unless given: 1/128 for 5,000 rows, and in proportion to the rows."""
TRIANGLE = 3


def witnessed_loops(landmarks: NDArray[np.int64], nearness: Array, largest_alpha: float) -> Array:
    """Births and deaths in H₁ of the witness complex up to `largest_alpha`, (bars, 2); a later death is infinite.

    Of every row the landmarks, nearest first, and how far they are, (rows, landmarks) each. Triangles suffice for H₁. A
    triangle leaves out one of a witness's four nearest landmarks, so those farther than the fourth by more than α are
    of no use and are not passed on.
    """
    from gudhi import WitnessComplex

    useful = nearness <= nearness[:, TRIANGLE, None] + largest_alpha
    pairs = list(zip(landmarks[useful].tolist(), nearness[useful].tolist(), strict=True))
    ends = useful.sum(axis=1).cumsum().tolist()
    table = [pairs[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]
    # gudhi takes squared distances and compares their differences with α²; it is given plain ones, for plain α.
    tree = WitnessComplex(nearest_landmark_table=table).create_simplex_tree(
        max_alpha_square=largest_alpha, limit_dimension=TRIANGLE - 1
    )
    tree.compute_persistence(homology_coeff_field=2)
    return np.asarray(tree.persistence_intervals_in_dimension(1), dtype=np.float64).reshape(-1, 2)


def relative_living_times(bars: Array, end: float) -> Array:
    """Return the share of [0, end] during which exactly i bars are alive, (MOST_LOOPS,); bars (count, 2).

    >>> relative_living_times(np.array([[0.0, 2.0], [1.0, np.inf]]), 4.0)[:3].tolist()
    [0.0, 0.75, 0.25]
    """
    clipped = bars.clip(0, end)
    times = np.concatenate([[0.0], clipped[:, 0], clipped[:, 1], [end]])
    steps = np.concatenate([[0], np.ones(len(bars)), -np.ones(len(bars)), [0]]).astype(int)
    order = np.argsort(times, kind="stable")
    alive, lasting = steps[order].cumsum()[:-1], np.diff(times[order])
    share: Array = np.bincount(alive, weights=lasting, minlength=MOST_LOOPS)[:MOST_LOOPS] / end
    return share


def living_times(x: Tensor, *, landmarks: int, draws: int, gamma: float | None, seed: int) -> Array:
    """RLT of every draw of landmarks, (draws, MOST_LOOPS). `NotApplicable` with too few different rows."""
    require_gudhi("geometry_score")
    x = centred(x)
    rows, different = len(x), len(torch.unique(x, dim=0))
    if different < landmarks:  # landmarks in one place are all equally near, so that all sets of them are simplices
        raise NotApplicable(f"{landmarks} landmarks need at least as many different rows, there are {different}")
    generator = torch.Generator().manual_seed(seed_for(purpose="geometry_score", rows=rows, seed=seed))
    drawn = torch.stack([torch.randperm(rows, generator=generator)[:landmarks] for _ in range(draws)]).to(x.device)
    at_once = max(1, block_bytes() // (8 * rows * landmarks))
    shares = []
    for part in torch.split(drawn, at_once):
        to_landmarks = distances(x, x[part.flatten()]).reshape(rows, len(part), landmarks)
        for nearness, order in zip(*(side.cpu().numpy() for side in to_landmarks.movedim(1, 0).sort()), strict=True):
            largest = float(nearness.max()) * (GAMMA_PER_ROW * rows if gamma is None else gamma)
            shares.append(relative_living_times(witnessed_loops(order, nearness, largest), largest))
    return np.stack(shares)


def geometry_score_of_pairs(prepared: Sequence[Array], pairs: Pairs, **_: Any) -> list[Score]:
    """Return the geometry score of many pairs."""
    unique, back = unordered(pairs)
    scores = [_geometry_score(prepared[a], prepared[b]) for a, b in unique]
    return [scores[k] for k in back]


def _geometry_score(a: Array, b: Array) -> Score:
    """‖δ‖² of the mean difference δ over the draws; to first order it varies by 2 δ · (a draw's difference)."""
    differences = a - b
    mean = differences.mean(axis=0)
    error = 2 * float((differences @ mean).std(ddof=1)) / math.sqrt(len(differences))
    return Score(float(mean @ mean), standard_error=error)


@metric(
    "geometry_score",
    version=1,
    higher_is_more_similar=False,
    symmetric=True,
    value_range=(0.0, 2.0),
    invariant_to={"orthogonal", "isotropic_scaling", "translation"},
    pairs_inputs=False,
    family="topology",
    formula="Σᵢ (MRLT_X(i) − MRLT_Y(i))², MRLT the mean relative living times of loops in witness complexes",
    reference="Khrulkov, Oseledets (2018), Geometry Score: A Method for Comparing Generative Adversarial Networks",
    prepare=living_times,
    compare_many=geometry_score_of_pairs,
)
def geometry_score(
    x: Tensor,
    y: Tensor,
    *,
    landmarks: Annotated[int, Field(ge=4, le=MOST_INPUTS)] = 64,
    draws: Annotated[int, Field(ge=2, le=MOST_REPETITIONS)] = 50,
    gamma: Annotated[float, Field(gt=0)] | None = None,
    seed: Annotated[int, Field(ge=0)] = 0,
) -> Score:
    """Geometry score: squared distance between the mean relative living times of loops in the two clouds of rows.

    x: (rows, features), y: (rows, other features) → a number in [0, 2], 0 for equal distances up to a factor; rows
    need no pairing. The mean is over `draws` seeded choices of `landmarks` rows, and the standard error over them.
    `gamma` is 1/128 for 5,000 rows, and in proportion to the rows, unless given. Needs gudhi. Raises `NotApplicable`
    without variance or with fewer different rows than landmarks.

    >>> x = torch.tensor([[0.0, 0.0], [1.0, 0.0], [2.0, 2.0], [0.0, 3.0], [4.0, 1.0]])
    >>> geometry_score(x, 2 * x, landmarks=4, draws=2).value
    0.0
    """
    sides = [living_times(side, landmarks=landmarks, draws=draws, gamma=gamma, seed=seed) for side in (x, y)]
    return geometry_score_of_pairs(sides, [(0, 1)])[0]
