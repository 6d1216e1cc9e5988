"""`simbench explain`: one verdict in words, the worst violations, by how much and on which layers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from simbench.cli.options import JsonOption, StoreOption

if TYPE_CHECKING:
    from rich.console import Console

    from simbench.board.board import Board
    from simbench.board.evidence import Evidence
    from simbench.board.explanation import Explanation

# Most layers that are listed.
MOST_LAYERS = 8


def command(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SUITE",
            help="A suite with scores in the store, a run (its id or its JSON file), a published folder, or a bundle.",
            show_default=False,
        ),
    ],
    metric: Annotated[
        str,
        typer.Argument(
            metavar="METRIC", help="As for --metric of run; of a recorded run, its label.", show_default=False
        ),
    ],
    test: Annotated[
        str,
        typer.Argument(metavar="TEST", help="A test, or a column of one: invariance/orthogonal.", show_default=False),
    ],
    store: StoreOption = None,
    json: JsonOption = False,
) -> None:
    """Explain a verdict: in words, with the worst violations, by how much and on which layers."""
    from simbench.board.explanation import explain
    from simbench.cli.output import print_json, results_console, stdout_reserved
    from simbench.errors import ExitCode
    from simbench.verdicts.verdict import LACKING

    with stdout_reserved(json):
        board, evidence, labels = _board(source, metric, test, store)
        explanations = [explain(board, evidence, label, test) for label in labels]
    if json:
        print_json({"schema_version": 1, "verdicts": [explanation.to_dict() for explanation in explanations]})
    else:
        console = results_console()
        for explanation in explanations:
            _show(explanation, console)
    if any(explanation.verdict.status in LACKING for explanation in explanations):
        raise typer.Exit(int(ExitCode.INCOMPLETE))


def _board(source: str, metric: str, test: str, store: Path | None) -> tuple[Board, Evidence | None, list[str]]:
    """Return the board with the metric and the test, what is behind it, and the labels that the metric stands for."""
    from simbench.board.evidence import evidence_of
    from simbench.cli.output import read_store
    from simbench.cli.source import board_and_evidence, place_of
    from simbench.errors import SimbenchError
    from simbench.run.session import stored_results
    from simbench.suite.load import bundled_suites

    if source in bundled_suites() or source.endswith((".yaml", ".yml")):
        only = (test.partition("/")[0],)
        board, scores = stored_results(
            source, metrics=[metric], suite_metrics=False, only=only, store=read_store(store)
        )
        return board, evidence_of(board, scores), [entry.row.metric.label for entry in board.rows]
    recorded = board_and_evidence(place_of(source, store))
    if recorded is None:
        raise SimbenchError(
            f'no suite or run "{source}": give a suite, the id of a run in the store (`simbench runs`), its JSON file, '
            "a published folder or a bundle"
        )
    return *recorded, [metric]


def _show(explanation: Explanation, console: Console) -> None:
    from simbench.board.cells import grade_text, interval_text, mark, short_id, state
    from simbench.board.explanation import said
    from simbench.publish.terminal import STYLES
    from simbench.publish.visible_console import shown

    column, verdict = explanation.column, explanation.verdict
    console.print(shown(f"{explanation.suite}: {explanation.row.row.metric.label} on {column.id}", style="bold"))
    for line in (column.reason or column.about, f"kind {column.kind}; owed: {verdict.owed}"):
        console.print(shown(f"  {line}", style="dim"))
    sign = f"{mark(verdict)} " if verdict.status == "ok" else ""
    console.print(shown(f"{sign}{said(verdict, column)}", style=STYLES[state(verdict)]))
    asked = f", {explanation.asked} questions, {explanation.violated} violated" if explanation.asked else ""
    console.print(shown(f"  {verdict.comparisons} comparisons{asked}"))
    for name, number in verdict.auxiliary.items():
        console.print(shown(f"  {name.replace('_', ' ')}: {number:.3g}"))
    for part, own in explanation.parts:
        text = f"  {mark(own)} {short_id(part)}  {grade_text(own)} {interval_text(own)}  {own.reason or ''}".rstrip()
        console.print(shown(text, style=STYLES[state(own)]))
    if explanation.violations:
        console.print(shown("furthest from holding", style="bold"))
    for number, violation in enumerate(explanation.violations, 1):
        by = "" if violation.by is None else f"  by {violation.by:.3g}"
        of = f"{violation.column}: " if violation.column and column.parent is None else ""
        console.print(shown(f"  {number}. {of}{violation.where}{by}"))
    if explanation.layers:
        layers = [f"{name} {broken} of {total}" for name, (broken, total) in explanation.layers.items()]
        more = f", and {len(layers) - MOST_LAYERS} more layers" if len(layers) > MOST_LAYERS else ""
        console.print(shown(f"broken comparisons by layer: {', '.join(layers[:MOST_LAYERS])}{more}"))
