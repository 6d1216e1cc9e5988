"""Put verdicts into words and marks, the same in every rendering of a board."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from simbench.board.board import Board, BoardColumn, BoardRow, Counts, Row, Standing
from simbench.board.remarks import Remark
from simbench.suite.schema import PASS_IF
from simbench.verdicts.verdict import NO_PAIRING, Verdict

MARKS = {"pass": "✓", "fail": "✗", "undecided": "?", "partly": "~", "not promised": "·"}
# Stands behind a grade whose scores carry remarks.
REMARKED = "!"
# A metric of a stranger may remark on every score in other words; this many kinds of remarks are shown of each metric.
MOST_REMARKS = 3
LEGEND = (
    "✓ pass: all of the 95 % interval meets what the test asks; ✗ fail: none of it does; ? undecided: it holds the "
    "threshold, so that more models could turn it either way (an association passes where the interval excludes the "
    "null level and the grade itself meets what the test asks); · not promised: the metric does not owe it, so it "
    "counts neither for nor against it; ~ some of it could not be compared, so it is no pass. Grades are in [0, 1], 1 "
    "is perfect; brackets hold 95 % intervals over models. Metrics are listed by purpose. Tier 1 of a purpose: no "
    "other metric does better in a paired comparison; metrics of one tier are tied. – not placed: it left a question "
    "that it owes unanswered, or claims to pair inputs and does not."
)


def legend(board: Board) -> str:
    """Explain marks, brackets and tiers, and remarks where the board has some."""
    remarked = any(entry.row.remarks for entry in board.rows)
    return f"{LEGEND} {REMARKED} some of the scores carry a remark, listed below." if remarked else LEGEND


@dataclass(frozen=True)
class Ungraded:
    """A reason for which one metric has no full grade, or the grade 0 whatever it answered, in some columns."""

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
        reason = f"{column.parent} asks nothing of this metric here"
        return Verdict("skip", reason=reason, owed="not promised")
    return Verdict(parent.status, reason=parent.reason, owed=parent.owed)


def state(verdict: Verdict) -> str:
    """Return a word for colours and classes: the outcome, or "not promised" for a grade that counts nowhere.

    >>> state(Verdict("ok", 0.4, (0.3, 0.5), passed=False, owed="not promised"))
    'not promised'
    """
    return verdict.owed if verdict.status == "ok" and verdict.owed == "not promised" else verdict.outcome


def mark(verdict: Verdict) -> str:
    """Return a sign that is readable without colour: ✓, ✗, ?, ·, ~, or the status in a word."""
    return MARKS.get(state(verdict), verdict.status)


def outcome_text(verdict: Verdict) -> str:
    """Return the outcome in words: with what was promised, or not.

    >>> outcome_text(Verdict("ok", 0.4, (0.3, 0.5), passed=False, owed="promised"))
    'broken promise'
    """
    if verdict.owed == "promised" and verdict.outcome == "fail":
        return "broken promise"
    if verdict.status == "ok" and verdict.owed == "not promised":
        return f"not promised ({verdict.outcome}, were it asked for)"
    return {"partly": "answered in part"}.get(verdict.outcome, verdict.outcome)


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


def tier_text(standing: Standing) -> str:
    """Return the tier, or a dash for a metric that is not placed.

    >>> tier_text(Standing(2)), tier_text(Standing(None, reason="identity: skip"))
    ('2', '–')
    """
    return "–" if standing.tier is None else str(standing.tier)


def other_tiers(entry: BoardRow) -> str:
    """Return the tiers within the further purposes of a metric.

    >>> other_tiers(BoardRow(None, {"geometry": Standing(1), "units": Standing(3)}, Counts()))
    'units 3'
    """
    others = [(purpose, standing) for purpose, standing in entry.standing.items() if purpose != entry.main_purpose]
    return ", ".join(f"{purpose} {tier_text(standing)}" for purpose, standing in others)


def counts_text(counts: Counts) -> str:
    """Return the tests passed, failed and undecided, with their marks; the others where there are some.

    >>> counts_text(Counts(passed=8, failed=2, undecided=1, not_promised=1))
    '8✓ 2✗ 1? 1·'
    """
    numbers = [f"{counts.passed}✓", f"{counts.failed}✗", f"{counts.undecided}?"]
    numbers += [f"{counts.not_promised}·"] if counts.not_promised else []
    return " ".join([*numbers, f"{counts.unanswered} unanswered"] if counts.unanswered else numbers)


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
    """Return every reason for a missing or partial grade, and for a refusal, with the columns that it holds for."""
    outcomes: dict[tuple[str, str, str], list[str]] = {}
    for label, column, verdict in _unfinished(board):
        key = (label, verdict.outcome if verdict.status != "ok" else "partly", verdict.reason or "no reason was given")
        outcomes.setdefault(key, []).append(column)
    for entry in board.rows:
        if refused := [test.id for test in board.tests if cell(entry.row, test).is_refused]:
            outcomes[entry.row.metric.label, "refused", NO_PAIRING] = refused
    return [Ungraded(label, tuple(columns), status, reason) for (label, status, reason), columns in outcomes.items()]


def remarks(board: Board) -> list[Remarked]:
    """Return the remarks on every metric's scores: how many scores carry one, and an example."""
    return [line for entry in board.rows for line in _remarks(entry.row)]


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
    for entry in board.rows:
        of_test: dict[str, Verdict] = {}
        for column in board.columns:
            verdict = cell(entry.row, column)
            of_test[column.id] = verdict
            above = of_test.get(column.parent) if column.parent is not None else None
            own = above is None or (above.status == "ok" and above.reason is None and column.id in entry.row.verdicts)
            if own and (verdict.status != "ok" or verdict.reason is not None):
                yield entry.row.metric.label, column.id, verdict
