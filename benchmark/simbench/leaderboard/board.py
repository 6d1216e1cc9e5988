"""The leaderboard as data: one row per metric, one cell per test (and per column of a test)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from simbench.sanity.verdict import Verdict

SCHEMA_VERSION = 1
CellStatus = Literal["ok", "skip", "error", "missing"]


@dataclass(frozen=True)
class TestColumn:
    """One column of the board: a test, or one column of a test (`invariance/orthogonal`)."""

    __test__ = False

    id: str
    kind: str
    pass_if: str
    about: str
    parent: str | None = None


@dataclass(frozen=True)
class MetricInfo:
    """What the board shows of a metric, from the metric's own metadata."""

    label: str
    identity: str
    family: str
    summary: str
    formula: str
    reference: str
    origin: str
    higher_is_more_similar: bool
    level: str


@dataclass(frozen=True)
class Row:
    """One metric's verdicts by column id, and its cost."""

    metric: MetricInfo
    verdicts: Mapping[str, Verdict]
    comparisons: int
    seconds: float


@dataclass(frozen=True)
class RankedRow:
    """A row with its aggregates over the suite's tests (columns of a test do not count twice).

    `mean_rank` is None for a partial row: one that was not graded on every test stands below the line, unranked.
    """

    row: Row
    mean_rank: float | None
    mean_grade: float | None
    passed: int
    graded: int
    tests: int

    @property
    def coverage(self) -> float:
        """Graded tests over all tests."""
        return self.graded / self.tests


@dataclass(frozen=True)
class Board:
    """A whole leaderboard, ready to render."""

    suite: str
    version: int
    about: str
    columns: Sequence[TestColumn]
    rows: Sequence[RankedRow]
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @property
    def tests(self) -> list[TestColumn]:
        """The columns that are whole tests."""
        return [column for column in self.columns if column.parent is None]
