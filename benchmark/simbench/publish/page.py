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

from simbench.board.board import Board, BoardColumn, BoardRow, Counts, Row
from simbench.board.cells import (
    MOST_REMARKS,
    REMARKED,
    cell,
    cost_text,
    counts_text,
    grade_text,
    interval_text,
    legend,
    mark,
    other_tiers,
    outcome_text,
    problems,
    remark_text,
    remarks,
    seconds_text,
    short_id,
    state,
    threshold,
    tier_text,
)
from simbench.board.document import json_safe, to_document
from simbench.board.evidence import EvidenceBlock, evidence_of
from simbench.board.layer_grids import heat_map
from simbench.board.power import power_text
from simbench.board.provenance import provenance_lines
from simbench.board.remarks import Remark
from simbench.board.scores import ScoreRow
from simbench.declaration import Declaration, MetricInfo, Purpose, range_text
from simbench.publish.rendering import PACKED_TYPE, compact_json, packed, render, source
from simbench.verdicts.verdict import Verdict

VIOLATIONS_SHOWN = 3
# What an index of each purpose is asked.
PURPOSES_ASKED: dict[Purpose, str] = {
    "geometry": "are the two the same up to rotation and scale?",
    "information": "can one be computed from the other by an invertible map?",
    "units": "do single units correspond?",
    "function": "does one serve in the place of the other?",
    "distribution": "do both stand for one distribution of labels?",
    "neighbourhoods": "are the same inputs close to each other?",
    "dynamics": "do both change alike over time?",
}


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
    tier: str
    tier_sort: str
    tier_title: str
    others: str
    cells: tuple[PrintedCell, ...]
    counts: Counts
    counts_title: str
    seconds: str
    seconds_sort: float
    cost: str
    cost_sort: str


@dataclass(frozen=True)
class PrintedGroup:
    """The rows of one purpose, ready to print."""

    purpose: str
    about: str
    rows: tuple[PrintedRow, ...]


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
        families=sorted({entry.row.metric.declaration.family for entry in board.rows}),
        interfaces=sorted({entry.row.metric.interface for entry in board.rows} - {""}),
        kinds=list(dict.fromkeys(test.kind for test in board.tests)),
        power={test.id: power_text(board, test) for test in board.tests},
    )


def fragment(board: Board) -> str:
    """Return the table alone, for a notebook; its style touches nothing else on the page."""
    return _render("fragment.html.j2", board)


def _board_data(board: Board) -> dict[str, Any]:
    """Return the board's document, with outcomes, bounds and ranges as its tables and pictures show them."""
    document = to_document(board)
    for column, record in zip(board.columns, document["columns"], strict=True):
        record["threshold"] = threshold(column)
    for entry, record in zip(board.rows, document["rows"], strict=True):
        record["range"] = range_text(*record["declaration"]["value_range"])
        for column in board.columns:
            record["tests"][column.id]["state"] = _class_of(cell(entry.row, column))
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
    groups = [
        PrintedGroup(purpose, PURPOSES_ASKED[purpose], tuple(_entry(entry, board) for entry in entries))
        for purpose, entries in board.by_purpose().items()
    ]
    return render(
        template,
        board=board,
        groups=groups,
        headings=[(column, short_id(column), _heading_title(column)) for column in board.columns],
        legend=legend(board),
        problems=problems(board),
        remarks=remarks(board),
        provenance=provenance_lines(board.provenance),
        **values,
    )


def _entry(entry: BoardRow, board: Board) -> PrintedRow:
    cells = tuple(_cell(column, entry.row) for column in board.columns)
    info, declared = entry.row.metric, entry.row.metric.declaration
    standing, broken = entry.main_standing, entry.counts.broken_promises
    return PrintedRow(
        metric=info,
        title=_lines(info.summary, declared.formula, declared.reference, _direction(declared), info.identity),
        tier=tier_text(standing),
        tier_sort="" if standing.tier is None else str(standing.tier),
        tier_title=_standing_title(entry),
        others=other_tiers(entry),
        cells=cells,
        counts=entry.counts,
        counts_title=_lines(counts_text(entry.counts), *(f"broken promise: {name}" for name in broken)),
        seconds=seconds_text(entry.row.seconds),
        seconds_sort=round(entry.row.seconds, 6),
        cost=cost_text(entry.row),
        cost_sort="" if not entry.row.comparisons else f"{entry.row.seconds / entry.row.comparisons:.9f}",
    )


def _standing_title(entry: BoardRow) -> str:
    """Say for each purpose of a metric where it stands, and above which others."""
    return _lines(
        *(
            f"{purpose}: not placed ({standing.reason})"
            if standing.tier is None
            else f"{purpose}: tier {standing.tier}; above {', '.join(standing.above) or 'nobody'}"
            for purpose, standing in entry.standing.items()
        )
    )


def _cell(column: BoardColumn, row: Row) -> PrintedCell:
    verdict, carried = cell(row, column), row.remarks.get(column.id, ())
    low, high = verdict.interval or (verdict.grade or 0.0, verdict.grade or 0.0)
    return PrintedCell(
        heading=short_id(column),
        of_test=column.parent is not None,
        state=_class_of(verdict),
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


def _class_of(verdict: Verdict) -> str:
    return state(verdict).replace(" ", "-")


def _outcome(column: BoardColumn, verdict: Verdict) -> str:
    asked = f" ({column.pass_if})" if verdict.status == "ok" else ""
    return f"{outcome_text(verdict)}{asked}"


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
    owed = f"owed for {', '.join(column.purposes)}" if column.purposes else ""
    return _lines(column.reason or column.about, f"kind {column.kind}; passes if {column.pass_if}", owed)


def _direction(declared: Declaration) -> str:
    return "higher is more similar" if declared.higher_is_more_similar else "lower is more similar"


def _lines(*lines: Any) -> str:
    return "\n".join(str(line) for line in lines if line)
