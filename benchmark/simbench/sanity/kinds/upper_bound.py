"""Upper bound: a distance is at most what a theorem allows, given another distance."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from simbench.bounds import MOST_INPUTS, Seeds
from simbench.references import Comparison, ModelGroup, Named
from simbench.registry import METRICS
from simbench.sanity.generated_models import PerturbedClasses
from simbench.sanity.kind import SanityTest, sanity_test
from simbench.sanity.kinds.graded_perturbation import NoiseLevel, perturbed_pair
from simbench.sanity.question import Question, Scores, decide
from simbench.sanity.selection import Pairs, pairs_at
from simbench.sanity.stats.pairing import PairingCheck
from simbench.suite.schema import PASS_IF, Component, ComponentChoice, Strict
from simbench.verdicts.verdict import Trial

if TYPE_CHECKING:
    from simbench.metrics.metric import Metric


# Relative to a bound: both it and the distance are computed, each with errors of its own.
ROUNDING = 1e-6


class Bound(Strict):
    """An upper bound `times` · d ^ `power`, with d the distance that the metric `by` gives for the same pair."""

    by: ComponentChoice
    times: float = Field(default=1.0, gt=0)
    power: float = Field(default=1.0, gt=0)

    def at(self, distance: float) -> float:
        """Return the bound at a distance."""
        return self.times * math.pow(distance, self.power)


@sanity_test("upper_bound")
class UpperBound(SanityTest):
    """A distance is at most what a theorem allows, given another distance of the same pair.

    Asked of the distances that `bounds` names, by default of three for which a bound is known:

    * `identifiability_fg` ≤ 2 ε², ε = `identifiability_llv` at the same pivots. The published 2 M ε is larger wherever
      ε < M, and says nothing from ε = 1/(2 M) on, as no distance exceeds 1.
    * `logit_correlation_loss` and `logit_map_loss` ≤ `logit_distance`.

    Columns: `trained`, all pairs of models of a group, and `perturbed`, synthetic models against ever noisier copies
    of themselves. The room left is measured in the distance's own units: this test alone is about values, as the
    theorems are. The grade is the share of pairs within the bound, up to rounding; a single violation refutes the
    theorem or, more likely, the implementation. A constant within the bound is no distance: it does not tell a model
    from its shuffled rows, and has the grade 0.

    Source: Nielsen et al. (2025), arXiv 2506.03784, Theorem 4.7; Nielsen et al. (2026), arXiv 2602.15438. The bound of
    2 ε² is elementary: standardised columns whose difference has a spread of 2 ε correlate by at least 1 − 2 ε².
    """

    # No interval of a perfect grade reaches 1: violations are listed one by one, whatever the grade.
    pass_if: str = Field(default=">= 0.9", pattern=PASS_IF.pattern)
    generates_its_models: ClassVar[bool] = True

    bounds: dict[str, Bound] = Field(
        default={
            "identifiability_fg": Bound(by=Component(name="identifiability_llv"), times=2.0, power=2.0),
            "logit_correlation_loss": Bound(by=Component(name="logit_distance")),
            "logit_map_loss": Bound(by=Component(name="logit_distance")),
        },
        min_length=1,
    )
    """Bounds, by the name of the bounded distance."""
    classes: list[PerturbedClasses] = Field(default=[4, 6, 10])
    """Numbers of classes of the synthetic models; none for trained models only."""
    levels: list[NoiseLevel] = Field(default=[1, 61, 121, 181, 241], min_length=1)
    inputs_per_class: int = Field(default=100, ge=3, le=MOST_INPUTS)
    seeds: Seeds = Field(default=[0, 1, 2])
    pairs: Pairs = "all"
    """Pairs of trained models to compare: `all`, or `{sample: k}` for k of them per group."""

    def questions(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[Question]:
        """Yield a question per pair."""
        bound = self._bound_of(metric)
        if bound is None:
            return
        by = _bounding(bound, metric)
        for group in groups:
            if group.embedding_layer is not None:
                for pair in pairs_at(group, group.embedding_layer, self.pairs, ordered=not metric.symmetric):
                    yield _question(pair, bound, by, "trained")
        for classes in self.classes:
            for seed in self.seeds:
                for level in self.levels:
                    yield _question(perturbed_pair(classes, level, seed, self.inputs_per_class), bound, by, "perturbed")

    def pairing_checks(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[PairingCheck]:
        """Add the check of every synthetic model."""
        yield from super().pairing_checks(groups, metric)
        for classes in self.classes:
            for seed in self.seeds:
                yield PairingCheck.of(perturbed_pair(classes, self.levels[0], seed, self.inputs_per_class).b)

    def nothing_to_ask(self, metric: Metric) -> str:
        """Say that no bound is known for the metric, or that models are missing."""
        if metric.higher_is_more_similar:
            return f"{metric.name} is no distance"
        if metric.name not in self.bounds:
            return f"theory puts no bound on {metric.name} that this test knows"
        return "upper_bound needs two models with a linear head, or synthetic ones"

    def _bound_of(self, metric: Metric) -> Bound | None:
        return None if metric.higher_is_more_similar else self.bounds.get(metric.name)


def _bounding(bound: Bound, metric: Metric) -> Named:
    """Name the bounding metric; parameters that both have, such as the seed of the pivots, are those of the bounded."""
    own = METRICS.get(bound.by.name).parameters
    same = {name: value for name, value in metric.parameters.items() if name in own and value != own[name]}
    return Named.of(bound.by.name, **{**same, **bound.by.parameters})


def _question(pair: Comparison, bound: Bound, by: Named, column: str) -> Question:
    ask = partial(_within, pair, bound, by)
    return Question.about(pair, (pair,), ask, column, reference_variables=((by, pair),))


def _within(pair: Comparison, bound: Bound, by: Named, scores: Scores) -> Trial:
    largest, distance = bound.at(scores(pair, by).value), -scores(pair).value  # similarity is the negative distance
    room = largest - distance
    return decide(room >= -ROUNDING * max(largest, distance), room, pair)
