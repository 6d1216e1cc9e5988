"""Score all layers of one network against all layers of another, in tiles that fit into memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from simbench.errors import NotApplicable, SimbenchError
from simbench.metrics.kernels.memory import limited_memory
from simbench.metrics.metric import Metric, Score
from simbench.metrics.scoring import score_pairs
from simbench.representations.layouts import SEQUENCE_AXES

if TYPE_CHECKING:
    from simbench.representations.representation import Representation

# Bytes that a layer takes up for each of its numbers, with what metrics prepare of it.
BYTES_A_NUMBER = 16


class LayerPair(NamedTuple):
    """Two layers, and how similar they are."""

    row: str
    column: str
    value: float


def _plain(pair: LayerPair | None) -> dict[str, Any] | None:
    return None if pair is None else pair._asdict()


@dataclass(frozen=True, eq=False)
class LayerToScore:
    """A layer to compare; the same object on both sides is read once.

    Attributes:
        name: the name of the layer.
        read: returns the representation, or raises `SimbenchError`.
        numbers: how many numbers it has.
    """

    name: str
    read: Callable[[], Representation]
    numbers: int


@dataclass(frozen=True, repr=False)
class LayerScores:
    """Scores of all layers of one network against all layers of another.

    Attributes:
        metric: the metric.
        rows: the layers of the first network, in order; of a directed metric, they send.
        columns: the layers of the second network.
        scores: for each row, the scores with all columns.
        spatial: the rule by which positions became rows or columns of matrices; None where there are none.
        row_layouts, column_layouts: which axis of each layer holds the features; None of one that cannot be read.
    """

    metric: Metric
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    scores: tuple[tuple[Score, ...], ...]
    spatial: str | None = None
    row_layouts: tuple[str | None, ...] = ()
    column_layouts: tuple[str | None, ...] = ()

    @property
    def values(self) -> np.ndarray[Any, Any]:
        """Values `(rows, columns)`; NaN where there is none."""
        values = [[math.nan if score.value is None else score.value for score in row] for row in self.scores]
        return np.array(values, dtype=float)

    @property
    def most_similar(self) -> LayerPair | None:
        """The most similar pair; None if there is no value at all."""
        place = self._best(self.values.ravel())
        return None if place is None else self._pair(*divmod(place, len(self.columns)))

    @property
    def most_similar_by_row(self) -> tuple[LayerPair | None, ...]:
        """For each row, the pair with the column that is most similar to it."""
        return tuple(
            None if (column := self._best(row)) is None else self._pair(number, column)
            for number, row in enumerate(self.values)
        )

    @property
    def most_similar_by_column(self) -> tuple[LayerPair | None, ...]:
        """For each column, the pair with the row that is most similar to it."""
        return tuple(
            None if (row := self._best(column)) is None else self._pair(row, number)
            for number, column in enumerate(self.values.T)
        )

    @property
    def problems(self) -> tuple[tuple[str, str, Score], ...]:
        """Row, column and score of the pairs without a value."""
        return tuple(
            (row, column, score)
            for row, scores in zip(self.rows, self.scores, strict=True)
            for column, score in zip(self.columns, scores, strict=True)
            if score.value is None
        )

    @property
    def warnings(self) -> tuple[str, ...]:
        """Remarks on the values, each once."""
        return tuple(dict.fromkeys(remark for row in self.scores for score in row for remark in score.warnings))

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain data, without what there is none of."""
        document: dict[str, Any] = {
            "metric": self.metric.label,
            "higher_is_more_similar": self.metric.higher_is_more_similar,
            "rows": list(self.rows),
            "columns": list(self.columns),
            "values": [[score.value for score in row] for row in self.scores],
            "most_similar": _plain(self.most_similar),
            "most_similar_by_row": [_plain(pair) for pair in self.most_similar_by_row],
            "most_similar_by_column": [_plain(pair) for pair in self.most_similar_by_column],
        }
        if self.spatial is not None:
            document["spatial"] = self.spatial
            document |= {"row_layouts": list(self.row_layouts), "column_layouts": list(self.column_layouts)}
        if self.problems:
            document["problems"] = [
                {"row": row, "column": column, "status": score.status, "reason": score.reason}
                for row, column, score in self.problems
            ]
        if self.warnings:
            document["warnings"] = list(self.warnings)
        return document

    def __repr__(self) -> str:
        """Return the metric, the number of layers and the most similar pair."""
        best = self.most_similar
        pair = "no value" if best is None else f"most similar: {best.row} and {best.column}, {best.value:.4g}"
        return f"<LayerScores {self.metric.label}, {len(self.rows)} × {len(self.columns)} layers; {pair}>"

    def _best(self, values: np.ndarray[Any, Any]) -> int | None:
        if np.isnan(values).all():
            return None
        return int(np.nanargmax(values) if self.metric.higher_is_more_similar else np.nanargmin(values))

    def _pair(self, row: int, column: int) -> LayerPair:
        return LayerPair(self.rows[row], self.columns[column], float(self.values[row, column]))


def score_all_pairs(
    metric: Metric, rows: Sequence[LayerToScore], columns: Sequence[LayerToScore], memory_limit: int
) -> LayerScores:
    """Score every row against every column.

    Each layer is read and prepared once where all fit into memory, else once for each tile of the other side.

    Args:
        metric: the metric.
        rows: the layers of one network.
        columns: the layers of the other network; for one with itself, the same objects.
        memory_limit: bytes for what is read and prepared, besides those of the metric.
    """
    scores: dict[tuple[int, int], Score] = {}
    readings: dict[LayerToScore, _Reading] = {}
    with limited_memory(memory_limit):
        fits = sum(layer.numbers for layer in {*rows, *columns}) * BYTES_A_NUMBER <= memory_limit
        share = math.inf if fits else memory_limit / 2
        for row_tile in _tiles(rows, share):
            for column_tile in _tiles(columns, share):
                scores |= _scored(metric, rows, columns, row_tile, column_tile, readings)
    spatial = next((reading.spatial for reading in readings.values() if reading.spatial is not None), None)
    matrix = tuple(tuple(scores[row, column] for column in range(len(columns))) for row in range(len(rows)))
    return LayerScores(
        metric,
        tuple(row.name for row in rows),
        tuple(column.name for column in columns),
        matrix,
        spatial,
        tuple(readings[layer].layout if layer in readings else None for layer in rows),
        tuple(readings[layer].layout if layer in readings else None for layer in columns),
    )


class _Reading(NamedTuple):
    """Rule and layout by which a layer was read."""

    spatial: str | None
    layout: str


def _tiles(layers: Sequence[LayerToScore], share: float) -> Iterator[range]:
    """Yield runs of layers that take up no more than a share of the memory, of one layer at least."""
    start, size = 0, 0.0
    for number, layer in enumerate(layers):
        size += layer.numbers * BYTES_A_NUMBER
        if size > share and number > start:
            yield range(start, number)
            start, size = number, layer.numbers * BYTES_A_NUMBER
    yield range(start, len(layers))


def _scored(
    metric: Metric,
    rows: Sequence[LayerToScore],
    columns: Sequence[LayerToScore],
    row_tile: range,
    column_tile: range,
    readings: dict[LayerToScore, _Reading],
) -> dict[tuple[int, int], Score]:
    """Score one tile; what cannot be read gives a score with a reason for its pairs."""
    layers = list(dict.fromkeys([*(rows[row] for row in row_tile), *(columns[column] for column in column_tile)]))
    representations: list[Representation] = []
    places: dict[LayerToScore, int] = {}
    failed: dict[LayerToScore, Score] = {}
    for layer in layers:
        try:
            read = layer.read()
            representations.append(read)
            places[layer] = len(places)
            has_positions = read.activations.ndim >= SEQUENCE_AXES
            readings[layer] = _Reading(read.spatial.mode if has_positions else None, read.layout)
        except NotApplicable as reason:
            failed[layer] = Score.skip(str(reason))
        except (SimbenchError, ValueError) as error:
            failed[layer] = Score.error(str(error))
    tile = [(row, column) for row in row_tile for column in column_tile]
    possible = [(row, column) for row, column in tile if rows[row] in places and columns[column] in places]
    pairs = [(places[rows[row]], places[columns[column]]) for row, column in possible]
    scored = dict(zip(possible, score_pairs(metric, representations, pairs), strict=True))
    return {
        (row, column): scored.get((row, column)) or failed.get(rows[row]) or failed[columns[column]]
        for row, column in tile
    }
