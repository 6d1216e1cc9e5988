"""Grading: from score records to verdicts to a leaderboard, always derived, never stored as truth."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from simbench.board.board import Board, BoardColumn, Row
from simbench.board.remarks import Remark, count_remarks
from simbench.board.scores import ScoreRow
from simbench.board.standing import board_of
from simbench.garbage import collection_paused
from simbench.metrics.metric import Metric
from simbench.plan.plan import Plan, PlannedMetric
from simbench.references import Comparison, Named
from simbench.results.record import ScoreRecord
from simbench.results.store import Store
from simbench.sanity.kind import SanityTest
from simbench.sanity.question import Scores, Similarity, Ungradable
from simbench.verdicts.verdict import Verdict


def grade(plan: Plan, records: Mapping[str, Mapping[str, ScoreRecord]], provenance: Mapping[str, Any]) -> Board:
    """Grade a plan into its leaderboard; `records` holds, per metric label, the records by score key."""
    rows = [_row(plan, planned, records) for planned in plan.board]
    return board_of(
        suite=plan.suite.suite,
        version=plan.suite.version,
        about=plan.suite.about,
        columns=_columns(plan, rows),
        rows=rows,
        provenance=provenance,
    )


def stored_records(plan: Plan, store: Store) -> dict[str, dict[str, ScoreRecord]]:
    """Return, per metric label, the records of the plan's scores that are in the store."""
    kept: dict[str, dict[str, ScoreRecord]] = {}
    for planned in plan.metrics:
        stored = store.scores(planned.metric.identity)
        kept[planned.metric.label] = {key: stored[key] for key in planned.scores if key in stored}
    return kept


def runs_behind(store: Store, records: Mapping[str, Mapping[str, ScoreRecord]]) -> dict[str, dict[str, Any]]:
    """Return where the scores were computed: what is known of every run that any of them came from, by its id."""
    runs = sorted({record.provenance for by_key in records.values() for record in by_key.values()})
    return {run: store.provenance(run) for run in runs}


@collection_paused()
def verdicts_on(plan: Plan, metric: Metric, records: Mapping[str, Mapping[str, ScoreRecord]]) -> dict[str, Verdict]:
    """Return a metric's verdicts, by test id."""
    scores = lookup(plan, metric, records)
    return {test.id: test.grade(plan.groups_of(test), metric, scores) for test in plan.tests}


def _row(plan: Plan, planned: PlannedMetric, records: Mapping[str, Mapping[str, ScoreRecord]]) -> Row:
    verdicts: dict[str, Verdict] = {}
    for name, verdict in verdicts_on(plan, planned.metric, records).items():
        verdicts[name] = verdict
        verdicts.update({f"{name}/{column}": part for column, part in verdict.columns.items()})
    own = records[planned.metric.label]
    seconds = sum(own[key].seconds for key in planned.scores if key in own)
    return Row(planned.metric.info, verdicts, len(planned.scores), seconds, _remarks(plan, planned.metric, own))


def _remarks(plan: Plan, metric: Metric, records: Mapping[str, ScoreRecord]) -> dict[str, tuple[Remark, ...]]:
    """Count the remarks on a metric's scores, and what tests remark on all of them, by the id of the test."""
    remarks = {key: record.warnings for key, record in records.items() if record.warnings}
    by_test: dict[str, tuple[Remark, ...]] = {}
    for test in plan.tests:
        of_all = test.remark(plan.groups_of(test))
        if not remarks and not of_all:
            continue
        asked: dict[str, Comparison] = {}
        for comparison in plan.comparisons(test, metric):
            asked.setdefault(plan.score_key(metric, comparison), comparison)
        carried = [
            (str(comparison), (*remarks.get(key, ()), *([of_all] if of_all else ())))
            for key, comparison in asked.items()
            if of_all or key in remarks
        ]
        if carried:
            by_test[test.id] = count_remarks(carried, len(asked))
    return by_test


def lookup(plan: Plan, metric: Metric, records: Mapping[str, Mapping[str, ScoreRecord]]) -> Scores:
    """Return the look-up of a metric's scores, as similarities; reference variables as they were measured."""

    def similarity(comparison: Comparison, variable: Named | None = None) -> Similarity:
        asked = metric if variable is None else plan.reference_variable(variable)
        record = records[asked.label].get(plan.score_key(asked, comparison))
        if record is None:
            raise Ungradable("missing", f"{comparison} was not scored")
        if record.status != "ok" or record.value is None:
            status = record.status if record.status in ("skip", "timeout") else "error"
            raise Ungradable(status, record.reason or "no reason given")
        value = metric.similarity(record.value) if variable is None else record.value
        return Similarity(value, record.tiebreak, record.standard_error)

    return similarity


def score_table(plan: Plan, records: Mapping[str, Mapping[str, ScoreRecord]]) -> list[ScoreRow]:
    """List every score that any test asked for, in the order of metrics, tests and comparisons."""
    return [
        _score_row(plan, planned.metric, test.id, comparison, records[planned.metric.label])
        for planned in plan.board
        for test in plan.tests
        for comparison in plan.comparisons(test, planned.metric)
    ]


def _score_row(
    plan: Plan, metric: Metric, test: str, comparison: Comparison, records: Mapping[str, ScoreRecord]
) -> ScoreRow:
    key = plan.score_key(metric, comparison)
    place = ScoreRow.place_of(comparison)
    record = records.get(key)
    if record is None:
        return ScoreRow(metric.label, test, *place, "missing", None, None, None, "", "was not scored", 0.0, key)
    return ScoreRow(
        metric.label,
        test,
        *place,
        status=record.status,
        value=record.value,
        standard_error=record.standard_error,
        tiebreak=record.tiebreak,
        warnings="; ".join(record.warnings),
        reason=record.reason or "",
        seconds=record.seconds,
        key=key,
        auxiliary=record.auxiliary,
    )


def _columns(plan: Plan, rows: list[Row]) -> list[BoardColumn]:
    """Each test, and behind it the columns that any metric was graded on."""
    columns: list[BoardColumn] = []
    for test in plan.tests:
        whole = column_of(test)
        columns.append(whole)
        parts = dict.fromkeys(part for row in rows for part in row.verdicts[test.id].columns)
        columns.extend(
            replace(whole, id=f"{test.id}/{part}", parent=test.id, description="", settings={}) for part in parts
        )
    return columns


def column_of(test: SanityTest) -> BoardColumn:
    """Describe a test as a column of the board."""
    stated = {"id", "kind", "pass_if", "reason", "purposes"}
    return BoardColumn(
        test.id,
        test.kind,
        test.pass_if,
        _about(test),
        description=inspect.getdoc(type(test)) or "",
        settings=test.model_dump(mode="json", exclude=stated, exclude_none=True),
        reason=test.reason,
        purposes=tuple(test.purposes),
        model_correlation=test.model_correlation,
    )


def _about(test: SanityTest) -> str:
    return (type(test).__doc__ or "").partition("\n")[0]
