"""Rank statistics that tests grade by: Spearman's and Kendall's correlation, average precision. numpy only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from simbench.sanity.stats.ties import ROUNDING

Numbers: TypeAlias = Sequence[float] | NDArray[np.float64] | NDArray[np.int64]

# Integers below this are taken for places in an order, and counted in tables of that length: 128 MiB at most.
LONGEST_ORDER = 2**24


def zero_if_constant(values: Numbers) -> NDArray[np.float64]:
    """Return the values, all 0 where they differ by no more than rounding: a constant index must count as constant.

    >>> zero_if_constant([0.7, 0.7 + 1e-15]).tolist()
    [0.0, 0.0]
    >>> zero_if_constant([0.7, 0.6]).tolist()
    [0.7, 0.6]
    """
    array = np.asarray(values, dtype=float)
    return array if np.ptp(array) > ROUNDING * np.abs(array).max() else np.zeros_like(array)


def order_of(values: Numbers) -> NDArray[np.int64]:
    """Return integers from 0 in the order of the values; equal values have equal ones.

    Rank statistics take them in place of the values, also of a part of them, and need not sort again.

    >>> order_of([0.3, 0.1, 0.3]).tolist()
    [1, 0, 1]
    """
    if isinstance(values, np.ndarray) and values.dtype.kind == "i" and _is_an_order(values):
        return values.astype(np.int64, copy=False)
    array = np.asarray(values, dtype=float)
    return np.unique(array, return_inverse=True)[1].reshape(array.shape).astype(np.int64, copy=False)


def _is_an_order(values: NDArray[Any]) -> bool:
    return values.size == 0 or bool(values.min() >= 0 and values.max() < LONGEST_ORDER)


def average_ranks(values: Numbers) -> NDArray[np.float64]:
    """Rank values from 1; equal values share the mean of their ranks.

    >>> average_ranks([0.3, 0.1, 0.3]).tolist()
    [2.5, 1.0, 2.5]
    """
    order = order_of(values)
    counts = np.bincount(order)
    ranks: NDArray[np.float64] = (np.cumsum(counts) - (counts - 1) / 2)[order]
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

    By Knight (1966), A computer method for calculating Kendall's tau with ungrouped data, in O(n log² n).

    >>> round(kendall([1, 2, 3], [1, 3, 2]), 12)
    0.333333333333
    """
    a, b = order_of(x), order_of(y)
    pairs, tied_in_a, tied_in_b = len(a) * (len(a) - 1) // 2, _tied(a), _tied(b)
    # Twice, as both orders of a pair count.
    untied = math.sqrt(2 * (pairs - tied_in_a)) * math.sqrt(2 * (pairs - tied_in_b))
    if untied == 0:
        return math.nan
    discordant = _inversions(b[np.lexsort((b, a))])
    concordant = pairs - tied_in_a - tied_in_b + _tied(a * (b.max() + 1) + b) - discordant
    return 2 * (concordant - discordant) / untied


def _tied(values: NDArray[np.int64]) -> int:
    """Count the pairs of equal values."""
    counts = np.unique(values, return_counts=True)[1]
    return int((counts * (counts - 1) // 2).sum())


def _inversions(order: NDArray[np.int64]) -> int:
    """Count the pairs of which the first is larger, by merging ever longer sorted runs, all of a length at once."""
    size = 1 << (len(order) - 1).bit_length()
    beyond = int(order.max()) + 1
    runs = np.full((size, 1), beyond)
    runs[: len(order), 0] = order
    total = 0
    while len(runs) > 1:
        left, right = runs[0::2], runs[1::2]
        # Each run on a floor of its own: one search serves them all.
        floors = (beyond + 1) * np.arange(len(left))[:, None]
        not_above = np.searchsorted((left + floors).ravel(), (right + floors).ravel(), side="right")
        total += int((np.repeat(np.arange(1, len(left) + 1), left.shape[1]) * left.shape[1] - not_above).sum())
        runs = np.sort(np.concatenate([left, right], axis=1), axis=1)
    return total


def average_precision(positive: NDArray[Any], negative: NDArray[Any]) -> NDArray[np.float64]:
    """Compute the mean, over positives, of the precision among all values at least as large; over the last axis.

    It equals scikit-learn's `average_precision_score`: Σ (R_n - R_{n-1}) P_n over distinct thresholds, uninterpolated.

    Args:
        positive: scores that should be large, or their order as integers from 0, `(..., p)`.
        negative: scores that should be small, `(..., q)`.

    Returns:
        `(...)`, in (0, 1]; p / (p + q) where all scores are equal.
    """
    order = order_of(np.concatenate([positive, negative], axis=-1))
    own = order[..., : positive.shape[-1]]
    ends = int(order.max()) + 1
    precision = _at_least(own, own, ends) / _at_least(order, own, ends)
    first = precision[..., :1]
    # Summed as differences, so that equal precisions have exactly their mean: chance is to be exactly chance.
    mean: NDArray[np.float64] = first[..., 0] + (precision - first).mean(axis=-1)
    return mean


def _at_least(order: NDArray[np.int64], asked: NDArray[np.int64], ends: int) -> NDArray[np.int64]:
    """Count, for each of the places in an order that are asked for, the values there or above; over the last axis."""
    rows = order.size // order.shape[-1]
    floors = ends * np.arange(rows)[:, None]
    counts = np.bincount((order.reshape(rows, -1) + floors).ravel(), minlength=rows * ends).reshape(rows, ends)
    at_least = np.cumsum(counts[:, ::-1], axis=1)[:, ::-1].ravel()
    wanted: NDArray[np.int64] = at_least[asked.reshape(rows, -1) + floors].reshape(asked.shape)
    return wanted
