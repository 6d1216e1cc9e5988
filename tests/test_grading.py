"""From score records to a table and to verdicts: what was not measured keeps its status and its reason."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.run.conftest import TINY

from simbench.board.remarks import Remark
from simbench.grading import grade, score_table
from simbench.plan.plan import Plan
from simbench.results.record import ScoreRecord
from simbench.run.session import prepare


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    """The plan of the tiny suite, without its metric that learns maps."""
    tiny = tmp_path / "tiny.yaml"
    text = TINY.replace("[cka, {name: stitch_task, epochs: 2}]", "[cka]")
    tiny.write_text(text.replace(" layers: [block2],", ""))
    return prepare(str(tiny))


def records_of(plan: Plan) -> dict[str, dict[str, ScoreRecord]]:
    """Every score of the plan: 1 for a layer with itself, else 0.5; half a second each."""
    (planned,) = plan.metrics
    fields: dict[str, Any] = {"a_key": "", "b_key": "", "reason": None, "seconds": 0.5, "suite": "t", "provenance": ""}
    made = {
        key: ScoreRecord(
            key=key,
            metric=planned.metric.identity,
            parameters={},
            a=str(pair.a),
            b=str(pair.b),
            status="ok",
            value=1.0 if pair.a == pair.b else 0.5,
            **fields,
        )
        for key, pair in planned.scores.items()
    }
    return {planned.metric.label: made}


@pytest.mark.parametrize("status", ["skip", "error"])
def test_a_score_that_is_not_there_keeps_its_reason_in_the_table_and_in_the_verdict(plan: Plan, status: Any) -> None:
    records = records_of(plan)
    first = plan.score_key(plan.metrics[0].metric, plan.comparisons(plan.tests[0], plan.metrics[0].metric)[0])
    records["cka"][first] = records["cka"][first].model_copy(
        update={"status": status, "value": None, "reason": "too few rows"}
    )
    rows = score_table(plan, records)
    assert {(row.status, row.value, row.reason) for row in rows if row.key == first} == {(status, None, "too few rows")}
    assert {(row.status, row.reason) for row in rows if row.key != first} == {("ok", "")}
    (ranked,) = grade(plan, records, {}).rows
    assert ranked.row.verdicts["identity"].passed is None
    assert f" {status}: " in str(ranked.row.verdicts["identity"].reason)
    assert "too few rows" in str(ranked.row.verdicts["identity"].reason)


def test_the_table_has_a_line_for_every_test_and_comparison_also_where_nothing_was_scored(plan: Plan) -> None:
    metric = plan.metrics[0].metric
    rows = score_table(plan, {"cka": {}})
    asked = [(test.id, plan.score_key(metric, pair)) for test in plan.tests for pair in plan.comparisons(test, metric)]
    assert [(row.test, row.key) for row in rows] == asked
    assert {(row.status, row.value, row.reason, row.seconds) for row in rows} == {
        ("missing", None, "was not scored", 0)
    }


def test_a_board_says_what_each_metric_costs_and_what_each_test_is(plan: Plan) -> None:
    board = grade(plan, records_of(plan), {})
    (ranked,) = board.rows
    count = len(plan.metrics[0].scores)
    assert (ranked.row.comparisons, ranked.row.seconds) == (count, 0.5 * count)
    identity, invariance, *columns = board.columns
    assert [column.id for column in columns] == ["invariance/orthogonal", "invariance/translation"]
    assert identity.description.startswith(identity.about)
    assert "Source: Balogh & Jelasity (2024)" in identity.description
    assert invariance.settings["tolerance"] == 0.1
    assert "layers" not in invariance.settings  # all of them: nothing was chosen
    assert not {"id", "kind", "pass_if"} & invariance.settings.keys()
    declared = ranked.row.metric.model_dump()["declaration"]["invariant_to"]
    assert list(declared) == sorted(declared) != []


def test_a_board_counts_the_remarks_on_the_scores_of_each_test(plan: Plan) -> None:
    records = records_of(plan)
    metric = plan.metrics[0].metric
    by_key: dict[str, str] = {}  # both orders of a pair are one score of a symmetric metric
    for pair in plan.comparisons(plan.tests[0], metric):
        by_key.setdefault(plan.score_key(metric, pair), str(pair))
    for place, key in enumerate(list(by_key)[:2]):
        records["cka"][key] = records["cka"][key].model_copy(update={"warnings": (f"{place} dead units",)})
    (ranked,) = grade(plan, records, {}).rows
    remarks = ranked.row.remarks[plan.tests[0].id]
    assert remarks == (Remark("0 dead units", next(iter(by_key.values())), 2, len(by_key)),)


def test_a_board_of_scores_without_remarks_has_none(plan: Plan) -> None:
    (ranked,) = grade(plan, records_of(plan), {}).rows
    assert ranked.row.remarks == {}
