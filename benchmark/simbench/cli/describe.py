"""`simbench describe`: all declarations of one component or suite."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from simbench.cli.options import JsonOption

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console

    from simbench.catalogue.entries import Entry


def command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A component, a suite, or a metric as file.py[:attr].")],
    json: JsonOption = False,
) -> None:
    """Show all declarations of a component or a suite."""
    from simbench.cli.output import print_json, results_console, stdout_reserved

    with stdout_reserved(json):
        matches = _find(name)
    if json:
        print_json([entry.as_json() for entry in matches])
        return
    console = results_console()
    for entry in matches:
        _show(entry, console)


def _find(name: str) -> list[Entry]:
    from simbench.catalogue import entries as catalogue
    from simbench.metrics.resolve import resolve_metrics
    from simbench.suite.names import is_location

    if is_location(name):
        return [catalogue.metric_entry(metric) for metric in resolve_metrics([name])]
    return catalogue.find(name)


def _show(entry: Entry, console: Console) -> None:
    from rich.table import Table

    from simbench.publish.visible_console import shown

    console.print(shown(f"{entry.name}  ({entry.kind})", style="bold"))
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    for label, value in _facts(entry):
        table.add_row(label, shown(value))
    table.add_row("defined at", shown(f"{entry.file}:{entry.line}"))
    console.print(table)
    if entry.parameters:
        console.print(shown("\nparameters", style="bold", lines=True))
        rows = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        for parameter in entry.parameters:
            default = "required" if parameter.default is None else f"default {parameter.default}"
            rows.add_row(shown(parameter.name), shown(parameter.type), shown(default, style="dim"))
        console.print(rows)
    console.print(shown(f"\n{entry.doc}\n", lines=True))


def _facts(entry: Entry) -> list[tuple[str, str]]:
    """List the declared properties in words, then the measured ones; leave out empty ones."""
    from simbench.catalogue.metric_facts import direction_and_range

    facts = dict(entry.facts)
    shown: list[tuple[str, str]] = []
    for key, value in facts.items():
        if key == "higher_is_more_similar":
            shown.append(("direction", "higher is more similar" if value else "lower is more similar"))
        elif key == "value_range":
            shown.append(("range", direction_and_range(facts)[2:]))
        elif key == "measured" and value is not None:
            shown += _measured(value)
        elif key == "triangle_inequality" and facts["higher_is_more_similar"]:
            continue  # a property of distances only
        elif value not in ("", None, [], {}):
            shown.append((key.replace("_", " "), _in_words(value)))
    return shown


def _measured(measured: Mapping[str, Any]) -> list[tuple[str, str]]:
    """List the measured properties, under names that distinguish them from declared ones."""
    shown = [
        ("measured invariances", _in_words(measured["invariant_to"]) or "none"),
        ("measured symmetry", _in_words(measured["symmetric"])),
        ("measured pairing of inputs", _in_words(measured["pairs_inputs"])),
    ]
    if measured["triangle_inequality"]:
        shown.append(("measured triangle", measured["triangle_inequality"]))
    if measured["null_level"] is not None:
        level = f"{measured['null_level']:.4g}"
        if measured["null_deviation"] is not None:
            level += f" ± {measured['null_deviation']:.2g}"
        shown.append(("null level", f"{level}: independent normal matrices, 100 rows, 20 features each"))
    if measured["cost"]:
        shown.append(("cost", f"{measured['cost']} of CPU time a pair: six matrices, 500 rows, 32 features each"))
    return shown


def _in_words(value: Any) -> str:
    """Return a value as text.

    >>> _in_words(True), _in_words(["a", "b"]), _in_words({"cnn": 5})
    ('yes', 'a, b', 'cnn (5)')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{key} ({inner})" for key, inner in value.items())
    if isinstance(value, list):
        return ", ".join(str(inner) for inner in value)
    return str(value)
