"""Statistics of pairs of models: intervals and p-values hold in simulation, because models are what is resampled."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations, permutations
from typing import Any

import numpy as np
import pytest
import scipy.stats

from simbench.metrics.metric import Metric
from simbench.references import ModelGroup
from simbench.sanity.kinds.group_separation import GroupSeparation
from simbench.sanity.kinds.output_correlation import OutputCorrelation
from simbench.sanity.question import Question
from simbench.sanity.stats import statistic
from simbench.sanity.stats.observations import Observations
from simbench.sanity.stats.statistic import (
    StatisticTest,
    association,
    mantel_p_value,
    misranked,
    under_permutations,
)
from simbench.verdicts.jackknife import (
    Interval,
    jackknife_interval,
    leave_models_out,
    models_by_name,
)
from simbench.verdicts.verdict import VIOLATIONS, Trial, grade_trials, judge_by_mean, ungraded

Random = np.random.Generator


def observation(models: tuple[str, ...], margin: float, at: float | None = None, line: str = "") -> Trial:
    return Trial(" and ".join(models), models, None, float(margin), at=at, line=line)


def names(count: int, group: str = "net") -> list[str]:
    return [f"{group}/{number}" for number in range(count)]


def distances(random: Random, count: int) -> np.ndarray:
    points = random.normal(size=(count, 3))
    return np.linalg.norm(points[:, None] - points[None], axis=2)


def pairs(similarity: np.ndarray, variable: np.ndarray, group: str = "net", line: str = "") -> list[Trial]:
    models = names(len(similarity), group)
    return [
        observation((models[i], models[j]), similarity[i, j], float(variable[i, j]), line)
        for i, j in combinations(range(len(models)), 2)
    ]


def groups(random: Random, separation: float) -> list[Trial]:
    """Three groups of five models: every pair within and across, seen by a distance."""
    places = np.concatenate([centre + random.normal(size=(5, 3)) for centre in separation * np.eye(3)])
    similarity = -np.linalg.norm(places[:, None] - places[None], axis=2)
    models = [model for group in "abc" for model in names(5, group)]
    trials = []
    for group in "abc":
        own = [place for place, model in enumerate(models) if model.startswith(group)]
        others = [place for place in range(15) if place not in own]
        for line, found in (("within", combinations(own, 2)), ("across", ((i, j) for i in own for j in others))):
            for i, j in found:
                trials.append(
                    replace(
                        observation((models[i], models[j]), similarity[i, j], float(line == "within"), line),
                        column=group,
                    )
                )
    return trials


def mean_margin(trials: Sequence[Trial]) -> float:
    return float(np.mean([trial.margin for trial in trials]))


CORRELATION = OutputCorrelation(id="t", kind="output_correlation", models=["net"])


def interval_of(kind: StatisticTest, some: Sequence[Trial]) -> Interval:
    """The interval of a statistic, which may be negative."""
    trials = Observations.of(some)
    return kind.interval(kind.statistic(trials), trials, leave_models_out(trials, kind.statistic))


def interval(
    of_kind: Callable[[float, Mapping[str, float]], Interval | None],
    trials: Sequence[Trial],
    statistic: Callable[[Sequence[Trial]], float] = mean_margin,
) -> Interval | None:
    return of_kind(statistic(trials), leave_models_out(trials, statistic))


@pytest.mark.parametrize("count", [2, 5, 12])
def test_for_the_mean_of_single_models_it_is_students_interval(count: int) -> None:
    values = np.random.default_rng(count).normal(size=count)
    trials = [observation((model,), value) for model, value in zip(names(count), values, strict=True)]
    expected = scipy.stats.t.interval(0.95, count - 1, loc=values.mean(), scale=scipy.stats.sem(values))
    assert interval(jackknife_interval, trials) == pytest.approx(expected, rel=1e-9)


def test_it_stays_students_interval_where_the_mean_is_over_pairs_of_models() -> None:
    effects = np.random.default_rng(0).normal(size=6)
    sums = effects[:, None] + effects[None]
    low, high = interval(jackknife_interval, pairs(sums, sums)) or (math.nan, math.nan)
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
    assert interval(jackknife_interval, trials, difference) == pytest.approx(tuple(expected), rel=1e-9)


@pytest.mark.parametrize("count", [5, 10])
def test_95_percent_intervals_cover_the_mean_of_normal_model_effects_in_93_to_97_percent(count: int) -> None:
    random = np.random.default_rng(count)
    repetitions, covered = 1500, 0
    for _ in range(repetitions):
        effects = random.normal(size=count)
        sums = effects[:, None] + effects[None]
        low, high = interval(jackknife_interval, pairs(sums, sums)) or (math.nan, math.nan)
        covered += low <= 0 <= high
    assert 0.93 <= covered / repetitions <= 0.97


def test_where_leave_models_out_says_nothing_there_is_no_jackknife_interval() -> None:
    assert jackknife_interval(0.5, {}) is None
    assert jackknife_interval(0.5, {"a/0": 0.4, "b/0": 0.6}) is None  # one model of either name
    assert jackknife_interval(0.5, {"a/0": 0.5, "a/1": 0.5}) is None
    assert jackknife_interval(0.5, {"a/0": 0.5, "a/1": math.nan, "a/2": 0.4}) is None


def test_models_stand_in_one_order_whatever_order_they_come_in() -> None:
    trials = [observation((model,), 1.0) for model in ("b/1", "a/2", "a/10", "b/0", "a/0")]
    assert list(leave_models_out(trials, mean_margin)) == ["a/0", "a/10", "a/2", "b/0", "b/1"]
    assert models_by_name(["b/1", "a/1", "b/0", "a/0"]) == {"a": ["a/0", "a/1"], "b": ["b/0", "b/1"]}


@pytest.mark.parametrize("separation", [0.0, 3.0])
def test_95_percent_intervals_of_a_precision_cover_its_expectation_about_as_often(separation: float) -> None:
    random = np.random.default_rng(0)
    kind = GroupSeparation(id="t", kind="group_separation", models=["a", "b", "c"])
    drawn = [groups(random, separation) for _ in range(200)]
    truth = np.mean([kind.statistic(trials) for trials in drawn])
    covered = np.mean([low <= truth <= high for low, high in (interval_of(kind, trials) for trials in drawn)])
    assert covered >= 0.93


def test_95_percent_intervals_of_a_rank_correlation_cover_the_truth_at_least_so_often_under_the_null() -> None:
    random = np.random.default_rng(0)
    repetitions, covered, widths = 400, 0, []
    for _ in range(repetitions):
        trials = pairs(distances(random, 10), distances(random, 10))
        low, high = interval_of(CORRELATION, trials)
        covered += low <= 0 <= high
        widths.append(high - low)
    assert covered / repetitions >= 0.93
    assert np.median(widths) < 1.3  # not by saying nothing: the range is 2


@pytest.mark.parametrize("count", [2, 3])
def test_too_few_models_have_an_interval_that_says_next_to_nothing(count: int) -> None:
    random = np.random.default_rng(0)
    similarity, variable = distances(random, count), distances(random, count)
    trials = [replace(one, line=order) for order in "ab" for one in pairs(similarity, variable)]
    low, high = CORRELATION.interval(1.0, trials, leave_models_out(trials, association))
    assert low < -0.4
    assert high == 1.0


def test_perfect_correlations_of_enough_models_exclude_0() -> None:
    lows = {}
    for count in (5, 6, 10, 20):
        variable = distances(np.random.default_rng(0), count)
        lows[count] = interval_of(CORRELATION, pairs(-variable, variable))[0]
    assert lows[5] < 0 < lows[6] < lows[10] < lows[20] < 1


def test_the_least_separation_is_that_of_groups_whose_pairs_are_all_less_similar_than_those_across() -> None:
    kind = GroupSeparation(id="t", kind="group_separation", models=["a", "b", "c"])
    trials = [replace(one, margin=one.margin - 100 * (one.at or 0.0)) for one in groups(np.random.default_rng(0), 1.0)]
    assert kind.lowest(trials) == pytest.approx(kind.statistic(trials))
    low, high = interval_of(kind, trials)
    assert low == pytest.approx(kind.lowest(trials))
    assert 0 < high < 0.3


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
        dissimilarity, variable = [-trial.margin for trial in trials], [trial.at for trial in trials]
        by_pair.append(scipy.stats.spearmanr(dissimilarity, variable, alternative="greater").pvalue)
    assert np.mean(np.array(by_model) <= 0.05) < 0.09
    assert np.mean(np.array(by_pair) <= 0.05) > 0.12


def every_renaming(models: Sequence[str]) -> Iterator[dict[str, str]]:
    for renamed in permutations(models):
        yield dict(zip(models, renamed, strict=True))


def test_the_p_value_approaches_that_of_all_permutations() -> None:
    random = np.random.default_rng(4)
    variable = distances(random, 5)
    similarity = -variable - 0.8 * distances(random, 5)
    trials = pairs(similarity, variable)
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
    variable = distances(np.random.default_rng(0), 8)
    assert mantel_p_value(pairs(-variable, variable), 0) == pytest.approx(0.001)
    assert mantel_p_value(pairs(variable, variable), 0) > 0.99


def test_a_p_value_does_not_depend_on_what_models_are_called() -> None:
    random = np.random.default_rng(0)
    similarity, variable = distances(random, 8), distances(random, 8)
    assert len({mantel_p_value(pairs(similarity, variable, group), 3) for group in ("net", "cnn", "vit", "mlp")}) == 1


def test_both_orders_of_a_pair_may_be_there() -> None:
    random = np.random.default_rng(0)
    variable, similarity = distances(random, 6), distances(random, 6)
    once = pairs(similarity, variable)
    twice = once + [observation(trial.models[::-1], trial.margin, trial.at) for trial in once]
    assert association(twice) == pytest.approx(association(once))
    assert mantel_p_value(twice, 3) == mantel_p_value(once, 3)


def test_without_one_of_the_pairs_there_is_no_p_value() -> None:
    random = np.random.default_rng(0)
    assert math.isnan(mantel_p_value(pairs(distances(random, 6), distances(random, 6))[1:], 0))


@pytest.mark.parametrize("values_at_once", [1, 30, 300])
def test_a_p_value_does_not_depend_on_how_many_permutations_are_held_at_once(
    values_at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(0)
    trials, separated = pairs(distances(random, 6), distances(random, 6)), groups(random, 1.0)
    kind = GroupSeparation(id="t", kind="group_separation", models=["a", "b", "c"])
    expected = mantel_p_value(trials, 0), kind.figures(separated)
    monkeypatch.setattr(statistic, "LARGEST_BLOCK", values_at_once)
    blocks = under_permutations(trials, np.zeros(15), 0, 999, lambda _: "")
    assert max(block.size for block in blocks or ()) <= max(15, values_at_once)
    assert (mantel_p_value(trials, 0), kind.figures(separated)) == expected


def test_models_are_permuted_among_those_that_are_exchangeable() -> None:
    values = np.array([1.0, 2.0, 3.0, 10.0, 20.0, 30.0])
    trials = [observation(pair, 0.0, 0.0) for group in "ab" for pair in combinations(names(3, group), 2)]
    moved = np.concatenate(list(under_permutations(trials, values, 0, 50, lambda model: model[0]) or ()))
    np.testing.assert_array_equal(moved[0], values)
    assert {tuple(sorted(row)) for row in moved[:, :3]} == {(1.0, 2.0, 3.0)}
    assert len({tuple(row) for row in moved[:, :3]}) == 6
    assert under_permutations(trials, values, 0, 50, lambda model: "") is None


def test_an_association_is_the_mean_over_curves() -> None:
    random = np.random.default_rng(0)
    curves = [pairs(distances(random, 6), distances(random, 6), line=line) for line in "ab"]
    expected = [scipy.stats.spearmanr([-t.margin for t in curve], [t.at for t in curve]).statistic for curve in curves]
    assert association([*curves[0], *curves[1]]) == pytest.approx(np.mean(expected))


def test_a_constant_index_is_associated_with_nothing_and_nothing_with_a_constant_variable() -> None:
    variable = distances(np.random.default_rng(0), 5)
    assert association(pairs(np.full((5, 5), 0.7), variable)) == 0.0
    assert mantel_p_value(pairs(np.full((5, 5), 0.7), variable), 0) == 1.0
    assert math.isnan(association(pairs(variable, np.full((5, 5), 0.7))))


def test_misranked_observations_are_as_far_off_as_their_ranks() -> None:
    trials = [observation((f"m/{n}",), margin, float(n)) for n, margin in enumerate([0.0, 5.0, -2.0, -3.0, -4.0])]
    assert {(stray.where, stray.margin) for stray in misranked(trials)} == {("m/0", -0.25), ("m/1", -0.25)}


def test_on_a_curve_of_two_both_stray_and_on_one_of_one_none() -> None:
    turned = [observation((f"m/{n}",), float(n), float(n)) for n in range(2)]
    assert [stray.margin for stray in misranked(turned)] == [-1.0, -1.0]
    assert misranked(turned[:1]) == []


class OfTheMean(StatisticTest):
    """The mean margin."""

    def questions(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[Question]:
        raise AssertionError("not asked here")

    def statistic(self, trials: Sequence[Trial]) -> float:
        return mean_margin(trials)

    def figures(self, trials: Sequence[Trial]) -> Mapping[str, float]:
        return {"largest": max(trial.margin for trial in trials), "unknown": math.nan}

    def violations(self, trials: Sequence[Trial]) -> Any:
        return misranked(trials)


def graded(margins: Sequence[float]) -> Any:
    kind = OfTheMean(id="t", kind="mean", models=["net"])
    trials = [observation((f"net/{n}",), margin, float(n)) for n, margin in enumerate(margins)]
    return grade_trials(trials, kind.passes, kind.judge, comparisons=len(trials))


@pytest.mark.parametrize(("margins", "grade"), [([-0.4, 0.1], 0.0), ([0.2, 0.4], 0.3), ([0.3, 1.5], 0.9)])
def test_grade_and_interval_are_clipped_to_the_range_of_grades(margins: list[float], grade: float) -> None:
    verdict = graded(margins)
    assert verdict.grade == pytest.approx(grade)
    assert 0.0 <= verdict.interval[0] <= verdict.grade <= verdict.interval[1] <= 1.0


def test_a_figure_that_is_not_determined_is_left_out() -> None:
    assert graded([0.2, 0.4]).auxiliary == {"largest": 0.4}


@pytest.mark.parametrize("undetermined", [math.nan, math.inf])
def test_what_is_not_determined_is_skipped_with_a_reason(undetermined: float) -> None:
    verdict = graded([undetermined, 0.5])
    assert (verdict.status, verdict.grade, verdict.passed) == ("skip", None, None)
    assert "2 observations" in verdict.reason


def test_why_observations_are_missing_is_said_where_the_rest_does_not_determine_the_statistic() -> None:
    kind = OfTheMean(id="t", kind="mean", models=["net"])
    lacking = [ungraded("there", "skip", "receiver is not better than chance")]
    verdict = grade_trials([observation(("net/0",), math.nan, 0.0), *lacking], kind.passes, kind.judge, comparisons=2)
    assert verdict.reason == (
        "1 observations do not determine the statistic of mean; 1 of 2 skip: there: receiver is not better than chance"
    )


def test_the_worst_observations_are_the_violations() -> None:
    verdict = graded([float(n) for n in range(30)])
    margins = [violation.margin for violation in verdict.violations]
    assert margins == sorted(margins)
    assert len(margins) == VIOLATIONS
    assert margins[0] == -1.0


def test_a_statistic_says_what_it_is_without_each_model_and_not_what_models_earn() -> None:
    verdict = graded([-0.9, 0.3, 0.6, 1.5])
    assert verdict.tallies == ()
    # (0.3 + 0.6 + 1.5) / 3, (-0.9 + 0.6 + 1.5) / 3, (-0.9 + 0.3 + 1.5) / 3, (-0.9 + 0.3 + 0.6) / 3
    assert verdict.without == pytest.approx({"net/0": 0.8, "net/1": 0.4, "net/2": 0.3, "net/3": 0.0}, abs=1e-12)
    assert verdict.without_a_model() == verdict.without


def test_the_statistic_before_clipping_is_kept() -> None:
    verdict = graded([-0.4, 0.1])
    assert (verdict.grade, verdict.statistic, verdict.unclipped) == (0.0, pytest.approx(-0.15), pytest.approx(-0.15))
    assert verdict.without == pytest.approx({"net/0": 0.1, "net/1": -0.4})


def test_without_its_only_model_a_statistic_is_unknown() -> None:
    assert all(math.isnan(grade) for grade in graded([0.4]).without.values())


def test_what_a_mean_is_without_a_model_follows_from_its_tallies() -> None:
    trials = [Trial("", (f"net/{model}",), held, 0.0) for model, held in ((0, True), (0, False), (1, True), (2, False))]
    verdict = grade_trials(trials, lambda grade: True, judge_by_mean, comparisons=4)
    assert (verdict.without, verdict.statistic, verdict.unclipped) == ({}, None, 0.5)
    assert verdict.without_a_model() == pytest.approx({"net/0": 1 / 2, "net/1": 1 / 3, "net/2": 2 / 3})


def test_grading_20_metrics_takes_no_time() -> None:
    random = np.random.default_rng(0)
    trials = pairs(distances(random, 10), distances(random, 10))
    start = time.process_time()
    for seed in range(20):
        interval_of(CORRELATION, trials)
        mantel_p_value(trials, seed)
    assert time.process_time() - start < 2.0
