"""`simbench plan`: show what a run would do, what the store already has, and why the rest is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from simbench.cli.options import (
    ExceptOption,
    JsonOption,
    MetricOption,
    OnlyOption,
    StoreOption,
    SuiteArgument,
    SuiteMetricsOption,
)
from simbench.errors import ExitCode

if TYPE_CHECKING:
    from simbench.plan.plan import Plan
    from simbench.plan.status import PlanStatus
    from simbench.sanity.kind import SanityTest


def command(
    suite: SuiteArgument,
    metric: MetricOption = None,
    suite_metrics: SuiteMetricsOption = True,
    excluded: ExceptOption = None,
    only: OnlyOption = None,
    store: StoreOption = None,
    json: JsonOption = False,
) -> None:
    """Show what a run would do and what is cached already, without running anything."""
    from simbench.cli.output import print_json, read_store, results_console, say, stdout_reserved
    from simbench.plan.status import plan_status
    from simbench.run.session import prepare

    with stdout_reserved(json):
        plan = prepare(suite, metric or (), only or (), suite_metrics=suite_metrics, excluded=excluded or ())
        status = plan_status(plan, read_store(store))
    if json:
        print_json(_document(plan, status))
    else:
        console = results_console()
        for table in _tables(plan, status):
            console.print(table)
    for problem in status.problems:
        say(f"error: {problem}", error=True)
    if status.problems:
        raise typer.Exit(int(ExitCode.USAGE))


def _document(plan: Plan, status: PlanStatus) -> dict[str, Any]:
    tests = [
        {
            "id": test.id,
            "kind": test.kind,
            "pass_if": test.pass_if,
            "comparisons": _comparisons(plan, test),
        }
        for test in plan.tests
    ]
    return {
        "schema_version": 1,
        "suite": plan.suite.suite,
        "version": plan.suite.version,
        "tests": tests,
        **status.to_dict(),
    }


def _comparisons(plan: Plan, test: SanityTest) -> dict[str, int]:
    """Return the largest number of comparisons that a test asks of a metric of layers, and of one of the head."""
    counts = {"layers": 0, "head": 0}
    for planned in plan.board:
        level = planned.metric.level
        counts[level] = max(counts[level], len(plan.comparisons(test, planned.metric)))
    return counts


def _tables(plan: Plan, status: PlanStatus) -> list[Any]:
    from rich.table import Table

    tests = Table("test", "kind", "passes if", "comparisons of layers", "of heads", title=plan.suite.title)
    for test in plan.tests:
        tests.add_row(test.id, test.kind, test.pass_if, *map(str, _comparisons(plan, test).values()))
    models = Table("model", "state", "why", "key")
    for model in status.models:
        models.add_row(model.name, model.state, model.why, model.key[:12])
    metrics = Table("metric", "scores", "cached", "missing", "why")
    for metric in status.metrics:
        metrics.add_row(
            metric.metric, str(metric.total), str(metric.cached), str(metric.total - metric.cached), metric.why
        )
    return [tests, models, metrics]
