"""`simbench list`: all components of one kind, or all suites, and where they are defined."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from simbench.catalogue.kinds import ListedKind
from simbench.cli.options import JsonOption

if TYPE_CHECKING:
    from rich.text import Text

    from simbench.catalogue.entries import Entry


def command(
    kind: Annotated[
        ListedKind,
        typer.Argument(metavar="KIND", help=f"{', '.join(ListedKind)}."),
    ],
    json: JsonOption = False,
) -> None:
    """List all components of one kind, or all suites, and where they are defined."""
    from simbench.catalogue import entries as catalogue
    from simbench.cli.output import print_json, stdout_reserved

    with stdout_reserved(json):
        entries, broken = catalogue.entries(kind), catalogue.broken()
    if json:
        problems = [{"plugin": name, "reason": reason} for name, reason in broken.items()]
        print_json({kind.value: [entry.as_json() for entry in entries], "broken_plugins": problems})
    else:
        _show(entries, broken)


def _about(entry: Entry) -> Text:
    """Return the summary of an entry and, for a metric, lines with its formula, properties and reference."""
    from simbench.catalogue.metric_facts import properties
    from simbench.publish.visible_console import shown

    about = shown(entry.summary)
    if entry.kind == "metric":
        facts = entry.facts
        needs = f" · needs {', '.join(facts['needs'])}" if facts["needs"] else ""
        lines = (facts["formula"], properties(facts) + needs, f"{facts['family']} · {facts['reference']}".strip(" ·"))
        about.append("".join(f"\n{line}" for line in lines if line), style="dim")
    return about


def _show(entries: list[Entry], broken: dict[str, str]) -> None:
    from rich.table import Table

    from simbench.cli.output import results_console
    from simbench.publish.visible_console import shown

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(ratio=1)
    table.add_column(no_wrap=True, style="dim")
    for entry in entries:
        table.add_row(shown(entry.name), _about(entry), shown(entry.module or entry.file))
    console = results_console()
    console.print(table)
    for name, reason in broken.items():
        console.print(shown(f"broken plugin {name}: {reason}", style="red"))
