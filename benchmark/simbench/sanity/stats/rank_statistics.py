"""Rank statistics that tests grade by: Spearman's and Kendall's correlation, average precision. numpy only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from simbench.sanity.stats.scale import ROUNDING

Numbers: TypeAlias = Sequence[float] | NDArray[np.float64]


def zero_if_constant(values: Numbers) -> NDArray[np.float64]:
    """Return the values, all 0 where they differ by no more than rounding: a constant index must count as constant.

    >>> zero_if_constant([0.7, 0.70000001]).tolist()
    [0.0, 0.0]
    >>> zero_if_constant([0.7, 0.6]).tolist()
    [0.7, 0.6]
    """
    array = np.asarray(values, dtype=float)
    return array if np.ptp(array) > ROUNDING * np.abs(array).max() else np.zeros_like(array)


def average_ranks(values: Numbers) -> NDArray[np.float64]:
    """Rank values from 1; equal values share the mean of their ranks.

    >>> average_ranks([0.3, 0.1, 0.3]).tolist()
    [2.5, 1.0, 2.5]
    """
    _, positions, counts = np.unique(np.asarray(values, dtype=float), return_inverse=True, return_counts=True)
    ranks: NDArray[np.float64] = (np.cumsum(counts) - (counts - 1) / 2)[positions]
    return ranks


def standardised_ranks(values: Numbers) -> NDArray[np.float64]:
    """Centre ranks and scale them to length 1, so that inner products are Spearman correlations; 0 if all are equal."""
    ranks = average_ranks(values)
    centred = ranks - ranks.mean()
    length = math.sqrt(centred @ centred)
    return np.asarray(centred / length if length > 0 else centred)


def spearman(x: Numbers, y: Numbers) -> float:
    """Compute Spearman's rank correlation in [-1, 1]; NaN where either side has no spread (Spearman 1904).

    >>> round(spearman([1, 2, 3, 4], [1, 3, 2, 9]), 12)
    0.8
    """
    a, b = standardised_ranks(x), standardised_ranks(y)
    if not (a.any() and b.any()):
        return math.nan
    # Equal ranks are fully correlated: their inner product may be a rounding error short of it.
    if np.array_equal(a, b):
        return 1.0
    return -1.0 if np.array_equal(a, -b) else float(a @ b)


def kendall(x: Numbers, y: Numbers) -> float:
    """Compute Kendall's τ_b in [-1, 1], without ties in the norm; NaN if either side has no spread (Kendall 1945).

    >>> round(kendall([1, 2, 3], [1, 3, 2]), 12)
    0.333333333333
    """
    a, b = (np.sign(np.subtract.outer(v, v)) for v in (np.asarray(x, dtype=float), np.asarray(y, dtype=float)))
    untied = math.sqrt(np.abs(a).sum()) * math.sqrt(np.abs(b).sum())
    return float((a * b).sum() / untied) if untied > 0 else math.nan


def average_precision(positive: NDArray[np.float64], negative: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the mean, over positives, of the precision among all values at least as large; over the last axis.

    It equals scikit-learn's `average_precision_score`: Σ (R_n - R_{n-1}) P_n over distinct thresholds, uninterpolated.

    Args:
        positive: scores that should be large, `(..., p)`.
        negative: scores that should be small, `(..., q)`.

    Returns:
        `(...)`, in (0, 1]; p / (p + q) where all scores are equal.
    """
    above = (positive[..., None, :] >= positive[..., :, None]).sum(axis=-1)
    wrongly = (negative[..., None, :] >= positive[..., :, None]).sum(axis=-1)
    precision: NDArray[np.float64] = above / (above + wrongly)
    first = precision[..., :1]
    # Summed as differences, so that equal precisions have exactly their mean: chance is to be exactly chance.
    mean: NDArray[np.float64] = first[..., 0] + (precision - first).mean(axis=-1)
    return mean
