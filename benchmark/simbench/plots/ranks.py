"""Mean ranks of the metrics over the tests and groups of ties, after Demšar (2006).

The board's own intervals and tie groups (a bootstrap over tests and models) are drawn if it has them. Otherwise a group
is a run of metrics whose mean ranks differ by less than Nemenyi's critical difference, q √(k (k + 1) / 6N) for k
metrics and N tests, which treats tests as independent and grades as exact.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from simbench.board.board import Board, RankedRow
from simbench.board.standing import average_ranks
from simbench.plots.style import BLUE, GREY, INK, LIGHT, new_figure, shortened

ROW = 0.2
ALPHA = 0.05


def rank_plot(board: Board) -> Figure:
    """Draw mean ranks, best on top, over the ranks on single tests, and bars that join groups of ties."""
    rows = [ranked for ranked in board.rows if ranked.mean_rank is not None]
    groups, how = tie_runs(board, rows)
    limit = None if any(ranked.tie_groups for ranked in rows) else critical_difference(len(rows), len(board.tests))
    figure = new_figure(5.6, max(2.0, ROW * len(rows) + 1.35))
    ranks, bars = figure.subplots(1, 2, sharey=True, width_ratios=[5, 1])
    _ranks(ranks, board, rows)
    _bars(bars, groups)
    if limit is not None:
        _scale(ranks, limit)
    ranks.set_yticks(range(len(rows)), [shortened(ranked.row.metric.label, 34) for ranked in rows])
    ranks.set_ylim(len(rows) - 0.5, -0.5 if limit is None else -1.3)
    figure.suptitle(
        f"{board.suite}@{board.version}: mean rank over {len(board.tests)} tests", fontsize=9, fontweight="bold"
    )
    unranked = len(board.rows) - len(rows)
    left_out = f"\ngraded in part, and so not ranked: {unranked}" if unranked else ""
    figure.supxlabel(f"{how}{left_out}", fontsize=6.5, color=GREY)
    return figure


def ranks_by_test(board: Board, rows: Sequence[RankedRow]) -> list[list[float]]:
    """Rank these metrics on each test."""
    return [average_ranks([ranked.row.verdicts[test.id].grade or 0.0 for ranked in rows]) for test in board.tests]


def critical_difference(metrics: int, tests: int) -> float:
    """Return Nemenyi's critical difference of mean ranks at 5 %; Demšar (2006), Table 5: q = 2.728 for five metrics.

    >>> round(critical_difference(5, 10), 3)
    1.929
    """
    from scipy.stats import studentized_range

    quantile = float(studentized_range.ppf(1 - ALPHA, metrics, np.inf)) / math.sqrt(2)
    return quantile * math.sqrt(metrics * (metrics + 1) / (6 * tests))


def tie_runs(board: Board, rows: Sequence[RankedRow]) -> tuple[list[range], str]:
    """Return runs of two or more neighbours that are tied, and the rule in words."""
    if len(rows) < 2 or not board.tests:
        return [], "fewer than two ranked metrics"
    if any(ranked.tie_groups for ranked in rows):
        numbers = sorted({number for ranked in rows for number in ranked.tie_groups})
        members = [[place for place, ranked in enumerate(rows) if number in ranked.tie_groups] for number in numbers]
        runs = [range(places[0], places[-1] + 1) for places in members if len(places) > 1]
        return runs, "bars join metrics that a bootstrap over tests and models does not tell apart"
    limit = critical_difference(len(rows), len(board.tests))
    means = [ranked.mean_rank or 0.0 for ranked in rows]
    how = f"bars join metrics closer than the critical difference {limit:.1f} (Nemenyi, 5 %, {len(board.tests)} tests)"
    return joined(means, limit), how


def joined(means: Sequence[float], limit: float) -> list[range]:
    """Return the longest runs of ordered values that span less than a limit.

    >>> joined([1.0, 2.0, 2.5, 9.0], 1.2)
    [range(0, 2), range(1, 3)]
    """
    runs: list[range] = []
    for first in range(len(means)):
        last = max(place for place in range(first, len(means)) if means[place] - means[first] < limit)
        if last > first and (not runs or last >= runs[-1].stop):
            runs.append(range(first, last + 1))
    return runs


def _ranks(axes: Axes, board: Board, rows: Sequence[RankedRow]) -> None:
    axes.set_xlabel("rank (1 is best)")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlim(0.5, max(2, len(rows)) + 0.5)
    by_test = ranks_by_test(board, rows)
    for height, ranked in enumerate(rows):
        axes.axhline(height, color=LIGHT, linewidth=0.5, zorder=0)
        of_tests = [ranks[height] for ranks in by_test]
        axes.plot(of_tests, [height] * len(of_tests), linestyle="none", marker="|", markersize=6, color=GREY, zorder=1)
        if ranked.rank_interval is not None:
            axes.plot(ranked.rank_interval, [height, height], color=BLUE, linewidth=1.2, zorder=2)
        axes.plot(ranked.mean_rank or 0.0, height, marker="o", markersize=4.5, color=BLUE, zorder=3)
    if len(rows) <= 12:
        axes.set_xticks(range(1, len(rows) + 1))


def _scale(axes: Axes, limit: float) -> None:
    """Draw the critical difference as a length, on top."""
    axes.errorbar(1 + limit / 2, -0.85, xerr=limit / 2, color=INK, linewidth=1.0, capsize=2.5, clip_on=False)
    axes.text(1 + limit + 0.15, -0.85, f"critical difference {limit:.1f}", va="center", fontsize=6.5)


def _bars(axes: Axes, groups: Sequence[range]) -> None:
    """Draw one vertical bar per group, side by side, so that overlapping groups can be distinguished."""
    axes.set_axis_off()
    lanes: list[int] = []
    places: list[int] = []
    for group in groups:
        lane = next((number for number, end in enumerate(lanes) if end < group.start), len(lanes))
        if lane == len(lanes):
            lanes.append(group.stop - 1)
        lanes[lane] = group.stop - 1
        places.append(lane)
    for lane, group in zip(places, groups, strict=True):
        axes.plot([lane, lane], [group.start - 0.2, group.stop - 0.8], color=INK, linewidth=2.2, solid_capstyle="butt")
    axes.set_xlim(-0.6, max(5.0, len(lanes) - 0.4))
