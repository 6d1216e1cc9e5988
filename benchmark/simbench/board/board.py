"""The leaderboard as data: one row per metric, one cell per test (and per column of a test)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from simbench.board.remarks import Remark
from simbench.declaration import PURPOSES, MetricInfo, Purpose
from simbench.references import AS_RECEIVER, AS_SENDER
from simbench.verdicts.verdict import MODEL_CORRELATION, Verdict


@dataclass(frozen=True)
class BoardColumn:
    """One column of the board: a test, or one column of a test (`invariance/orthogonal`).

    Attributes:
        description: what the test's kind says of itself, with its source.
        settings: those of this test.
        reason: why a sound index passes, in a sentence.
        purposes: for which the test is owed; none stands for all.
        model_correlation: the intraclass correlation of answers about the same models.
    """

    id: str
    kind: str
    pass_if: str
    about: str
    parent: str | None = None
    description: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""
    purposes: tuple[Purpose, ...] = ()
    model_correlation: float = MODEL_CORRELATION

    def is_owed_for(self, purpose: Purpose) -> bool:
        """Tell whether the test is owed by an index of this purpose."""
        return not self.purposes or purpose in self.purposes


@dataclass(frozen=True)
class Row:
    """One metric's verdicts by column id, its cost, and the remarks on its scores by test id."""

    metric: MetricInfo
    verdicts: Mapping[str, Verdict]
    comparisons: int
    seconds: float
    remarks: Mapping[str, tuple[Remark, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Standing:
    """Place of a metric among those of one purpose.

    Attributes:
        tier: 1 for the metrics that nobody is above; None for a metric that is not placed.
        above: labels of the metrics that this one is above.
        reason: why the metric is not placed.
    """

    tier: int | None
    above: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class Counts:
    """Verdicts of a metric over the tests of a suite, each test counted once.

    Attributes:
        not_promised: tests that the metric does not owe, whatever the verdict on them.
        unanswered: owed tests without an answer to every question: skipped, failed to compute, or answered in part.
        broken_promises: ids of the tests, or columns of tests, that the metric declares to pass and fails.
    """

    passed: int = 0
    failed: int = 0
    undecided: int = 0
    not_promised: int = 0
    unanswered: int = 0
    broken_promises: tuple[str, ...] = ()


@dataclass(frozen=True)
class BoardRow:
    """A row with its standing within each purpose that the metric serves, the main one first, and its counts."""

    row: Row
    standing: Mapping[Purpose, Standing]
    counts: Counts

    @property
    def main_purpose(self) -> Purpose:
        """Purpose under which the metric is listed."""
        return next(iter(self.standing))

    @property
    def main_standing(self) -> Standing:
        """Standing within the main purpose."""
        return self.standing[self.main_purpose]


@dataclass(frozen=True)
class Board:
    """A whole leaderboard, ready to render."""

    suite: str
    version: int
    about: str
    columns: Sequence[BoardColumn]
    rows: Sequence[BoardRow]
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def tests(self) -> list[BoardColumn]:
        """The columns that are whole tests."""
        return [column for column in self.columns if column.parent is None]

    @property
    def undivided(self) -> list[BoardColumn]:
        """The tests that have no columns, or none but the two directions in which a metric is asked."""
        directions = (AS_SENDER, AS_RECEIVER)
        divided = {column.parent for column in self.columns if not column.id.endswith(directions)}
        return [test for test in self.tests if test.id not in divided]

    def by_purpose(self) -> dict[Purpose, list[BoardRow]]:
        """Group the rows by main purpose, in their order."""
        groups: dict[Purpose, list[BoardRow]] = {}
        for row in self.rows:
            groups.setdefault(row.main_purpose, []).append(row)
        return groups

    def tiers(self) -> dict[Purpose, list[list[str]]]:
        """List the labels of every purpose's tiers, of all metrics that serve the purpose, in the order of the rows."""
        tiers: dict[Purpose, list[list[str]]] = {}
        for purpose in PURPOSES:
            placed = [(row.standing[purpose].tier, row) for row in self.rows if purpose in row.standing]
            last = max((tier for tier, _ in placed if tier is not None), default=0)
            if placed:
                tiers[purpose] = [
                    [row.row.metric.label for tier, row in placed if tier == number] for number in range(1, last + 1)
                ]
        return tiers
