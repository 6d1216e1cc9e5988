"""`simbench leaderboard merge`: merge several people's bundles of one suite into one board."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class LeaderboardAction(StrEnum):
    """Actions of `simbench leaderboard`."""

    merge = "merge"


def command(
    action: Annotated[LeaderboardAction, typer.Argument(metavar="merge", help="Combine bundles.")],
    bundles: Annotated[
        list[Path], typer.Argument(metavar="BUNDLE...", help="Bundles of one suite and version.", show_default=False)
    ],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="Where to write.")] = Path("leaderboard"),
) -> None:
    """Combine bundles into one leaderboard; check each first, and keep each metric's origin."""
    from simbench.bundles.archive import BUNDLE, write_files
    from simbench.cli.output import progress_console
    from simbench.errors import SimbenchError
    from simbench.publish.folder import publish
    from simbench.verify.merge import merge
    from simbench.verify.verification import open_bundle

    names = [path.name for path in bundles]
    # Bundles of one name in different folders are distinguished by their paths.
    origins = [name if names.count(name) == 1 else path.as_posix() for name, path in zip(names, bundles, strict=True)]
    if len(set(origins)) != len(origins):
        raise SimbenchError("a bundle is given twice")
    merged = merge({origin: open_bundle(path) for origin, path in zip(origins, bundles, strict=True)})
    for path in publish(merged.board, out, merged.table):
        print(path)
    print(write_files(out / merged.board.suite / BUNDLE, merged.bundle))
    for label, confirming in merged.confirmed.items():
        line = f"{label}: {' and '.join(confirming)} agree; the scores are those of {confirming[0]}"
        progress_console().print(line, markup=False, highlight=False, soft_wrap=True)
