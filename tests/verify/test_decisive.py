"""A single forged score that gave its author another verdict is always taken again, however small the sample."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import pytest
from tests.verify.forging import consistent, edited_score, findings

from simbench.bundles.archive import read_files
from simbench.bundles.contents import parse
from simbench.bundles.pack import recorded_plan
from simbench.grading import verdicts_on
from simbench.metrics.metric import Metric
from simbench.plan.plan import Plan
from simbench.results.record import ScoreRecord
from simbench.verify.decisive import decisive_scores
from simbench.verify.regrade import checked_records
from simbench.verify.report import Report

Files = dict[str, bytes]
Records = Mapping[str, Mapping[str, ScoreRecord]]
BOARDS = Path(__file__).parents[2] / "leaderboard"


def planned(files: Files) -> tuple[Plan, dict[str, dict[str, ScoreRecord]]]:
    contents = parse(files)
    plan = recorded_plan(contents.suite, contents.metrics)
    return plan, checked_records(contents, plan)[0]


@cache
def published(board: str) -> tuple[Plan, dict[str, dict[str, ScoreRecord]]]:
    return planned(read_files(BOARDS / board / "bundle.zip"))


def passed(plan: Plan, metric: Metric, records: Records) -> dict[tuple[str, str | None], bool | None]:
    """Whether a metric passes each test, and each column of it."""
    return {
        (test, column): part.passed
        for test, verdict in verdicts_on(plan, metric, records).items()
        for column, part in [(None, verdict), *verdict.columns.items()]
    }


def forged(records: Records, label: str, key: str, value: float) -> Records:
    return {**records, label: {**records[label], key: records[label][key].model_copy(update={"value": value})}}


def turns(plan: Plan, metric: Metric, records: Records, forgery: Records) -> bool:
    return passed(plan, metric, forgery) != passed(plan, metric, records)


def test_a_score_that_turned_a_verdict_is_decisive(files: Files) -> None:
    plan, records = planned(files)
    draws = random.Random(1)
    turned = 0
    for _ in range(150):
        metric = draws.choice(plan.board).metric
        values = {key: record.value for key, record in records[metric.label].items() if record.value is not None}
        key = draws.choice(sorted(values))
        value = draws.choice([min(values.values()) - 1, max(values.values()) + 1])
        forgery = forged(records, metric.label, key, value)
        if turns(plan, metric, records, forgery):
            turned += 1
            assert key in decisive_scores(plan, metric, forgery)[metric.label]
    assert turned > 8


def test_what_cannot_turn_a_verdict_is_not_decisive(files: Files) -> None:
    """Whatever a score that is not decisive is changed to, all verdicts stay."""
    plan, records = planned(files)
    others = [
        (planned_metric.metric, key)
        for planned_metric in plan.board
        for key in sorted(
            records[planned_metric.metric.label].keys()
            - decisive_scores(plan, planned_metric.metric, records)[planned_metric.metric.label]
        )
    ]
    assert len(others) > 10
    for metric, key in others:
        for value in (-1e6, 1e6):
            assert not turns(plan, metric, records, forged(records, metric.label, key, value))


@pytest.mark.parametrize("board", ["distillation"])
def test_a_score_that_turned_a_statistic_is_decisive(board: str) -> None:
    """`distillation` has rank correlations and reference variables."""
    plan, records = published(board)
    draws = random.Random(1)
    turned = 0
    for _ in range(60):
        metric = draws.choice(plan.board).metric
        values = {key: record.value for key, record in records[metric.label].items() if record.value is not None}
        key = draws.choice(sorted(values))
        forgery = forged(records, metric.label, key, draws.choice([min(values.values()), max(values.values())]))
        if turns(plan, metric, records, forgery):
            turned += 1
            assert key in decisive_scores(plan, metric, forgery)[metric.label]
    assert turned > 2


def test_a_value_in_place_of_a_skip_is_decisive(files: Files) -> None:
    plan, records = planned(files)
    metric = plan.board[0].metric
    needed = next(key for key in records[metric.label] if key in decisive_scores(plan, metric, records)[metric.label])
    skip = records[metric.label][needed].model_copy(update={"status": "skip", "value": None, "reason": "so"})
    skipped = {**records, metric.label: {**records[metric.label], needed: skip}}
    assert needed in decisive_scores(plan, metric, skipped)[metric.label]


@pytest.mark.parametrize("seed", range(3))
def test_a_forged_verdict_is_found_with_any_sample(files: Files, check: Callable[..., Report], seed: int) -> None:
    """The one score with which `procrustes` fails where it passes, or passes where it fails, the rest made to fit."""
    plan, records = planned(files)
    metric = next(each.metric for each in plan.board if each.metric.label == "procrustes")
    honest = passed(plan, metric, records)
    keys = [record.key for record in parse(files).scores["procrustes"]]
    line = next(
        line for line, key in enumerate(keys) if passed(plan, metric, forged(records, "procrustes", key, 9.0)) != honest
    )
    change = consistent(edited_score(files, "procrustes", lambda score: score.update(value=9.0), line))
    named = [finding.where for finding in findings(check(change, rescore=True, sample=0.05, seed=seed))]
    assert any(keys[line] in where for where in named)
    assert findings(check(change)) == []
