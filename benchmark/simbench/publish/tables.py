"""Write the scores as flat files: one line per score that a test asked for. The same scores give the same bytes."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from simbench.board.scores import ScoreRow

SCORES_CSV, SCORES_PARQUET = "scores.csv", "scores.parquet"
HEADER = tuple(field.name for field in fields(ScoreRow))
NUMBERS = ("value", "standard_error", "tiebreak", "seconds")


def scores_csv(scores: Sequence[ScoreRow]) -> str:
    """Return the text of the CSV file; what is not known is empty."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(HEADER)
    writer.writerows([_cell(score, name) for name in HEADER] for score in scores)
    return file.getvalue()


def scores_parquet(scores: Sequence[ScoreRow]) -> bytes:
    """Return the bytes of the Parquet file, typed also where it has no rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([(name, pa.float64() if name in NUMBERS else pa.string()) for name in HEADER])
    table = pa.table({name: [_cell(score, name) for score in scores] for name in HEADER}, schema=schema)
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", store_schema=False)
    return sink.getvalue()


def _cell(score: ScoreRow, name: str) -> Any:
    """Return one cell; auxiliary values differ from metric to metric, and so are one JSON object, empty without any."""
    value = getattr(score, name)
    return (json.dumps(dict(value)) if value else "") if name == "auxiliary" else value
