"""Probe correlation: the larger the difference in probe accuracy, the lower the similarity."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING

from pydantic import Field

from simbench.references import Comparison, ModelGroup, ModelRef, RepresentationRef
from simbench.sanity.kind import sanity_test
from simbench.sanity.kinds.component_deletion import PROBE
from simbench.sanity.question import Question
from simbench.sanity.selection import ChosenLayers, Pairs, pairs_of, representations_of
from simbench.sanity.stats.partial_association import association_given, associations_without_models
from simbench.sanity.stats.statistic import CorrelationTest, constant_curve, observation
from simbench.suite.schema import PASS_IF
from simbench.verdicts.verdict import Trial

if TYPE_CHECKING:
    from simbench.metrics.metric import Metric


@sanity_test("probe_correlation")
class ProbeCorrelation(CorrelationTest):
    """Across layers and seeds, the larger the difference in linear-probe accuracy, the lower the similarity.

    Each layer of each model is the reference once, and is compared with all layers of all models but itself: Spearman's
    correlation of dissimilarity with |F(A) − F(B)|, F the accuracy of a linear probe, given the distance in depth
    (partial rank correlation: what depth says of either is taken out). Similarities to one reference are ordered among
    themselves; their unit plays no role. The grade is the mean over references; what is below 0 is graded 0. For
    directed metrics the reference receives.

    Auxiliary values: Spearman's correlation and Kendall's τ_b without regard to depth, as in the paper. There, depth
    alone has most of the correlation, as probes improve with it, and so have the spectra of the layers. No p-value:
    layers of one model are not exchangeable, so that permuting representations would make it too small.

    Source: Ding, Denain & Steinhardt (2021), layers by seeds. There the reference is the seed with the best probe at
    its layer; here every seed has its turn, so that no reference is chosen by the outcome. There it is also compared
    with itself, which every index gets right. An index that fails says no more of a layer's use than its depth does.
    """

    # What Cohen (1988), Statistical Power Analysis, calls a small correlation; without regard to depth, the indices of
    # Ding et al. have .49 to .63.
    pass_if: str = Field(default=">= 0.1", pattern=PASS_IF.pattern)
    layers: ChosenLayers = None
    """Layers to compare: a number of them, evenly spread, or their names; all by default."""

    pairs: Pairs = "all"
    """Pairs of models to compare: `all`, or `{sample: k}` for k of them per group; layers of one model always are."""

    def questions(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[Question]:
        """Yield an observation per reference and other representation, one curve per reference."""
        for group in groups:
            representations = representations_of([group], self.layers, metric.level)
            depth = {layer: position for position, layer in enumerate((*group.layers, group.embedding_layer))}
            # Listed when asked for: most suites are only looked over.
            senders = cache(partial(_senders, representations, self._compared(group.models)))
            for reference in representations:
                line, at = str(reference), depth[reference.layer]
                for other in senders(reference.model):
                    if other != reference:
                        apart = float(abs(depth[other.layer] - at))
                        yield observation(Comparison(other, reference), PROBE, line=line, given=apart)

    def _compared(self, models: Sequence[ModelRef]) -> frozenset[tuple[ModelRef, ModelRef]] | None:
        """Return the pairs of models of a sample; None where all are compared."""
        if self.pairs == "all":
            return None
        return frozenset((*pairs_of(models, self.pairs, ordered=True), *zip(models, models, strict=True)))

    def statistic(self, trials: Sequence[Trial]) -> float:
        """Compute the mean over references of Spearman's correlation given the distance in depth."""
        return association_given(trials)

    def without_models(self, trials: Sequence[Trial]) -> dict[str, float]:
        """Compute the statistic with each model left out in turn, of all of them at once."""
        return associations_without_models(trials)

    def undetermined(self, trials: Sequence[Trial]) -> str:
        """Name the reference from whose probe all others differ by the same amount."""
        constant = constant_curve(trials)
        return f"probes of all others differ from that of {constant.line} by {constant.at:g}: nothing to correlate with"


def _senders(
    representations: Sequence[RepresentationRef],
    compared: frozenset[tuple[ModelRef, ModelRef]] | None,
    model: ModelRef,
) -> list[RepresentationRef]:
    return [other for other in representations if compared is None or (other.model, model) in compared]
