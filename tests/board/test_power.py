"""A test that no metric could pass says so: its models are too few for its threshold."""

import json
from pathlib import Path

import pytest
from rich.console import Console
from tests.board.making import Maker

from simbench.board.board import BoardColumn
from simbench.board.document import from_document
from simbench.board.power import out_of_reach, power_text
from simbench.board.standing import board_of
from simbench.publish.markdown import to_markdown
from simbench.publish.page import to_html
from simbench.publish.terminal import reasons
from simbench.verdicts.verdict import Trial, best_interval, judge_by_mean

PUBLISHED = sorted((Path(__file__).parents[2] / "leaderboard").glob("*/leaderboard.json"))


def verdict_of(models, held=1.0, questions=4, **changes):
    trials = [
        Trial(f"question {number}", (f"cnn/{model}",), number < held * questions, 1.0)
        for model in range(models)
        for number in range(questions)
    ]
    graded = judge_by_mean(trials)
    return Maker().graded(graded.grade, interval=graded.interval, tallies=graded.tallies, passed=None, **changes)


def board_with(verdict, pass_if=">= 0.9"):
    columns = (BoardColumn("identity", "identity", pass_if, "A layer is most similar to itself."),)
    return board_of("mine", 1, "", columns, [Maker().row("cka", {"identity": verdict})], {})


def test_the_best_interval_is_that_of_a_perfect_grade_of_the_same_questions():
    perfect = verdict_of(8)
    assert best_interval(verdict_of(8, held=0.5), 0.1) == best_interval(perfect, 0.1) == perfect.interval
    # one question to each of 8 models: .05^(1/8)
    assert best_interval(verdict_of(8, questions=1), 0.1) == pytest.approx((0.05 ** (1 / 8), 1.0))
    assert best_interval(Maker().graded(0.5), 0.1) is None


def test_questions_at_the_null_level_widen_the_best_interval():
    low, high = best_interval(verdict_of(8, questions=1, auxiliary={"at_null_level": 0.25}), 0.1)
    assert (low, high) == pytest.approx((0.75 * 0.05 ** (1 / 8), 1.0))


def test_a_test_is_out_of_reach_where_no_perfect_grade_of_its_models_passes():
    few = board_with(verdict_of(3))
    assert out_of_reach(few, few.columns[0]) == verdict_of(3).interval
    assert out_of_reach(board_with(verdict_of(40)), few.columns[0]) is None


@pytest.mark.parametrize("pass_if", [">= 0.2", "< 0.5"])
def test_a_threshold_that_is_low_or_from_above_is_in_reach(pass_if):
    board = board_with(verdict_of(3), pass_if)
    assert power_text(board, board.columns[0]) == ""


def test_what_a_metric_does_not_owe_says_nothing_of_the_reach():
    board = board_with(verdict_of(3, owed="not promised"))
    assert out_of_reach(board, board.columns[0]) is None


def test_terminal_markdown_and_page_say_it(tmp_path):
    board = board_with(verdict_of(3))
    console = Console(width=400, record=True, file=(tmp_path / "out").open("w"))
    console.print(reasons(board))
    sentence = power_text(board, board.columns[0])
    assert sentence.startswith("No metric can pass: with these models even a perfect grade has the interval [")
    assert sentence in console.export_text()
    assert "No metric can pass" in to_markdown(board)
    assert "No metric can pass" in to_html(board)


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda path: path.parent.name)
def test_every_test_of_a_published_board_can_be_passed(path):
    board = from_document(json.loads(path.read_text()))
    assert [power_text(board, test) for test in board.tests if out_of_reach(board, test)] == []
