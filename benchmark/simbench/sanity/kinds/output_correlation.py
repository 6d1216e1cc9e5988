"""Output correlation: the more the outputs of two models differ, the lower their similarity."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from simbench.references import ModelGroup, Named
from simbench.sanity.kind import sanity_test
from simbench.sanity.question import Question
from simbench.sanity.selection import ChosenLayers, Pairs, layers_or_last, pairs_at, without_p_value
from simbench.sanity.stats.statistic import CorrelationTest, constant_curve, mantel_p_value, observation
from simbench.suite.schema import PASS_IF
from simbench.verdicts.verdict import Trial

if TYPE_CHECKING:
    from simbench.metrics.metric import Metric


@sanity_test("output_correlation")
class OutputCorrelation(CorrelationTest):
    """Across seeds, the more the outputs of two models differ, the lower their similarity.

    Over all pairs of seeds, at one layer: Spearman's correlation of dissimilarity with a reference variable, a measure
    of how the outputs of the pair differ; one column per variable. The grade of the test is the mean over variables
    (and over layers, where there are several); what is below 0 is graded 0, and a constant index, associated with
    nothing, has 0. Directed metrics are compared both ways, as in ReSi.

    Auxiliary values: Spearman's correlation, Kendall's τ_b, and the one-sided Mantel p-value from permuting **models**:
    pairs share models, so that permuting pairs, as the published code does, makes p too small.

    Source: Klabunde et al. (2025), ReSi, tests 1 and 2; Ding, Denain & Steinhardt (2021). An index that fails does not
    tell how differently networks behave. That seeds change behaviour at all is a premise: a test whose variable is the
    same for all pairs is skipped.
    """

    # What an index and a variable that have nothing to do with each other reach about once in 20 times with ten models:
    # .057 of 4 000 simulated pairs of independent matrices of distances in 3 dimensions. With five models it is .21.
    pass_if: str = Field(default=">= 0.3", pattern=PASS_IF.pattern)
    against: list[str] = Field(
        default=["accuracy_difference", "jensen_shannon", "disagreement"], min_length=1, validate_default=True
    )
    """Reference variables: functional metrics, larger for outputs that differ more."""
    pairs: Pairs = "all"
    """Pairs of models to compare: `all`, or `{sample: k}` for k of them per group; then there is no p-value."""
    layers: ChosenLayers = None
    """Layers to compare: a number of them, evenly spread, or their names; the last by default."""

    def questions(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[Question]:
        """Yield an observation per reference variable, layer and pair of models."""
        for name in self.against:
            variable = Named.of(name)
            for group in groups:
                for layer in layers_or_last(group, self.layers, metric.level):
                    # The outputs do not depend on the layer: one layer stands for all, with one score.
                    read_at = group.embedding_layer or group.layers[-1]
                    pairs, outputs_of = (
                        pairs_at(group, place, self.pairs, ordered=not metric.symmetric) for place in (layer, read_at)
                    )
                    for compared, outputs in zip(pairs, outputs_of, strict=True):
                        yield observation(compared, variable, line=f"{group.name} {layer}", of=outputs, column=name)

    def remark(self, groups: Sequence[ModelGroup]) -> str:
        """Say that a sample of pairs has no p-value."""
        return next(filter(None, (without_p_value(self.pairs, len(group.models)) for group in groups)), "")

    def undetermined(self, trials: Sequence[Trial]) -> str:
        """Name the reference variable that does not vary."""
        constant = constant_curve(trials)
        return f"{constant.column} is {constant.at:g} for every pair of {constant.line}: nothing to correlate with"

    def figures(self, trials: Sequence[Trial]) -> Mapping[str, float]:
        """Compute Spearman and Kendall, which may be negative, and the p-value."""
        return {**super().figures(trials), "p_value": mantel_p_value(trials, self.seed("permutations"))}
