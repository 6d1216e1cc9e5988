"""`simbench compare`: differences of grades between two runs, paired over models, with intervals."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simbench.cli.options import JsonOption, StoreOption

if TYPE_CHECKING:
    from simbench.board.comparison import Difference

RUN_HELP = "A run (its id or its JSON file), a published folder, or a bundle."


def command(
    first: Annotated[str, typer.Argument(metavar="RUN", help=RUN_HELP, show_default=False)],
    second: Annotated[str, typer.Argument(metavar="RUN", help=RUN_HELP, show_default=False)],
    metric: Annotated[
        list[str] | None,
        typer.Option(
            "--metric", "-m", metavar="METRIC", help="Only this metric, by its label; repeatable.", show_default=False
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            metavar="METRIC",
            help="The metric of the second run to hold --metric against [default: the same].",
            show_default=False,
        ),
    ] = None,
    store: StoreOption = None,
    json: JsonOption = False,
) -> None:
    """Compare two runs of a suite: the difference of every grade, second − first, with its 95 % interval."""
    from simbench.board.comparison import compare, only_in_one
    from simbench.cli.output import print_json, results_console, stdout_reserved
    from simbench.cli.source import recorded_board
    from simbench.errors import SimbenchError

    if against is not None and not metric:
        raise SimbenchError("--against needs --metric: the metric of the first run")
    with stdout_reserved(json):
        boards = recorded_board(first, store), recorded_board(second, store)
        left_out: dict[str, list[str]] = {"first": [], "second": []} if metric else only_in_one(*boards)
        differences = compare(*boards, [(label, against or label) for label in metric or ()])
    if json:
        print_json(
            {
                "schema_version": 1,
                "suite": boards[0].suite,
                "version": boards[0].version,
                "differences": [difference.to_dict() for difference in differences],
                "only_in": left_out,
            }
        )
    else:
        console = results_console()
        console.print(_table(differences, first, second))
        for side, names in left_out.items():
            if names:
                console.print(f"only in the {side}: {', '.join(names)}", markup=False, highlight=False)


def _table(differences: list[Difference], first: str, second: str) -> Any:
    from rich.table import Table

    table = Table("metric", "test", "first", "second", "difference", "95 % interval", "")
    table.title = f"{Path(second).name} − {Path(first).name}"
    for compared in differences:
        interval = (
            f"[{compared.interval[0]:+.3f}, {compared.interval[1]:+.3f}]" if compared.interval is not None else "–"
        )
        name = compared.metric if compared.metric == compared.other else f"{compared.other} − {compared.metric}"
        difference = f"{compared.difference:+.3f}" if compared.difference is not None else "–"
        remark = "worse" if compared.worse else compared.reason
        table.add_row(
            name,
            compared.test,
            _shown(compared.first, compared.outcomes[0]),
            _shown(compared.second, compared.outcomes[1]),
            difference,
            interval,
            remark,
        )
    return table


def _shown(grade: float | None, outcome: str) -> str:
    from simbench.board.cells import MARKS

    return "–" if grade is None else f"{MARKS.get(outcome, outcome)} {grade:.3f}"
