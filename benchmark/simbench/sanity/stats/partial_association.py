"""Rank correlation with what is given taken out, also with each model left out, of all of them at once."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from simbench.sanity.stats.observations import Observations
from simbench.sanity.stats.ties import ROUNDING
from simbench.verdicts.verdict import Trial

Numbers = NDArray[np.float64]
Places = NDArray[np.intp]
# Ranks that are held at once for each of some ten arrays: 512 KiB, so that a processor's cache holds them.
LARGEST_BLOCK = 2**16


def association_given(trials: Sequence[Trial]) -> float:
    """Compute `association` with what the trials' `given` says of either side taken out: partial rank correlation.

    0 along a curve where the index is constant or says what is given and no more; NaN where the reference variable is.
    """
    nothing = np.empty((1, 0), dtype=np.intp)
    lines = Observations.of(trials).by_line()
    correlations = [_correlations(line, nothing, np.arange(len(line))[None])[0] for line in lines]
    return float(np.mean(correlations)) if correlations else math.nan


def associations_without_models(trials: Sequence[Trial]) -> dict[str, float]:
    """Compute `association_given` with each model left out in turn; NaN where no trial is left.

    What `leave_models_out` gives, to the last bit: each curve is looked at once, for all models.
    """
    trials = Observations.of(trials)
    by_line = trials.positions_by_line().values()
    numbers: dict[str, int] = {}
    models_of = [[numbers.setdefault(model, len(numbers)) for model in dict.fromkeys(trial.models)] for trial in trials]
    correlations = np.empty((len(by_line), len(numbers)))
    # Where a curve begins, which may be later without a model: a mean of floats depends on their order.
    begins = np.full(correlations.shape, -1)
    for row, positions in enumerate(by_line):
        line = trials.select(positions)
        members = [(model, place) for place, at in enumerate(positions.tolist()) for model in models_of[at]]
        for models, dropped in _by_number_dropped(np.array(members, dtype=np.intp).reshape(-1, 2), len(numbers)):
            if dropped.shape[1] < len(line):
                kept = _kept(dropped, len(line))
                correlations[row, models] = _correlations(line, dropped, kept)
                begins[row, models] = positions[kept[:, 0]]
    return {model: _mean(correlations[:, number], begins[:, number]) for model, number in sorted(numbers.items())}


def _by_number_dropped(members: Places, models: int) -> Iterator[tuple[Places, Places]]:
    """Yield models by how many places of a curve they are at, and these places, `(models, places)`; in blocks.

    Args:
        members: a model and a place where it is, per row, by place.
        models: how many there are, of which some may be nowhere on the curve.
    """
    places = members[np.argsort(members[:, 0], kind="stable"), 1]
    counts = np.bincount(members[:, 0], minlength=models)
    starts = np.cumsum(counts) - counts
    for count in np.unique(counts):
        alike = np.flatnonzero(counts == count)
        rows = max(1, LARGEST_BLOCK // max(1, len(members)))
        for start in range(0, len(alike), rows):
            chosen = alike[start : start + rows]
            yield chosen, places[starts[chosen, None] + np.arange(count)]


def _kept(dropped: Places, length: int) -> Places:
    """Return, per row, the places of a curve of this length that are not dropped, in order."""
    kept = np.ones((len(dropped), length), dtype=bool)
    kept[np.arange(len(dropped))[:, None], dropped] = False
    return np.nonzero(kept)[1].reshape(len(dropped), -1)


def _mean(correlations: Numbers, begins: Places) -> float:
    there = np.flatnonzero(begins >= 0)
    in_order = there[np.argsort(begins[there], kind="stable")]
    return float(np.mean(correlations[in_order])) if len(there) else math.nan


def _correlations(line: Observations, dropped: Places, kept: Places) -> Numbers:
    """Compute the partial correlation along a curve, once per row of places that are dropped and kept."""
    similarities = line.similarities[kept]
    varies = np.ptp(similarities, axis=1) > ROUNDING * np.abs(similarities).max(axis=1)
    given = _standardised_ranks(line.order_of_given, dropped, kept)
    variable, of_variable = _without(given, _standardised_ranks(line.order_of_reference, dropped, kept))
    most = line.order_of_similarity.max()
    index, of_index = _without(given, _standardised_ranks(most - line.order_of_similarity, dropped, kept))
    associated = varies & (of_index > 0)
    correlations = np.zeros(len(kept))
    np.divide(_inner(index, variable), of_index * of_variable, out=correlations, where=associated & (of_variable > 0))
    # Equal ranks are fully correlated: their cosine may be a rounding error short of it.
    correlations[associated & (index == variable).all(axis=1)] = 1.0
    correlations[associated & (index == -variable).all(axis=1)] = -1.0
    correlations[of_variable == 0] = math.nan
    return correlations


def _standardised_ranks(order: NDArray[np.int64], dropped: Places, kept: Places) -> Numbers:
    """Return the standardised ranks of each row of places of a curve, from the order of all of it."""
    counts = np.bincount(order)
    ends, floors = len(counts), len(counts) * np.arange(len(kept))[:, None]
    gone = np.bincount((order[dropped] + floors).ravel(), minlength=floors.size * ends)
    counts = counts - gone.reshape(-1, ends)
    # Ranks and their mean are halves of integers, so that sums of their squares are exact in any order.
    centred = np.cumsum(counts, axis=1) - (counts - 1) / 2 - (kept.shape[1] + 1) / 2
    lengths = np.sqrt((counts * centred**2).sum(axis=1, keepdims=True))
    scaled: Numbers = np.divide(centred, lengths, out=centred, where=lengths > 0).ravel()[order[kept] + floors]
    return scaled


def _without(given: Numbers, ranks: Numbers) -> tuple[Numbers, Numbers]:
    """Subtract what a standardised variable explains of standardised ranks, row by row; 0 where that is all of them.

    Returns:
        The rest and its length.
    """
    rest = ranks - _inner(ranks, given)[:, None] * given
    lengths = np.sqrt(_inner(rest, rest))
    explained = ~(lengths > ROUNDING)
    rest[explained], lengths[explained] = 0, 0
    return rest, lengths


def _inner(a: Numbers, b: Numbers) -> Numbers:
    """Return the inner product of each row of both: as `@` gives it of vectors, to the last bit."""
    products: Numbers = np.matmul(a[:, None, :], b[:, :, None])[:, 0, 0]
    return products
