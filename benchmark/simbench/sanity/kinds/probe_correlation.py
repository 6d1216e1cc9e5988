"""Probe correlation: across layers and seeds, what less alike can be read from is less similar."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from simbench.references import Comparison, ModelGroup
from simbench.sanity.kind import Question, sanity_test
from simbench.sanity.kinds.component_deletion import PROBE
from simbench.sanity.selection import ChosenLayers, places
from simbench.sanity.statistics.rank_statistics import kendall
from simbench.sanity.statistics.statistic import (
    StatisticTest,
    association,
    constant_curve,
    observation,
    rank_strays,
)
from simbench.suite.schema import PASS_IF
from simbench.verdicts.verdict import Trial, Violation

if TYPE_CHECKING:
    from simbench.metrics.metric import Metric


@sanity_test("probe_correlation")
class ProbeCorrelation(StatisticTest):
    """Across layers and seeds, two representations are the less similar the more their linear probes differ.

    Each layer of each model is the reference once, and is compared with all layers of all models but itself: Spearman's
    correlation of dissimilarity with |F(A) − F(B)|, F the accuracy of a linear probe. The grade is the mean over
    references; what is below 0 is graded 0. For directed metrics the reference receives.

    Auxiliary: Kendall's τ_b. No p-value: layers of one model are not exchangeable, so that permuting representations
    would make it too small, and permuting models would leave depth, from which the correlation comes, as it is.

    Source: Ding, Denain & Steinhardt (2021), layers by seeds. There the reference is the seed with the best probe at
    its layer; here every seed has its turn, so that no reference is chosen by the outcome. There it is also compared
    with itself, which every index gets right. An index that fails does not see how a layer's use changes with depth.
    """

    # What the least sensitive of the three indices of Ding et al., PWCCA, has in their experiment (.491).
    pass_if: str = Field(default=">= 0.49", pattern=PASS_IF.pattern)
    layers: ChosenLayers = None
    """Layers to compare: a number of them, evenly spread, or their names; all by default."""

    def questions(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[Question]:
        """One observation per reference and other representation, one curve per reference."""
        for group in groups:
            representations = places([group], self.layers, metric.level)
            for reference in representations:
                for other in representations:
                    if other == reference:
                        continue
                    yield observation(Comparison(other, reference), PROBE, line=str(reference))

    def statistic(self, trials: Sequence[Trial]) -> float:
        """The mean, over references, of Spearman's correlation of dissimilarity with the difference of the probes."""
        return association(trials)

    def undetermined(self, trials: Sequence[Trial]) -> str:
        """Which reference is as far from all others."""
        constant = constant_curve(trials)
        return f"probes of all others differ from that of {constant.line} by {constant.at:g}: nothing to correlate with"

    def figures(self, trials: Sequence[Trial]) -> Mapping[str, float]:
        """Spearman and Kendall, which may be negative."""
        return {"spearman": association(trials), "kendall": association(trials, kendall)}

    def strays(self, trials: Sequence[Trial]) -> Sequence[Violation]:
        """The pairs whose similarity is furthest from its place."""
        return rank_strays(trials)
