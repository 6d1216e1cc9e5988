"""Derive the standing and the counts of every metric, always from the verdicts of the metrics that are shown.

Within a purpose, a tier is who is beaten by nobody that is left: nobody is above the metrics of the first tier but, in
a circle, those that they are above in turn. Between purposes there is no order.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from simbench.board.board import Board, BoardColumn, BoardRow, Counts, Row, Standing
from simbench.board.dominance import Flags, dominance, is_owed
from simbench.declaration import PURPOSES, Purpose
from simbench.verdicts.verdict import Verdict


def board_of(
    suite: str,
    version: int,
    about: str,
    columns: Sequence[BoardColumn],
    rows: Sequence[Row],
    provenance: Mapping[str, Any],
) -> Board:
    """Return the board of these rows, by main purpose; within it by tier, then tests failed, then label.

    Metrics that left questions of a test unanswered stand below those that are placed, whatever they answered.
    """
    standing: list[dict[Purpose, Standing]] = [{} for _ in rows]
    for purpose in PURPOSES:
        for place, of_row in _within(purpose, rows, columns):
            standing[place][purpose] = of_row
    tests = [column for column in columns if column.parent is None]
    made = [
        BoardRow(row, of_row, count_verdicts(row, tests, columns)) for row, of_row in zip(rows, standing, strict=True)
    ]
    return Board(suite, version, about, tuple(columns), tuple(sorted(made, key=_place)), dict(provenance))


def without(board: Board, labels: Collection[str]) -> Board:
    """Return the board without some metrics: tiers are those of the rest."""
    rows = [entry.row for entry in board.rows if entry.row.metric.label not in labels]
    return board_of(board.suite, board.version, board.about, board.columns, rows, board.provenance)


def tiers(above: Flags) -> list[int]:
    """Return the tier of each metric, from 1, where `above` says whether a metric (row) is above another (column).

    A metric counts as above all that it is above through others; metrics that are so above each other are in one tier.

    >>> tiers(np.array([[False, True, False], [False, False, False], [False, False, False]]))
    [1, 2, 1]
    """
    reaches = above.copy()
    for through in range(len(above)):
        reaches |= np.outer(reaches[:, through], reaches[through])
    beats = reaches & ~reaches.T
    places, left = np.zeros(len(above), dtype=np.int64), np.ones(len(above), dtype=bool)
    tier = 0
    while left.any():
        tier += 1
        unbeaten = left & ~beats[left].any(axis=0)
        places[unbeaten] = tier
        left &= ~unbeaten
    return [int(place) for place in places]


def count_verdicts(row: Row, tests: Sequence[BoardColumn], columns: Sequence[BoardColumn]) -> Counts:
    """Count a metric's verdicts on whole tests, and name the promises that it breaks."""
    numbers = {"passed": 0, "failed": 0, "undecided": 0, "not_promised": 0, "unanswered": 0}
    for test in tests:
        verdict = row.verdicts.get(test.id, Verdict("missing"))
        named = {"pass": "passed", "fail": "failed", "undecided": "undecided"}
        numbers[named.get(verdict.outcome, "unanswered") if is_owed(verdict) else "not_promised"] += 1
    return Counts(**numbers, broken_promises=tuple(_broken_promises(row, columns)))


def _broken_promises(row: Row, columns: Sequence[BoardColumn]) -> Iterator[str]:
    with_columns = {column.parent for column in columns if column.id in row.verdicts}
    for column in columns:
        verdict = row.verdicts.get(column.id, Verdict("missing"))
        if verdict.owed == "promised" and verdict.outcome == "fail" and column.id not in with_columns:
            yield column.id


def _within(purpose: Purpose, rows: Sequence[Row], columns: Sequence[BoardColumn]) -> Iterator[tuple[int, Standing]]:
    """Yield the standing of every metric of a purpose, with its position among the rows."""
    tests = [column for column in columns if column.parent is None and column.is_owed_for(purpose)]
    serving = [place for place, row in enumerate(rows) if purpose in row.metric.declaration.serves]
    lacking = {place: _lacking(rows[place], tests) for place in serving}
    placed = [place for place in serving if not lacking[place]]
    above = dominance([rows[place] for place in placed], tests, columns)
    for place, tier, beats in zip(placed, tiers(above), above, strict=True):
        beaten = sorted(rows[placed[other]].metric.label for other in np.flatnonzero(beats))
        yield place, Standing(tier, tuple(beaten))
    for place, reason in lacking.items():
        if reason:
            yield place, Standing(None, reason=reason)


def _lacking(row: Row, tests: Sequence[BoardColumn]) -> str:
    """Say why a metric is not placed: it left tests that it owes unanswered, or is refused on most; empty if it is."""
    owed = {test.id: row.verdicts.get(test.id, Verdict("missing")) for test in tests}
    owed = {test: verdict for test, verdict in owed.items() if is_owed(verdict)}
    if not owed:
        return "owes none of the tests"
    refused = [test for test, verdict in owed.items() if verdict.is_refused]
    if 2 * len(refused) > len(owed):
        return "claims to pair inputs, and does not"
    unanswered = [
        f"{test}: {'partly' if verdict.status == 'ok' else verdict.status}"
        for test, verdict in owed.items()
        if verdict.status != "ok" or verdict.reason is not None
    ]
    return ", ".join(unanswered)


def _place(entry: BoardRow) -> tuple[int, bool, int, int, str]:
    tier = entry.main_standing.tier
    failed = entry.counts.failed
    return (PURPOSES.index(entry.main_purpose), tier is None, tier or 0, failed, entry.row.metric.label)
