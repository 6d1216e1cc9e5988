"""Component deletion: the more a probe loses by a deletion, the less similar is the layer to that of other seeds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from simbench.references import Comparison, ModelGroup, Named
from simbench.sanity.kind import sanity_test
from simbench.sanity.question import Question
from simbench.sanity.selection import ChosenLayers, layers_or_last, pairs_at
from simbench.sanity.stats.statistic import CorrelationTest, observation
from simbench.suite.schema import PASS_IF
from simbench.verdicts.verdict import Trial

if TYPE_CHECKING:
    from simbench.metrics.metric import Metric

Share = Annotated[float, Field(gt=0, le=1)]
PROBE = Named.of("probe_accuracy_difference")


@sanity_test("component_deletion")
class ComponentDeletion(CorrelationTest):
    """The more accuracy a linear probe loses by a deletion, the less similar is the layer to that of other seeds.

    Every whole layer is the reference once. The same layer of every *other* seed is reduced to its top principal
    components, from all of them to few, and compared with it: Spearman's correlation, over seeds and shares, of
    dissimilarity with |F(reference) − F(what is left)|, F the accuracy of a linear probe. Scores of one reference are
    ordered among themselves and against probes; their unit plays no role. The grade is the mean over references; below
    0 it is 0. For directed metrics the whole layer receives.

    A layer is not compared with what is left of itself: canonical correlations of the two are 1 by algebra, whatever
    is deleted. What averages canonical correlations over the directions that are left (`cca`, `pwcca`) rises with
    deletion and fails; with the weights of the whole reference, as in the published code (`pwcca(weights=receiver)`),
    deleted directions count. Auxiliary value: Kendall's τ_b.

    Source: Ding, Denain & Steinhardt (2021), where the reference is the seed with the best probe; here every seed has
    its turn, so that no reference is chosen by the outcome. An index that fails is not sensitive to losses that change
    what the layer can be used for.
    """

    # What the least sensitive of the three indices of Ding et al., linear CKA, has in their experiment (.75 to .78).
    pass_if: str = Field(default=">= 0.75", pattern=PASS_IF.pattern)
    kept: list[Share] = Field(default=[1.0, 0.75, 0.5, 0.35, 0.25, 0.15, 0.1, 0.05, 0.02], min_length=3)
    """Shares of the components to keep; at least one component always stays."""
    layers: ChosenLayers = None
    """Layers to compare: a number of them, evenly spread, or their names; the last by default."""

    def questions(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[Question]:
        """Yield an observation per reference, other seed and share."""
        for group in groups:
            for layer in layers_or_last(group, self.layers, metric.level):
                for whole in pairs_at(group, layer, ordered=True):
                    for share in self._ladder:
                        left = whole.a.under(Named.of("top_components", share=share, seed=0))
                        question = observation(Comparison(left, whole.b), PROBE, line=str(whole.b))
                        yield replace(question, where=f"{share:g} of the components of {whole.a} against {whole.b}")

    def nothing_to_ask(self, metric: Metric) -> str:
        """Say that other seeds are missing."""
        return "component_deletion needs two seeds of a model, and layers, or for metrics of the head a linear head"

    def undetermined(self, trials: Sequence[Trial]) -> str:
        """Say that along some curve the probe loses nothing."""
        return "a linear probe is as accurate whatever is deleted: nothing to correlate with"

    @property
    def _ladder(self) -> list[float]:
        """Shares to keep, the largest first."""
        return sorted(set(self.kept), reverse=True)
