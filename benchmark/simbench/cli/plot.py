"""`simbench plot`: draw figures for papers, from the scores in the store, a run's document or a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from simbench.cli.options import StoreOption

if TYPE_CHECKING:
    from simbench.board.board import Board
    from simbench.board.evidence import Evidence


class FigureFormat(StrEnum):
    """File formats of figures."""

    png = "png"
    svg = "svg"
    pdf = "pdf"


def command(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SUITE_OR_RUN",
            help="A suite with scores in the store, a run (its id or its JSON file), or a bundle.",
            show_default=False,
        ),
    ],
    metric: Annotated[
        list[str] | None,
        typer.Option(
            "--metric", "-m", metavar="METRIC", help="Only this metric, by its label; repeatable.", show_default=False
        ),
    ] = None,
    test: Annotated[
        list[str] | None,
        typer.Option("--test", metavar="TEST", help="Only this test of the suite; repeatable.", show_default=False),
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="Where to write.")] = Path("figures"),
    format: Annotated[
        list[FigureFormat] | None,
        typer.Option("--format", metavar="png|svg|pdf", help="Repeatable [default: png].", show_default=False),
    ] = None,
    store: StoreOption = None,
) -> None:
    """Draw grades, standing, invariances and layer × layer heat maps for a paper."""
    from simbench.cli.output import progress_console, say
    from simbench.errors import SimbenchError
    from simbench.files import replacing

    try:
        from simbench.plots.gallery import file_name, gallery
        from simbench.plots.style import rendered
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "matplotlib":
            raise
        raise SimbenchError("plot needs matplotlib: pip install 'simbench-leaderboard[plot]'") from None

    board, evidence = _read_board(source, store, metric or ())
    if evidence is None:
        remark = "warning: this document has no scores, so there are no heat maps; run the suite again to have them"
        progress_console().print(remark, markup=False, highlight=False, soft_wrap=True)
    for name, draw in gallery(board, evidence, metric or (), test or ()).items():
        for form in format or [FigureFormat.png]:
            path = out / f"{file_name(board.suite)}-{name}.{form.value}"
            picture = rendered(draw, form.value)
            with replacing(path) as temporary:
                temporary.write_bytes(picture)
            say(path)


def _read_board(source: str, store: Path | None, metrics: Sequence[str]) -> tuple[Board, Evidence | None]:
    """Return the board of a run's document, a bundle or a suite, with the scores behind it if there are any."""
    from simbench.board.evidence import evidence_of
    from simbench.cli.source import board_and_evidence, place_of
    from simbench.errors import SimbenchError
    from simbench.verify.published import bundle_in

    path = place_of(source, store)
    if path.suffix in (".json", ".zip") or path.is_dir():
        recorded = board_and_evidence(bundle_in(path) or path)
        if recorded is not None:
            return recorded
    from simbench.cli.output import read_store
    from simbench.run.session import stored_results

    # `run` also takes the file of a metric; here it is an error. Labels are checked later.
    files = [name for name in metrics if name.endswith(".py") or ":" in name]
    if files:
        raise SimbenchError(f'--metric takes the label of a metric of the board, not "{files[0]}"')
    board, scores = stored_results(source, store=read_store(store))
    return board, evidence_of(board, scores)
