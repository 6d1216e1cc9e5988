"""Intervals from questions and models together: against closed forms and other software."""

from __future__ import annotations

from itertools import combinations

import pytest
import scipy.stats

from simbench.verdicts.bounds import effective_questions, hull, interval_of_difference, share_interval, widen
from simbench.verdicts.verdict import Tally, Trial, interval_of_mean, judge_by_mean


def of_each(models: int, asked: int) -> list[tuple[tuple[str, ...], int]]:
    return [((f"net/{model}",), asked) for model in range(models)]


def of_pairs(models: int, asked: int) -> list[tuple[tuple[str, ...], int]]:
    return [((f"net/{a}", f"net/{b}"), asked) for a, b in combinations(range(models), 2)]


@pytest.mark.parametrize(("models", "asked", "correlation"), [(1, 20, 0.1), (5, 20, 0.1), (10, 7, 0.5), (3, 1, 1.0)])
def test_questions_to_single_models_have_kishs_design_effect(models: int, asked: int, correlation: float) -> None:
    expected = models * asked / (1 + (asked - 1) * correlation)
    assert effective_questions(of_each(models, asked), correlation) == pytest.approx(expected)


@pytest.mark.parametrize("asked", [of_each(4, 3), of_pairs(4, 3)])
def test_independent_answers_are_worth_as_many_questions_as_there_are(asked: list[tuple[tuple[str, ...], int]]) -> None:
    assert effective_questions(asked, 0.0) == pytest.approx(sum(number for _, number in asked))


def test_answers_that_models_decide_are_worth_half_a_question_for_each_model_of_all_pairs() -> None:
    """With as many questions to each pair as one likes: the mean is one of the effects of the models."""
    assert effective_questions(of_pairs(10, 10_000), 1.0) == pytest.approx(5)
    assert effective_questions(of_pairs(10, 10_000), 0.1) == pytest.approx(50, rel=0.01)


def test_a_pair_is_the_same_in_either_order_and_a_model_compared_with_itself_is_one() -> None:
    assert effective_questions([(("a", "b"), 2), (("b", "a"), 2)], 0.3) == effective_questions([(("a", "b"), 4)], 0.3)
    assert effective_questions([(("a", "a"), 5)], 0.3) == effective_questions([(("a",), 5)], 0.3)
    assert effective_questions([((), 5)], 0.3) == effective_questions([(("a",), 5)], 0.3)


@pytest.mark.parametrize(("right", "questions"), [(1, 7), (6, 7), (30, 60), (59, 60)])
def test_a_share_of_whole_questions_has_the_interval_of_clopper_and_pearson(right: int, questions: int) -> None:
    expected = scipy.stats.binomtest(right, questions).proportion_ci(0.95, "exact")
    assert share_interval(right / questions, questions) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize("questions", [0.4, 1, 7.5, 60])
def test_a_perfect_share_has_a_bound_of_95_percent_and_an_empty_one_its_mirror(questions: float) -> None:
    low, high = share_interval(1.0, questions)
    assert (low**questions, high) == (pytest.approx(0.05), 1.0)
    assert share_interval(0.0, questions) == pytest.approx((0.0, 1 - low))


@pytest.mark.parametrize("share", [1e-9, 0.2, 0.5, 0.97, 1 - 1e-9])
@pytest.mark.parametrize("questions", [0.3, 2.0, 50.0])
def test_an_interval_holds_its_share_and_lies_between_0_and_1(share: float, questions: float) -> None:
    low, high = share_interval(share, questions)
    assert 0 <= low < share < high <= 1


def test_more_answers_that_hold_never_lower_an_interval_of_as_many_questions() -> None:
    ends = [share_interval(share / 40, 12.5) for share in range(41)]
    assert ends == sorted(ends)
    assert [high for _, high in ends] == sorted(high for _, high in ends)


def test_newcombes_interval_of_a_difference() -> None:
    """Newcombe (1998), Interval estimation for the difference between independent proportions, Table II (a), method 10.

    56 of 70 and 48 of 80, with Wilson's intervals of both.
    """
    first, second = (
        tuple(scipy.stats.binomtest(right, asked).proportion_ci(0.95, "wilson"))
        for right, asked in ((48, 80), (56, 70))
    )
    interval = interval_of_difference(48 / 80, first, 56 / 70, second)
    assert interval == pytest.approx((0.0524, 0.3339), abs=1e-4)


def test_what_is_unknown_could_have_been_anything() -> None:
    assert widen((0.8, 0.9), 0.0) == (0.8, 0.9)
    assert widen((0.8, 0.9), 1.0) == (0.0, 1.0)
    assert widen((0.8, 0.9), 0.5) == pytest.approx((0.4, 0.95))
    assert hull(None, (0.2, 0.3)) == (0.2, 0.3)
    assert hull((0.1, 0.25), (0.2, 0.3)) == (0.1, 0.3)


def tallied(*right: int, asked: int = 20) -> list[Tally]:
    return [Tally((f"net/{model}",), number, asked) for model, number in enumerate(right)]


def test_the_spread_of_models_counts_where_it_is_larger_than_what_is_borrowed_and_the_other_way_round() -> None:
    apart, alike = tallied(0, 20, 20, 20), tallied(15, 15, 15, 15)
    borrowed = share_interval(0.75, effective_questions(of_each(4, 20), 0.1))
    assert interval_of_mean(0.75, alike, 0.1) == borrowed
    low, high = interval_of_mean(0.75, apart, 0.1)
    assert low < borrowed[0] - 0.1
    assert high > borrowed[1] + 0.05
    # four models of which one is wrong throughout are worth three questions: p (1 - p) / (p (1 - p) / (4 - 1))
    assert (low, high) == pytest.approx(share_interval(0.75, 3))


def test_a_perfect_grade_of_few_models_is_not_certain_and_that_of_one_model_less_so() -> None:
    lows = []
    for models in (1, 3, 10, 30):
        trials = [Trial("", (f"net/{model}",), True, 0.0) for model in range(models) for _ in range(20)]
        low, high = judge_by_mean(trials).interval or (0.0, 0.0)
        assert high == 1.0
        lows.append(low)
    assert lows == sorted(lows)
    assert lows[0] < 0.7 < lows[1] < 0.9 < 0.95 < lows[2] < 0.99
