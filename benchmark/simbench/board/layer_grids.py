"""Find where the comparisons of a test fill a map: every layer of one model against every layer of another.

Maps are found once, travel in the evidence, and are drawn by the page and by `simbench plot` alike. Pairs of models
whose maps have the same rows and columns are also averaged; the mean of the most pairs comes first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from simbench.board.evidence import Evidence, EvidenceBlock, MetricEvidence

# Model, layer, change.
Place = tuple[str, str, str]
# Change of the layers that tell whether a metric pairs inputs: compared beside what a test asks, and on no map.
SHUFFLED = "row_shuffle"


class LayerMap(BaseModel):
    """The rows (senders) and columns (receivers) of a map, and the comparisons behind its entries.

    Attributes:
        name: the pair of models, or in words what is averaged.
        rows, columns: names of layers, or of models.
        entries: row by row, the positions in the evidence of the comparisons that an entry is the mean of; none for
            what was not compared.
        pairs: the number of models, or of ordered pairs of them, that are averaged.
        of_models: rows and columns are models, as all that is compared is one layer.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    entries: tuple[tuple[int, ...], ...]
    pairs: int
    of_models: bool


@dataclass(frozen=True)
class HeatMap:
    """The scores of one metric on a map.

    Attributes:
        mean: (rows, columns) scores as the metric returned them, over the pairs that have one; NaN where none has.
        broken: (rows, columns) in how many pairs the entry broke the test's rule.
    """

    mean: npt.NDArray[np.float64]
    broken: npt.NDArray[np.int64]


def maps_of_test(evidence: Evidence, test: str) -> Iterator[tuple[LayerMap, EvidenceBlock]]:
    """Yield the first map of each block of a test; metrics of different comparisons have maps of their own."""
    for block in evidence.tests:
        if block.test == test and block.maps:
            yield block.maps[0], block


def layer_maps(comparisons: Sequence[tuple[Place, Place]]) -> list[LayerMap]:
    """Return the maps that comparisons fill: means over pairs of models, then each pair of models.

    What only tells whether a metric pairs inputs is left out: shuffled rows, and layers that are compared with
    themselves only. There are no maps where representations are changed otherwise, or where some pair of models fills
    less than half of a map of 2 × 2 or more.
    """
    asked = [place for place, (a, b) in enumerate(comparisons) if not (a[2] + b[2]).startswith(SHUFFLED)]
    if len(asked) < 4 or any(a[2] or b[2] for a, b in map(comparisons.__getitem__, asked)):
        return []
    of_models = len({place[1] for position in asked for place in comparisons[position]}) == 1
    positions: dict[str, list[int]] = {}
    for position in asked:
        a, b = comparisons[position]
        name = "all models" if of_models else a[0] if a[0] == b[0] else f"{a[0]} → {b[0]}"
        positions.setdefault(name, []).append(position)
    related = {name: _without_lone_selves(comparisons, own) for name, own in positions.items()}
    panels = [_panel(name, comparisons, places, of_models) for name, places in related.items() if places]
    if any(
        min(len(panel.rows), len(panel.columns)) < 2 or 2 * sum(map(bool, panel.entries)) < len(panel.entries)
        for panel in panels
    ):
        return []
    return [*_means(panels), *panels]


def _without_lone_selves(comparisons: Sequence[tuple[Place, Place]], positions: Sequence[int]) -> list[int]:
    """Leave out what is compared with itself only, which would be a row and a column with nothing else in them."""
    pairs = [(position, *comparisons[position]) for position in positions]
    related = {side for _, a, b in pairs if a != b for side in (a, b)}
    return [position for position, a, _ in pairs if a in related]


def _panel(
    name: str, comparisons: Sequence[tuple[Place, Place]], positions: Sequence[int], of_models: bool
) -> LayerMap:
    axis = 0 if of_models else 1
    ends = {position: (comparisons[position][0][axis], comparisons[position][1][axis]) for position in positions}
    rows = tuple(dict.fromkeys(row for row, _ in ends.values()))
    columns = tuple(dict.fromkeys(column for _, column in ends.values()))
    if set(columns) == set(rows):
        # In the order of the rows, whichever were compared first.
        columns = rows
    behind = {end: (position,) for position, end in ends.items()}
    entries = tuple(behind.get((row, column), ()) for row in rows for column in columns)
    return LayerMap(name=name, rows=rows, columns=columns, entries=entries, pairs=1, of_models=of_models)


def _means(panels: Sequence[LayerMap]) -> list[LayerMap]:
    by_shape: dict[tuple[tuple[str, ...], tuple[str, ...]], list[LayerMap]] = {}
    for panel in panels:
        by_shape.setdefault((panel.rows, panel.columns), []).append(panel)
    alike = sorted((group for group in by_shape.values() if len(group) > 1), key=len, reverse=True)
    return [_mean(group) for group in alike]


def _mean(panels: Sequence[LayerMap]) -> LayerMap:
    names = ", ".join(dict.fromkeys(re.sub(r"/\d+", "", panel.name) for panel in panels))
    unit = "pairs of models" if any("→" in panel.name for panel in panels) else "models"
    entries = tuple(sum(parts, ()) for parts in zip(*(panel.entries for panel in panels), strict=True))
    changes = {"name": f"mean of {len(panels)} {unit}, {names}", "entries": entries, "pairs": len(panels)}
    return panels[0].model_copy(update=changes)


def heat_map(layout: LayerMap, metric: MetricEvidence) -> HeatMap:
    """Return the scores of one metric on a map."""
    shape = len(layout.rows), len(layout.columns)
    marked = set(metric.marked)
    scores = [[metric.values[place] for place in places] for places in layout.entries]
    measured = [[value for value in values if value is not None] for values in scores]
    mean = np.array([sum(values) / len(values) if values else np.nan for values in measured])
    broken = np.array([sum(place in marked for place in places) for places in layout.entries])
    return HeatMap(mean.reshape(shape), broken.reshape(shape))
