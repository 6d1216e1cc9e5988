"""Observations as columns of numbers: equal, to the last bit, to what lists of trials give."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import combinations, product

import numpy as np
import pytest
import scipy.stats

from simbench.sanity.kinds.group_separation import GroupSeparation
from simbench.sanity.stats.observations import Observations
from simbench.sanity.stats.rank_statistics import kendall, spearman
from simbench.sanity.stats.statistic import association, by_line, misranked
from simbench.verdicts.jackknife import leave_models_out
from simbench.verdicts.verdict import Trial, tally_by_models

Statistic = Callable[[Sequence[Trial]], float]


def curves(seed: int, models: int = 7) -> list[Trial]:
    """Two columns of two curves, interleaved, with ties."""
    random = np.random.default_rng(seed)
    return [
        Trial("", (f"net/{a}", f"net/{b}"), None, float(random.integers(9)), column, at=random.normal(), line=line)
        for (a, b), column, line in product(combinations(range(models), 2), ("x", "y"), ("1", "2"))
    ]


def conditions(seed: int) -> list[Trial]:
    """Three groups of four models: within, one order of each pair, and across, both."""
    random = np.random.default_rng(seed)
    names = [f"{group}/{number}" for group in "abc" for number in range(4)]
    trials = []
    for one, other in product(names, names):
        line = "within" if one[0] == other[0] else "across"
        if line == "across" or one < other:
            trials.append(Trial("", (one, other), None, float(random.integers(12)), one[0], line=line))
    return trials


def slowly(trials: Sequence[Trial], statistic: Statistic) -> dict[str, float]:
    models = sorted({model for trial in trials for model in trial.models})
    kept = {model: [trial for trial in trials if model not in trial.models] for model in models}
    return {model: statistic(some) if some else math.nan for model, some in kept.items()}


def plain_association(trials: Sequence[Trial]) -> float:
    """Look at every curve by itself, from the values."""
    lines = dict.fromkeys((trial.column, trial.line) for trial in trials)
    correlations = []
    for line in lines:
        own = [trial for trial in trials if (trial.column, trial.line) == line]
        correlations.append(spearman([-trial.margin for trial in own], [float(trial.at or 0) for trial in own]))
    return float(np.mean(correlations))


@pytest.mark.parametrize("seed", range(3))
def test_leaving_models_out_of_a_correlation_is_the_same_to_the_last_bit(seed: int) -> None:
    trials = curves(seed)
    expected = slowly(trials, plain_association)
    assert leave_models_out(Observations.of(trials), association) == expected
    assert leave_models_out(trials, association) == expected


@pytest.mark.parametrize("seed", range(3))
def test_leaving_models_out_of_a_separation_is_the_same_to_the_last_bit(seed: int) -> None:
    kind, trials = GroupSeparation(id="t", kind="group_separation", models=["a", "b", "c"]), conditions(seed)
    expected = slowly(trials, kind.statistic)
    assert leave_models_out(Observations.of(trials), kind.statistic) == expected


def test_a_curve_of_joined_curves_has_one_order() -> None:
    trials = curves(0)
    joined = [Trial("", trial.models, None, trial.margin, at=trial.at) for trial in trials]
    for correlation in (spearman, kendall):
        assert association(Observations.of(trials).joined(), correlation) == association(joined, correlation)
    assert leave_models_out(Observations.of(trials).joined(), association) == slowly(joined, plain_association)


def test_curves_stand_in_the_order_of_their_first_observation_also_where_some_are_left_out() -> None:
    trials = curves(0)
    observations = Observations.of(trials)
    assert [(line[0].column, line[0].line) for line in by_line(trials)] == [
        ("x", "1"),
        ("x", "2"),
        ("y", "1"),
        ("y", "2"),
    ]
    part = observations.select(np.arange(len(trials)) >= 3)
    assert list(part.positions_by_line()) == [("y", "2"), ("x", "1"), ("x", "2"), ("y", "1")]
    for (column, line), positions in part.positions_by_line().items():
        expected = [trial for trial in trials[3:] if (trial.column, trial.line) == (column, line)]
        assert list(part.select(positions)) == expected


def test_observations_are_a_sequence_of_trials() -> None:
    trials = curves(1)
    observations = Observations.of(trials)
    assert list(observations) == trials
    assert Observations.of(observations) is observations
    assert (observations[2], list(observations[5:8])) == (trials[2], trials[5:8])
    assert observations.similarities.tolist() == [trial.margin for trial in trials]
    assert list(Observations.of([])) == []
    assert by_line([]) == []
    assert math.isnan(association([]))


def test_misranked_observations_are_those_of_each_curve() -> None:
    trials = curves(2)
    gaps = []
    for column, line in [("x", "1"), ("x", "2"), ("y", "1"), ("y", "2")]:
        own = [trial for trial in trials if (trial.column, trial.line) == (column, line)]
        ranks = [scipy.stats.rankdata(values) for values in ([-t.margin for t in own], [t.at for t in own])]
        gaps += [gap for gap in (-np.abs(ranks[0] - ranks[1]) / (len(own) - 1)).tolist() if gap]
    assert [trial.margin for trial in misranked(trials)] == gaps


def test_tallies_and_other_lists_leave_models_out_as_well() -> None:
    tallies = tally_by_models(curves(3))

    def mean(some: Sequence[object]) -> float:
        return float(len(some))

    assert leave_models_out(tallies, mean) == {f"net/{number}": 15.0 for number in range(7)}
    assert math.isnan(leave_models_out(tallies[:1], mean)["net/0"])
