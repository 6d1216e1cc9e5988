"""All layers of one network against all of another, for `simbench score --all-pairs`: table, JSON, heat map."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simbench.errors import SimbenchError

if TYPE_CHECKING:
    from simbench.metrics.layer_pairs import LayerScores
    from simbench.metrics.metric import Metric

# Columns that a terminal has room for; of more, only the most similar of each row is shown.
MOST_COLUMNS = 16
# Reasons of pairs without a value that are listed.
MOST_REASONS = 5
FORMATS = ("png", "svg", "pdf")


def scored_layers(
    a: str,
    b: str,
    metrics: Sequence[Metric],
    spatial: str | None,
    layout: Sequence[str] | None,
    memory_limit: int | None,
    plot: Path | None,
) -> list[LayerScores]:
    """Score all layers at one place against all at another, and draw the heat maps if asked to."""
    from simbench.api import score_layers
    from simbench.metrics.kernels.memory import DEFAULT

    if plot is not None and plot.suffix.lower().removeprefix(".") not in FORMATS:
        raise SimbenchError(f"--plot writes {', '.join(FORMATS)}, by the suffix of the file; not {plot.name}")
    draw = None if plot is None else _drawing()
    matrices = [
        score_layers(a, b, metric, spatial=spatial, layout=layout, memory_limit=memory_limit or DEFAULT)
        for metric in metrics
    ]
    if plot is not None and draw is not None:
        draw(plot, matrices, a, b)
    return matrices


def _drawing() -> Any:
    """Return the function that draws; raise `SimbenchError` before anything is scored if it cannot."""
    try:
        from simbench.plots.layer_matrix import write_layer_matrix
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "matplotlib":
            raise
        raise SimbenchError("--plot needs matplotlib: pip install 'simbench-leaderboard[plot]'") from None
    return write_layer_matrix


def show_layers(matrices: Sequence[LayerScores]) -> None:
    """Print a table for each metric, with the most similar layer of every row and column, and the most similar pair."""
    from rich.table import Table

    from simbench.cli.output import results_console
    from simbench.publish.visible_console import shown

    console = results_console()
    for matrix in matrices:
        wide = len(matrix.columns) > MOST_COLUMNS
        table = Table(box=None, pad_edge=False)
        table.add_column("")
        for column in () if wide else matrix.columns:
            table.add_column(shown(column), justify="right", overflow="fold")
        table.add_column("most similar")
        for row, scores, best in zip(matrix.rows, matrix.scores, matrix.most_similar_by_row, strict=True):
            values = [_number(score.value) if score.value is not None else score.status for score in scores]
            cells = [row, *([] if wide else values), "" if best is None else f"{best.column} {_number(best.value)}"]
            table.add_row(*map(shown, cells))
        if not wide:
            of_columns = ["" if best is None else best.row for best in matrix.most_similar_by_column]
            table.add_row(*map(shown, ["most similar", *of_columns, ""]))
        direction = "higher" if matrix.metric.higher_is_more_similar else "lower"
        console.print(shown(f"{matrix.metric.label} ({direction} is more similar)", style="bold"))
        console.print(table)
        for line in _lines(matrix, wide):
            console.print(shown(line))


def _lines(matrix: LayerScores, wide: bool) -> list[str]:
    from simbench.representations.array_pairs import RULES

    best = matrix.most_similar
    lines = [] if best is None else [f"most similar: {best.row} and {best.column}, {_number(best.value)}"]
    if wide:
        lines.append(f"{len(matrix.columns)} columns: --json has all values, --plot FILE draws them")
    lines += [f"{row}, {column}: {score.reason}" for row, column, score in matrix.problems[:MOST_REASONS]]
    if len(matrix.problems) > MOST_REASONS:
        lines.append(f"and {len(matrix.problems) - MOST_REASONS} more pairs without a value")
    if matrix.spatial is not None:
        layers = zip((*matrix.rows, *matrix.columns), (*matrix.row_layouts, *matrix.column_layouts), strict=True)
        maps = dict.fromkeys(f"{name} {layout}" for name, layout in layers if layout not in (None, "vector"))
        lines.append(f"read {', '.join(maps)}; {matrix.spatial}: {RULES[matrix.spatial]}")  # type: ignore[index]
    return lines + list(matrix.warnings)


def _number(value: float) -> str:
    return f"{value:.4g}"
