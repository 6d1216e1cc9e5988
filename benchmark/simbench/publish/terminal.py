"""Draw the leaderboard in a terminal, as detailed as its width allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console, Group
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from simbench.board.board import Board, BoardColumn, BoardRow, Row
from simbench.board.cells import (
    MARKS,
    REMARKED,
    Remarked,
    Ungraded,
    cell,
    grade_text,
    interval_text,
    legend,
    mark,
    problems,
    remarks,
    seconds_text,
    short_id,
    state,
    tier_text,
)
from simbench.board.explanation import failing_columns
from simbench.board.power import power_text
from simbench.publish.visible_console import shown
from simbench.visible import visible

STYLES = {
    "pass": "green",
    "fail": "red",
    "undecided": "yellow",
    "not promised": "dim",
    "partly": "yellow",
    "skip": "dim",
    "error": "bold red",
    "refused": "bold red",
    "timeout": "bold red",
    "missing": "magenta",
}


@dataclass(frozen=True)
class Detail:
    """The columns and numbers that a table shows; the first of `DETAILS` that fits is taken."""

    columns_of_tests: bool = False
    intervals: bool = False
    costs: bool = False
    grades: bool = True
    letters_per_word: int = 40
    letters_per_name: int = 80


DETAILS = (
    Detail(columns_of_tests=True, intervals=True, costs=True),
    Detail(intervals=True, costs=True),
    Detail(costs=True),
    Detail(costs=True, letters_per_word=7),
    Detail(letters_per_word=7),
    Detail(letters_per_word=6, letters_per_name=16),
    Detail(letters_per_word=5, letters_per_name=16, grades=False),
)


def table(board: Board, width: int | None = None) -> Table:
    """Return the table of metrics × tests for a terminal of this width (by default, the current one).

    When it is too narrow the columns of tests go first, then intervals, long headings, costs, long names and, at last,
    the grades.
    """
    available = Console(width=width).width
    drawings = (_drawn(board, detail) for detail in DETAILS)
    return next((drawn for drawn in drawings if _natural_width(drawn) <= available), _drawn(board, DETAILS[-1]))


def reasons(board: Board) -> Group:
    """Return the legend, the columns that fail, the reasons for missing and partial grades, and the remarks."""
    failing = [_failing(*failed) for failed in failing_columns(board)]
    powerless = [(test.id, said) for test in board.tests if (said := power_text(board, test))]
    lines = [
        *failing,
        *map(_reason, problems(board)),
        *map(_remark, remarks(board)),
        *(_powerless(*each) for each in powerless),
    ]
    return Group(Text(legend(board), style="dim"), *lines)


def _failing(metric: str, test: str, columns: Sequence[str]) -> Text:
    return Text.assemble((f"{'fails':<8}", STYLES["fail"]), visible(f"{metric} {test}: {', '.join(columns)}"))


def _remark(remarked: Remarked) -> Text:
    said = f"{remarked.metric} {', '.join(remarked.tests)}: {remarked.text}"
    return Text.assemble((f"{'remark':<8}", "yellow"), visible(said))


def _powerless(test: str, said: str) -> Text:
    return Text.assemble((f"{'models':<8}", STYLES["undecided"]), visible(f"{test}: {said}"))


def _reason(problem: Ungraded) -> Text:
    said = f"{problem.metric} {', '.join(problem.columns)}: {problem.reason}"
    return Text.assemble((f"{problem.status:<8}", STYLES[problem.status]), visible(said))


def _natural_width(drawn: Table) -> int:
    """Return the width at which nothing has to be folded."""
    unlimited = Console(width=10_000)
    return Measurement.get(unlimited, unlimited.options, drawn).maximum


def _drawn(board: Board, detail: Detail) -> Table:
    columns = [column for column in board.columns if column.parent is None or detail.columns_of_tests]
    title = shown(f"{board.suite}@{board.version}", style="bold")
    drawn = Table(title=title, title_justify="left", box=box.HORIZONTALS, padding=(0, 1, 0, 0))
    drawn.add_column("metric", overflow="fold")
    drawn.add_column("tier", justify="right", no_wrap=True)
    for column in columns:
        drawn.add_column(_heading(column, detail.letters_per_word), no_wrap=True)
    for outcome in ("pass", "fail", "undecided"):
        drawn.add_column(MARKS[outcome], justify="right", no_wrap=True)
    if detail.costs:
        drawn.add_column("broken\npromises", justify="right", no_wrap=True)
        drawn.add_column("sec-\nonds", justify="right", no_wrap=True)
    for purpose, entries in board.by_purpose().items():
        drawn.add_row(Text(purpose, style="bold italic"))
        placed = sum(entry.main_standing.tier is not None for entry in entries)
        for number, entry in enumerate(entries, 1):
            drawn.add_row(*_cells(entry, columns, detail), end_section=number in (placed, len(entries)))
    return drawn


def _cells(entry: BoardRow, columns: Sequence[BoardColumn], detail: Detail) -> list[Text]:
    counts, broken = entry.counts, len(entry.counts.broken_promises)
    costs = [Text(str(broken) if broken else ""), Text(seconds_text(entry.row.seconds))] if detail.costs else []
    return [
        Text(
            _folded(visible(entry.row.metric.label), detail.letters_per_name),
            style="dim" if entry.main_standing.tier is None else "",
        ),
        Text(tier_text(entry.main_standing)),
        *(_cell(entry.row, column, detail) for column in columns),
        *(Text(str(number)) for number in (counts.passed, counts.failed, counts.undecided)),
        *costs,
    ]


def _cell(row: Row, column: BoardColumn, detail: Detail) -> Text:
    verdict = cell(row, column)
    text = Text(mark(verdict), style=STYLES[state(verdict)])
    if verdict.status == "ok" and detail.grades:
        text.append(f" {grade_text(verdict)}")
    if detail.intervals and verdict.interval is not None:
        text.append(f" {interval_text(verdict)}", style="dim")
    if row.remarks.get(column.id):
        text.append(f" {REMARKED}", style="yellow")
    return text


def _folded(name: str, letters: int) -> str:
    r"""Return a long name on several lines, broken after underscores where that is possible.

    >>> _folded("logit_distance_relative", 16)
    'logit_distance_\nrelative'
    """
    lines = [""]
    for part in name.replace("_", "_ ").split(" "):
        if len(lines[-1] + part) > letters and lines[-1]:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)


def _heading(column: BoardColumn, letters: int) -> Text:
    """Return the id of a column, a word per line; long words are shortened."""
    words = visible(short_id(column)).replace("-", "_").split("_")
    shortened = [word if len(word) <= letters else f"{word[: letters - 1]}." for word in words]
    return Text("\n".join(shortened), style="dim" if column.parent is not None else "bold")
