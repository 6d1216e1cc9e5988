"""Output correlation: models that behave differently are less similar."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from simbench.references import Comparison, ModelGroup, Named, RepresentationRef
from simbench.sanity.kind import Question, sanity_test
from simbench.sanity.selection import ChosenLayers, layers_of, pairs_of
from simbench.sanity.statistics.rank_statistics import kendall
from simbench.sanity.statistics.statistic import (
    StatisticTest,
    association,
    constant_curve,
    mantel_p_value,
    observation,
    rank_strays,
)
from simbench.suite.schema import PASS_IF
from simbench.verdicts.verdict import Trial, Violation

if TYPE_CHECKING:
    from simbench.metrics.metric import Metric


@sanity_test("output_correlation")
class OutputCorrelation(StatisticTest):
    """Models that differ in their seed only are the less similar the more their outputs differ.

    Over all pairs of seeds, at one layer: Spearman's correlation of dissimilarity with a reference variable, a measure
    of how the outputs of the pair differ; one column per variable. The grade of the test is the mean over variables
    (and over layers, where there are several); what is below 0 is graded 0, and a constant index, associated with
    nothing, has 0. Directed metrics are compared both ways, as in ReSi.

    Auxiliary: Spearman, Kendall's τ_b, and the one-sided Mantel p-value from permuting **models**: pairs share models,
    so that permuting pairs, as the published code does, makes p too small.

    Source: Klabunde et al. (2025), ReSi, tests 1 and 2; Ding, Denain & Steinhardt (2021). An index that fails does not
    tell how differently networks will behave. That their seeds differ in behaviour at all is a premise: a variable that
    is the same for all pairs is a reason to skip.
    """

    # What an index and a variable that have nothing to do with each other reach about once in 20 times with ten models:
    # .057 of 4 000 simulated pairs of independent matrices of distances in 3 dimensions. With five models it is .21.
    pass_if: str = Field(default=">= 0.3", pattern=PASS_IF.pattern)
    against: list[str] = Field(
        default=["accuracy_difference", "jensen_shannon", "disagreement"], min_length=1, validate_default=True
    )
    """Functional metrics, larger for outputs that differ more."""
    layers: ChosenLayers = None
    """Layers to compare: a number of them, evenly spread, or their names; the last by default."""

    def questions(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[Question]:
        """One observation per variable, layer and pair of models."""
        for name in self.against:
            variable = Named.of(name)
            for group in groups:
                for layer in self._layers(group, metric):
                    # The outputs do not depend on the layer: one place for all layers, and one score.
                    place = group.embedding_layer or group.layers[-1]
                    for first, second in pairs_of(group.models, ordered=not metric.symmetric):
                        compared = Comparison(RepresentationRef(first, layer), RepresentationRef(second, layer))
                        outputs = Comparison(RepresentationRef(first, place), RepresentationRef(second, place))
                        yield observation(compared, variable, line=f"{group.name} {layer}", of=outputs, column=name)

    def statistic(self, trials: Sequence[Trial]) -> float:
        """The mean Spearman correlation of dissimilarity with each reference variable along each curve."""
        return association(trials)

    def undetermined(self, trials: Sequence[Trial]) -> str:
        """Name the reference variable that does not vary."""
        constant = constant_curve(trials)
        return f"{constant.column} is {constant.at:g} for every pair of {constant.line}: nothing to correlate with"

    def figures(self, trials: Sequence[Trial]) -> Mapping[str, float]:
        """Spearman and Kendall, which may be negative, and the p-value."""
        return {
            "spearman": association(trials),
            "kendall": association(trials, kendall),
            "p_value": mantel_p_value(trials, self.seed("permutations")),
        }

    def strays(self, trials: Sequence[Trial]) -> Sequence[Violation]:
        """The pairs whose similarity is furthest from its place."""
        return rank_strays(trials)

    def _layers(self, group: ModelGroup, metric: Metric) -> tuple[str, ...]:
        if metric.level != "head" and self.layers is None:
            return group.layers[-1:]
        return layers_of(group, self.layers, metric.level)
