"""Write the leaderboard as a README that reads well on a code host."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from simbench.board.board import Board, BoardColumn, BoardRow, Row
from simbench.board.cells import (
    REMARKED,
    cell,
    grade_text,
    interval_text,
    legend,
    mark,
    problems,
    remarks,
    seconds_text,
    short_id,
    tier_text,
)
from simbench.board.power import power_text
from simbench.board.provenance import provenance_lines
from simbench.visible import visible

# Characters that start markup; underscores inside a word do not.
SPECIAL = re.compile(r"[\\`*<&\[\]|~]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")


def to_markdown(board: Board) -> str:
    """Return the whole page: about, table, columns of tests, reasons, provenance."""
    parts = [f"# {escaped(board.suite)}@{board.version}", escaped(" ".join(board.about.split()))]
    parts += [_table(board, board.tests), legend(board)]
    parts += ["## Tests", "\n".join(_about(board, column) for column in board.tests)]
    for test in board.tests:
        own = [column for column in board.columns if column.parent == test.id]
        if own:
            parts += [f"## {escaped(test.id)}, by column", _table(board, own, aggregates=False)]
    reasons = [
        f"* {escaped(cell.metric)}, {escaped(', '.join(cell.columns))}: {cell.status}: {escaped(cell.reason)}"
        for cell in problems(board)
    ]
    if reasons:
        parts += ["## What could not be graded", "\n".join(reasons)]
    remarked = [
        f"* {escaped(remark.metric)}, {escaped(', '.join(remark.tests))}: {escaped(remark.text)}"
        for remark in remarks(board)
    ]
    if remarked:
        parts += ["## Remarks on scores", "\n".join(remarked)]
    lines = [f"| {escaped(name)} | {escaped(value)} |" for name, value in provenance_lines(board.provenance)]
    parts += ["## Provenance", "\n".join(["| | |", "| --- | --- |", *lines])]
    parts += ["The same numbers: [page](index.html), [JSON](leaderboard.json), [CSV](leaderboard.csv)."]
    return "\n\n".join(part for part in parts if part) + "\n"


def escaped(text: str) -> str:
    r"""Escape a text on one line, so that Markdown and HTML leave it alone.

    >>> print(escaped("my_metric | <i> _x_"))
    my_metric \| \<i> \_x\_
    """
    return SPECIAL.sub(r"\\\g<0>", visible(" ".join(text.split())))


def _table(board: Board, columns: Sequence[BoardColumn], aggregates: bool = True) -> str:
    headings = ["metric", *(["tier"] if aggregates else []), *(short_id(column) for column in columns)]
    headings += ["passed", "failed", "undecided", "broken promises", "seconds"] if aggregates else []
    lines = [_line(escaped(heading) for heading in headings), _line("---" for _ in headings)]
    for purpose, entries in board.by_purpose().items():
        lines.append(_line([f"***{purpose}***", *("" for _ in headings[1:])]))
        lines += [_line(_cells(entry, columns, aggregates)) for entry in entries]
    return "\n".join(lines)


def _cells(entry: BoardRow, columns: Sequence[BoardColumn], aggregates: bool) -> list[str]:
    cells = [_cell(entry.row, column) for column in columns]
    label = escaped(entry.row.metric.label)
    if not aggregates:
        return [label, *cells]
    broken = escaped(", ".join(entry.counts.broken_promises))
    counts = [str(number) for number in (entry.counts.passed, entry.counts.failed, entry.counts.undecided)]
    return [label, tier_text(entry.main_standing), *cells, *counts, broken, seconds_text(entry.row.seconds)]


def _cell(row: Row, column: BoardColumn) -> str:
    verdict = cell(row, column)
    remarked = REMARKED if row.remarks.get(column.id) else ""
    return " ".join(filter(None, (mark(verdict), grade_text(verdict), interval_text(verdict), remarked)))


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _about(board: Board, column: BoardColumn) -> str:
    kind = f"{escaped(column.kind)}, passes if {escaped(column.pass_if)}"
    owed = f", owed for {', '.join(column.purposes)}" if column.purposes else ""
    said = escaped(" ".join(filter(None, (column.reason or column.about, power_text(board, column)))))
    return f"* **{escaped(column.id)}** ({kind}{owed}): {said}"
