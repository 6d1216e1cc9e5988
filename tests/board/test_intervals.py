"""Intervals of ranks and tie groups: against a brute-force bootstrap, and on simulated leaderboards."""

from __future__ import annotations

import numpy as np
import pytest

from simbench.board.intervals import FEWEST_TESTS, rank_statistics, resampled_mean_ranks, tie_groups
from simbench.board.standing import average_ranks, without
from simbench.verdicts.verdict import Tally, Verdict

SEEDS = 4


def verdict(*shares, asked=10, name="cnn"):
    """A verdict with this share held per model seed."""
    held = [round(share * asked) for share in shares]
    tallies = tuple(Tally((f"{name}/{seed}",), one, asked) for seed, one in enumerate(held))
    return Verdict("ok", grade=sum(held) / (asked * len(shares)), tallies=tallies)


def simulated(strengths, tests, random):
    """Per metric, verdicts on tests of random difficulty."""
    difficulty = random.normal(0, 1, size=tests)
    seeds = random.normal(0, 0.3, size=(tests, SEEDS))

    def shares(strength, test):
        noise = random.normal(0, 0.4, size=SEEDS)
        return 1 / (1 + np.exp(-(strength - difficulty[test] + seeds[test] + noise)))

    return [[verdict(*shares(strength, test), asked=50) for test in range(tests)] for strength in strengths]


def brute_force(graded, draws, seed):
    """The same bootstrap, one draw and one trial at a time."""
    random = np.random.default_rng(seed)
    tests, means = len(graded[0]), []
    for _ in range(draws):
        seeds = random.integers(SEEDS, size=SEEDS)
        chosen = random.integers(tests, size=tests)
        per_test = []
        for test in chosen:
            grades = []
            for verdicts in graded:
                by_seed = {int(one.models[0].rpartition("/")[2]): one for one in verdicts[test].tallies}
                grades.append(sum(by_seed[s].credit for s in seeds) / sum(by_seed[s].asked for s in seeds))
            per_test.append(average_ranks(grades))
        means.append(np.mean(per_test, axis=0))
    return np.array(means)


def test_the_resampled_mean_ranks_are_distributed_as_those_of_a_brute_force_bootstrap():
    graded = simulated([0.0, 0.3, 1.0], 12, np.random.default_rng(3))
    fast = resampled_mean_ranks(graded, 3000)
    slow = brute_force(graded, 3000, 7)
    levels = [0.025, 0.25, 0.5, 0.75, 0.975]
    np.testing.assert_allclose(np.quantile(fast, levels, axis=0), np.quantile(slow, levels, axis=0), atol=0.09)
    np.testing.assert_allclose(fast.mean(axis=0), slow.mean(axis=0), atol=0.03)


def test_a_pair_of_models_counts_as_often_as_both_were_drawn():
    """With all weight on one pair of two models, a draw without either has no grade and is left out."""
    pair = Verdict("ok", grade=0.5, tallies=(Tally(("cnn/0", "cnn/1"), 5, 10),))
    ranks = resampled_mean_ranks([[pair] * 10, [pair] * 10], 400)
    assert 0 < len(ranks) < 400
    np.testing.assert_array_equal(ranks, 1.5)


def test_shares_are_ranked_however_many_questions_each_metric_was_asked():
    few, many = verdict(0.2, 0.4, 0.6, 0.8, asked=5), verdict(0.2, 0.4, 0.6, 0.8, asked=10)
    np.testing.assert_array_equal(resampled_mean_ranks([[few] * 10, [many] * 10], 50), 1.5)


def test_a_draw_that_left_one_test_to_grade_counts():
    assert resampled_mean_ranks([[verdict(0.5)], [verdict(1.0)]], 50).tolist() == [[2.0, 1.0]] * 50


def as_statistic(verdict):
    """The same grade, which says what it is without each model, and nothing of what they earned."""
    return Verdict("ok", grade=verdict.grade, statistic=verdict.grade, without=verdict.without_a_model())


def test_a_mean_that_is_known_by_its_without_a_model_is_resampled_as_one_known_by_its_trials():
    graded = simulated([0.0, 0.3, 1.0], 12, np.random.default_rng(3))
    blind = [[as_statistic(one) for one in verdicts] for verdicts in graded]
    np.testing.assert_array_equal(resampled_mean_ranks(blind, 500), resampled_mean_ranks(graded, 500))


def test_a_statistic_far_below_0_is_graded_0_in_every_draw():
    low = Verdict("ok", grade=0.0, statistic=-0.9, without={"cnn/0": -0.8, "cnn/1": -1.0})
    np.testing.assert_array_equal(resampled_mean_ranks([[low] * 10, [Verdict("ok", grade=0.0)] * 10], 100), 1.5)


def test_a_statistic_that_is_undetermined_without_a_model_keeps_its_grade():
    stuck = Verdict("ok", grade=0.5, without={"cnn/0": 0.9, "cnn/1": np.nan, "vit/0": 0.1})
    moved = Verdict("ok", grade=0.5, without={"cnn/0": 0.9, "cnn/1": 0.1})
    np.testing.assert_array_equal(resampled_mean_ranks([[stuck] * 10, [stuck] * 10], 100), 1.5)
    ranks = resampled_mean_ranks([[stuck] * 10, [moved] * 10], 100)
    assert len(np.unique(ranks[:, 0])) == 3  # both seeds once: a tie; one of them twice: above or below


def test_the_same_verdicts_give_the_same_intervals():
    graded = simulated([0.0, 0.5, 1.0], 12, np.random.default_rng(1))
    assert rank_statistics(graded) == rank_statistics(graded)


def test_intervals_hold_the_mean_rank_in_a_field_that_is_drawn_again_and_again():
    """Coverage over new tests and new models is near 95 %; few seeds make it a little less."""
    strengths = [0.0, 0.4, 0.8]
    truth = resampled_truth(strengths)
    inside = []
    for repeat in range(40):
        found = rank_statistics(simulated(strengths, 20, np.random.default_rng(100 + repeat)), 300)
        inside += [low <= true <= high for true, (low, high) in zip(truth, found.intervals, strict=True)]
    assert 0.86 <= np.mean(inside) <= 1.0


def resampled_truth(strengths):
    """The mean ranks over very many tests."""
    graded = simulated(strengths, 1500, np.random.default_rng(0))
    per_test = [average_ranks([verdicts[t].grade for verdicts in graded]) for t in range(1500)]
    return np.mean(per_test, axis=0)


def test_equal_metrics_are_tied_and_unequal_ones_are_not():
    random = np.random.default_rng(5)
    best = [verdict(*random.uniform(0.8, 1.0, SEEDS)) for _ in range(20)]
    worst = [verdict(*random.uniform(0.0, 0.2, SEEDS)) for _ in range(20)]
    assert rank_statistics([best, best, worst]).tie_groups == ((1,), (1,), (2,))


def test_groups_are_runs_of_neighbours_that_are_all_tied_so_that_they_may_overlap():
    """b is tied with a and with c, which differ from each other."""
    random = np.random.default_rng(0)
    a, noise = random.normal(1.0, 0.2, 4000), random.normal(0, 0.5, 4000)
    ranks = np.stack([a, a + 0.5 + noise, a + 0.6], axis=1)
    assert tie_groups(ranks) == ((1,), (1, 2), (2,))


def test_a_group_that_lies_within_another_is_not_a_group_of_its_own():
    assert tie_groups(np.random.default_rng(0).normal(size=(500, 4))) == ((1,),) * 4


@pytest.mark.parametrize("tests", [1, 5, FEWEST_TESTS - 1])
def test_with_few_tests_the_board_says_so_instead_of_showing_an_interval_without_width(make, tests):
    board = board_with(make, tests, [1.0, 0.5])
    assert board.rank_note.startswith(f"too few tests ({tests})")
    assert [(row.rank_interval, row.tie_groups) for row in board.rows] == [(None, ()), (None, ())]


def test_with_enough_tests_every_ranked_row_has_an_interval_and_a_group(make):
    board = board_with(make, FEWEST_TESTS, [1.0, 0.5])
    assert board.rank_note == ""
    assert all(row.rank_interval is not None and row.tie_groups for row in board.rows)


def test_with_enough_tests_and_no_row_that_has_them_all_there_is_nothing_to_say_of_ranks(make):
    columns = [make.columns[0].__class__(f"t{n}", "identity", ">= 0.95", "") for n in range(FEWEST_TESTS)]
    board = make.board([make.row("a", {"t0": 1.0})], columns=columns)
    assert [(row.mean_rank, row.rank_interval, row.tie_groups) for row in board.rows] == [(None, None, ())]


def test_removing_an_entrant_recomputes_intervals_and_groups(make):
    board = without(board_with(make, FEWEST_TESTS, [1.0, 0.75, 0.5]), {"m1"})
    assert [row.rank_interval for row in board.rows] == [(1.0, 1.0), (2.0, 2.0)]
    assert [row.tie_groups for row in board.rows] == [(1,), (2,)]


def board_with(make, tests, grades):
    """A board of this many tests, each metric with one grade everywhere."""
    columns = [make.columns[0].__class__(f"t{n}", "identity", ">= 0.95", "") for n in range(tests)]
    rows = [
        make.row(f"m{place}", {column.id: verdict(*[grade] * SEEDS) for column in columns})
        for place, grade in enumerate(grades)
    ]
    return make.board(rows, columns=columns)
