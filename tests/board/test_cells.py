"""What a cell says: times, outcomes and headings in few characters, and every reason once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from simbench.board.board import BoardColumn
from simbench.board.cells import (
    Ungraded,
    cost_text,
    grade_text,
    interval_text,
    mark,
    outcome_text,
    problems,
    seconds_text,
    short_id,
    state,
    tier_text,
)
from simbench.verdicts.verdict import NO_PAIRING, Trial, Verdict


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.0, "0.0"),
        (0.01, "<0.1"),
        (0.05, "0.1"),
        (0.5, "0.5"),
        (9.94, "9.9"),
        (10.0, "10"),
        (10.4, "10"),
        (912.0, "912"),
    ],
)
def test_times_have_two_digits_or_a_whole_number_and_only_nothing_is_0(make, seconds, said):
    assert seconds_text(seconds) == said
    assert cost_text(replace(make.row("a", {}, seconds=seconds), comparisons=1000)) == said


def test_what_is_not_there_is_a_dash_or_empty(make):
    (entry,) = make.board([make.row("a", {})]).rows
    assert (tier_text(entry.main_standing), cost_text(replace(entry.row, comparisons=0))) == ("–", "–")
    skip = Verdict("skip")
    assert (grade_text(skip), interval_text(skip)) == ("", "")


@pytest.mark.parametrize(
    ("passed", "owed", "said"),
    [
        (True, "required", ("✓", "pass", "pass")),
        (False, "required", ("✗", "fail", "fail")),
        (None, "promised", ("?", "undecided", "undecided")),
        (False, "promised", ("✗", "fail", "broken promise")),
        (False, "not promised", ("·", "not promised", "not promised (fail, were it asked for)")),
    ],
)
def test_a_verdict_has_a_mark_a_state_and_words(passed, owed, said):
    verdict = Verdict("ok", 0.5, (0.4, 0.6), passed=passed, owed=owed)
    assert (mark(verdict), state(verdict), outcome_text(verdict)) == said


def test_what_was_answered_in_part_or_not_at_all_is_no_grade_that_counts_nowhere():
    partly = Verdict("ok", 1.0, (0.9, 1.0), reason="1 of 9 skip")
    assert (mark(partly), state(partly), outcome_text(partly)) == ("~", "partly", "answered in part")
    skip = Verdict("skip", reason="needs a head", owed="not promised")
    assert (mark(skip), state(skip), outcome_text(skip)) == ("skip", "skip", "skip")


def test_a_column_is_headed_by_its_name_within_its_test(make):
    assert [short_id(column) for column in make.columns[2:4]] == ["invariance", "permutation"]
    assert short_id(BoardColumn("a/b", "identity", ">= 1", "")) == "a/b"


def test_every_reason_is_said_once_with_the_tests_that_share_it_and_nothing_else(make):
    head_only = "compares layers; this metric is defined at the head only"
    assert problems(make.board()) == [
        Ungraded("my_metric", ("identity",), "error", "12 of 12 error: cnn/0 block1: ValueError: boom"),
        Ungraded("my_metric", ("correspondence",), "missing", "the run was interrupted"),
        Ungraded("my_metric", ("invariance",), "error", "ValueError: boom"),
        Ungraded("pwcca", ("correspondence",), "partly", "3 of 40 skip: cnn/1 block7: no variance in block7"),
        Ungraded("identifiability_llv", ("identity", "correspondence"), "skip", head_only),
    ]


def test_a_refusal_is_said_once_with_the_tests_that_it_holds_for(make):
    nothing = make.graded(0.0, violations=(Trial(NO_PAIRING, (), False, -1.0),))
    row = make.full_row("a", 1.0, 1.0, 1.0, 1.0)
    board = make.board([replace(row, verdicts={**row.verdicts, "identity": nothing, "sensitivity": nothing})])
    assert problems(board) == [Ungraded("a", ("identity", "sensitivity"), "refused", NO_PAIRING)]


def test_a_column_s_reason_is_said_where_its_test_gives_none(make):
    row = make.full_row("a", 1.0, 1.0, 1.0, 1.0)
    skip, part = Verdict("skip", reason="no rows"), make.graded(1.0, passed=None, reason="1 of 9 skip")
    of_column = {**row.verdicts, "invariance/orthogonal": skip}
    assert problems(make.board([replace(row, verdicts=of_column)])) == [
        Ungraded("a", ("invariance/orthogonal",), "skip", "no rows")
    ]
    of_both = {**of_column, "invariance": part}
    assert problems(make.board([replace(row, verdicts=of_both)])) == [
        Ungraded("a", ("invariance",), "partly", "1 of 9 skip")
    ]
