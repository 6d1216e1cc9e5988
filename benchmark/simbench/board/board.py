"""The leaderboard as data: one row per metric, one cell per test (and per column of a test)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from simbench.board.remarks import Remark
from simbench.declaration import MetricInfo
from simbench.verdicts.verdict import Verdict


@dataclass(frozen=True)
class BoardColumn:
    """One column of the board: a test, or one column of a test (`invariance/orthogonal`).

    `description` is what the test's kind says of itself, with its source; `settings` are those of this test.
    """

    id: str
    kind: str
    pass_if: str
    about: str
    parent: str | None = None
    description: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """One metric's verdicts by column id, its cost, and the remarks on its scores by test id."""

    metric: MetricInfo
    verdicts: Mapping[str, Verdict]
    comparisons: int
    seconds: float
    remarks: Mapping[str, tuple[Remark, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class RankedRow:
    """A row with its aggregates over the suite's tests (columns of a test do not count twice).

    `graded` counts the tests of which every question has an answer. `mean_rank` is None for a partial row: one that
    left a question unanswered stands below the line, unranked.
    Metrics that share one of `tie_groups` (numbered from 1) cannot be told apart; there are none, and no
    `rank_interval`, where there are too few tests.
    """

    row: Row
    mean_rank: float | None
    mean_grade: float | None
    passed: int
    graded: int
    tests: int
    rank_interval: tuple[float, float] | None = None
    tie_groups: tuple[int, ...] = ()

    @property
    def coverage(self) -> float:
        """Tests that were graded as a whole, over all tests."""
        return self.graded / self.tests


@dataclass(frozen=True)
class Board:
    """A whole leaderboard, ready to render."""

    suite: str
    version: int
    about: str
    columns: Sequence[BoardColumn]
    rows: Sequence[RankedRow]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    rank_note: str = ""

    @property
    def tests(self) -> list[BoardColumn]:
        """The columns that are whole tests."""
        return [column for column in self.columns if column.parent is None]
