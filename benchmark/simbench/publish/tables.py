"""Write grades and scores as flat files: a line per metric and column, and per score that a test asked for.

The same board and scores give the same bytes.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from simbench.board.board import Board
from simbench.board.cells import cell, remark_text
from simbench.board.scores import ScoreRow
from simbench.visible import defused

SCORES_CSV, SCORES_PARQUET = "scores.csv", "scores.parquet"
SCORE_COLUMNS = tuple(field.name for field in fields(ScoreRow))
NUMBERS = ("value", "standard_error", "tiebreak", "seconds")
GRADE_COLUMNS = (
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
    "outcome",
    "owed",
    "comparisons",
    "reason",
    "purpose",
    "tier",
    "seconds",
    "remarks",
)


def grades_csv(board: Board) -> str:
    """Return the leaderboard as the text of a CSV file; unknown values, and the column of whole tests, are empty."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(GRADE_COLUMNS)
    for entry in board.rows:
        info = entry.row.metric
        for column in board.columns:
            verdict = cell(entry.row, column)
            low, high = verdict.interval or (None, None)
            writer.writerow(
                _safe(
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
                    verdict.outcome,
                    verdict.owed,
                    verdict.comparisons,
                    verdict.reason,
                    entry.main_purpose,
                    entry.main_standing.tier,
                    entry.row.seconds,
                    "; ".join(remark_text([remark]) for remark in entry.row.remarks.get(column.id, ())),
                )
            )
    return file.getvalue()


def scores_csv(scores: Sequence[ScoreRow]) -> str:
    """Return the text of the CSV file; what is not known is empty."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(SCORE_COLUMNS)
    writer.writerows(_safe(*(_cell(score, name) for name in SCORE_COLUMNS)) for score in scores)
    return file.getvalue()


def scores_parquet(scores: Sequence[ScoreRow]) -> bytes:
    """Return the bytes of the Parquet file, typed also where it has no rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([(name, pa.float64() if name in NUMBERS else pa.string()) for name in SCORE_COLUMNS])
    table = pa.table({name: [_cell(score, name) for score in scores] for name in SCORE_COLUMNS}, schema=schema)
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", store_schema=False)
    return sink.getvalue()


def _safe(*cells: Any) -> list[Any]:
    """Return the cells of a line, texts so that no spreadsheet runs them."""
    return [defused(cell) if isinstance(cell, str) else cell for cell in cells]


def _cell(score: ScoreRow, name: str) -> Any:
    """Return one cell; auxiliary values differ from metric to metric, and so are one JSON object, empty without any."""
    value = getattr(score, name)
    return (json.dumps(dict(value)) if value else "") if name == "auxiliary" else value
