"""Remarks on scores stand in every rendering of a board: a mark in the cell, and a line with a count and an example."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest
from rich.console import Console

from simbench.board.remarks import Remark
from simbench.publish.markdown import to_markdown
from simbench.publish.page import fragment, to_html
from simbench.publish.tables import grades_csv
from simbench.publish.terminal import reasons, table

OUTSIDE = Remark("outside the declared range [0, 1]", "cnn/0 block1 → cnn/1 block1", 27, 40)
SAID = "27 of 40 scores, for example cnn/0 block1 → cnn/1 block1: outside the declared range [0, 1]"


def remarked(make, *remarks):
    above, below = make.full_row("above_one", 1.0, 1.0, 1.0, 1.0), make.full_row("cka", 1.0, 1.0, 1.0, 1.0)
    return make.board([replace(above, remarks={"identity": remarks}), below])


def in_terminal(board, width=120):
    out = io.StringIO()
    console = Console(file=out, width=width, no_color=True)
    console.print(table(board, width), reasons(board), soft_wrap=True)
    return out.getvalue()


@pytest.mark.parametrize("width", [40, 60, 120, 250])
def test_the_cell_is_marked_at_every_width_of_the_terminal(make, width):
    board = remarked(make, OUTSIDE)
    out = io.StringIO()
    Console(file=out, width=width, no_color=True).print(table(board, width))
    (line,) = [line for line in out.getvalue().splitlines() if "!" in line]
    assert line.count("!") == 1
    assert "above" in line or width < 50  # where there is room for names


def test_the_terminal_says_what_the_mark_means_and_the_remark(make):
    text = in_terminal(remarked(make, OUTSIDE))
    assert "! some of the scores carry a remark, listed below." in text
    assert f"remark  above_one identity: {SAID}" in text


def test_the_readme_marks_the_cell_and_lists_the_remark(make):
    text = to_markdown(remarked(make, OUTSIDE))
    assert "| above_one | 1 | ✓ 1.000 [0.95, 1.00] ! |" in text
    assert f"## Remarks on scores\n\n* above_one, identity: {SAID}".replace("[", r"\[").replace("]", r"\]") in text


def test_the_page_lists_the_remark_and_shows_it_over_the_cell(make):
    page = to_html(remarked(make, OUTSIDE))
    assert f"<li><strong>above_one</strong>, identity: {SAID}</li>" in page
    assert f"\nremark on {SAID}" in page
    assert page.count('<span class="remarked">!</span>') == 1


def test_a_notebook_lists_the_remark(make):
    shown = fragment(remarked(make, OUTSIDE))
    assert f"<li><strong>above_one</strong>, identity: {SAID}</li>" in shown
    assert "<ul>" not in fragment(make.board())


def test_the_csv_of_grades_has_the_remarks_of_whole_tests(make):
    rows = list(csv.DictReader(io.StringIO(grades_csv(remarked(make, OUTSIDE)))))
    assert [(row["metric"], row["column"]) for row in rows if row["remarks"]] == [("above_one", "")]
    assert {row["remarks"] for row in rows} == {"", SAID}


def test_a_board_without_remarks_does_not_speak_of_them(make):
    board = make.board()
    texts = (in_terminal(board), to_markdown(board), to_html(board))
    assert [word for text in texts for word in ("carry a remark", "Remarks on scores") if word in text] == []


def test_only_a_few_kinds_of_remarks_of_one_metric_are_listed(make):
    many = [Remark(f"odd {word}", "a → b", 1, 9) for word in ("x", "y", "z", "u", "v")]
    text = in_terminal(remarked(make, *many))
    assert [word for word in ("odd x", "odd y", "odd z", "odd u", "odd v") if word in text] == [
        "odd x",
        "odd y",
        "odd z",
    ]
    assert "remark  above_one identity: and 2 more kinds of remarks" in text
