"""`simbench publish`: write a suite's leaderboard from the scores in the store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from simbench.cli.options import MetricOption, StoreOption, SuiteArgument


def command(
    suite: SuiteArgument,
    metric: MetricOption = None,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="Where to write.")] = Path("leaderboard"),
    store: StoreOption = None,
) -> None:
    """Write the leaderboard of a suite: Markdown, JSON, CSV and a self-contained page."""
    from simbench.cli.output import progress_console
    from simbench.errors import ExitCode
    from simbench.leaderboard.publish import publish
    from simbench.run.session import stored_board

    board = stored_board(suite, metrics=metric or (), store=store)
    for path in publish(board, out):
        print(path)
    missing = sorted(
        {
            f"{ranked.row.metric.label}: {verdict.status} on {test.id}: {verdict.reason}"
            for ranked in board.rows
            for test in board.tests
            if (verdict := ranked.row.verdicts[test.id]).status in ("missing", "error")
        }
    )
    for line in missing:
        progress_console().print(f"warning: {line}", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(int(ExitCode.INCOMPLETE if missing else ExitCode.OK))
