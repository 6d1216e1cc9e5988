"""Standing and counts are derived from the verdicts of the metrics that are shown, within a purpose."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from simbench.board.board import Counts
from simbench.board.standing import board_of, tiers, without
from simbench.verdicts.verdict import NO_PAIRING, Trial, Verdict


def labels(board):
    return [entry.row.metric.label for entry in board.rows]


def by_label(board):
    return {entry.row.metric.label: entry for entry in board.rows}


def relation(*pairs, metrics=4):
    above = np.zeros((metrics, metrics), dtype=bool)
    for better, worse in pairs:
        above[better, worse] = True
    return above


def test_a_metric_whose_bounds_lie_above_is_above_and_those_between_are_tied_with_both(make):
    rows = [make.full_row(name, *[grade] * 4) for name, grade in (("low", 0.5), ("mid", 0.54), ("high", 0.6))]
    board = make.board(rows)
    assert board.tiers() == {"units": [["high", "mid"], ["low"]]}
    assert by_label(board)["high"].standing["units"].above == ("low",)


def test_a_test_lost_keeps_a_metric_from_standing_above(make):
    board = make.board([make.full_row("a", 1.0, 1.0, 1.0, 0.2), make.full_row("b", 0.5, 0.5, 0.5, 0.9)])
    assert board.tiers() == {"units": [["a", "b"]]}


def test_purposes_have_an_order_each_and_none_among_each_other(make):
    rows = [
        make.full_row("poor", *[0.1] * 4, invariant_to={"orthogonal"}),
        make.full_row("good", *[1.0] * 4, invariant_to={"affine"}),
        make.full_row("both", *[0.5] * 4, purposes={"geometry", "information"}),
    ]
    board = make.board(rows)
    assert board.tiers() == {"geometry": [["both"], ["poor"]], "information": [["good"], ["both"]]}
    assert labels(board) == ["both", "poor", "good"]
    assert {purpose: place.tier for purpose, place in by_label(board)["both"].standing.items()} == {
        "geometry": 1,
        "information": 2,
    }


def test_only_tests_that_are_owed_for_the_purpose_count(make):
    columns = [replace(column, purposes=("information",)) for column in make.columns]
    rows = [make.full_row(name, *[grade] * 4, invariant_to={"affine"}) for name, grade in (("a", 1.0), ("b", 0.1))]
    assert make.board(rows, columns=columns).tiers() == {"information": [["a"], ["b"]]}
    other = [replace(column, purposes=("geometry",)) for column in make.columns]
    entry = make.board(rows, columns=other).rows[0]
    assert (entry.main_standing.tier, entry.main_standing.reason) == (None, "owes none of the tests")


def test_what_is_not_promised_is_in_no_standing_and_no_count(make):
    rows = [make.full_row("a", 1.0, 1.0, 1.0, 1.0), make.full_row("b", 1.0, 1.0, 1.0, 1.0)]
    grey = Verdict("ok", grade=0.0, interval=(0.0, 0.1), passed=False, owed="not promised")
    rows[1] = replace(rows[1], verdicts={**rows[1].verdicts, "sensitivity": grey})
    board = make.board(rows)
    assert board.tiers() == {"units": [["a", "b"]]}
    assert by_label(board)["b"].counts == Counts(passed=3, not_promised=1)


@pytest.mark.parametrize(
    ("verdict", "reason"),
    [
        (Verdict("skip", reason="too few rows"), "identity: skip"),
        (Verdict("error", reason="boom"), "identity: error"),
        (Verdict("ok", 1.0, (1.0, 1.0), reason="15 of 78 skip: too few rows"), "identity: partly"),
        (Verdict("ok", 0.1, (0.0, 0.2), passed=False, reason="15 of 78 skip: too few rows"), "identity: partly"),
    ],
)
def test_a_metric_that_left_an_owed_question_unanswered_is_not_placed(make, verdict, reason):
    rows = [make.full_row("a", 0.1, 0.1, 0.1, 0.1), make.full_row("b", 1.0, 1.0, 1.0, 1.0)]
    rows[1] = replace(rows[1], verdicts={**rows[1].verdicts, "identity": verdict})
    board = make.board(rows)
    assert labels(board) == ["a", "b"]
    assert (by_label(board)["b"].main_standing.tier, by_label(board)["b"].main_standing.reason) == (None, reason)
    assert by_label(board)["a"].main_standing.tier == 1


@pytest.mark.parametrize(("refused", "tier"), [(4, None), (3, None), (2, 1), (0, 1)])
def test_a_metric_that_claims_in_vain_to_pair_inputs_stands_nowhere_even_alone(make, refused, tier):
    row = make.full_row("hash", 0.0, 0.0, 0.0, 0.0, purposes={"dynamics"})
    tests = ("identity", "correspondence", "invariance", "sensitivity")[:refused]
    nothing = make.graded(0.0, violations=(Trial(NO_PAIRING, (), False, -1.0),))
    board = make.board([replace(row, verdicts={**row.verdicts, **dict.fromkeys(tests, nothing)})])
    standing = by_label(board)["hash"].main_standing
    assert (standing.tier, standing.reason) == (tier, "" if tier else "claims to pair inputs, and does not")


def test_a_promise_is_broken_by_a_column_and_counted_by_its_name(make):
    row = make.full_row("a", 1.0, 1.0, 0.5, 1.0)
    promised = {name: replace(verdict, owed="promised") for name, verdict in row.verdicts.items()}
    kept = {**promised, "invariance/permutation": make.graded(1.0, owed="promised")}
    counts = make.board([replace(row, verdicts=kept)]).rows[0].counts
    assert counts.broken_promises == (
        "invariance/isotropic_scaling", "invariance/translation", "invariance/orthogonal",
        "invariance/invertible_linear",
    )  # fmt: skip
    assert (counts.passed, counts.failed) == (3, 1)


def test_verdicts_are_counted_over_tests(make):
    verdicts = {
        "identity": make.graded(1.0),
        "correspondence": make.graded(0.96, passed=None),
        "invariance": make.graded(0.5),
        "sensitivity": Verdict("skip", reason="needs a head"),
    }
    counts = make.board([make.row("a", verdicts)]).rows[0].counts
    assert counts == Counts(passed=1, undecided=1, failed=1, unanswered=1)


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([], [1, 1, 1, 1]),
        ([(0, 1), (1, 2)], [1, 2, 3, 1]),
        ([(0, 1), (1, 2), (2, 0)], [1, 1, 1, 1]),
        ([(0, 1), (1, 2), (2, 0), (2, 3)], [1, 1, 1, 2]),
        ([(3, 0), (0, 1), (1, 2), (2, 0)], [2, 2, 2, 1]),
    ],
)
def test_a_tier_is_who_is_beaten_by_nobody_left_and_circles_are_ties(pairs, expected):
    assert tiers(relation(*pairs)) == expected


def test_removing_a_metric_leaves_the_others_as_they_were_to_each_other(make):
    rows = [make.full_row(name, *[grade] * 4) for name, grade in (("a", 1.0), ("b", 0.8), ("c", 0.5))]
    board = without(make.board(rows), {"b"})
    assert {name: row.main_standing.tier for name, row in by_label(board).items()} == {"a": 1, "c": 2}


def test_rows_of_a_tier_are_ordered_by_tests_failed_then_by_label(make):
    rows = [
        make.full_row("z", 1.0, 0.94, 1.0, 1.0),
        make.full_row("b", 1.0, 1.0, 1.0, 1.0),
        make.full_row("a", 1.0, 1.0, 1.0, 1.0),
    ]
    assert labels(make.board(rows)) == ["a", "b", "z"]


def test_a_board_may_be_empty(make):
    board = board_of("s", 1, "", make.columns, [], {})
    assert (board.rows, board.tiers(), board.by_purpose()) == ((), {}, {})
