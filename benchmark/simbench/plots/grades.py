"""Grades of every metric on every test, with intervals and the grade that passes."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simbench.board.board import Board, BoardColumn, BoardRow
from simbench.board.cells import cell, state, threshold
from simbench.plots.style import GREY, LIGHT, LOOKS, legend_of_states, looks, new_figure, shortened

ROW = 0.19
PANEL = 1.25
WRAPPED = 16


def grades(board: Board) -> Figure:
    """Draw one panel per test and one line per metric in the board's order; dashed lines part the purposes."""
    tests, rows = board.tests, board.rows
    label = 0.085 * max((len(shortened(entry.row.metric.label, 34)) for entry in rows), default=8)
    figure = new_figure(label + PANEL * len(tests) + 0.3, ROW * len(rows) + 1.25)
    panels = figure.subplots(1, len(tests), squeeze=False, sharey=True)[0]
    parted = [place for place in range(1, len(rows)) if rows[place].main_purpose != rows[place - 1].main_purpose]
    for axes, test in zip(panels, tests, strict=True):
        _panel(axes, test, rows)
        for place in parted:
            axes.axhline(place - 0.5, color=GREY, linewidth=0.6, linestyle=(0, (4, 3)))
    panels[0].set_yticks(range(len(rows)), [shortened(row.row.metric.label, 34) for row in rows])
    panels[0].set_ylim(max(1, len(rows)) - 0.5, -0.5)
    figure.suptitle(f"{board.suite}@{board.version}: grades", fontsize=9, fontweight="bold")
    states = {state(cell(row.row, test)) for row in rows for test in tests}
    legend_of_states(figure, panels[0], states & set(LOOKS))
    return figure


def title_of(name: str) -> str:
    r"""Return the name of a test or a column, with line breaks so that neighbouring titles do not overlap.

    >>> title_of("distribution_invariance")
    'distribution\ninvariance'
    """
    return name.replace("_", "\n", 1) if len(name) > WRAPPED else name


def _panel(axes: Axes, test: BoardColumn, rows: Sequence[BoardRow]) -> None:
    axes.set_title(title_of(test.id))
    axes.set_xlim(-0.06, 1.06)
    axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    for height in range(len(rows)):
        axes.axhline(height, color=LIGHT, linewidth=0.5, zorder=0)
    least = threshold(test)
    if least is not None:
        axes.axvline(least, color=GREY, linewidth=0.6, linestyle=(0, (1, 2)), zorder=1)
    for height, entry in enumerate(rows):
        draw_verdict(axes, height, entry, test)


def draw_verdict(axes: Axes, height: float, entry: BoardRow, test: BoardColumn) -> None:
    """Draw a grade with its interval at a height, or the word that says why there is none."""
    verdict = cell(entry.row, test)
    if verdict.grade is None:
        axes.text(
            0.5, height, verdict.status, ha="center", va="center", fontsize=6, color=GREY, style="italic",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
        )  # fmt: skip
        return
    how = looks(verdict)
    if verdict.interval is not None:
        axes.plot(
            verdict.interval, [height, height], color=how["color"], linewidth=1.2, solid_capstyle="butt", zorder=2
        )
    axes.plot(verdict.grade, height, linestyle="none", markersize=4, zorder=3, clip_on=False, **how)
