"""`simbench describe`: everything that is declared of one component or suite."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from simbench.cli.options import JsonOption

if TYPE_CHECKING:
    from rich.console import Console

    from simbench.cli.catalogue import Entry


def command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A component, a suite, or a metric as file.py[:attr].")],
    json: JsonOption = False,
) -> None:
    """Show all that is declared of a component or a suite."""
    from simbench.cli.output import print_json, results_console, stdout_reserved

    with stdout_reserved(json):
        found = _find(name)
    if json:
        print_json([entry.as_json() for entry in found])
        return
    console = results_console()
    for entry in found:
        _show(entry, console)


def _find(name: str) -> list[Entry]:
    from simbench.cli import catalogue
    from simbench.metrics.resolve import resolve_metrics
    from simbench.suite.names import is_location

    if is_location(name):
        return [catalogue.metric_entry(metric) for metric in resolve_metrics([name])]
    return catalogue.find(name)


def _show(entry: Entry, console: Console) -> None:
    from rich.table import Table
    from rich.text import Text

    console.print(Text(f"{entry.name}  ({entry.kind})", style="bold"))
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    for label, value in _facts(entry):
        table.add_row(label, Text(value))
    table.add_row("defined at", Text(f"{entry.file}:{entry.line}"))
    console.print(table)
    if entry.parameters:
        console.print(Text("\nparameters", style="bold"))
        rows = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        for parameter in entry.parameters:
            default = "required" if parameter.default is None else f"default {parameter.default}"
            rows.add_row(Text(parameter.name), Text(parameter.type), Text(default, style="dim"))
        console.print(rows)
    console.print(Text(f"\n{entry.doc}\n"))


def _facts(entry: Entry) -> list[tuple[str, str]]:
    """The declared properties in words; empty ones are left out."""
    facts = dict(entry.facts)
    shown: list[tuple[str, str]] = []
    for key, value in facts.items():
        if key == "higher_is_more_similar":
            shown.append(("direction", "higher is more similar" if value else "lower is more similar"))
        elif key == "value_range":
            low, high = value
            shown.append(
                ("range", f"{'(−∞' if low is None else f'[{low:g}'}, {'∞)' if high is None else f'{high:g}]'}")
            )
        elif value not in ("", None, [], {}):
            shown.append((key.replace("_", " "), _in_words(value)))
    return shown


def _in_words(value: Any) -> str:
    """
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
