"""`simbench publish`: write a suite's leaderboard from the scores in the store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from simbench.cli.options import MetricOption, StoreOption, SuiteArgument


def command(
    suite: SuiteArgument,
    metric: MetricOption = None,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="Where to write.")] = Path("leaderboard"),
    store: StoreOption = None,
    bundle: Annotated[
        Path | None,
        typer.Option(
            "--bundle",
            metavar="FILE.zip|FOLDER",
            help="Also write a bundle that others can check with `simbench verify`.",
            show_default=False,
        ),
    ] = None,
    bundle_models: Annotated[
        bool, typer.Option("--bundle-models", help="Put the trained weights into the bundle, too.")
    ] = False,
) -> None:
    """Write the leaderboard of a suite: Markdown, JSON, CSV, Parquet and a self-contained page."""
    from simbench.cli.output import progress_console
    from simbench.errors import ExitCode
    from simbench.leaderboard.publish import publish
    from simbench.run.session import stored_results

    board, scores = stored_results(suite, metrics=metric or (), store=store)
    for path in publish(board, out, scores):
        print(path)
    if bundle is not None:
        print(_bundled(suite, metric or (), store, bundle, bundle_models))
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


def _bundled(suite: str, metrics: Sequence[str], store: Path | None, path: Path, with_models: bool) -> Path:
    """Write the bundle of a suite; gives its path."""
    from simbench.results.store import Store
    from simbench.run.session import prepare
    from simbench.verify.archive import write_files
    from simbench.verify.pack import bundle_of

    return write_files(path, bundle_of(prepare(suite, metrics), Store(store), with_models=with_models))
