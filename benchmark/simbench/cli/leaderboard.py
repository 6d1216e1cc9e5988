"""`simbench leaderboard merge`: merge several people's bundles of one suite into one board."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from simbench.cli.options import DropOption


class LeaderboardAction(StrEnum):
    """Actions of `simbench leaderboard`."""

    merge = "merge"


def command(
    action: Annotated[LeaderboardAction, typer.Argument(metavar="merge", help="Combine bundles.")],
    bundles: Annotated[
        list[Path],
        typer.Argument(
            metavar="BUNDLE...",
            help="Bundles of one suite and version, or published folders that hold one; the official one first.",
            show_default=False,
        ),
    ],
    official: Annotated[
        Path | None,
        typer.Option(
            "--official",
            metavar="BUNDLE",
            help="Bundle whose scores are shown of a metric that several have [default: the first].",
            show_default=False,
        ),
    ] = None,
    drop: DropOption = None,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="Where to write.")] = Path("leaderboard"),
) -> None:
    """Combine bundles into one leaderboard; check each first, and keep each metric's origin."""
    from simbench.bundles.archive import BUNDLE, write_files
    from simbench.cli.output import progress_console, say
    from simbench.errors import SimbenchError
    from simbench.publish.folder import publish
    from simbench.verify.merge import merge
    from simbench.verify.published import standing_rows
    from simbench.verify.verification import open_bundle

    paths = [*([official] if official is not None and official not in bundles else []), *bundles]
    names = [path.resolve().name for path in paths]
    # Bundles of one name in different folders are distinguished by their paths.
    origins = [name if names.count(name) == 1 else path.as_posix() for name, path in zip(names, paths, strict=True)]
    if len(set(origins)) != len(origins):
        raise SimbenchError("a bundle is given twice")
    contents = {origin: open_bundle(path) for origin, path in zip(origins, paths, strict=True)}
    first = None if official is None else origins[paths.index(official)]
    suite = next(iter(contents.values())).suite.suite
    merged = merge(contents, official=first, standing=standing_rows(out / suite), drop=drop or ())
    for path in publish(merged.board, out, merged.table):
        say(path)
    say(write_files(out / merged.board.suite / BUNDLE, merged.bundle))
    for second in merged.seconds:
        warning = "" if second.agrees else "warning: "
        progress_console().print(f"{warning}{second}", markup=False, highlight=False, soft_wrap=True)
