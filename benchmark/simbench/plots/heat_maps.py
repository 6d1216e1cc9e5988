"""The picture that this field always draws: layer against layer, one map per metric, side by side.

Within one network the diagonal should be the largest entry of each column; so it should, up to near layers, across two
trainings of one architecture. The entries that broke a test's rule are marked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simbench.leaderboard.board import RankedRow, TestColumn
from simbench.leaderboard.cells import cell, mark
from simbench.leaderboard.scores import ScoreRow
from simbench.plots.style import INK, LIGHT, new_figure, shortened, wrapped

ACROSS = 4
PANEL = 1.72
COLOURS = "cividis"
"""Made for colour-blind readers; its lightness rises evenly, so that it also prints in grey."""

Place = tuple[str, str]


@dataclass(frozen=True)
class HeatMap:
    """One metric's scores between the layers of two models; rows send, columns receive, in similarity orientation."""

    similarity: npt.NDArray[np.float64]
    offending: tuple[tuple[int, int], ...]
    low: float
    high: float
    """The scores' own range, as the metric returned them."""


def model_pairs(rows: Sequence[ScoreRow]) -> list[Place]:
    """The pairs of models between whose unchanged layers there are scores, in the order they appear."""
    plain = (row for row in rows if not row.a_change and not row.b_change)
    return list(dict.fromkeys((row.a_model, row.b_model) for row in plain))


def layers_between(rows: Sequence[ScoreRow], pair: Place) -> list[str]:
    """The layers that were compared between two models, in their order in the network."""
    chosen = [row for row in rows if (row.a_model, row.b_model) == pair and not row.a_change and not row.b_change]
    return list(dict.fromkeys(layer for row in chosen for layer in (row.a_layer, row.b_layer)))


def heat_map(
    rows: Sequence[ScoreRow], ranked: RankedRow, test: TestColumn, pair: Place, layers: Sequence[str]
) -> HeatMap:
    """One metric's map between two models."""
    sign = 1.0 if ranked.row.metric.higher_is_more_similar else -1.0
    index = {layer: position for position, layer in enumerate(layers)}
    values = np.full((len(layers), len(layers)), np.nan)
    for row in rows:
        unchanged = (row.a_change, row.b_change) == ("", "") and (row.a_model, row.b_model) == pair
        if unchanged and row.metric == ranked.row.metric.label and row.value is not None:
            values[index[row.a_layer], index[row.b_layer]] = row.value
    broken = []
    for trial in cell(ranked.row, test).trials:
        for comparison in trial.offending:
            a_model, a_layer, a_change, b_model, b_layer, b_change = ScoreRow.place_of(comparison)
            if (a_model, b_model) == pair and not a_change and not b_change:
                broken.append((index[a_layer], index[b_layer]))
    known = values[np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if known.size else (float("nan"), float("nan"))
    return HeatMap(sign * values, tuple(dict.fromkeys(broken)), low, high)


def heat_maps(
    test: TestColumn, metrics: Sequence[RankedRow], rows: Sequence[ScoreRow], pair: Place | None = None
) -> Figure:
    """The maps of several metrics on one test, between the first pair of models unless another is given.

    Args:
        test: a whole test; its kind compares layers with layers.
        metrics: one panel each, in this order.
        rows: the scores of this test.
        pair: names of the two models, `("cnn/0", "cnn/1")`.
    """
    chosen = pair or model_pairs(rows)[0]
    layers = layers_between(rows, chosen)
    across = min(ACROSS, len(metrics))
    down = -(-len(metrics) // across)
    figure = new_figure(max(3.6, across * PANEL + 0.7), down * (PANEL + 0.12) + 0.85)
    grid = figure.subplots(down, across, squeeze=False)
    by_metric: dict[str, list[ScoreRow]] = {}
    for row in rows:
        by_metric.setdefault(row.metric, []).append(row)
    for position, axes in enumerate(grid.flat):
        if position >= len(metrics):
            axes.set_axis_off()
            continue
        ranked = metrics[position]
        found = heat_map(by_metric.get(ranked.row.metric.label, []), ranked, test, chosen, layers)
        _panel(axes, found, ranked, test)
        lowest = position + across >= len(metrics)
        _label(axes, layers, left=position % across == 0, below=lowest)
    _frame(figure, test, chosen)
    return figure


def _panel(axes: Axes, found: HeatMap, ranked: RankedRow, test: TestColumn) -> None:
    verdict = cell(ranked.row, test)
    grade = "" if verdict.grade is None else f" {verdict.grade:.2f}"
    axes.set_title(
        f"{shortened(ranked.row.metric.label, 22)}\n{mark(verdict)}{grade}  {_range_text(found, ranked)}", pad=3
    )
    axes.set_facecolor(LIGHT)
    for spine in axes.spines.values():
        spine.set_visible(False)
    if np.isnan(found.similarity).all():
        axes.imshow(np.zeros_like(found.similarity), cmap="Greys", vmin=0, vmax=8, interpolation="nearest")
        reason = shortened(verdict.reason or "no score", 90)
        axes.text(0.5, 0.5, wrapped(reason, 24), transform=axes.transAxes, ha="center", va="center", fontsize=6)
        return
    low, high = np.nanmin(found.similarity), np.nanmax(found.similarity)
    spread = (high - low) or 1.0
    axes.imshow((found.similarity - low) / spread, cmap=COLOURS, vmin=0, vmax=1, interpolation="nearest")
    for row, column in found.offending:
        # White on black: seen on the darkest and the lightest entry alike.
        for colour, width in ((INK, 2.2), ("white", 0.9)):
            axes.plot(column, row, marker="x", markersize=4.2, color=colour, markeredgewidth=width, clip_on=False)


def _range_text(found: HeatMap, ranked: RankedRow) -> str:
    if np.isnan(found.low):
        return ""
    near, far = (found.high, found.low) if ranked.row.metric.higher_is_more_similar else (found.low, found.high)
    return f"({_figures(far)} to {_figures(near)})"


def _figures(value: float) -> str:
    return f"{0.0 if abs(value) < 5e-4 else value:.3g}"


def _label(axes: Axes, layers: Sequence[str], *, left: bool, below: bool) -> None:
    places = range(len(layers))
    axes.set_xticks(places, layers if below else [""] * len(layers), rotation=90)
    axes.set_yticks(places, layers if left else [""] * len(layers))
    axes.tick_params(length=0)


def _frame(figure: Figure, test: TestColumn, pair: Place) -> None:
    from matplotlib.cm import ScalarMappable

    one, other = pair
    where = f"within {one}" if one == other else f"{one} against {other}"
    figure.suptitle(f"{test.id}: {where}", fontsize=9, fontweight="bold")
    figure.supxlabel(f"receiving layer of {other}\n× marks an entry that breaks the test's rule", fontsize=8)
    figure.supylabel(f"sending layer of {one}", fontsize=8)
    bar = figure.colorbar(
        ScalarMappable(cmap=COLOURS), ax=figure.axes, location="right", shrink=0.6, aspect=30, fraction=0.04, pad=0.01
    )
    bar.set_ticks([0, 1], labels=["least", "most\nsimilar\nin its\nmap"])
    bar.ax.tick_params(length=0)
    bar.ax.get_yticklabels()[1].set_verticalalignment("top")
    bar.outline.set_visible(False)


def comparable_tests(tests: Sequence[TestColumn], rows: Mapping[str, Sequence[ScoreRow]]) -> list[TestColumn]:
    """The tests whose scores fill a map: all layers of one model against all those of one model."""
    found = []
    for test in tests:
        pairs = model_pairs(rows.get(test.id, ()))
        if not pairs:
            continue
        layers = layers_between(rows[test.id], pairs[0])
        chosen = {
            (row.a_layer, row.b_layer)
            for row in rows[test.id]
            if (row.a_model, row.b_model) == pairs[0] and not row.a_change and not row.b_change
        }
        if len(layers) > 1 and len(chosen) == len(layers) ** 2:
            found.append(test)
    return found
