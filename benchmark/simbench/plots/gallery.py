"""All figures that a board and its scores allow, by file name."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial

from matplotlib.figure import Figure

from simbench.board.board import Board, BoardRow
from simbench.board.evidence import Evidence
from simbench.board.layer_grids import maps_of_test
from simbench.errors import UnknownNameError
from simbench.plots.fingerprints import fingerprints, transform_columns
from simbench.plots.grades import grades
from simbench.plots.heat_maps import heat_maps
from simbench.plots.standing import standing
from simbench.plots.style import Draw

# Most heat maps or fingerprints in one figure; more are drawn on further figures.
MOST_PANELS = 16


def gallery(
    board: Board, evidence: Evidence | None, metrics: Collection[str] = (), tests: Collection[str] = ()
) -> dict[str, Draw]:
    """Return functions that draw the figures, by name.

    Args:
        board: the leaderboard. Figures show its standing, even if they show only some of its metrics and tests.
        evidence: the scores behind it; without them there are no heat maps.
        metrics: labels of the metrics to show, in this order; all by default.
        tests: ids of the tests to show; all by default.
    """
    shown = _chosen(board, metrics, tests)
    pictures: dict[str, Draw] = {"grades": partial(grades, shown)}
    if board.rows:
        pictures["standing"] = partial(standing, board)
    if transform_columns(shown) and shown.rows:
        pictures |= _paged("invariance", shown, partial(fingerprints, shown))
    if evidence is None:
        return pictures
    # A test with columns is shown by its columns.
    for test in shown.undivided:
        for layout, block in maps_of_test(evidence, test.id):
            compared = replace(shown, rows=[row for row in shown.rows if row.row.metric.label in block.metrics])
            if compared.rows:
                name = f"heatmaps-{file_name(test.id)}{'-models' if layout.of_models else ''}"
                pictures |= _paged(name, compared, partial(heat_maps, test, layout=layout, block=block))
    return pictures


def file_name(name: str) -> str:
    """Return a name that is valid on any file system.

    >>> file_name("a/../b c")
    'a_.._b_c'
    """
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name)


def _paged(name: str, board: Board, draw: Callable[[Sequence[BoardRow]], Figure]) -> Mapping[str, Draw]:
    """Divide a figure into several of at most `MOST_PANELS` metrics."""
    pages = [board.rows[start : start + MOST_PANELS] for start in range(0, len(board.rows), MOST_PANELS)]
    if len(pages) == 1:
        return {name: partial(draw, pages[0])}
    return {f"{name}-{number}": partial(draw, page) for number, page in enumerate(pages, 1)}


def _chosen(board: Board, metrics: Collection[str], tests: Collection[str]) -> Board:
    """Return the board with some of its rows and tests."""
    by_label = {entry.row.metric.label: entry for entry in board.rows}
    ids = {test.id for test in board.tests}
    for kind, names, valid in (("metric", metrics, by_label), ("test", tests, ids)):
        for name in names:
            if name not in valid:
                raise UnknownNameError(kind, name, valid)
    columns = [column for column in board.columns if not tests or (column.parent or column.id) in tests]
    rows = [by_label[label] for label in metrics] if metrics else list(board.rows)
    return replace(board, columns=columns, rows=rows)
