"""Statistics of pairs of models: intervals and p-values hold in simulation, because models are what is resampled."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from itertools import combinations, permutations
from typing import Any

import numpy as np
import pytest
import scipy.stats

from simbench.metrics.metric import Metric
from simbench.plan.references import ModelGroup
from simbench.sanity.jackknife import interval_leaving_models_out
from simbench.sanity.kind import Question
from simbench.sanity.statistic import (
    StatisticKind,
    association,
    mantel_p_value,
    rank_strays,
    under_permutations,
)
from simbench.sanity.verdict import OFFENDERS, Trial, grade_trials, judged_by_mean

Random = np.random.Generator


def observation(models: tuple[str, ...], margin: float, at: float | None = None, line: str = "") -> Trial:
    return Trial(" and ".join(models), models, None, float(margin), at=at, line=line)


def names(count: int, group: str = "net") -> list[str]:
    return [f"{group}/{number}" for number in range(count)]


def distances(random: Random, count: int) -> np.ndarray:
    points = random.normal(size=(count, 3))
    return np.linalg.norm(points[:, None] - points[None], axis=2)


def pairs(similarity: np.ndarray, fact: np.ndarray, group: str = "net", line: str = "") -> list[Trial]:
    models = names(len(similarity), group)
    return [
        observation((models[i], models[j]), similarity[i, j], float(fact[i, j]), line)
        for i, j in combinations(range(len(models)), 2)
    ]


def mean_margin(trials: Sequence[Trial]) -> float:
    return float(np.mean([trial.margin for trial in trials]))


@pytest.mark.parametrize("count", [2, 5, 12])
def test_for_the_mean_of_single_models_it_is_students_interval(count: int) -> None:
    values = np.random.default_rng(count).normal(size=count)
    trials = [observation((model,), value) for model, value in zip(names(count), values, strict=True)]
    expected = scipy.stats.t.interval(0.95, count - 1, loc=values.mean(), scale=scipy.stats.sem(values))
    assert interval_leaving_models_out(trials, mean_margin) == pytest.approx(expected, rel=1e-9)


def test_it_stays_students_interval_where_the_mean_is_over_pairs_of_models() -> None:
    effects = np.random.default_rng(0).normal(size=6)
    sums = effects[:, None] + effects[None]
    low, high = interval_leaving_models_out(pairs(sums, sums), mean_margin) or (math.nan, math.nan)
    expected = scipy.stats.t.interval(0.95, 5, loc=2 * effects.mean(), scale=2 * scipy.stats.sem(effects))
    assert (low, high) == pytest.approx(expected, rel=1e-9)


def test_models_of_two_names_are_left_out_among_their_own() -> None:
    random = np.random.default_rng(1)
    own, other = random.normal(size=5), random.normal(loc=10, size=5)
    trials = [observation((model,), value) for model, value in zip(names(5, "a"), own, strict=True)]
    trials += [observation((model,), value) for model, value in zip(names(5, "b"), other, strict=True)]

    def difference(some: Sequence[Trial]) -> float:
        sides = [[trial.margin for trial in some if trial.models[0].startswith(name)] for name in "ab"]
        return float(np.mean(sides[1]) - np.mean(sides[0]))

    expected = scipy.stats.ttest_ind(other, own, equal_var=False).confidence_interval(0.95)  # Welch's
    assert interval_leaving_models_out(trials, difference) == pytest.approx(tuple(expected), rel=1e-9)


@pytest.mark.parametrize("effect", ["normal", "beta"])
@pytest.mark.parametrize("count", [5, 10])
def test_95_percent_intervals_cover_the_mean_of_model_effects_in_93_to_97_percent(effect: str, count: int) -> None:
    random = np.random.default_rng(count)
    repetitions, truth = 1500, {"normal": 0.0, "beta": 1.0}[effect]
    covered = 0
    for _ in range(repetitions):
        effects = random.normal(size=count) if effect == "normal" else random.beta(2, 2, size=count)
        sums = effects[:, None] + effects[None]
        low, high = interval_leaving_models_out(pairs(sums, sums), mean_margin) or (math.nan, math.nan)
        covered += low <= truth <= high
    assert 0.93 <= covered / repetitions <= 0.97


def test_95_percent_intervals_of_a_rank_correlation_cover_the_truth_at_least_so_often_under_the_null() -> None:
    random = np.random.default_rng(0)
    repetitions, covered, widths = 400, 0, []
    for _ in range(repetitions):
        trials = pairs(distances(random, 10), distances(random, 10))
        low, high = interval_leaving_models_out(trials, association) or (math.nan, math.nan)
        covered += low <= 0 <= high
        widths.append(high - low)
    assert covered / repetitions >= 0.93
    assert np.median(widths) < 1.3  # not by saying nothing: the range is 2


@pytest.mark.parametrize("count", [1, 2, 3])
def test_too_few_models_have_no_interval(count: int) -> None:
    random = np.random.default_rng(0)
    trials = pairs(distances(random, count), distances(random, count)) or [observation(("net/0",), 1.0, 1.0)]
    assert interval_leaving_models_out(trials, association) is None


def test_p_values_are_uniform_under_the_null() -> None:
    random = np.random.default_rng(0)
    found = [mantel_p_value(pairs(distances(random, 8), distances(random, 8)), seed, 199) for seed in range(600)]
    assert scipy.stats.kstest(found, "uniform").pvalue > 0.01
    assert 0.02 < np.mean(np.array(found) <= 0.05) < 0.08


def test_permuting_pairs_instead_would_call_nothing_significant_too_often() -> None:
    """Each model has an effect of its own on both sides: why models are permuted, and pairs are not."""
    random = np.random.default_rng(0)
    by_model, by_pair = [], []
    for seed in range(200):
        first, second = (np.add.outer(effect, effect) for effect in random.normal(size=(2, 8)))
        trials = pairs(-first, second)
        by_model.append(mantel_p_value(trials, seed, 199))
        dissimilarity, fact = [-trial.margin for trial in trials], [trial.at for trial in trials]
        by_pair.append(scipy.stats.spearmanr(dissimilarity, fact, alternative="greater").pvalue)
    assert np.mean(np.array(by_model) <= 0.05) < 0.09
    assert np.mean(np.array(by_pair) <= 0.05) > 0.12


def every_renaming(models: Sequence[str]) -> Iterator[dict[str, str]]:
    for renamed in permutations(models):
        yield dict(zip(models, renamed, strict=True))


def test_the_p_value_approaches_that_of_all_permutations() -> None:
    random = np.random.default_rng(4)
    fact = distances(random, 5)
    similarity = -fact - 0.8 * distances(random, 5)
    trials = pairs(similarity, fact)
    by_pair = {frozenset(trial.models): trial.at for trial in trials}
    dissimilarity = [-trial.margin for trial in trials]
    observed = scipy.stats.spearmanr(dissimilarity, [trial.at for trial in trials]).statistic
    as_strong = []
    for renamed in every_renaming(names(5)):
        moved = [by_pair[frozenset(renamed[model] for model in trial.models)] for trial in trials]
        as_strong.append(scipy.stats.spearmanr(dissimilarity, moved).statistic >= observed - 1e-12)
    exact = float(np.mean(as_strong))
    assert 0 < exact < 0.5
    assert mantel_p_value(trials, 0, 4999) == pytest.approx(exact, abs=0.02)


def test_an_association_has_a_small_p_value_and_its_opposite_a_large_one() -> None:
    fact = distances(np.random.default_rng(0), 8)
    assert mantel_p_value(pairs(-fact, fact), 0) == pytest.approx(0.001)
    assert mantel_p_value(pairs(fact, fact), 0) > 0.99


def test_both_orders_of_a_pair_may_be_there() -> None:
    random = np.random.default_rng(0)
    fact, similarity = distances(random, 6), distances(random, 6)
    once = pairs(similarity, fact)
    twice = once + [observation(trial.models[::-1], trial.margin, trial.at) for trial in once]
    assert association(twice) == pytest.approx(association(once))
    assert mantel_p_value(twice, 3) == mantel_p_value(once, 3)


def test_without_one_of_the_pairs_there_is_no_p_value() -> None:
    random = np.random.default_rng(0)
    assert math.isnan(mantel_p_value(pairs(distances(random, 6), distances(random, 6))[1:], 0))


def test_models_are_permuted_among_those_that_are_exchangeable() -> None:
    values = np.array([1.0, 2.0, 3.0, 10.0, 20.0, 30.0])
    trials = [observation(pair, 0.0, 0.0) for group in "ab" for pair in combinations(names(3, group), 2)]
    moved = under_permutations(trials, values, 0, 50, lambda model: model[0])
    assert moved is not None
    np.testing.assert_array_equal(moved[0], values)
    assert {tuple(sorted(row)) for row in moved[:, :3]} == {(1.0, 2.0, 3.0)}
    assert len({tuple(row) for row in moved[:, :3]}) == 6
    assert under_permutations(trials, values, 0, 50, lambda model: "") is None


def test_an_association_is_the_mean_over_curves() -> None:
    random = np.random.default_rng(0)
    curves = [pairs(distances(random, 6), distances(random, 6), line=line) for line in "ab"]
    expected = [scipy.stats.spearmanr([-t.margin for t in curve], [t.at for t in curve]).statistic for curve in curves]
    assert association([*curves[0], *curves[1]]) == pytest.approx(np.mean(expected))


def test_a_constant_index_is_associated_with_nothing_and_nothing_with_a_constant_fact() -> None:
    fact = distances(np.random.default_rng(0), 5)
    assert association(pairs(np.full((5, 5), 0.7), fact)) == 0.0
    assert mantel_p_value(pairs(np.full((5, 5), 0.7), fact), 0) == 1.0
    assert math.isnan(association(pairs(fact, np.full((5, 5), 0.7))))


def test_strays_are_as_far_off_as_their_places() -> None:
    trials = [observation((f"m/{n}",), margin, float(n)) for n, margin in enumerate([0.0, 5.0, -2.0, -3.0, -4.0])]
    assert {(stray.where, stray.margin) for stray in rank_strays(trials)} == {("m/0", -0.25), ("m/1", -0.25)}


class OfTheMean(StatisticKind):
    """The mean margin."""

    def questions(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[Question]:
        raise AssertionError("not asked here")

    def statistic(self, trials: Sequence[Trial]) -> float:
        return mean_margin(trials)

    def strays(self, trials: Sequence[Trial]) -> Any:
        return rank_strays(trials)


def graded(margins: Sequence[float]) -> Any:
    kind = OfTheMean(id="t", kind="mean", models=["net"])
    trials = [observation((f"net/{n}",), margin, float(n)) for n, margin in enumerate(margins)]
    return grade_trials(trials, (), kind.passes, kind.judge, comparisons=len(trials))


@pytest.mark.parametrize(("margins", "grade"), [([-0.4, 0.1], 0.0), ([0.2, 0.4], 0.3), ([0.9, 1.5], 1.0)])
def test_grade_and_interval_are_cut_to_the_range_of_grades(margins: list[float], grade: float) -> None:
    verdict = graded(margins)
    assert verdict.grade == pytest.approx(grade)
    assert 0.0 <= verdict.interval[0] <= verdict.grade <= verdict.interval[1] <= 1.0


@pytest.mark.parametrize("undetermined", [math.nan, math.inf])
def test_what_is_not_determined_is_skipped_with_a_reason(undetermined: float) -> None:
    verdict = graded([undetermined, 0.5])
    assert (verdict.status, verdict.grade, verdict.passed) == ("skip", None, None)
    assert "2 observations" in verdict.reason


def test_the_worst_strays_are_the_offenders() -> None:
    verdict = graded([float(n) for n in range(30)])
    margins = [offender.margin for offender in verdict.offenders]
    assert margins == sorted(margins)
    assert len(margins) == OFFENDERS
    assert margins[0] == -1.0


def test_a_statistic_says_what_it_is_without_each_model_and_not_what_models_earn() -> None:
    verdict = graded([-0.9, 0.3, 0.6, 1.5])
    assert verdict.tallies == ()
    # cut to grades: (0.3 + 0.6 + 1.5) / 3, (-0.9 + 0.6 + 1.5) / 3, (-0.9 + 0.3 + 1.5) / 3, 0
    assert verdict.without == pytest.approx({"net/0": 0.8, "net/1": 0.4, "net/2": 0.3, "net/3": 0.0})
    assert verdict.grades_without_a_model() == verdict.without


def test_without_its_only_model_a_statistic_is_unknown() -> None:
    assert all(math.isnan(grade) for grade in graded([0.4]).without.values())


def test_what_a_mean_is_without_a_model_follows_from_its_tallies() -> None:
    trials = [Trial("", (f"net/{model}",), held, 0.0) for model, held in ((0, True), (0, False), (1, True), (2, False))]
    verdict = grade_trials(trials, (), lambda grade: True, judged_by_mean, comparisons=4)
    assert verdict.without == {}
    assert verdict.grades_without_a_model() == pytest.approx({"net/0": 1 / 2, "net/1": 1 / 3, "net/2": 2 / 3})


def test_grading_20_metrics_takes_no_time() -> None:
    random = np.random.default_rng(0)
    trials = pairs(distances(random, 10), distances(random, 10))
    start = time.process_time()
    for seed in range(20):
        interval_leaving_models_out(trials, association)
        mantel_p_value(trials, seed)
    assert time.process_time() - start < 2.0
