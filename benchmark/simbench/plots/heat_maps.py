"""Heat maps of the scores of layer against layer, one map per metric, side by side.

Within one network the diagonal should be the largest entry of each column; across two trainings of one architecture it
should be so up to neighbouring layers. Entries that violate a test's rule are marked.
"""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.patheffects as effects
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simbench.board.board import BoardColumn, BoardRow
from simbench.board.cells import cell, mark
from simbench.board.evidence import EvidenceBlock
from simbench.board.layer_grids import HeatMap, LayerMap, heat_map
from simbench.plots.style import INK, LIGHT, new_figure, shortened, wrapped

ACROSS = 4
PANEL = 1.72
# Readable by the colour-blind; the lightness rises evenly, so that it also prints in greyscale.
COLOURS = "viridis"


def heat_maps(test: BoardColumn, metrics: Sequence[BoardRow], layout: LayerMap, block: EvidenceBlock) -> Figure:
    """Draw the maps of several metrics on one test, each the mean over the pairs of models of the grid.

    Args:
        test: a whole test.
        metrics: one panel each, in this order; all of them have scores on the block's comparisons.
        layout: the cells of the test's comparisons.
        block: the scores.
    """
    across = min(ACROSS, len(metrics))
    down = -(-len(metrics) // across)
    figure = new_figure(max(3.6, across * PANEL + 0.7), down * (PANEL + 0.12) + 1.15)
    figure.set_layout_engine("constrained", h_pad=0.06)
    axes_grid = figure.subplots(down, across, squeeze=False)
    maps = [heat_map(layout, block.metrics[entry.row.metric.label]) for entry in metrics]
    for position, axes in enumerate(axes_grid.flat):
        if position >= len(metrics):
            axes.set_axis_off()
            continue
        _panel(axes, maps[position], layout.pairs, metrics[position], test)
        lowest = position + across >= len(metrics)
        _label(axes, layout, left=position % across == 0, below=lowest)
    _frame(figure, test, layout, any(drawn.broken.any() for drawn in maps))
    return figure


def _panel(axes: Axes, heat_map: HeatMap, pairs: int, entry: BoardRow, test: BoardColumn) -> None:
    verdict = cell(entry.row, test)
    grade = "" if verdict.grade is None else f" {verdict.grade:.2f}"
    label = f"{shortened(entry.row.metric.label, 26)}\n{mark(verdict)}{grade}"
    axes.set_facecolor(LIGHT)
    for spine in axes.spines.values():
        spine.set_visible(False)
    if np.isnan(heat_map.mean).all():
        axes.set_title(label, pad=3)
        reason = shortened(verdict.reason or "no score", 90)
        axes.text(0.5, 0.5, wrapped(reason, 24), transform=axes.transAxes, ha="center", va="center", fontsize=6)
        return
    higher = entry.row.metric.declaration.higher_is_more_similar
    low, high = float(np.nanmin(heat_map.mean)), float(np.nanmax(heat_map.mean))
    far, near = (low, high) if higher else (high, low)
    axes.set_title(f"{label}   {_figures(far)} to {_figures(near)}", pad=3)
    share = (heat_map.mean - low) / ((high - low) or 1.0)
    axes.imshow(share if higher else 1 - share, cmap=COLOURS, vmin=0, vmax=1, interpolation="nearest")
    for row, column in zip(*np.nonzero(heat_map.broken), strict=True):
        # White on black, visible on the darkest and on the lightest entry.
        axes.text(
            column, row, "×" if pairs == 1 else str(heat_map.broken[row, column]), ha="center", va="center_baseline",
            fontsize=9 if pairs == 1 else 6.5, color="white", fontweight="bold", clip_on=False,
            path_effects=[effects.withStroke(linewidth=1.6, foreground=INK)],
        )  # fmt: skip


def _figures(value: float) -> str:
    return f"{0.0 if abs(value) < 5e-4 else value:.2g}" if abs(value) < 1 else f"{value:.3g}"


def _label(axes: Axes, layout: LayerMap, *, left: bool, below: bool) -> None:
    axes.set_xlim(-0.5, len(layout.columns) - 0.5)
    axes.set_ylim(len(layout.rows) - 0.5, -0.5)
    axes.set_aspect("equal")
    axes.set_xticks(range(len(layout.columns)), layout.columns if below else [""] * len(layout.columns), rotation=90)
    axes.set_yticks(range(len(layout.rows)), layout.rows if left else [""] * len(layout.rows))
    axes.tick_params(length=0)


def _frame(figure: Figure, test: BoardColumn, layout: LayerMap, broken: bool) -> None:
    from matplotlib.cm import ScalarMappable

    what = "model" if layout.of_models else "layer"
    lines = ["below each name: the grade, and the scores of its map from the least to the most similar"]
    if broken:
        several = f"numbers: in how many of the {layout.pairs} maps an entry breaks the test's rule"
        lines.append(several if layout.pairs > 1 else "×: the entry breaks the test's rule")
    figure.suptitle(f"{test.id}: {layout.name}", fontsize=9, fontweight="bold")
    note = "\n".join(wrapped(line, round(17 * figure.get_figwidth())) for line in lines)
    figure.supxlabel(f"receiving {what}\n{note}", fontsize=7.5)
    figure.supylabel(f"sending {what}", fontsize=8)
    bar = figure.colorbar(
        ScalarMappable(cmap=COLOURS), ax=figure.axes, location="right", shrink=0.6, aspect=30, fraction=0.04, pad=0.01
    )
    bar.set_ticks([0, 1], labels=["least", "most\nsimilar\nof its\nmap"])
    bar.ax.tick_params(length=0)
    bar.ax.get_yticklabels()[1].set_verticalalignment("top")
    bar.outline.set_visible(False)
