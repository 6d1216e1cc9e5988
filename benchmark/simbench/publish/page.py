"""Write the leaderboard as one self-contained page: no network, everything inlined, everything escaped.

The table is in the HTML, so that it can be read without scripts. Scripts sort and filter it, and draw the scores and
answers behind a grade; they and their data lie in the page compressed, as `unpack.js` says.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from simbench.board.board import Board, BoardColumn, RankedRow, Row
from simbench.board.cells import (
    MOST_REMARKS,
    REMARKED,
    cell,
    cost_text,
    grade_text,
    interval_text,
    legend_of_marks,
    mark,
    problems,
    rank_interval_text,
    rank_text,
    remark_text,
    remarks,
    seconds_text,
    short_id,
    state,
    threshold,
    tie_text,
)
from simbench.board.document import json_safe, to_document
from simbench.board.evidence import EvidenceBlock, evidence_of
from simbench.board.layer_grids import heat_map
from simbench.board.provenance import provenance_lines
from simbench.board.remarks import Remark
from simbench.board.scores import ScoreRow
from simbench.declaration import Declaration, MetricInfo, range_text
from simbench.publish.rendering import PACKED_TYPE, compact_json, packed, render, source
from simbench.verdicts.verdict import Verdict

VIOLATIONS_SHOWN = 3


@dataclass(frozen=True)
class PrintedCell:
    """One cell, ready to print. `low`, `high` and `dot` place the interval and the grade on a bar."""

    heading: str
    of_test: bool
    state: str
    mark: str
    remarked: str
    grade: str
    interval: str
    title: str
    sort: str
    low: str
    high: str
    dot: str


@dataclass(frozen=True)
class PrintedRow:
    """One row, ready to print."""

    metric: MetricInfo
    title: str
    rank: str
    rank_sort: str
    cells: tuple[PrintedCell, ...]
    passed: int
    tests: int
    coverage: str
    coverage_sort: float
    seconds: str
    seconds_sort: float
    grade: str
    grade_sort: str
    cost: str
    cost_sort: str
    interval: str
    ties: str


@dataclass(frozen=True)
class PackedElement:
    """A script element that lies compressed in the page; `test` is the id of the test whose evidence it holds."""

    type: str
    text: str
    id: str = ""
    test: str = ""

    @property
    def packed(self) -> str:
        """The text as it lies in the page."""
        return packed(self.text)


SCRIPTS = (
    "vendor/observable-plot.min.js",
    "tools.js",
    "charts.js",
    "evidence.js",
    "figures.js",
    "details.js",
    "page.js",
)
# Of the numbers in the page; the files beside it have all digits.
DIGITS = 6


def to_html(board: Board, scores: Sequence[ScoreRow] = ()) -> str:
    """Return the whole page, with the scores behind the board."""
    evidence = evidence_of(board, scores)
    elements = [
        PackedElement("application/json", _compact(_board_data(board)), id="board"),
        PackedElement("application/json", _compact(evidence.representations), id="representations"),
        *(PackedElement("application/json", _compact(_block_data(block)), test=block.test) for block in evidence.tests),
        *(PackedElement("text/javascript", source(name)) for name in SCRIPTS),
    ]
    return _render(
        "leaderboard.html.j2",
        board,
        elements=elements,
        packed_type=PACKED_TYPE,
        unpack=Markup(source("unpack.js")),
        families=sorted({ranked.row.metric.declaration.family for ranked in board.rows}),
        interfaces=sorted({ranked.row.metric.interface for ranked in board.rows} - {""}),
        kinds=list(dict.fromkeys(test.kind for test in board.tests)),
    )


def fragment(board: Board) -> str:
    """Return the table alone, for a notebook; its style touches nothing else on the page."""
    return _render("fragment.html.j2", board)


def _board_data(board: Board) -> dict[str, Any]:
    """Return the board's document, with outcomes, bounds and ranges as its tables and pictures show them."""
    document = to_document(board)
    for column, record in zip(board.columns, document["columns"], strict=True):
        record["threshold"] = threshold(column)
    for ranked, record in zip(board.rows, document["rows"], strict=True):
        record["range"] = range_text(*record["declaration"]["value_range"])
        for column in board.columns:
            record["tests"][column.id]["state"] = state(cell(ranked.row, column))
    return document


def _block_data(block: EvidenceBlock) -> dict[str, Any]:
    """Return the evidence of a test, with the mean scores on every map; a map of one pair has none."""
    data = block.model_dump(mode="json")
    for label, metric in block.metrics.items():
        data["metrics"][label]["means"] = [
            json_safe(heat_map(layout, metric).mean.ravel().tolist()) if layout.pairs > 1 else None
            for layout in block.maps
        ]
    return data


def _compact(value: Any) -> str:
    return compact_json(_shortened(value))


def _shortened(value: Any) -> Any:
    """Return a value with all its numbers rounded to six digits."""
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, dict):
        return {name: _shortened(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_shortened(inner) for inner in value]
    return value


def _render(template: str, board: Board, **values: Any) -> str:
    entries = [_entry(ranked, board) for ranked in board.rows]
    count = sum(ranked.mean_rank is not None for ranked in board.rows)
    return render(
        template,
        board=board,
        ranked=entries[:count],
        partial=entries[count:],
        headings=[(column, short_id(column), _heading_title(column)) for column in board.columns],
        legend=legend_of_marks(board),
        problems=problems(board),
        remarks=remarks(board),
        provenance=provenance_lines(board.provenance),
        **values,
    )


def _entry(ranked: RankedRow, board: Board) -> PrintedRow:
    cells = tuple(_cell(column, ranked.row) for column in board.columns)
    info, declared = ranked.row.metric, ranked.row.metric.declaration
    return PrintedRow(
        metric=info,
        title=_lines(info.summary, declared.formula, declared.reference, _direction(declared), info.identity),
        rank=rank_text(ranked.mean_rank),
        rank_sort="" if ranked.mean_rank is None else f"{ranked.mean_rank:.6f}",
        cells=cells,
        passed=ranked.passed,
        tests=ranked.tests,
        coverage=f"{ranked.coverage:.0%}",
        coverage_sort=round(ranked.coverage, 6),
        seconds=seconds_text(ranked.row.seconds),
        seconds_sort=round(ranked.row.seconds, 6),
        grade="" if ranked.mean_grade is None else f"{ranked.mean_grade:.3f}",
        grade_sort="" if ranked.mean_grade is None else f"{ranked.mean_grade:.6f}",
        cost=cost_text(ranked.row),
        cost_sort="" if not ranked.row.comparisons else f"{ranked.row.seconds / ranked.row.comparisons:.9f}",
        interval=rank_interval_text(ranked),
        ties=tie_text(ranked),
    )


def _cell(column: BoardColumn, row: Row) -> PrintedCell:
    verdict, carried = cell(row, column), row.remarks.get(column.id, ())
    low, high = verdict.interval or (verdict.grade or 0.0, verdict.grade or 0.0)
    return PrintedCell(
        heading=short_id(column),
        of_test=column.parent is not None,
        state=state(verdict),
        mark=mark(verdict),
        remarked=REMARKED if carried else "",
        grade=grade_text(verdict),
        interval=interval_text(verdict),
        title=_lines(f"{column.id}: {_outcome(column, verdict)}", *_details(verdict), *_remarks(carried)),
        sort="" if verdict.grade is None else f"{verdict.grade:.6f}",
        low=f"{low:.3g}",
        high=f"{high:.3g}",
        dot=f"{verdict.grade or 0.0:.3g}",
    )


def _outcome(column: BoardColumn, verdict: Verdict) -> str:
    return {
        "passed": f"passed ({column.pass_if})",
        "failed": f"failed ({column.pass_if})",
        "partly": "graded in part",
    }.get(state(verdict), state(verdict))


def _details(verdict: Verdict) -> Iterator[str]:
    """Yield lines on what stands behind a grade."""
    if verdict.reason:
        yield verdict.reason
    if verdict.comparisons:
        yield f"{verdict.comparisons} comparisons"
    for name, value in verdict.auxiliary.items():
        yield f"{name}: {_number(value)}"
    for violation in verdict.violations[:VIOLATIONS_SHOWN]:
        yield f"did not hold: {violation.where} (by {_number(-violation.margin)})"


def _remarks(carried: Sequence[Remark]) -> Iterator[str]:
    for remark in carried[:MOST_REMARKS]:
        yield f"remark on {remark_text([remark])}"


def _number(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else "unknown"


def _heading_title(column: BoardColumn) -> str:
    return _lines(column.about, f"kind {column.kind}; passes if {column.pass_if}")


def _direction(declared: Declaration) -> str:
    return "higher is more similar" if declared.higher_is_more_similar else "lower is more similar"


def _lines(*lines: Any) -> str:
    return "\n".join(str(line) for line in lines if line)
