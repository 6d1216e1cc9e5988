"""Bench for a metric: its scores on the inputs, and the tolerance for differences of its values."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from simbench.lazy import lazy_import
from simbench.metrics.metric import Metric, Score
from simbench.metrics.scoring import score_pairs
from simbench.registry import TRANSFORMS
from simbench.testing.inputs import Case

if TYPE_CHECKING:
    import torch

    from simbench.representations.representation import Representation
else:
    torch = lazy_import("torch")

# Values count as equal if they differ by less, relative to themselves and to the metric's scale.
TOLERANCE = 1e-6
# Tolerance where a transformed input was rounded to single precision.
SINGLE_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Bench:
    """Metric by its matrix interface and by its batched interface, and the inputs to measure it on."""

    plain: Metric
    fast: Metric
    cases: Sequence[Case]
    seed: int

    def score(self, a: Representation, b: Representation) -> Score:
        """Return the plain function's score."""
        return score_pairs(self.plain, [a, b], [(0, 1)])[0]

    @cached_property
    def sides(self) -> list[Representation]:
        """Both sides of all cases, one after another."""
        return [side for case in self.cases for side in (case.a, case.b)]

    @cached_property
    def _known(self) -> dict[tuple[int, int], Score]:
        return {}

    def between(self, first: int, second: int) -> Score:
        """Return the plain function's score of two of the sides, memoised."""
        if (first, second) not in self._known:
            self._known[first, second] = self.score(self.sides[first], self.sides[second])
        return self._known[first, second]

    @cached_property
    def by_both_interfaces(self) -> list[tuple[Score, Score]]:
        """Scores by the plain function and by the batched interface of each side with itself and its counterpart."""
        pairs = [(i, j) for i in range(len(self.sides)) for j in (i, i ^ 1)]
        fast = score_pairs(self.fast, self.sides, pairs)
        return [(self.between(i, j), score) for (i, j), score in zip(pairs, fast, strict=True)]

    @cached_property
    def scores(self) -> list[tuple[Case, Score]]:
        """Plain function's score of each case."""
        return [(case, self.between(2 * k, 2 * k + 1)) for k, case in enumerate(self.cases)]

    @cached_property
    def own(self) -> list[tuple[Case, Score]]:
        """Plain function's score of each case's first side with itself."""
        return [(case, self.between(2 * k, 2 * k)) for k, case in enumerate(self.cases)]

    @cached_property
    def scale(self) -> float:
        """Range of three values: of a representation with itself, with its counterpart and with shuffled rows.

        1 if the range is 0 or unknown.
        """
        case = self.cases[0]
        shuffled = TRANSFORMS.get("row_shuffle")(case.a, seed=self.seed)
        values = [score.value for score in (self.own[0][1], self.scores[0][1], self.score(shuffled, case.b))]
        defined = [value for value in values if value is not None]
        return (max(defined) - min(defined) if defined else 0.0) or 1.0

    def usable(self) -> Iterator[tuple[Case, float]]:
        """Yield the cases that have a value, with that value."""
        for case, score in self.scores:
            if score.status == "ok" and score.value is not None:
                yield case, score.value

    def slack(self, *values: float) -> float:
        """Return the largest difference of these values that is tolerated."""
        return TOLERANCE * max(self.scale, *(abs(value) for value in values))

    def gap(self, value: float, score: Score) -> float:
        """Return the difference relative to the value and the metric's scale; infinite if there is no other value."""
        if score.value is None:
            return math.inf
        return abs(value - score.value) / max(self.scale, abs(value))

    def changed(self, case: Case, sides: Sequence[tuple[Representation, Representation]]) -> list[float] | None:
        """Return the gaps between a case's value and those of changed sides, in tolerances; None without a value.

        Values are computed by the interface that the runner uses, in one batch, so that each side is prepared once.
        """
        made = [case.a, case.b]
        for a, b in sides:
            made += [side for side in (a, b) if not any(side is other for other in made)]
        index = {id(side): position for position, side in enumerate(made)}
        value, *others = score_pairs(self.fast, made, [(0, 1), *((index[id(a)], index[id(b)]) for a, b in sides)])
        if value.value is None:
            return None
        single = case.a.activations.dtype == torch.float32
        tolerance = SINGLE_TOLERANCE if single else TOLERANCE
        return [self.gap(value.value, score) / tolerance for score in others]
