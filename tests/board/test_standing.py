"""Aggregates and ranks are derived from the verdicts of the field that is shown."""

from __future__ import annotations

from dataclasses import replace

import pytest

from simbench.board.standing import average_ranks, board_of, without
from simbench.verdicts.verdict import Verdict


def labels(board):
    return [ranked.row.metric.label for ranked in board.rows]


def by_label(board):
    return {ranked.row.metric.label: ranked for ranked in board.rows}


def test_mean_rank_is_the_mean_over_the_tests_of_the_rank_by_grade(make):
    board = make.board([make.full_row("a", 1.0, 0.9, 0.2, 0.3), make.full_row("b", 0.9, 0.8, 0.7, 0.9)])
    assert {name: row.mean_rank for name, row in by_label(board).items()} == {"a": 1.5, "b": 1.5}


def test_ties_share_the_average_rank():
    assert average_ranks([0.9, 1.0, 0.9, 0.9, 0.1]) == [3.0, 1.0, 3.0, 3.0, 5.0]


def test_grades_that_differ_by_rounding_errors_are_ties():
    assert average_ranks([0.1 + 0.2, 0.3]) == [1.5, 1.5]


def test_columns_of_a_test_do_not_count_beside_the_test(make):
    low_columns = make.full_row("a", 0.9, 0.9, 0.9, 0.9)
    verdicts = {name: make.graded(0.0) if "/" in name else one for name, one in low_columns.verdicts.items()}
    row = type(low_columns)(low_columns.metric, verdicts, 400, 1.0)
    ranked = make.board([row]).rows[0]
    assert (ranked.mean_grade, ranked.tests, ranked.graded) == (pytest.approx(0.9), 4, 4)


def test_a_row_that_was_not_graded_on_every_test_has_no_rank_and_stands_below(make):
    board = make.board()
    unranked = [ranked.row.metric.label for ranked in board.rows if ranked.mean_rank is None]
    assert unranked == labels(board)[-len(unranked) :]
    assert {"identifiability_llv", "my_metric"} <= set(unranked)


def test_a_row_that_left_a_question_unanswered_is_not_ranked_by_the_others(make):
    partly = Verdict("ok", grade=1.0, passed=None, reason="15 of 78 skip: too few rows")
    rows = [make.full_row("a", 0.9, 0.9, 0.9, 0.9), make.full_row("b", 1.0, 1.0, 1.0, 1.0)]
    rows[1] = replace(rows[1], verdicts={**rows[1].verdicts, "identity": partly})
    ranked = by_label(make.board(rows))
    assert (ranked["a"].mean_rank, ranked["a"].coverage) == (1.0, 1.0)
    assert (ranked["b"].mean_rank, ranked["b"].coverage, ranked["b"].mean_grade) == (None, 0.75, 1.0)


def test_partial_rows_do_not_take_up_ranks(make):
    partial = make.row("partial", {"identity": 1.0, "correspondence": Verdict("skip", reason="no")})
    alone = make.board([make.full_row("a", 0.1, 0.1, 0.1, 0.1)])
    joined = make.board([make.full_row("a", 0.1, 0.1, 0.1, 0.1), partial])
    assert by_label(alone)["a"].mean_rank == by_label(joined)["a"].mean_rank == 1.0


def test_removing_an_entrant_recomputes_the_ranks_of_the_rest(make):
    rows = [make.full_row(name, *[grade] * 4) for name, grade in (("a", 1.0), ("b", 0.8), ("c", 0.5))]
    board = without(make.board(rows), {"b"})
    assert {name: row.mean_rank for name, row in by_label(board).items()} == {"a": 1.0, "c": 2.0}


def test_equal_mean_ranks_are_ordered_by_mean_grade_then_by_label(make):
    rows = [
        make.full_row("z", 1.0, 0.5, 0.5, 0.5),
        make.full_row("b", 0.5, 1.0, 0.5, 0.5),
        make.full_row("a", 0.5, 1.0, 0.5, 0.5),
        make.full_row("best", 1.0, 1.0, 0.5, 0.5),
    ]
    assert labels(make.board(rows))[0] == "best"
    assert labels(make.board(rows))[1:] == ["a", "b", "z"]


def test_partial_rows_are_ordered_by_coverage_then_passes_then_label(make):
    skip = Verdict("skip", reason="no")
    rows = [
        make.row("one_pass", {"identity": 1.0, "correspondence": skip}),
        make.row("b_none", {"identity": 0.1}),
        make.row("a_none", {"identity": 0.1}),
        make.row("two", {"identity": 0.1, "correspondence": 0.1}),
    ]
    assert labels(make.board(rows)) == ["two", "one_pass", "a_none", "b_none"]


def test_what_could_only_be_graded_in_part_is_no_pass(make):
    row = make.full_row("a", 1.0, 1.0, 1.0, 1.0)
    verdicts = {**row.verdicts, "identity": make.graded(1.0, passed=None, reason="1 of 9 skip")}
    ranked = make.board([type(row)(row.metric, verdicts, 400, 1.0)]).rows[0]
    assert (ranked.passed, ranked.tests) == (3, 4)


def test_a_row_without_any_grade_has_no_mean_grade(make):
    ranked = make.board([make.row("a", {"identity": Verdict("error", reason="boom")})]).rows[0]
    assert (ranked.mean_grade, ranked.coverage, ranked.passed) == (None, 0.0, 0)


def test_a_board_may_be_empty(make):
    assert board_of("s", 1, "", make.columns, [], {}).rows == ()
