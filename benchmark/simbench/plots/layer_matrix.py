"""Heat map of the scores of all layers of one network against all of another."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from simbench.files import replacing
from simbench.metrics.layer_pairs import LayerScores
from simbench.plots.heat_maps import COLOURS
from simbench.plots.style import INK, LIGHT, Format, new_figure, rendered, shortened

# Inches of a cell, and the widest and highest panel.
CELL, SMALLEST, LARGEST = 0.28, 1.8, 9.0
LONGEST_NAME = 24


def write_layer_matrix(path: Path, matrices: Sequence[LayerScores], rows: str, columns: str) -> None:
    """Write the heat maps of several metrics, one below the other, in the format of the file's suffix."""
    form: Format = path.suffix.lower().removeprefix(".")  # type: ignore[assignment]
    picture = rendered(partial(layer_matrix, matrices, rows, columns), form)
    with replacing(path) as temporary:
        temporary.write_bytes(picture)


def layer_matrix(matrices: Sequence[LayerScores], rows: str, columns: str) -> Figure:
    """Draw the heat maps of several metrics, with a frame around the most similar entry of every row.

    Args:
        matrices: the scores of the same layers by each metric.
        rows: the name of the first network.
        columns: the name of the second network.
    """
    first = matrices[0]
    width = min(LARGEST, max(SMALLEST, CELL * len(first.columns)))
    height = min(LARGEST, max(SMALLEST, CELL * len(first.rows)))
    figure = new_figure(width + 2.2, (height + 1.3) * len(matrices))
    for axes, matrix in zip(figure.subplots(len(matrices), 1, squeeze=False).flat, matrices, strict=True):
        values = np.ma.masked_invalid(matrix.values)
        axes.set_facecolor(LIGHT)
        colours = COLOURS if matrix.metric.higher_is_more_similar else f"{COLOURS}_r"
        image = axes.imshow(values, cmap=colours, interpolation="nearest", aspect="auto")
        axes.set_xticks(range(len(matrix.columns)), [shortened(name, LONGEST_NAME) for name in matrix.columns])
        axes.tick_params(axis="x", rotation=90)
        axes.set_yticks(range(len(matrix.rows)), [shortened(name, LONGEST_NAME) for name in matrix.rows])
        axes.tick_params(length=0)
        best = matrix.most_similar
        said = "" if best is None else f"; most similar: {best.row} and {best.column}, {best.value:.3g}"
        axes.set_title(shortened(f"{matrix.metric.label}{said}", 90))
        axes.set_xlabel(shortened(columns))
        axes.set_ylabel(shortened(rows))
        for number, pair in enumerate(matrix.most_similar_by_row):
            if pair is not None:
                place = matrix.columns.index(pair.column)
                # White on black, visible on the darkest and on the lightest entry.
                for colour, breadth in ((INK, 2.2), ("white", 1.0)):
                    axes.plot(place, number, "s", ms=4, mfc="none", mec=colour, mew=breadth)
        if values.count():
            figure.colorbar(image, ax=axes).outline.set_visible(False)
    return figure
