"""`simbench publish`: write a suite's leaderboard from the scores in the store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from simbench.cli.options import DropOption, ExceptOption, MetricOption, StoreOption, SuiteArgument, SuiteMetricsOption


def command(
    suite: SuiteArgument,
    metric: MetricOption = None,
    suite_metrics: SuiteMetricsOption = True,
    excluded: ExceptOption = None,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="Where to write.")] = Path("leaderboard"),
    store: StoreOption = None,
    bundle: Annotated[
        Path | None,
        typer.Option(
            "--bundle",
            metavar="FILE.zip|FOLDER",
            help="Write the bundle, which `simbench verify` checks, here as well.",
            show_default=False,
        ),
    ] = None,
    bundle_models: Annotated[
        bool, typer.Option("--bundle-models", help="Put the trained weights into the bundle, too.")
    ] = False,
    drop: DropOption = None,
    csv: Annotated[
        bool, typer.Option("--csv", help="Write the scores as CSV, too; it is large, and Parquet has the same.")
    ] = False,
) -> None:
    """Write the leaderboard of a suite: tables, a self-contained page, and a bundle that proves them."""
    from simbench.bundles.archive import BUNDLE, write_files
    from simbench.bundles.pack import bundle_of
    from simbench.cli.output import progress_console, read_store, say
    from simbench.errors import ExitCode, SimbenchError
    from simbench.publish.folder import publish
    from simbench.run.session import prepare, stored_results
    from simbench.verdicts.verdict import LACKING
    from simbench.verify.published import refuse_loss, standing_rows

    plan = prepare(suite, metric or (), suite_metrics=suite_metrics, excluded=excluded or ())
    rows = [planned.metric.label for planned in plan.board]
    refuse_loss(rows, standing_rows(out / plan.suite.suite), drop or (), "choose another folder by --out")
    place, remarks = read_store(store), progress_console()
    try:
        proof, board, scores = bundle_of(plan, place)
    except SimbenchError as reason:
        if bundle is not None:
            raise
        proof = {}
        board, scores = stored_results(
            suite, metrics=metric or (), suite_metrics=suite_metrics, excluded=excluded or (), store=place
        )
        remarks.print(f"no {BUNDLE}: {reason}", markup=False, highlight=False, soft_wrap=True)
    for path in publish(board, out, scores, csv=csv):
        say(path)
    if proof:
        say(write_files(out / board.suite / BUNDLE, proof))
        if bundle is not None:
            say(write_files(bundle, bundle_of(plan, place, with_models=True).files if bundle_models else proof))
    made_with = board.provenance["made_with"]
    if made_with.get("dirty"):
        line = (
            f"warning: this simbench is not what commit {made_with['commit'][:12]} holds: publish from a clean checkout"
        )
        remarks.print(line, markup=False, highlight=False, soft_wrap=True)
    missing = sorted(
        {
            f"{ranked.row.metric.label}: {verdict.status} on {test.id}: {verdict.reason}"
            for ranked in board.rows
            for test in board.tests
            if (verdict := ranked.row.verdicts[test.id]).status in LACKING
        }
    )
    for line in missing:
        remarks.print(f"warning: {line}", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(int(ExitCode.INCOMPLETE if missing else ExitCode.OK))
