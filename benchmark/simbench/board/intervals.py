"""Estimate how sure the order of a leaderboard is: intervals of mean ranks, and groups of tied metrics.

A seeded, paired bootstrap over (test, model) units. One draw takes as many tests as there are, with replacement, and
as many models of every name (`cnn/0`, `cnn/1`, … are the models of `cnn`); all metrics see the same draw. A trial
counts as often as its models were drawn together, a test as often as it was drawn. Grades, ranks among the metrics and
mean ranks follow as on the board. A grade that is no mean of trials moves with the models drawn as its grades with one
model left out say that it does (Efron 1982, The jackknife, the bootstrap and other resampling plans, chapter 6).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from simbench.seeds import seed_for
from simbench.verdicts.jackknife import models_by_name
from simbench.verdicts.verdict import Verdict

# With fewer tests than this a resample of tests says next to nothing.
FEWEST_TESTS = 10
RESAMPLES = 1000
# Grades that differ only by rounding errors are ties.
DIGITS = 12

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class RankStatistics:
    """Per metric, in the order given: a 95 % interval of the mean rank, and the tie groups it belongs to (from 1)."""

    intervals: tuple[tuple[float, float], ...]
    tie_groups: tuple[tuple[int, ...], ...]


def note_on_ranks(tests: int) -> str:
    """Return the reason for which there are no rank intervals; empty where there are some.

    >>> note_on_ranks(5)
    'too few tests (5) for rank intervals and tie groups: they need 10'
    >>> note_on_ranks(10)
    ''
    """
    if tests >= FEWEST_TESTS:
        return ""
    return f"too few tests ({tests}) for rank intervals and tie groups: they need {FEWEST_TESTS}"


def rank_statistics(graded: Sequence[Sequence[Verdict]], resamples: int = RESAMPLES) -> RankStatistics:
    """Return intervals and tie groups of metrics that are ordered by mean rank.

    Args:
        graded: per metric, its verdicts on the tests, in one order; all of them graded.
        resamples: the number of draws.
    """
    ranks = resampled_mean_ranks(graded, resamples)
    low, high = np.quantile(ranks, [0.025, 0.975], axis=0)
    intervals = tuple((float(lower), float(upper)) for lower, upper in zip(low, high, strict=True))
    return RankStatistics(intervals, tie_groups(ranks))


def resampled_mean_ranks(graded: Sequence[Sequence[Verdict]], resamples: int = RESAMPLES) -> Floats:
    """Return `(draws, metrics)`: every metric's mean rank in every draw that left something to grade."""
    from scipy.stats import rankdata  # half a second to import, and most boards have too few tests to need it

    tests = len(graded[0])
    random = np.random.default_rng(seed_for(purpose="rank intervals"))
    drawn = drawn_models(graded, resamples, random)
    times = random.multinomial(tests, np.full(tests, 1 / tests), size=resamples)
    total, weight = np.zeros((resamples, len(graded))), np.zeros(resamples)
    for position in range(tests):
        grades, usable = resampled_grades([verdicts[position] for verdicts in graded], drawn, resamples)
        counted = times[:, position] * usable
        total += counted[:, None] * rankdata(-grades.round(DIGITS), axis=1)
        weight += counted
    kept = weight > 0
    ranks: Floats = total[kept] / weight[kept, None]
    return ranks


def tie_groups(ranks: Floats) -> tuple[tuple[int, ...], ...]:
    """Return the groups each metric is in; metrics (columns) are in the order of the board.

    Two metrics are tied when the 95 % interval of the difference of their mean ranks, draw by draw, holds 0. Being tied
    is not transitive, so groups overlap: each is a longest run of neighbours that are all tied with each other.
    """
    metrics = ranks.shape[1]
    tied = np.ones((metrics, metrics), dtype=bool)
    for rank in range(metrics):
        low, high = np.quantile(ranks[:, rank, None] - ranks[:, rank:], [0.025, 0.975], axis=0)
        tied[rank, rank:] = (low <= 0) & (high >= 0)
    runs: list[range] = []
    for first in range(metrics):
        last = first
        while last + 1 < metrics and all(tied[rank, last + 1] for rank in range(first, last + 1)):
            last += 1
        if not runs or last >= runs[-1].stop:
            runs.append(range(first, last + 1))
    return tuple(
        tuple(number for number, run in enumerate(runs, start=1) if metric in run) for metric in range(metrics)
    )


def drawn_models(
    graded: Sequence[Sequence[Verdict]], resamples: int, random: np.random.Generator
) -> Mapping[str, npt.NDArray[np.int64]]:
    """Return, per model, how often each draw took it; models of one name are drawn among each other."""
    tallies = [tally for verdicts in graded for verdict in verdicts for tally in verdict.tallies]
    models = {model for tally in tallies for model in tally.models}
    models |= {model for verdicts in graded for verdict in verdicts for model in verdict.without}
    drawn: dict[str, npt.NDArray[np.int64]] = {}
    for members in models_by_name(models).values():
        counts = random.multinomial(len(members), np.full(len(members), 1 / len(members)), size=resamples)
        drawn.update({model: counts[:, place] for place, model in enumerate(members)})
    return drawn


def resampled_grades(
    verdicts: Sequence[Verdict], drawn: Mapping[str, npt.NDArray[np.int64]], resamples: int
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Return `(draws, metrics)` grades on one test, and the draws in which every metric has one.

    A verdict that does not say how its grade depends on models keeps it in every draw.
    """
    groups = list(dict.fromkeys(tally.models for verdict in verdicts for tally in verdict.tallies))
    weights = np.ones((resamples, len(groups)))
    for place, group in enumerate(groups):
        for model in set(group):
            weights[:, place] *= drawn[model]
    grades = np.empty((resamples, len(verdicts)))
    usable = np.ones(resamples, dtype=bool)
    for metric, verdict in enumerate(verdicts):
        if not verdict.tallies:
            grades[:, metric] = _resampled_statistic(verdict, drawn)
            continue
        holding, asked = np.zeros(len(groups)), np.zeros(len(groups))
        for tally in verdict.tallies:
            holding[groups.index(tally.models)] = tally.credit
            asked[groups.index(tally.models)] = tally.asked
        trials = weights @ asked
        usable &= trials > 0
        grades[:, metric] = (weights @ holding) / np.where(trials > 0, trials, 1)
    return grades, usable


def _resampled_statistic(verdict: Verdict, drawn: Mapping[str, npt.NDArray[np.int64]]) -> float | Floats:
    """Return θ + Σ (n_m - 1)(k - 1)/k (mean θ₋ - θ₋ₘ), clipped: a statistic to first order in the models drawn.

    For a mean of model effects this is their mean over the draw. Models of a name one of which the statistic cannot do
    without do not move it.
    """
    assert verdict.unclipped is not None
    value: float | Floats = verdict.unclipped
    for members in models_by_name(verdict.without).values():
        without = np.array([verdict.without[model] for model in members])
        if len(members) > 1 and np.isfinite(without).all():
            influence = (without.mean() - without) * (len(members) - 1) / len(members)
            value = value + sum((drawn[model] - 1) * effect for model, effect in zip(members, influence, strict=True))
    return np.clip(value, 0.0, 1.0)
