"""Fingerprints: the grade of a metric under every transform, one panel per metric."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simbench.board.board import Board, BoardColumn, BoardRow
from simbench.board.cells import cell, state, threshold
from simbench.plots.style import GREY, INK, LIGHT, LOOKS, VERMILLION, WORDS, new_figure, shortened, wrapped

ACROSS = 4
BAR = 0.155
# Colour and hatching of a bar by state; what did not pass is hollow, to be recognised in greyscale.
FILLS = {
    "pass": (LOOKS["pass"]["color"], ""),
    "fail": ("white", "//////"),
    "undecided": ("white", "...."),
    "partly": ("white", "oo"),
    "not promised": (LIGHT, ""),
}


def transform_columns(board: Board) -> list[BoardColumn]:
    """Return the columns of tests that have one per transform or reparametrisation."""
    return [column for column in board.columns if column.parent is not None and column.kind.endswith("invariance")]


def fingerprints(board: Board, metrics: Sequence[BoardRow]) -> Figure:
    """Draw bars of the grade under each transform, for several metrics side by side."""
    columns = transform_columns(board)
    across = min(ACROSS, len(metrics))
    down = -(-len(metrics) // across)
    width = 0.062 * max(len(name_of(column, columns)) for column in columns) + 0.1
    figure = new_figure(width + 1.35 * across + 0.2, down * (BAR * len(columns) + 0.36) + 1.0)
    grid = figure.subplots(down, across, squeeze=False, sharey=True, sharex=True)
    for position, axes in enumerate(grid.flat):
        if position >= len(metrics):
            axes.set_axis_off()
            continue
        _panel(axes, metrics[position], columns)
    for axes in grid[:, 0]:
        axes.set_yticks(range(len(columns)), [name_of(column, columns) for column in columns])
    grid[0, 0].set_ylim(len(columns) - 0.4, -0.6)
    grid[0, 0].set_xlim(0, 1.02)
    grid[0, 0].set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    title = f"{board.suite}@{board.version}: the share of comparisons that a transform leaves as they are"
    figure.suptitle(wrapped(title, round(11 * figure.get_figwidth())), fontsize=9, fontweight="bold")
    _legend(figure, {state(cell(entry.row, column)) for entry in metrics for column in columns})
    return figure


def name_of(column: BoardColumn, columns: Sequence[BoardColumn]) -> str:
    """Return the name of a transform, with its test if two tests have a transform of this name."""
    short = column.id.removeprefix(f"{column.parent}/")
    alike = [column for column in columns if column.id.removeprefix(f"{column.parent}/") == short]
    return (short if len(alike) == 1 else f"{short} ({column.parent})").replace("_", " ")


def _panel(axes: Axes, entry: BoardRow, columns: Sequence[BoardColumn]) -> None:
    axes.set_title(shortened(entry.row.metric.label, 24))
    axes.tick_params(axis="y", length=0)
    limits = {threshold(column) for column in columns} - {None}
    for least in limits:
        axes.axvline(float(least or 0), color=GREY, linewidth=0.6, linestyle=(0, (1, 2)), zorder=0)
    parents = [column.parent for column in columns]
    for height in range(1, len(columns)):
        if parents[height] != parents[height - 1]:
            axes.axhline(height - 0.5, color=LIGHT, linewidth=0.8, zorder=0)
    for height, column in enumerate(columns):
        verdict = cell(entry.row, column)
        if verdict.grade is None:
            axes.text(0.04, height, verdict.status, va="center", fontsize=6, color=GREY, style="italic")
            continue
        name = state(verdict)
        face, hatch = FILLS[name]
        edge = LOOKS[name]["color"]
        axes.barh(
            height, verdict.grade, height=0.62, facecolor=face, edgecolor=edge, hatch=hatch, linewidth=0.7, zorder=2
        )
        if verdict.grade == 0:
            # A bar of length zero is invisible: zero is shown by a stroke.
            axes.plot([0, 0], [height - 0.31, height + 0.31], color=VERMILLION, linewidth=2.5, zorder=3, clip_on=False)
        if verdict.interval is not None:
            axes.plot(verdict.interval, [height, height], color=INK, linewidth=0.8, zorder=4)


def _legend(figure: Figure, states: set[str]) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Patch | Line2D] = [
        Patch(facecolor=face, edgecolor=LOOKS[name]["color"], hatch=hatch, label=WORDS[name])
        for name, (face, hatch) in FILLS.items()
        if name in states
    ]
    handles.append(Line2D([], [], color=INK, linewidth=0.8, label="95 % interval over models"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), handletextpad=0.5)
