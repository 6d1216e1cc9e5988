"""Put verdicts into words and marks, the same in every rendering of a board."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from simbench.board.board import Board, BoardColumn, RankedRow, Row
from simbench.board.remarks import Remark
from simbench.suite.schema import PASS_IF
from simbench.verdicts.verdict import Verdict

PASSED, FAILED, PARTLY = "✓", "✗", "~"
# Stands behind a grade whose scores carry remarks.
REMARKED = "!"
# A metric of a stranger may remark on every score in other words; this many kinds of remarks are shown of each metric.
MOST_REMARKS = 3
LEGEND = (
    f"{PASSED} passed, in every column of a test, {FAILED} failed, {PARTLY} some of it could not be compared, so it is "
    "no pass. Grades are in [0, 1], 1 is perfect; brackets hold 95 % intervals over models: none where models make no "
    "difference or are too few to tell. Rows that left a question unanswered stand below the line, unranked."
)


def legend(board: Board) -> str:
    """Explain marks and brackets, and how far the order of the rows can be trusted."""
    note = board.rank_note
    return f"{legend_of_marks(board)} {note[:1].upper()}{note[1:]}." if note else legend_of_marks(board)


def legend_of_marks(board: Board) -> str:
    """Explain marks and brackets, those that the board has."""
    remarked = any(ranked.row.remarks for ranked in board.rows)
    return f"{LEGEND} {REMARKED} some of the scores carry a remark, listed below." if remarked else LEGEND


@dataclass(frozen=True)
class Ungraded:
    """A reason for which one metric has no full grade in some columns."""

    metric: str
    columns: tuple[str, ...]
    status: str
    reason: str


@dataclass(frozen=True)
class Remarked:
    """A remark on a metric's scores, with the tests that asked for them."""

    metric: str
    tests: tuple[str, ...]
    text: str


def cell(row: Row, column: BoardColumn) -> Verdict:
    """Return the verdict of a row in a column.

    A column of a test may have none of its own: then the test was not graded, or asks nothing of this metric there.
    """
    verdict = row.verdicts.get(column.id)
    if verdict is not None:
        return verdict
    parent = row.verdicts.get(column.parent) if column.parent is not None else None
    if parent is None:
        return Verdict("missing", reason="not graded")
    if parent.status == "ok":
        return Verdict("skip", reason=f"{column.parent} asks nothing of this metric here")
    return Verdict(parent.status, reason=parent.reason)


def mark(verdict: Verdict) -> str:
    """Return a sign that is readable without colour: ✓, ✗, ~, or the status in a word."""
    if verdict.status != "ok":
        return verdict.status
    return {True: PASSED, False: FAILED, None: PARTLY}[verdict.passed]


def state(verdict: Verdict) -> str:
    """Return the outcome as a word, for colours and classes: passed, failed, partly, skip, error, timeout, missing."""
    if verdict.status != "ok":
        return verdict.status
    return {True: "passed", False: "failed", None: "partly"}[verdict.passed]


def threshold(column: BoardColumn) -> float | None:
    """Return the grade that `pass_if` compares with; None for a rule that is no bound.

    >>> threshold(BoardColumn("identity", "identity", ">= 0.95", ""))
    0.95
    """
    match = PASS_IF.match(column.pass_if)
    return None if match is None else float(match[2])


def grade_text(verdict: Verdict) -> str:
    """Return the grade with three digits; empty where there is none.

    >>> grade_text(Verdict("ok", grade=0.9494)), grade_text(Verdict("skip"))
    ('0.949', '')
    """
    return "" if verdict.grade is None else f"{verdict.grade:.3f}"


def interval_text(verdict: Verdict) -> str:
    """Return the interval of the grade in brackets; empty where there is none.

    >>> interval_text(Verdict("ok", grade=0.5, interval=(0.25, 1.0)))
    '[0.25, 1.00]'
    """
    return "" if verdict.interval is None else f"[{verdict.interval[0]:.2f}, {verdict.interval[1]:.2f}]"


def seconds_text(seconds: float) -> str:
    """Return seconds with as many digits as tell them apart.

    >>> [seconds_text(s) for s in (0.004, 2.5, 42, 600)]
    ['<0.1', '2.5', '42', '600']
    """
    return "<0.1" if 0 < seconds < 0.05 else f"{seconds:.1f}" if seconds < 10 else f"{seconds:.0f}"


def rank_text(rank: float | None) -> str:
    """Return the mean rank, or a dash for a partial row."""
    return "–" if rank is None else f"{rank:.2f}"


def rank_interval_text(ranked: RankedRow) -> str:
    """Return the 95 % interval of the mean rank, where there is one."""
    return "" if ranked.rank_interval is None else f"[{ranked.rank_interval[0]:.1f}, {ranked.rank_interval[1]:.1f}]"


def tie_text(ranked: RankedRow) -> str:
    """Return the tie groups as letters; those after z are numbered."""
    return " ".join(chr(ord("a") + group - 1) if group <= 26 else str(group) for group in ranked.tie_groups)


def cost_text(row: Row) -> str:
    """Return the milliseconds per comparison.

    >>> cost_text(Row(None, {}, comparisons=400, seconds=2.0))
    '5.0'
    """
    if not row.comparisons:
        return "–"
    cost = 1000 * row.seconds / row.comparisons
    return "<0.1" if 0 < cost < 0.05 else f"{cost:.1f}" if cost < 10 else f"{cost:.0f}"


def short_id(column: BoardColumn) -> str:
    """Return the name of a column within its test, or the id of a test."""
    return column.id if column.parent is None else column.id.removeprefix(f"{column.parent}/")


def problems(board: Board) -> list[Ungraded]:
    """Return every reason for a missing or partial grade, with the columns that it holds for."""
    outcomes: dict[tuple[str, str, str], list[str]] = {}
    for label, column, verdict in _unfinished(board):
        key = (label, "partly" if verdict.status == "ok" else verdict.status, verdict.reason or "no reason was given")
        outcomes.setdefault(key, []).append(column)
    return [Ungraded(label, tuple(columns), status, reason) for (label, status, reason), columns in outcomes.items()]


def remarks(board: Board) -> list[Remarked]:
    """Return the remarks on every metric's scores: how many scores carry one, and an example."""
    return [line for ranked in board.rows for line in _remarks(ranked.row)]


def _remarks(row: Row) -> Iterator[Remarked]:
    kinds: dict[str, dict[str, Remark]] = {}
    for test, carried in row.remarks.items():
        for remark in carried:
            kinds.setdefault(remark.kind, {})[test] = remark
    for by_test in list(kinds.values())[:MOST_REMARKS]:
        yield Remarked(row.metric.label, tuple(by_test), remark_text(list(by_test.values())))
    if len(kinds) > MOST_REMARKS:
        tests = dict.fromkeys(test for by_test in list(kinds.values())[MOST_REMARKS:] for test in by_test)
        yield Remarked(row.metric.label, tuple(tests), f"and {len(kinds) - MOST_REMARKS} more kinds of remarks")


def remark_text(alike: Sequence[Remark]) -> str:
    """Return one line on remarks of one kind, the first of which is the example.

    >>> remark_text([Remark("3 dead units", "a → b", 2, 9), Remark("1 dead units", "a → c", 1, 9)])
    '3 of 18 scores, for example a → b: 3 dead units'
    """
    scores, asked = sum(remark.scores for remark in alike), sum(remark.asked for remark in alike)
    return f"{scores} of {asked} scores, for example {alike[0].where}: {alike[0].text}"


def _unfinished(board: Board) -> Iterator[tuple[str, str, Verdict]]:
    """Yield tests with a reason, and columns whose reason is not just that of their test."""
    for ranked in board.rows:
        of_test: dict[str, Verdict] = {}
        for column in board.columns:
            verdict = cell(ranked.row, column)
            of_test[column.id] = verdict
            above = of_test.get(column.parent) if column.parent is not None else None
            own = above is None or (above.status == "ok" and above.reason is None and column.id in ranked.row.verdicts)
            if own and (verdict.status != "ok" or verdict.reason is not None):
                yield ranked.row.metric.label, column.id, verdict
