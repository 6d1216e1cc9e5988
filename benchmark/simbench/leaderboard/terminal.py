"""The leaderboard in a terminal, as detailed as its width allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console, Group
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from simbench.leaderboard.board import Board, RankedRow, TestColumn
from simbench.leaderboard.cells import (
    LEGEND,
    cell,
    grade_text,
    interval_text,
    mark,
    problems,
    rank_text,
    seconds_text,
    short_id,
    state,
)
from simbench.sanity.verdict import Verdict

STYLES = {"passed": "green", "failed": "red", "partly": "yellow", "skip": "dim", "error": "bold red", "missing": "magenta"}


@dataclass(frozen=True)
class Detail:
    """What a table shows; the first of `DETAILS` that fits is taken."""

    columns_of_tests: bool
    intervals: bool
    costs: bool
    letters_per_word: int = 40


DETAILS = (
    Detail(columns_of_tests=True, intervals=True, costs=True),
    Detail(columns_of_tests=False, intervals=True, costs=True),
    Detail(columns_of_tests=False, intervals=False, costs=True),
    Detail(columns_of_tests=False, intervals=False, costs=True, letters_per_word=8),
    Detail(columns_of_tests=False, intervals=False, costs=False, letters_per_word=6),
)


def table(board: Board, width: int | None = None) -> Table:
    """Metrics × tests for a terminal of this width (default: the one we are in).

    When it is too narrow the columns of tests go first, then intervals, then long headings, then the costs.
    """
    console = Console(width=width)
    for detail in DETAILS:
        drawn = _drawn(board, detail)
        if Measurement.get(console, console.options, drawn).maximum <= console.width and _natural(drawn) <= console.width:
            return drawn
    return drawn


def reasons(board: Board) -> Group:
    """The legend, and why grades are missing or partial: one line per metric and reason."""
    lines = [Text(LEGEND, style="dim")]
    for problem in problems(board):
        line = Text.assemble(
            (problem.status, STYLES[problem.status]), "  ", (problem.metric, "bold"), " ", ", ".join(problem.columns), ": "
        )
        lines.append(line.append(problem.reason))
    return Group(*lines)


def _natural(drawn: Table) -> int:
    """The width at which nothing has to be folded."""
    wide = Console(width=10_000)
    return Measurement.get(wide, wide.options, drawn).maximum


def _drawn(board: Board, detail: Detail) -> Table:
    columns = [column for column in board.columns if column.parent is None or detail.columns_of_tests]
    drawn = Table(title=Text(f"{board.suite}@{board.version}"), title_justify="left", box=box.HORIZONTALS, pad_edge=False)
    drawn.add_column("metric", overflow="fold")
    drawn.add_column("mean\nrank", justify="right", no_wrap=True)
    for column in columns:
        drawn.add_column(_heading(column, detail.letters_per_word), no_wrap=True)
    drawn.add_column("pass", justify="right", no_wrap=True)
    if detail.costs:
        drawn.add_column("cover-\nage", justify="right", no_wrap=True)
        drawn.add_column("sec-\nonds", justify="right", no_wrap=True)
    last_ranked = max((place for place, row in enumerate(board.rows) if row.mean_rank is not None), default=None)
    for place, ranked in enumerate(board.rows):
        drawn.add_row(*_cells(ranked, columns, detail), end_section=place == last_ranked)
    return drawn


def _cells(ranked: RankedRow, columns: Sequence[TestColumn], detail: Detail) -> list[Text]:
    verdicts = [cell(ranked.row, column) for column in columns]
    costs = [Text(f"{ranked.coverage:.0%}"), Text(seconds_text(ranked.row.seconds))] if detail.costs else []
    return [
        Text(ranked.row.metric.label, style="" if ranked.mean_rank is not None else "dim"),
        Text(rank_text(ranked.mean_rank)),
        *(_cell(verdict, detail) for verdict in verdicts),
        Text(f"{ranked.passed}/{ranked.tests}"),
        *costs,
    ]


def _cell(verdict: Verdict, detail: Detail) -> Text:
    text = Text(mark(verdict), style=STYLES[state(verdict)])
    if verdict.grade is not None and verdict.status == "ok":
        text.append(f" {grade_text(verdict)}")
    if detail.intervals and verdict.interval is not None:
        text.append(f" {interval_text(verdict)}", style="dim")
    return text


def _heading(column: TestColumn, letters: int) -> Text:
    """The id, a word per line; long words are shortened."""
    words = short_id(column).replace("-", "_").split("_")
    shortened = [word if len(word) <= letters else f"{word[: letters - 1]}." for word in words]
    return Text("\n".join(shortened), style="dim" if column.parent is not None else "bold")
