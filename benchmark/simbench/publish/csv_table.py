"""The leaderboard as flat CSV: one line per metric and column."""

from __future__ import annotations

import csv
import io

from simbench.board.board import Board
from simbench.board.cells import cell

HEADER = (
    "suite",
    "version",
    "metric",
    "identity",
    "family",
    "test",
    "column",
    "kind",
    "status",
    "grade",
    "low",
    "high",
    "passed",
    "comparisons",
    "reason",
    "mean_rank",
    "mean_grade",
    "coverage",
    "seconds",
)


def to_csv(board: Board) -> str:
    """The text of the CSV file; what is not known is empty. `column` is empty on the line of a whole test."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(HEADER)
    for ranked in board.rows:
        info = ranked.row.metric
        for column in board.columns:
            verdict = cell(ranked.row, column)
            low, high = verdict.interval or (None, None)
            writer.writerow(
                (
                    board.suite,
                    board.version,
                    info.label,
                    info.identity,
                    info.declaration.family,
                    column.parent or column.id,
                    "" if column.parent is None else column.id.removeprefix(f"{column.parent}/"),
                    column.kind,
                    verdict.status,
                    verdict.grade,
                    low,
                    high,
                    "" if verdict.passed is None else str(verdict.passed).lower(),
                    verdict.comparisons,
                    verdict.reason,
                    ranked.mean_rank,
                    ranked.mean_grade,
                    ranked.coverage,
                    ranked.row.seconds,
                )
            )
    return file.getvalue()
