"""Axioms: the scores have the properties that the metric declares."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import permutations
from typing import TYPE_CHECKING

from pydantic import Field

from simbench.references import Comparison, ModelGroup, Named, RepresentationRef
from simbench.sanity.kind import SanityTest, sanity_test
from simbench.sanity.question import Question, Scores, decide, models_of
from simbench.sanity.selection import ChosenLayers, layers_of
from simbench.sanity.stats.place import (
    decide_if_place_kept,
    is_tie,
    neighbours,
    null_level_of,
    require_signal,
)
from simbench.verdicts.verdict import Owed, Trial

if TYPE_CHECKING:
    from simbench.metrics.metric import Metric

COPY = Named.of("copy", seed=0)
# Relative to a value: what float64 leaves of it after a few operations.
ROUNDING = 1e-12
# The same for a distance, which is often the square root of what rounding has touched.
ROUNDING_OF_A_ROOT = 1.5e-8


@sanity_test("axioms")
class Axioms(SanityTest):
    """On real layers the metric has the properties that it declares.

    * `determinism`: scored a second time (against a copy, which has a key of its own), S(a, b) takes the same place
      among the real scores S(c, b), up to `tolerance`, c being all other layers of b's model and of a's. Every index
      owes this.
    * `symmetry`, promised where it is declared: S(b, a) takes the place of S(a, b) among them;
    * `range`: the value lies within the declared range;
    * `triangle`, promised where it is declared: d(a, c) ≤ d(a, b) + d(b, c), over layers of one model and over models.

    Range and triangle are properties of the scale on which the metric is expressed, and the only questions of any test
    that are. An index with one value for all real pairs has no place, and fails whatever it is asked: a constant has
    every property and measures nothing. A pair no more similar than shuffled rows has no answer.

    Source: the definitions; Williams et al. (2021) say which distances satisfy the triangle inequality. Do not rely on
    a property that a metric fails here, for instance by clustering with a distance that violates the triangle
    inequality.
    """

    tolerance: float = Field(default=0.0, ge=0, lt=1)
    """How far a score may move among the real scores, as a share of them."""
    layers: ChosenLayers = 3

    def questions(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[Question]:
        """Yield a question per property and pair of neighbouring seeds; triangles within models and across them."""
        for compared in neighbours(groups, self.layers, metric):
            if compared.b is not None:
                yield from self._ask_of_pair(Comparison(compared.a, compared.b), compared.rivals_of_b, metric)
        for group in groups if metric.triangle_inequality else ():
            layers = layers_of(group, self.layers, metric.level)
            for model in group.models:
                yield from _triangles([RepresentationRef(model, layer) for layer in layers])
            for layer in layers:
                yield from _triangles([RepresentationRef(model, layer) for model in group.models][:3])

    def owed(self, metric: Metric, column: str | None) -> Owed:
        """Say that determinism is required, and the rest promised by what is declared."""
        if column in (None, "determinism") or not self.is_owed_for(metric):
            return super().owed(metric, column)
        return "promised"

    def _ask_of_pair(self, pair: Comparison, rivals: Sequence[Comparison], metric: Metric) -> Iterator[Question]:
        a, b = pair.a, pair.b
        among = tuple(other for other in rivals if other != pair)
        null = null_level_of(b, metric)
        if among:
            again = {"determinism": Comparison(a.under(COPY), b)}
            if metric.symmetric:
                again["symmetry"] = Comparison(b, a.under(COPY))
            for column, other in again.items():
                ask = partial(decide_if_place_kept, pair, other, among, null, self.tolerance)
                yield Question(str(other), models_of(pair), (pair, other, *among, *null), ask, column)
        low, high = sorted(metric.similarity(bound) for bound in metric.value_range)
        ask = partial(_within, pair, among, null, low, high)
        yield Question.about(pair, (pair, *among, *null), ask, "range")


def _triangles(corners: Sequence[RepresentationRef]) -> Iterator[Question]:
    for a, b, c in permutations(corners, 3):
        if str(a) < str(c):  # the other direction is the same inequality
            sides = (Comparison(a, c), Comparison(a, b), Comparison(b, c))
            ask = partial(_no_longer_than_the_detour, sides)
            yield Question(f"{a} → {c} by {b}", models_of(*sides[1:]), sides, ask, "triangle")


def _within(
    compared: Comparison,
    among: Sequence[Comparison],
    null: Sequence[Comparison],
    low: float,
    high: float,
    scores: Scores,
) -> Trial:
    score, rest = scores(compared), [scores(other) for other in among]
    slack = ROUNDING * max(1.0, abs(score.value))
    margin = min(score.value - low, high - score.value) + slack
    constant = all(is_tie(score, other) for other in rest)
    if low <= score.value <= high:  # what is out of range is so at any level
        require_signal((compared,), null, scores)
    holds = margin >= 0 and not constant
    # An unbounded side leaves infinite room, which no figure shows.
    finite = min(margin, 1.0) if holds else max(min(margin, -slack), -1.0)
    return decide(holds, finite, compared)


def _no_longer_than_the_detour(sides: tuple[Comparison, Comparison, Comparison], scores: Scores) -> Trial:
    direct, first, second = (-scores(side).value for side in sides)
    slack = ROUNDING_OF_A_ROOT * max(abs(direct), abs(first), abs(second))
    margin = first + second - direct + slack
    constant = direct == first == second
    return decide(margin >= 0 and not constant, -slack if constant else margin, sides[0])
