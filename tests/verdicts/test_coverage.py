"""The intervals of verdicts cover the truth as often as docs/decisions/intervals.md says: a few cells of its table."""

from __future__ import annotations

import numpy as np
import pytest
from tests.verdicts.correlations import correlation, spread_of
from tests.verdicts.coverage import MEANS, abilities, each, mean_cell, pairs, statistic_cell, tallies

REPETITIONS = 300


@pytest.mark.parametrize("kind", [kind for kind in MEANS if "all pairs" not in kind])
@pytest.mark.parametrize(("models", "truth"), [(3, 0.6), (5, 0.9), (10, 0.95)])
def test_a_mean_is_covered_where_models_differ_as_much_as_is_borrowed(kind: str, models: int, truth: float) -> None:
    assert mean_cell(kind, models, truth, times=1.0, asked=20, repetitions=REPETITIONS).covered >= 0.93


@pytest.mark.parametrize("kind", [kind for kind in MEANS if "all pairs" in kind])
@pytest.mark.parametrize(("models", "truth"), [(3, 0.6), (5, 0.9)])
def test_a_mean_over_all_pairs_is_covered(kind: str, models: int, truth: float) -> None:
    assert mean_cell(kind, models, truth, times=1.0, asked=6, repetitions=REPETITIONS).covered >= 0.93


@pytest.mark.parametrize("truth", [0.95, 0.99])
def test_perfect_grades_are_no_exception(truth: float) -> None:
    """Of ten models that all answer seven questions, most draws have few wrong answers or none."""
    simulated = mean_cell("share, each model", 10, truth, times=1.0, asked=7, repetitions=REPETITIONS)
    assert simulated.covered >= 0.93
    assert simulated.width < 0.2  # not by saying nothing


@pytest.mark.parametrize("noise", [2.0, 0.4])
def test_a_rank_correlation_of_all_pairs_is_covered(noise: float) -> None:
    assert statistic_cell("rank correlation, all pairs", 5, noise, 150).covered >= 0.93


@pytest.mark.parametrize("separation", [1.5, 4.0])
def test_a_separation_of_groups_is_covered(separation: float) -> None:
    assert statistic_cell("separation of three groups", 3, separation, 100).covered >= 0.93


@pytest.mark.parametrize("grouping", [each, pairs])
@pytest.mark.parametrize("true", [0.0, 0.1, 0.3])
def test_the_correlation_that_boards_are_asked_for_is_that_of_the_models_behind_them(grouping, true: float) -> None:
    random, groups = np.random.default_rng(0), grouping(10)
    drawn = [random.binomial(20, abilities(groups, 0.7, true, random)).astype(float) for _ in range(300)]
    spreads = [spread_of(tallies(groups, credit, 20)) for credit in drawn]
    assert correlation([spread for spread in spreads if spread is not None]) == pytest.approx(true, abs=0.03)
