"""Proofs that standing is fair: nobody gains by company, by missing answers or by worse ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.board.infos import metric_info

from simbench.board.board import BoardColumn, Row
from simbench.board.dominance import dominance, sign_test
from simbench.board.standing import board_of
from simbench.verdicts.verdict import Tally, Verdict, interval_of_mean

TESTS = ("mean", "columns", "statistic")
COLUMNS = (
    BoardColumn("mean", "identity", ">= 0.95", "", model_correlation=0.15),
    BoardColumn("columns", "invariance", ">= 0.95", ""),
    BoardColumn("columns/x", "invariance", ">= 0.95", "", "columns"),
    BoardColumn("columns/x as receiver", "invariance", ">= 0.95", "", "columns"),
    BoardColumn("statistic", "layers", ">= 0.5", ""),
)
MODELS = tuple(f"cnn/{seed}" for seed in range(5))
ASKED = 12


def of_credits(credits):
    """The verdict on `ASKED` questions to each model, with these credits."""
    tallies = tuple(Tally((model,), float(credit), ASKED) for model, credit in zip(MODELS, credits, strict=True))
    grade = sum(credits) / ASKED / len(MODELS)
    interval = interval_of_mean(grade, tallies, 0.15)
    return Verdict("ok", grade, interval, passed=grade >= 0.95, tallies=tallies)


def of_statistic(value, without):
    """The verdict on a statistic and its values without each model."""
    clipped = min(1.0, max(0.0, value))
    bounds = (max(0.0, clipped - 0.05), min(1.0, clipped + 0.05))
    left_out = {model: value + change for model, change in zip(MODELS, without, strict=True)}
    return Verdict("ok", clipped, bounds, passed=value >= 0.5, statistic=value, without=left_out)


def joined(*verdicts):
    """The verdict on a test with these columns."""
    tallies = tuple(tally for verdict in verdicts for tally in verdict.tallies)
    grade = sum(verdict.grade for verdict in verdicts) / len(verdicts)
    return Verdict("ok", grade, (0.0, 1.0), tallies=tallies)


def row(label, mean, x, receiver, statistic, without, symmetric=False):
    """A row with a mean of credits, a test with columns, and a statistic."""
    parts = {"columns/x": of_credits(x)} | ({} if symmetric else {"columns/x as receiver": of_credits(receiver)})
    verdicts = {
        "mean": of_credits(mean),
        "columns": joined(*parts.values()),
        **parts,
        "statistic": of_statistic(statistic, without),
    }
    return Row(metric_info(label, symmetric=symmetric), verdicts, 9, 1.0)


def above(rows):
    """Who is above whom."""
    board = board_of("s", 1, "", COLUMNS, rows, {})
    return {(entry.row.metric.label, other) for entry in board.rows for other in entry.main_standing.above}


def tier_of(rows):
    board = board_of("s", 1, "", COLUMNS, rows, {})
    return {entry.row.metric.label: entry.main_standing.tier for entry in board.rows}


credits = st.lists(st.one_of(st.integers(0, ASKED), st.sampled_from([0, ASKED])), min_size=5, max_size=5)
shifts = st.lists(st.sampled_from([-0.03, -0.01, 0.0, 0.01, 0.03]), min_size=5, max_size=5)
values = st.sampled_from([-0.4, 0.0, 0.2, 0.5, 0.9])
parts = st.tuples(credits, credits, credits, values, shifts, st.booleans())
fields = st.lists(parts, min_size=2, max_size=5)


def rows_of(field):
    return [row(f"m{place}", *of_metric) for place, of_metric in enumerate(field)]


@settings(max_examples=60, deadline=None)
@given(fields, parts)
def test_another_metric_moves_nobody_against_another(field, newcomer):
    rows = rows_of(field)
    together = above([*rows, row("new", *newcomer)])
    assert {pair for pair in together if "new" not in pair} == above(rows)


@settings(max_examples=60, deadline=None)
@given(fields)
def test_a_copy_ties_with_its_original_and_stands_to_others_as_it_does(field):
    rows = rows_of(field)
    copied = above([*rows, row("copy", *field[0])])
    assert ("copy", "m0") not in copied
    assert ("m0", "copy") not in copied
    as_original = {tuple("m0" if name == "copy" else name for name in pair) for pair in copied if "copy" in pair}
    assert as_original == {pair for pair in copied if "m0" in pair} == {pair for pair in above(rows) if "m0" in pair}
    places = tier_of([*rows, row("copy", *field[0])])
    assert places["copy"] == places["m0"]


@settings(max_examples=150, deadline=None)
@given(fields, st.lists(st.integers(0, ASKED), min_size=5, max_size=5), st.integers(0, 2), st.floats(0, 0.5))
def test_a_better_grade_never_hurts(field, gained, where, shift):
    mean, x, receiver, statistic, without, symmetric = field[0]
    raised = [mean, x, receiver]
    raised[where] = [min(ASKED, had + more) for had, more in zip(raised[where], gained, strict=True)]
    better = (*raised, statistic + shift, without, symmetric)
    before, after = above(rows_of(field)), above(rows_of([better, *field[1:]]))
    assert {pair for pair in before if pair[0] == "m0"} <= {pair for pair in after if pair[0] == "m0"}
    assert {pair for pair in after if pair[1] == "m0"} <= {pair for pair in before if pair[1] == "m0"}
    assert tier_of(rows_of([better, *field[1:]]))["m0"] <= tier_of(rows_of(field))["m0"]


@settings(max_examples=40, deadline=None)
@given(fields, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_matter(field, random):
    rows = rows_of(field)
    shuffled = random.sample(rows, len(rows))
    assert above(rows) == above(shuffled)
    assert board_of("s", 1, "", COLUMNS, rows, {}).rows == board_of("s", 1, "", COLUMNS, shuffled, {}).rows


@settings(max_examples=40, deadline=None)
@given(fields)
def test_nobody_is_above_who_is_above_it(field):
    pairs = above(rows_of(field))
    assert not pairs & {(worse, better) for better, worse in pairs}


@settings(max_examples=40, deadline=None)
@given(fields, st.integers(0, 2))
def test_missing_answers_never_help(field, test):
    rows = rows_of(field)
    missing = {**rows[0].verdicts, TESTS[test]: Verdict("skip", reason="too few rows")}
    pairs = above([replace(rows[0], verdicts=missing), *rows[1:]])
    assert not any("m0" in pair for pair in pairs)
    assert tier_of([replace(rows[0], verdicts=missing), *rows[1:]])["m0"] is None


def named(label, credits):
    return row(label, credits, [6] * 5, [6] * 5, 0.2, [0.0] * 5)


def test_the_evidence_has_to_outweigh_that_answers_of_one_model_depend_on_each_other():
    # 12 questions of 5 models at ρ = .15 count as 60 / (1 + 11 · .15) = 22.6; .05 / 2 over 3 tests is .0083 < 2^-7.
    assert above([named("a", [12] * 5), named("b", [8] * 5)]) == {("a", "b")}
    assert above([named("a", [12] * 5), named("b", [9] * 5)]) == set()


def test_questions_at_the_null_level_count_as_lost_to_the_metric_and_as_won_by_the_other():
    rows = [named("a", [12] * 5), named("b", [6] * 5)]
    assert above(rows) == {("a", "b")}
    unsure = replace(rows[0].verdicts["mean"], auxiliary={"at_null_level": 0.6})
    assert above([replace(rows[0], verdicts={**rows[0].verdicts, "mean": unsure}), rows[1]]) == set()


def test_questions_at_the_null_level_are_lost_on_the_models_that_they_are_about():
    # b answers all about the last two models; a, half right on the others, has these questions at the null level
    column = BoardColumn("t", "identity", ">= 0.95", "", model_correlation=0.05)
    b = of_credits([0, 0, 0, 12, 12])
    wrong = of_credits([6, 6, 6, 0, 0])
    left_out = replace(wrong, tallies=wrong.tallies[:3], grade=0.5, auxiliary={"at_null_level": 0.4})
    for answers in (wrong, left_out):
        rows = [Row(metric_info(name), {"t": verdict}, 9, 1.0) for name, verdict in (("a", answers), ("b", b))]
        assert not dominance(rows, [column], [column]).any()


def test_a_directed_metric_is_compared_as_receiver_with_what_a_symmetric_one_is_both_ways():
    symmetric = row("symmetric", [6] * 5, [12] * 5, [], 0.2, [0.0] * 5, True)
    directed = row("directed", [6] * 5, [12] * 5, [2] * 5, 0.2, [0.0] * 5, False)
    assert above([symmetric, directed]) == {("symmetric", "directed")}


def directions(label, *, sender, receiver=None):
    """A row on one test that asks a directed metric both ways, and a symmetric one once."""
    parts = {} if receiver is None else {"t/as sender": of_credits(sender), "t/as receiver": of_credits(receiver)}
    whole = joined(*parts.values()) if parts else of_credits(sender)
    return Row(metric_info(label, symmetric=receiver is None), {"t": whole, **parts}, 9, 1.0)


def above_on_directions(*rows):
    columns = [BoardColumn("t", "correspondence", ">= 0.95", "", model_correlation=0.15)]
    columns += [replace(columns[0], id=f"t/{way}", parent="t") for way in ("as sender", "as receiver")]
    board = board_of("s", 1, "", columns, rows, {})
    return {(entry.row.metric.label, other) for entry in board.rows for other in entry.main_standing.above}


def test_a_symmetric_metric_without_columns_is_compared_with_both_directions_of_a_directed_one():
    symmetric = directions("symmetric", sender=[12] * 5)
    lame = directions("lame", sender=[12] * 5, receiver=[4] * 5)
    assert above_on_directions(symmetric, lame) == {("symmetric", "lame")}
    assert above_on_directions(symmetric, directions("fine", sender=[12] * 5, receiver=[12] * 5)) == set()


def test_a_directed_metric_on_the_board_does_not_double_the_answers_of_symmetric_ones():
    # 13 net questions of 60 count as 4.9, not as 26 of 120 would: 5.8; level .025 = 2^-5.3.
    rows = [directions("a", sender=[12] * 5), directions("b", sender=[10, 10, 9, 9, 9])]
    assert above_on_directions(*rows) == set()
    assert ("a", "b") not in above_on_directions(*rows, directions("c", sender=[9] * 5, receiver=[9] * 5))


def test_a_column_that_one_of_two_does_not_owe_is_not_compared():
    rows = [row(name, [6] * 5, x, [6] * 5, 0.2, [0.0] * 5) for name, x in (("a", [12] * 5), ("b", [0] * 5))]
    assert above(rows) == {("a", "b")}
    grey = {**rows[1].verdicts, "columns/x": replace(rows[1].verdicts["columns/x"], owed="not promised")}
    assert above([rows[0], replace(rows[1], verdicts=grey)]) == set()


def test_statistics_are_compared_with_the_same_models_left_out_of_both():
    spread = [0.2, -0.1, 0.1, -0.2, 0.0]
    one = row("one", [6] * 5, [6] * 5, [6] * 5, 0.6, spread)
    other = row("other", [6] * 5, [6] * 5, [6] * 5, 0.4, [change + 0.001 * n for n, change in enumerate(spread)])
    assert above([one, other]) == {("one", "other")}
    apart = row("other", [6] * 5, [6] * 5, [6] * 5, 0.4, spread[::-1])
    assert above([one, apart]) == set()


@pytest.mark.parametrize("correlation", [0.0, 0.05])
@pytest.mark.parametrize("truth", [0.5, 0.9])
def test_of_two_metrics_of_one_quality_at_most_one_in_twenty_is_held_to_be_better(truth, correlation):
    # Wins that are summed by model before they are counted would decide 12 % to 21 % of these pairs.
    random = np.random.default_rng(0)
    share = np.full((80, 5), truth)
    if correlation:  # models are beta-distributed, to each metric in another way
        own = (1 - correlation) / correlation
        share = random.beta(truth * own, (1 - truth) * own, size=share.shape)
    column = BoardColumn("t", "identity", ">= 0.95", "", model_correlation=0.05)
    rows = [
        Row(metric_info(f"m{place}"), {"t": of_credits(random.binomial(ASKED, quality))}, 9, 1.0)
        for place, quality in enumerate(share)
    ]
    decided = dominance(rows, [column], [column])
    assert decided.sum() / (80 * 79 / 2) <= 0.05


@pytest.mark.parametrize(
    ("won", "lost", "p"), [(5, 0, 2**-5), (0, 0, 1.0), (0, 9, 1.0), (4, 1, 6 / 32), (8, 2, 56 / 1024)]
)
def test_the_sign_test_is_that_of_fair_coins(won, lost, p):
    assert sign_test(np.array([float(won)]), np.array([float(lost)]))[0] == pytest.approx(p)
