"""Blocks that share what they prepare go to one worker; where one of them kills it, the others do not suffer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import typer

from simbench.cli.options import byte_size
from simbench.metrics.metric import Metric
from simbench.registry import METRICS
from simbench.results.record import ScoreRecord
from simbench.run import steps
from simbench.run.blocks import bundles_of
from simbench.run.engines import Outcome, Report, Task
from simbench.run.steps import Steps
from simbench.run.tasks import BlockEnd, ScoreBlock


def block(name: str, number: int = 0) -> ScoreBlock:
    comparison: Any = f"comparison {number}"
    return ScoreBlock(METRICS.get(name), {f"{name} {number}": comparison}, {}, {}, "")


def names(bundles: Sequence[Sequence[ScoreBlock]]) -> list[list[str]]:
    return [[key for one in bundle for key in one.scores] for bundle in bundles]


def test_blocks_of_a_family_go_together_and_heavy_ones_alone_and_first() -> None:
    blocks = [block("cka"), block("cca"), block("pls_predictivity"), block("ensd"), block("stitch_direct")]
    assert names(bundles_of(blocks)) == [["pls_predictivity 0"], ["stitch_direct 0"], ["cka 0", "ensd 0"], ["cca 0"]]


def test_further_blocks_of_the_same_metrics_are_further_bundles() -> None:
    blocks = [block("cka", 0), block("cka", 1), block("ensd", 0), block("ensd", 1), block("cka", 2)]
    assert names(bundles_of(blocks)) == [["cka 0", "ensd 0"], ["cka 1", "ensd 1"], ["cka 2"]]


def test_one_metric_with_two_settings_is_two_metrics() -> None:
    metric = METRICS.get("mutual_knn")
    wide: Metric = metric.with_parameters({"k": 20})
    comparison: Any = "comparison"
    blocks = [ScoreBlock(one, {one.label: comparison}, {}, {}, "") for one in (metric, wide)]
    assert len(bundles_of(blocks)) == 1


class Killing:
    """An engine whose worker dies of any bundle with `ensd` in it."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def run(self, tasks: Sequence[Task], report: Report) -> Iterator[Outcome]:
        for task in tasks:
            bundle = task.arguments[1]
            self.sizes.append(len(bundle))
            if any(one.metric.name == "ensd" for one in bundle):
                yield Outcome(task, reason="the worker process died twice on this task (out of memory?)")
            else:
                yield Outcome(task, value=[BlockEnd() for _ in bundle])


def test_the_blocks_of_a_bundle_that_kills_its_worker_are_tried_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded: list[str] = []

    def record(materials: object, failed: ScoreBlock, reason: str) -> list[ScoreRecord]:
        recorded.extend(failed.scores)
        return []

    monkeypatch.setattr(steps, "failed_records", record)
    running = Steps.__new__(Steps)
    running.engine, running.materials, running.failures = Killing(), None, []  # type: ignore[assignment]
    running.store = type("Store", (), {"write_block": lambda self, records: None})()
    events: list[Any] = []
    running.listener = events.append
    failures = running._score_bundles(bundles_of([block("cka"), block("ensd"), block("cka_angular"), block("cca")]))
    assert failures == 1
    assert recorded == ["ensd 0"]
    assert running.engine.sizes == [3, 1, 1, 1, 1]  # type: ignore[attr-defined]
    assert sum(event.units for event in events if hasattr(event, "units")) == 4


class Partly:
    """An engine whose worker dies in the second block of any bundle of several, and is stopped in that of `cca`."""

    def __init__(self) -> None:
        self.bundles: list[list[str]] = []

    def run(self, tasks: Sequence[Task], report: Report) -> Iterator[Outcome]:
        for task in tasks:
            bundle = task.arguments[1]
            self.bundles.append([one.metric.name for one in bundle])
            report(task.name, 1)
            if len(bundle) > 1:
                yield Outcome(task, reason="the worker process died: it exited with code 3", parts=(BlockEnd(1),))
            elif bundle[0].metric.name == "cca":
                yield Outcome(task, reason="no result after 1 s", timed_out=True)
            else:
                yield Outcome(task, value=[BlockEnd()])


def test_finished_blocks_are_not_scored_again_and_each_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    recorded: list[str] = []
    monkeypatch.setattr(steps, "timed_out_records", lambda materials, stopped: recorded.extend(stopped.scores))
    monkeypatch.setattr(steps, "timeout_reason", lambda materials, stopped: "stopped")
    running = Steps.__new__(Steps)
    running.engine, running.materials, running.failures = Partly(), None, []  # type: ignore[assignment]
    running.store = type("Store", (), {"write_block": lambda self, records: None})()
    events: list[Any] = []
    running.listener = events.append
    failures = running._score_bundles(bundles_of([block("cka"), block("ensd"), block("cka_angular"), block("cca")]))
    assert running.engine.bundles == [["cka", "ensd", "cka_angular"], ["cca"], ["ensd"], ["cka_angular"]]  # type: ignore[attr-defined]
    assert failures == 2  # one score of the first block, and that of the block that was stopped
    assert recorded == ["cca 0"]
    assert sum(event.units for event in events if hasattr(event, "units")) == 4


@pytest.mark.parametrize("text", ["", "2 parsecs", "-1GB", "0", "1.5GB"])
def test_what_is_no_size_is_said_so(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is not a size"):
        byte_size(text)
