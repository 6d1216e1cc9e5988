"""Upper bound: a distance is never larger than what theory says another distance allows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from simbench.references import Comparison, ModelGroup, Named, RepresentationRef
from simbench.registry import METRICS
from simbench.sanity.kind import Answer, Question, SanityTest, Scores, sanity_test
from simbench.sanity.kinds.graded_perturbation import Classes, Level, perturbed_pair
from simbench.sanity.selection import pairs_of
from simbench.sanity.statistics.scale import ROUNDING, scale_of, shuffled
from simbench.suite.schema import PASS_IF, Component, ComponentChoice, Strict

if TYPE_CHECKING:
    from simbench.metrics.metric import Metric


class Bound(Strict):
    """At most `times` · d ^ `power`, with d what the metric `by` gives for the same pair."""

    by: ComponentChoice
    times: float = Field(default=1.0, gt=0)
    power: float = Field(default=1.0, gt=0)

    def at(self, distance: float) -> float:
        """The most that is allowed at a distance."""
        return self.times * math.pow(distance, self.power)


@sanity_test("upper_bound")
class UpperBound(SanityTest):
    """A distance is at most what a theorem allows, given another distance of the same pair.

    Asked of the distances that `bounds` names, by default of three that theory bounds:

    * `identifiability_fg` ≤ 2 ε², ε = `identifiability_llv` at the same pivots. The published 2 M ε is larger wherever
      ε < M, and says nothing from ε = 1/(2 M) on, as no distance exceeds 1.
    * `logit_correlation_loss` and `logit_map_loss` ≤ `logit_distance`.

    Columns: `trained`, all pairs of models of a group, and `perturbed`, synthetic models against ever noisier copies
    of themselves. A question is answered with no where the distance of a model from itself is not smaller than from its
    own shuffled rows: a constant would keep within any bound that is above it. The grade is the share of pairs within
    the bound; a single violation refutes the theorem or, more likely, the implementation.

    Source: Nielsen et al. (2025), arXiv 2506.03784, Theorem 4.7; Nielsen et al. (2026), arXiv 2602.15438. The bound of
    2 ε² is elementary: standardised columns that differ by a spread of 2 ε have a correlation of at least 1 − 2 ε².
    """

    pass_if: str = Field(default=">= 1", pattern=PASS_IF.pattern)
    generates_its_models: ClassVar[bool] = True

    bounds: dict[str, Bound] = Field(
        default={
            "identifiability_fg": Bound(by=Component(name="identifiability_llv"), times=2.0, power=2.0),
            "logit_correlation_loss": Bound(by=Component(name="logit_distance")),
            "logit_map_loss": Bound(by=Component(name="logit_distance")),
        },
        min_length=1,
    )
    """By the name of the distance that is bounded."""
    classes: list[Classes] = Field(default=[4, 6, 10])
    """Of the synthetic models; none for trained ones only."""
    levels: list[Level] = Field(default=[1, 61, 121, 181, 241], min_length=1)
    inputs_per_class: int = Field(default=100, ge=3)
    seeds: list[int] = Field(default=[0, 1, 2], min_length=1)

    def questions(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[Question]:
        """One question per pair."""
        bound = self._bound_of(metric)
        if bound is None:
            return
        by = _bounding(bound, metric)
        for group in groups:
            if group.embedding_layer is not None:
                for pair in pairs_of(group.models, ordered=not metric.symmetric):
                    a, b = (RepresentationRef(model, group.embedding_layer) for model in pair)
                    yield _question(Comparison(a, b), bound, by, "trained")
        for classes in self.classes:
            for seed in self.seeds:
                for level in self.levels:
                    yield _question(perturbed_pair(classes, level, seed, self.inputs_per_class), bound, by, "perturbed")

    def nothing_to_ask(self, metric: Metric) -> str:
        """Most metrics are bounded by no other; else what is missing are models."""
        if metric.higher_is_more_similar:
            return f"{metric.name} is no distance"
        if metric.name not in self.bounds:
            return f"theory puts no bound on {metric.name} that this test knows"
        return "upper_bound needs two models with a linear head, or synthetic ones"

    def _bound_of(self, metric: Metric) -> Bound | None:
        return None if metric.higher_is_more_similar else self.bounds.get(metric.name)


def _bounding(bound: Bound, metric: Metric) -> Named:
    """The bounding metric; what both have as a parameter, such as the seed of the pivots, is as in the bounded one."""
    own = METRICS.get(bound.by.name).parameters
    same = {name: value for name, value in metric.parameters.items() if name in own and value != own[name]}
    return Named.of(bound.by.name, **{**same, **bound.by.parameters})


def _question(pair: Comparison, bound: Bound, by: Named, column: str) -> Question:
    own, unrelated = Comparison(pair.a, pair.a), shuffled(pair.a)
    return Question(
        str(pair),
        tuple(dict.fromkeys((str(pair.a.model), str(pair.b.model)))),
        (pair, own, unrelated),
        partial(_within, pair, own, unrelated, bound, by),
        column,
        reference_variables=((by, pair),),
    )


def _within(
    pair: Comparison, own: Comparison, unrelated: Comparison, bound: Bound, by: Named, scores: Scores
) -> Answer:
    scale = scale_of(scores, own, [unrelated])
    if scale <= 0:
        return Answer(False, -1.0, (pair,))
    room = (bound.at(scores(pair, by).value) + scores(pair).value) / scale  # similarity is the negative distance
    held = room >= -ROUNDING
    return Answer(held, room, () if held else (pair,))
