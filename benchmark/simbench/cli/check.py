"""`simbench check`: validate a suite, or measure the declared properties of a metric."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from simbench.cli.options import JsonOption
from simbench.errors import ExitCode, SimbenchError, SuiteError, UnknownNameError

if TYPE_CHECKING:
    from simbench.metrics.metric import Metric
    from simbench.suite.schema import Suite
    from simbench.testing.conformance import Finding


def command(
    target: Annotated[
        str,
        typer.Argument(
            metavar="SUITE|METRIC", help="A suite, or a metric: a name, file.py, file.py:attr, pkg.mod:attr."
        ),
    ],
    traceback: Annotated[
        bool, typer.Option("--traceback", help="Show where a metric that raises does so, with all calls until there.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Validate a suite, or measure the declared properties of a metric."""
    from simbench.cli.output import print_json, say, stdout_reserved

    with stdout_reserved(json):
        subject = _subject(target)
        findings, tracebacks = _findings(subject) if isinstance(subject, list) else (None, {})
    if findings is None:
        document = _suite_as_json(subject)
        print_json(document) if json else _show_suite(document)
        if any(test["problem"] for test in document["tests"]):
            raise typer.Exit(int(ExitCode.VERDICT_FAILED))
        return
    shown = tracebacks if traceback else {}
    print_json(_findings_as_json(findings, shown)) if json else _show_findings(findings, shown)
    if tracebacks and not (traceback or json):
        say("--traceback shows all calls that led to what a metric raised")
    if any(finding.ok is False for _, checks in findings for finding in checks):
        raise typer.Exit(int(ExitCode.VERDICT_FAILED))


def _subject(target: str) -> Any:
    """Load the suite, or the list of metrics, that the target names."""
    from simbench.metrics.resolve import resolve_metrics
    from simbench.registry import METRICS
    from simbench.suite.load import bundled_suites, load_suite
    from simbench.suite.names import is_group, is_location

    if target.endswith((".yaml", ".yml")) or target in bundled_suites():
        return load_suite(target)
    if is_location(target) or is_group(target) or target.partition("(")[0] in METRICS:
        return resolve_metrics([target])
    raise UnknownNameError("suite or metric", target, [*bundled_suites(), *METRICS.names()])


def _findings(metrics: list[Metric]) -> tuple[list[tuple[Metric, list[Finding]]], dict[str, list[str]]]:
    """Return the findings on every metric, and the tracebacks of those that raise, by their names."""
    from simbench.metrics.scoring import gathering_tracebacks
    from simbench.testing.conformance import check_metric

    checked: list[tuple[Metric, list[Finding]]] = []
    tracebacks: dict[str, list[str]] = {}
    for metric in metrics:
        try:
            with gathering_tracebacks() as gathered:
                checked.append((metric, list(check_metric(metric))))
        except SimbenchError as error:
            raise SimbenchError(f"{metric.name}: {error}") from None
        if gathered:
            tracebacks[metric.name] = gathered
    return checked, tracebacks


def _suite_as_json(suite: Suite) -> dict[str, Any]:
    from simbench.plan.obtainable import all_problems
    from simbench.plan.plan import check_plan
    from simbench.plan.suite_metrics import gather_metrics

    metrics = [choice.name for choice in suite.metrics]
    unasked = check_plan(suite, gather_metrics(suite))
    problems = all_problems(suite)
    if problems:
        raise SuiteError(problems)
    return {
        "suite": suite.suite,
        "version": suite.version,
        "about": " ".join(suite.about.split()),
        "probe": _probe(suite),
        "models": {name: len(spec.models(name)) for name, spec in suite.models.items()},
        **({"layers": layers} if (layers := _given_layers(suite)) else {}),
        "metrics": metrics,
        "tests": [
            {
                "id": test.id,
                "kind": test.kind,
                "models": test.models,
                "pass_if": test.pass_if,
                "problem": unasked[test.id],
            }
            for test in suite.tests
        ],
    }


def _given_layers(suite: Suite) -> dict[str, list[str]]:
    """Return the layers of groups that are given as activations, in the order in which tests take them."""
    return {name: list(spec.layers or ()) for name, spec in suite.models.items() if spec.activations is not None}


def _probe(suite: Suite) -> str:
    dataset = suite.probe.dataset
    if dataset is None:
        return "none: activations are given" if suite.models else "none: all models are synthetic"
    return f"{suite.probe.inputs} inputs of {dataset.name} ({suite.probe.split})"


def _show_suite(document: dict[str, Any]) -> None:
    models = ", ".join(f"{name} ({size})" for name, size in document["models"].items()) or "none"
    metrics = document["metrics"] if isinstance(document["metrics"], str) else ", ".join(document["metrics"])
    from simbench.cli.output import say

    say(f"{document['suite']}@{document['version']} is valid")
    say(f"  probe    {document['probe']}")
    say(f"  models   {models}")
    for name, layers in document.get("layers", {}).items():
        say(f"  layers   {name}: {', '.join(layers)}")
    say(f"  metrics  {metrics}")
    say(f"  tests    {len(document['tests'])}")
    for test in document["tests"]:
        models = ", ".join(test["models"]) or "synthetic models"
        say(f"    {test['id']}: {test['kind']} on {models}, passes if {test['pass_if']}")
        if test["problem"]:
            say(f"      asks nothing of any metric of this suite: {test['problem']}")


def _findings_as_json(
    findings: list[tuple[Metric, list[Finding]]], tracebacks: dict[str, list[str]]
) -> list[dict[str, Any]]:
    return [
        {
            "metric": metric.name,
            "ok": all(finding.ok is not False for finding in checks),
            "findings": [
                {
                    key: _json_value(getattr(finding, key))
                    for key in ("property", "declared", "measured", "ok", "detail")
                }
                for finding in checks
            ],
            **({"tracebacks": tracebacks[metric.name]} if metric.name in tracebacks else {}),
        }
        for metric, checks in findings
    ]


def _json_value(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | str) else str(value)


def _show_findings(findings: list[tuple[Metric, list[Finding]]], tracebacks: dict[str, list[str]]) -> None:
    from rich.table import Table

    from simbench.cli.output import results_console
    from simbench.publish.visible_console import shown

    console = results_console()
    marks = {True: ("✓", "green"), False: ("✗", "red"), None: ("–", "dim")}
    for metric, checks in findings:
        console.print(shown(f"{metric.name}: {_verdict(checks)}", style="bold"))
        table = Table(box=None, pad_edge=False)
        for heading in ("", "property", "declared", "measured", ""):
            table.add_column(heading)
        for finding in checks:
            mark, colour = marks[finding.ok]
            texts = (finding.property, finding.declared, finding.measured, finding.detail or "")
            table.add_row(shown(mark, style=colour), *(shown(str(text)) for text in texts))
        console.print(table)
        for text in tracebacks.get(metric.name, ()):
            console.print(shown(f"\n{text}", lines=True), soft_wrap=True)


def _verdict(checks: list[Finding]) -> str:
    failed = sum(finding.ok is False for finding in checks)
    unmeasured = sum(finding.ok is None for finding in checks)
    verdict = f"{failed} of {len(checks)} properties do not hold" if failed else "everything declared holds"
    return f"{verdict}, {unmeasured} could not be measured" if unmeasured else verdict
