"""Observations as columns of numbers: some are left out, or looked at curve by curve, without a look at each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from simbench.sanity.stats.rank_statistics import order_of
from simbench.verdicts.verdict import Trial

Places = NDArray[np.intp]
# A curve: a column of the board, and a line.
Line = tuple[str | None, str]


class Observations(Sequence[Trial]):
    """Some of the observations of a test, which share one table of numbers.

    Statistics of ranks need an order, not values. It is found once for the table, and holds for any part of it: to
    leave out each of many models in turn costs no sorting.
    """

    def __init__(self, table: _Table, places: Places) -> None:
        """Keep the table and the places of the observations in it."""
        self._table, self._places = table, places

    @classmethod
    def of(cls, trials: Sequence[Trial]) -> Observations:
        """Tabulate trials; observations are returned as they are."""
        return trials if isinstance(trials, Observations) else cls(_Table(trials), np.arange(len(trials)))

    def __len__(self) -> int:
        """Return the number of observations."""
        return len(self._places)

    @overload
    def __getitem__(self, position: int) -> Trial: ...
    @overload
    def __getitem__(self, position: slice) -> Observations: ...
    def __getitem__(self, position: int | slice) -> Trial | Observations:
        """Return one observation, or some."""
        if isinstance(position, slice):
            return Observations(self._table, self._places[position])
        return self._table.trials[int(self._places[position])]

    def __iter__(self) -> Iterator[Trial]:
        """Yield each observation."""
        return iter([self._table.trials[place] for place in self._places.tolist()])

    def select(self, chosen: NDArray[Any]) -> Observations:
        """Return the observations at these positions, or where a mask is true."""
        return Observations(self._table, self._places[chosen])

    @property
    def similarities(self) -> NDArray[np.float64]:
        """Similarities, as they were measured."""
        return self._table.similarities[self._places]

    @property
    def reference_values(self) -> NDArray[np.float64]:
        """Values of the reference variable; NaN where there is none."""
        return self._table.reference_values[self._places]

    @property
    def order_of_similarity(self) -> NDArray[np.int64]:
        """Integers in the order of the similarities of one curve."""
        return self._table.order_of_similarity[self._places]

    @property
    def order_of_reference(self) -> NDArray[np.int64]:
        """Integers in the order of the reference values of one curve."""
        return self._table.order_of_reference[self._places]

    @property
    def order_of_given(self) -> NDArray[np.int64]:
        """Integers in the order, along one curve, of what is given; all equal where nothing is."""
        return self._table.order_of_given[self._places]

    def positions_by_line(self) -> dict[Line, Places]:
        """Return the positions of the observations of each curve, in the order of their first."""
        lines = self._table.line[self._places]
        by_line = np.argsort(lines, kind="stable")
        starts = np.flatnonzero(np.diff(lines[by_line], prepend=-1))
        positions = np.split(by_line, starts[1:]) if len(self) else []
        positions.sort(key=lambda places: int(places[0]))
        return {self._table.lines[lines[places[0]]]: places for places in positions}

    def by_line(self) -> list[Observations]:
        """Return the observations of each curve."""
        return [self.select(positions) for positions in self.positions_by_line().values()]

    def joined(self) -> Observations:
        """Return the same observations as one curve."""
        return Observations(self._table.joined, self._places)


class _Table:
    """Numbers of all observations of a test."""

    def __init__(self, trials: Sequence[Trial], *, joined: bool = False) -> None:
        self.trials: tuple[Trial, ...] = tuple(trials)
        numbers: dict[Line, int] = {}
        self.line = np.array(
            [
                numbers.setdefault((None, "") if joined else (trial.column, trial.line), len(numbers))
                for trial in trials
            ],
            dtype=np.intp,
        )
        self.lines = list(numbers)
        self.similarities = np.array([trial.margin for trial in trials], dtype=float)
        self.reference_values = np.array([trial.at for trial in trials], dtype=float)

    @cached_property
    def order_of_similarity(self) -> NDArray[np.int64]:
        return self._order_within_lines(self.similarities)

    @cached_property
    def order_of_reference(self) -> NDArray[np.int64]:
        return self._order_within_lines(self.reference_values)

    @cached_property
    def order_of_given(self) -> NDArray[np.int64]:
        return self._order_within_lines(np.array([trial.given for trial in self.trials], dtype=float))

    @cached_property
    def joined(self) -> _Table:
        return self if len(self.lines) == 1 else _Table(self.trials, joined=True)

    def _order_within_lines(self, values: NDArray[np.float64]) -> NDArray[np.int64]:
        order = np.empty(len(values), dtype=np.int64)
        by_line = np.argsort(self.line, kind="stable")
        for places in np.split(by_line, np.cumsum(np.bincount(self.line))[:-1]):
            order[places] = order_of(values[places])
        return order
