"""`simbench runs`: the runs whose documents are in the store."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simbench.cli.options import JsonOption, StoreOption

if TYPE_CHECKING:
    from pathlib import Path

# The time in the id of a run.
STARTED = re.compile(r"-(\d{8}T\d{6})-[0-9a-f]+$")
OUTCOMES = ("pass", "fail", "undecided", "not promised", "partly", "skip", "error", "timeout", "missing")
# Most metrics that are named in the table; the JSON document has all.
MOST_NAMED = 4


def command(
    suite: Annotated[
        str | None, typer.Argument(metavar="[SUITE]", help="Only runs of this suite.", show_default=False)
    ] = None,
    store: StoreOption = None,
    json: JsonOption = False,
) -> None:
    """List the runs in the store, the latest first: suite, time, metrics, verdicts, commit."""
    from simbench.cli.output import print_json, read_store, results_console, say, stdout_reserved

    with stdout_reserved(json):
        root = read_store(store).root
        paths = sorted((root / "runs").glob("*.json"))
        runs = [run for path in paths if (run := _run(path)) is not None and suite in (None, run["suite"])]
        runs.sort(key=lambda run: (run["time"] or "", run["id"]), reverse=True)
    if json:
        print_json({"schema_version": 1, "store": str(root), "runs": runs})
    elif not runs:
        say(f"no runs{'' if suite is None else f' of {suite}'} in {root}; `simbench run SUITE` makes one")
    else:
        results_console().print(_table(runs))


def _run(path: Path) -> dict[str, Any] | None:
    """Return what the list says of a run; of a damaged document, or a former version's, None after a warning."""
    from simbench.board.cells import cell, state
    from simbench.cli.output import say
    from simbench.cli.source import board_and_document
    from simbench.errors import SimbenchError

    try:
        board, _ = board_and_document(path)
    except (SimbenchError, OSError) as error:
        say(f"warning: {error}", error=True)
        return None
    verdicts = [cell(entry.row, test) for entry in board.rows for test in board.tests]
    commits = {str(run["commit"]) for run in board.provenance.get("runs", {}).values() if run.get("commit")}
    started = STARTED.search(path.stem)
    when = None if started is None else datetime.strptime(started[1], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    return {
        "id": path.stem,
        "suite": board.suite,
        "version": board.version,
        "time": None if when is None else when.isoformat(),
        "metrics": [entry.row.metric.label for entry in board.rows],
        "tests": [test.id for test in board.tests],
        "verdicts": {name: sum(state(verdict) == name for verdict in verdicts) for name in OUTCOMES},
        "commits": sorted(commits),
    }


def _table(runs: list[dict[str, Any]]) -> Any:
    from rich.table import Table

    from simbench.board.cells import MARKS
    from simbench.publish.visible_console import shown

    table = Table(box=None, pad_edge=False)
    for heading in ("run", "suite", "time (UTC)", "metrics", "verdicts", "commit"):
        table.add_column(heading, no_wrap=heading in ("run", "time (UTC)"))
    for run in runs:
        names = run["metrics"][:MOST_NAMED]
        more = len(run["metrics"]) - len(names)
        counts = [f"{number}{MARKS.get(name, f' {name}')}" for name, number in run["verdicts"].items() if number]
        cells = (
            run["id"],
            f"{run['suite']}@{run['version']}",
            (run["time"] or "").removesuffix("+00:00").replace("T", " "),
            ", ".join(names) + (f" and {more} more" if more else ""),
            " ".join(counts),
            ", ".join(commit[:10] for commit in run["commits"]) or "–",
        )
        table.add_row(*map(shown, cells))
    return table
