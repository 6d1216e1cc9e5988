"""Where the comparisons of a test fill a map: every layer of one model against every layer of another, pair by pair.

The pairs of models whose maps have the same rows and columns are averaged, as on the page.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from simbench.board.evidence import Evidence, EvidenceBlock, MetricEvidence, Place


@dataclass(frozen=True)
class Grid:
    """A map's rows (senders) and columns (receivers), and the comparisons behind each entry, one per pair of models.

    Attributes:
        cells: by position of the comparison in the evidence, its row and column.
        pairs: the models (or the ordered pairs of them) whose maps are averaged.
        of_models: rows and columns are models, for what is compared has one layer each.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: Mapping[int, tuple[int, int]]
    pairs: tuple[str, ...]
    of_models: bool

    @property
    def averaged(self) -> str:
        """In words, what a map shows.

        >>> Grid((), (), {}, ("cnn/0 → cnn/1", "cnn/1 → cnn/2"), of_models=False).averaged
        'mean of 2 pairs of models, cnn → cnn'
        """
        if len(self.pairs) == 1:
            return self.pairs[0]
        names = ", ".join(dict.fromkeys(re.sub(r"/\d+", "", pair) for pair in self.pairs))
        unit = "pairs of models" if any("→" in pair for pair in self.pairs) else "models"
        return f"mean of {len(self.pairs)} {unit}, {names}"


@dataclass(frozen=True)
class HeatMap:
    """One metric on a grid.

    Attributes:
        mean: (rows, columns) scores as the metric returned them, over the pairs that have one; NaN where none has.
        broken: (rows, columns) in how many pairs the entry broke the test's rule.
    """

    mean: npt.NDArray[np.float64]
    broken: npt.NDArray[np.int64]


def grids(evidence: Evidence, test: str) -> Iterator[tuple[Grid, EvidenceBlock]]:
    """The maps that a test's comparisons fill; metrics that were asked different things have maps of their own."""
    for block in evidence.tests:
        if block.test == test and (grid := grid_of(block, evidence.representations)) is not None:
            yield grid, block


def grid_of(block: EvidenceBlock, places: Sequence[Place]) -> Grid | None:
    """The most maps of one shape; None where comparisons do not fill at least half of maps of 2 × 2 and more."""
    ends = [(places[a], places[b]) for a, b in block.comparisons]
    if not ends or any(a[2] or b[2] for a, b in ends):
        return None
    of_models = len({place[1] for pair in ends for place in pair}) == 1
    axis = 0 if of_models else 1
    panels: dict[str, list[int]] = {}
    for position, (a, b) in enumerate(ends):
        name = "all models" if of_models else a[0] if a[0] == b[0] else f"{a[0]} → {b[0]}"
        panels.setdefault(name, []).append(position)
    shapes: dict[tuple[tuple[str, ...], tuple[str, ...]], list[str]] = {}
    for name, positions in panels.items():
        rows = tuple(dict.fromkeys(ends[position][0][axis] for position in positions))
        columns = tuple(dict.fromkeys(ends[position][1][axis] for position in positions))
        if set(columns) == set(rows):
            columns = rows
        if min(len(rows), len(columns)) < 2 or 2 * len(positions) < len(rows) * len(columns):
            return None
        shapes.setdefault((rows, columns), []).append(name)
    (rows, columns), pairs = max(shapes.items(), key=lambda shape: len(shape[1]))
    cells = {
        position: (rows.index(ends[position][0][axis]), columns.index(ends[position][1][axis]))
        for name in pairs
        for position in panels[name]
    }
    return Grid(rows, columns, cells, tuple(pairs), of_models)


def heat_map(grid: Grid, metric: MetricEvidence) -> HeatMap:
    """One metric's map."""
    shape = len(grid.rows), len(grid.columns)
    total, known = np.zeros(shape), np.zeros(shape)
    broken = np.zeros(shape, dtype=np.int64)
    marked = set(metric.marked)
    for position, cell in grid.cells.items():
        value = metric.values[position]
        if value is not None:
            total[cell] += value
            known[cell] += 1
        broken[cell] += position in marked
    return HeatMap(np.where(known > 0, total / np.maximum(known, 1), np.nan), broken)
