"""Axioms: the scores have the properties that the metric declares."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import permutations
from typing import TYPE_CHECKING

from pydantic import Field

from simbench.references import Comparison, ModelGroup, Named, RepresentationRef
from simbench.sanity.kind import Question, SanityTest, Scores, decide, models_of, sanity_test
from simbench.sanity.selection import ChosenLayers, layers_of, with_next
from simbench.sanity.stats.pairing import shuffled
from simbench.sanity.stats.scale import ROUNDING, scale_of
from simbench.verdicts.verdict import Trial

if TYPE_CHECKING:
    from simbench.metrics.metric import Metric

COPY = Named.of("copy", seed=0)
# A layer against itself and against its row-shuffled copy.
Scale = tuple[Comparison, Comparison]


@sanity_test("axioms")
class Axioms(SanityTest):
    """On real layers the metric has the properties that it declares.

    * `determinism`: scored a second time (against a copy, which has a key of its own), S is the same;
    * `symmetry`, where declared: S(b, a) = S(a, b);
    * `range`: the value lies within the declared range;
    * `triangle`, where declared: d(a, c) ≤ d(a, b) + d(b, c), over layers of one model and over models.

    "The same" is up to `tolerance` times the scale S(a, a) − S₀, with S₀ the value for unrelated data. The scale must
    not be 0: a constant has every property and measures nothing.

    Source: the definitions; Williams et al. (2021) say which distances satisfy the triangle inequality. Do not rely on
    a property that a metric fails here, for instance by clustering with a distance that violates the triangle
    inequality.
    """

    tolerance: float = Field(default=1e-4, gt=0, lt=1)
    layers: ChosenLayers = 3

    def questions(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[Question]:
        """Yield a question per property and pair of neighbouring seeds; triangles within models and across them."""
        for group in groups:
            layers = layers_of(group, self.layers, metric.level)
            for layer in layers:
                for a, b in with_next(group.models, layer):
                    if b is not None:
                        yield from self._ask_of_pair(Comparison(a, b), metric)
            if metric.triangle_inequality:
                for model in group.models:
                    yield from self._triangles([RepresentationRef(model, layer) for layer in layers])
                for layer in layers:
                    yield from self._triangles([RepresentationRef(model, layer) for model in group.models][:3])

    def _ask_of_pair(self, pair: Comparison, metric: Metric) -> Iterator[Question]:
        a, b = pair.a, pair.b
        again = {"determinism": Comparison(a.under(COPY), b)}
        if metric.symmetric:
            again["symmetry"] = Comparison(b, a.under(COPY))
        scale = (Comparison(a, a), shuffled(a))
        for column, other in again.items():
            ask = partial(_equal, pair, other, scale, self.tolerance)
            yield Question(str(other), models_of(pair), (pair, other, *scale), ask, column)
        low, high = sorted(metric.similarity(bound) for bound in metric.value_range)
        yield Question.about(pair, (pair, *scale), partial(_within, pair, scale, low, high), "range")

    def _triangles(self, corners: Sequence[RepresentationRef]) -> Iterator[Question]:
        for a, b, c in permutations(corners, 3):
            if str(a) < str(c):  # the other direction is the same inequality
                sides = (Comparison(a, c), Comparison(a, b), Comparison(b, c))
                scale = (Comparison(a, a), shuffled(a))
                ask = partial(_no_longer_than_the_detour, sides, scale, self.tolerance)
                yield Question(f"{a} → {c} by {b}", models_of(*sides[1:]), (*sides, *scale), ask, "triangle")


def _equal(first: Comparison, other: Comparison, scale: Scale, tolerance: float, scores: Scores) -> Trial:
    size = scale_of(scores, scale[0], [scale[1]])
    margin = tolerance * size - abs(scores(first).value - scores(other).value)
    holds = size > 0 and margin >= 0
    return decide(holds, margin if holds or margin < 0 else -tolerance, other)


def _within(compared: Comparison, scale: Scale, low: float, high: float, scores: Scores) -> Trial:
    value = scores(compared).value
    slack = ROUNDING * max(1.0, abs(value))
    margin = min(value - low, high - value) + slack
    holds = margin >= 0 and scale_of(scores, scale[0], [scale[1]]) > 0
    # An unbounded side leaves infinite room, which no figure shows.
    finite = min(margin, 1.0) if holds else max(min(margin, -slack), -1.0)
    return decide(holds, finite, compared)


def _no_longer_than_the_detour(
    sides: tuple[Comparison, Comparison, Comparison], scale: Scale, tolerance: float, scores: Scores
) -> Trial:
    direct, first, second = (-scores(side).value for side in sides)
    size = scale_of(scores, scale[0], [scale[1]])
    margin = first + second - direct + tolerance * size
    holds = size > 0 and margin >= 0
    return decide(holds, margin if holds or margin < 0 else -tolerance, sides[0])
