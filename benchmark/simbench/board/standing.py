"""Derive aggregates and ranks, always from the verdicts of all metrics that are shown."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

from simbench.board.board import Board, BoardColumn, RankedRow, Row
from simbench.board.intervals import DIGITS, note_on_ranks, rank_statistics
from simbench.verdicts.verdict import Verdict


def board_of(
    suite: str,
    version: int,
    about: str,
    columns: Sequence[BoardColumn],
    rows: Sequence[Row],
    provenance: Mapping[str, Any],
) -> Board:
    """Return the board of these rows, ordered.

    Ranked rows come first, by mean rank, then mean grade, then label. Below them stand the rows that left questions of
    a test unanswered, by coverage, tests passed, label: ranked, they would gain by what they leave out.
    """
    tests = [column.id for column in columns if column.parent is None]
    complete = [row for row in rows if all(_answered(row, test) for test in tests)]
    ranks = _mean_ranks(complete, tests)
    ranked = [_aggregated(row, tests, ranks.get(index)) for row, index in _with_places(rows, complete)]
    ordered = _with_intervals(sorted(ranked, key=_place), tests)
    note = note_on_ranks(len(tests)) if complete else ""
    return Board(suite, version, about, tuple(columns), ordered, dict(provenance), note)


def without(board: Board, labels: Collection[str]) -> Board:
    """Return the board without some metrics: ranks are those among the rest."""
    rows = [ranked.row for ranked in board.rows if ranked.row.metric.label not in labels]
    return board_of(board.suite, board.version, board.about, board.columns, rows, board.provenance)


def average_ranks(grades: Sequence[float]) -> list[float]:
    """Return ranks from 1 for the largest; ties share the average of the ranks they take up.

    >>> average_ranks([0.5, 1.0, 0.5, 0.1])
    [2.5, 1.0, 2.5, 4.0]
    """
    rounded = [round(grade, DIGITS) for grade in grades]
    return [
        1 + sum(other > grade for other in rounded) + (sum(other == grade for other in rounded) - 1) / 2
        for grade in rounded
    ]


def _mean_ranks(complete: Sequence[Row], tests: Sequence[str]) -> dict[int, float]:
    """Return the mean over the tests of every complete row's rank, by position."""
    if not tests:
        return {}
    per_test = [average_ranks([row.verdicts[test].grade or 0.0 for row in complete]) for test in tests]
    return {position: fmean(ranks[position] for ranks in per_test) for position in range(len(complete))}


def _with_intervals(ordered: Sequence[RankedRow], tests: Sequence[str]) -> tuple[RankedRow, ...]:
    """Return the rows with intervals of their ranks and tie groups, where there are enough tests."""
    complete = [ranked for ranked in ordered if ranked.mean_rank is not None]
    if not complete or note_on_ranks(len(tests)):
        return tuple(ordered)
    statistics = rank_statistics([[ranked.row.verdicts[test] for test in tests] for ranked in complete])
    known_ranks = [
        replace(ranked, rank_interval=interval, tie_groups=groups)
        for ranked, interval, groups in zip(complete, statistics.intervals, statistics.tie_groups, strict=True)
    ]
    return (*known_ranks, *ordered[len(known_ranks) :])


def _with_places(rows: Sequence[Row], complete: Sequence[Row]) -> list[tuple[Row, int]]:
    """Return each row with its position among the complete ones, −1 for a partial row."""
    places = {id(row): position for position, row in enumerate(complete)}
    return [(row, places.get(id(row), -1)) for row in rows]


def _aggregated(row: Row, tests: Sequence[str], mean_rank: float | None) -> RankedRow:
    grades = [grade for test in tests if (grade := _grade(row, test)) is not None]
    return RankedRow(
        row,
        mean_rank=mean_rank,
        mean_grade=fmean(grades) if grades else None,
        passed=sum(row.verdicts[test].passed is True for test in tests if test in row.verdicts),
        graded=sum(_answered(row, test) for test in tests),
        tests=len(tests),
    )


def _grade(row: Row, test: str) -> float | None:
    verdict: Verdict | None = row.verdicts.get(test)
    return verdict.grade if verdict is not None and verdict.status == "ok" else None


def _answered(row: Row, test: str) -> bool:
    """Return whether every question of a test has an answer: a verdict on some of them says what the others lack."""
    verdict: Verdict | None = row.verdicts.get(test)
    return verdict is not None and verdict.status == "ok" and verdict.reason is None


def _place(ranked: RankedRow) -> tuple[bool, float, float, str]:
    label = ranked.row.metric.label
    if ranked.mean_rank is None:
        return (True, -ranked.graded, -ranked.passed, label)
    return (False, ranked.mean_rank, -(ranked.mean_grade or 0.0), label)
