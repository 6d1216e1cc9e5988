"""The table in a terminal fits its width and needs no colour."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from simbench.publish.terminal import reasons, table


def printed(board, width):
    out = io.StringIO()
    Console(file=out, width=width, no_color=True).print(table(board, width))
    return out.getvalue()


@pytest.mark.parametrize("width", [40, 60, 80, 100, 140, 260])
def test_no_line_is_wider_than_the_terminal(make, width):
    assert max(map(len, printed(make.board(), width).splitlines())) <= width


def test_at_80_columns_every_metric_has_one_line_with_its_grades(make):
    lines = printed(make.board(), 80).splitlines()
    (line,) = [line for line in lines if "procrustes" in line]
    assert all(grade in line for grade in ("✓ 0.971", "✓ 0.962", "✗ 0.800", "✗ 0.900"))


def test_intervals_are_shown_where_there_is_room(make):
    assert "[0.95, 1.00]" in printed(make.board(), 160)


def test_columns_of_a_test_are_shown_where_there_is_room(make):
    assert "orthogonal" in printed(make.board(), 400)
    assert "orthogonal" not in printed(make.board(), 120)


@pytest.mark.parametrize("sign", ["✓", "✗", "?", "·", "~", "skip", "error", "missing"])
def test_every_outcome_is_readable_without_colour(make, sign):
    rows = make.every_kind()
    unsure = make.graded(0.96, passed=None)
    grey = make.graded(0.2, owed="not promised")
    rows[0] = replace(rows[0], verdicts={**rows[0].verdicts, "identity": unsure, "sensitivity": grey})
    text = printed(make.board(rows), 100)
    assert sign in text.split("\n", 3)[3].replace("✓ ✗ ?", "") if sign in "✓✗?" else sign in text


def test_a_line_separates_placed_from_unplaced_rows(make):
    lines = printed(make.board(), 100).splitlines()
    place = next(number for number, line in enumerate(lines) if "my_metric" in line)
    assert set(lines[place - 1].strip()) == {"─"}


def test_a_board_of_partial_rows_alone_can_be_shown(make):
    assert "my_metric" in printed(make.board(make.every_kind()[-1:]), 100)


def test_every_skip_and_failure_has_its_reason_underneath(make):
    text = "\n".join(str(line) for line in reasons(make.board()).renderables)
    assert "skip    identifiability_llv identity, correspondence: compares layers" in text
    assert "error   my_metric identity: 12 of 12 error" in text
    assert "missing my_metric correspondence: the run was interrupted" in text
    assert "partly  pwcca correspondence: 3 of 40 skip" in text


def test_markup_in_names_is_printed_as_it_is(make):
    board = make.board([make.full_row("[red]x[/red]", 1.0, 1.0, 1.0, 1.0)])
    assert "[red]x[/red]" in printed(board, 120)
