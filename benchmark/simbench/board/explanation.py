"""Explain one verdict: what was asked, what came out, and where the claim broke, by how much and on which layers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from simbench.board.board import Board, BoardColumn, BoardRow
from simbench.board.cells import MARKS, cell, grade_text, interval_text, outcome_text, short_id, state
from simbench.board.evidence import Evidence, EvidenceBlock
from simbench.errors import UnknownNameError
from simbench.verdicts.verdict import Verdict

# Most violations that are listed; `violated` counts all of them.
MOST_VIOLATIONS = 10


@dataclass(frozen=True)
class Violation:
    """Question on whose answer the claim did not hold.

    Attributes:
        where: the representations in question, in words.
        by: how far on the wrong side the answer fell; None where that is unknown.
        column: the column of the test that it belongs to.
    """

    where: str
    by: float | None
    column: str | None = None


@dataclass(frozen=True)
class Explanation:
    """Verdict on one metric in one test, or column of a test, with what stands behind it.

    Attributes:
        violations: the worst, the furthest from holding first.
        violated: how many questions were answered against the claim; None where answers are not at hand.
        asked: how many questions were answered.
        layers: of every layer, in how many broken comparisons it is, and in how many of all.
    """

    suite: str
    row: BoardRow
    column: BoardColumn
    verdict: Verdict
    parts: tuple[tuple[BoardColumn, Verdict], ...]
    violations: tuple[Violation, ...]
    violated: int | None = None
    asked: int | None = None
    layers: dict[str, tuple[int, int]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the explanation as JSON types."""
        return {
            "suite": self.suite,
            "metric": self.row.row.metric.label,
            "test": self.column.id,
            "kind": self.column.kind,
            "pass_if": self.column.pass_if,
            **_record(self.verdict),
            "comparisons": self.verdict.comparisons,
            "in_words": said(self.verdict, self.column),
            "auxiliary": dict(self.verdict.auxiliary),
            "columns": {column.id: _record(verdict) for column, verdict in self.parts},
            "violations": [vars(violation) for violation in self.violations],
            "violated": self.violated,
            "asked": self.asked,
            "layers": {layer: {"broken": broken, "of": total} for layer, (broken, total) in self.layers.items()},
        }


def _record(verdict: Verdict) -> dict[str, Any]:
    return {
        "outcome": verdict.outcome,
        "owed": verdict.owed,
        "grade": verdict.grade,
        "interval": None if verdict.interval is None else list(verdict.interval),
        "reason": verdict.reason,
    }


def explain(board: Board, evidence: Evidence | None, metric: str, test: str) -> Explanation:
    """Explain the verdict on a metric, by its label, in a test or a column of one, by its id.

    Raises:
        UnknownNameError: the board has no such metric or test.
    """
    rows = {entry.row.metric.label: entry for entry in board.rows}
    columns = {column.id: column for column in board.columns}
    if metric not in rows:
        raise UnknownNameError("metric of this board", metric, rows)
    if test not in columns:
        raise UnknownNameError(f"test of {board.suite}", test, columns)
    row, column = rows[metric], columns[test]
    parts = tuple((part, cell(row.row, part)) for part in board.columns if part.parent == test)
    verdict = cell(row.row, column)
    block = _block(evidence, metric, column.parent or column.id)
    answers = None if block is None else list(_answers(block, metric, _part(column)))
    broken = None if answers is None else [violation for holds, violation in answers if not holds]
    shown = [Violation(trial.where, -trial.margin, trial.column) for trial in verdict.violations]
    if broken and not (column.parent is None and len(broken) < len(shown)):
        shown = sorted(broken, key=lambda violation: -(violation.by or 0.0))
    return Explanation(
        suite=f"{board.suite}@{board.version}",
        row=row,
        column=column,
        verdict=verdict,
        parts=parts,
        violations=tuple(shown[:MOST_VIOLATIONS]),
        violated=None if broken is None else len(broken),
        asked=None if answers is None else len(answers),
        layers={} if block is None or column.parent is not None else _layers(block, metric, evidence),
    )


def _part(column: BoardColumn) -> str | None:
    return None if column.parent is None else short_id(column)


def _block(evidence: Evidence | None, metric: str, test: str) -> EvidenceBlock | None:
    blocks = evidence.tests if evidence is not None else ()
    return next((block for block in blocks if block.test == test and metric in block.metrics), None)


def _answers(block: EvidenceBlock, metric: str, part: str | None) -> Iterator[tuple[bool, Violation]]:
    """Yield whether each answered question held, and the question; of a column, its own only."""
    own, asked = block.metrics[metric], block.questions
    for place, letter in enumerate(own.held):
        if letter in "01" and part in (None, asked.columns[place]):
            margin = own.margins[place]
            yield (
                letter == "1",
                Violation(asked.where[place], None if margin is None else -margin, asked.columns[place]),
            )


def _layers(block: EvidenceBlock, metric: str, evidence: Evidence | None) -> dict[str, tuple[int, int]]:
    """Return the layers of broken comparisons, the most broken first."""
    assert evidence is not None
    broken: Counter[str] = Counter()
    total: Counter[str] = Counter()
    marked = set(block.metrics[metric].marked)
    for place, pair in enumerate(block.comparisons):
        layers = {evidence.representations[side][1] for side in pair}
        total.update(layers)
        broken.update(layers if place in marked else ())
    return {layer: (number, total[layer]) for layer, number in broken.most_common()}


def said(verdict: Verdict, column: BoardColumn) -> str:
    """Return a verdict in a sentence, with its interval.

    >>> column = BoardColumn("identity", "identity", ">= 0.95", "")
    >>> said(Verdict("ok", 0.4, (0.3, 0.5), passed=False), column)
    'fail: the grade is 0.400, and none of its 95 % interval [0.30, 0.50] over models is >= 0.95'
    """
    if verdict.status != "ok":
        return f"{verdict.status}: {verdict.reason or 'no reason was given'}"
    grade, interval = f"the grade is {grade_text(verdict)}", interval_text(verdict)
    outcome = outcome_text(verdict)
    if verdict.outcome == "fail":
        return f"{outcome}: {grade}, and none of its 95 % interval {interval} over models is {column.pass_if}"
    if verdict.outcome == "pass":
        return f"{outcome}: {grade}, and its 95 % interval {interval} over models meets {column.pass_if}"
    if verdict.outcome == "partly":
        return f"{outcome}: {grade}, {interval}, of what could be compared; {verdict.reason}"
    return f"{outcome}: {grade}; its 95 % interval {interval} does not decide {column.pass_if}: more models would"


def failing_columns(board: Board) -> Iterator[tuple[str, str, list[str]]]:
    """Yield (metric, test, its columns that fail) of what the metric owes, with their grades in words."""
    for entry in board.rows:
        for test in board.tests:
            failing = [
                f"{short_id(part)} {MARKS['fail']} {grade_text(verdict)}"
                for part in board.columns
                if part.parent == test.id and state(verdict := cell(entry.row, part)) == "fail"
            ]
            if failing:
                yield entry.row.metric.label, test.id, failing
