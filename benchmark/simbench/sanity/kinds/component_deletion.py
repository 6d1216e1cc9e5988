"""Component deletion: the more accuracy a linear probe loses by a deletion, the less similar the layer to itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from simbench.references import Comparison, ModelGroup, Named, RepresentationRef
from simbench.sanity.kind import Question, Scores, all_scored, sanity_test
from simbench.sanity.selection import ChosenLayers, layers_or_last, with_next
from simbench.sanity.stats.statistic import CorrelationTest, observation
from simbench.suite.schema import PASS_IF
from simbench.verdicts.verdict import Trial

if TYPE_CHECKING:
    from simbench.metrics.metric import Metric

Share = Annotated[float, Field(gt=0, le=1)]
PROBE = Named.of("probe_accuracy_difference")


@sanity_test("component_deletion")
class ComponentDeletion(CorrelationTest):
    """The more accuracy a linear probe loses when principal components are deleted, the lower the similarity.

    A layer is compared with itself reduced to its top principal components, from all of them to few. Per model and
    layer: Spearman's correlation, along this ladder, of dissimilarity with the loss in accuracy of a linear probe. The
    grade is the mean over models and layers; below 0 it is 0.

    Auxiliary values: Kendall's τ_b; the share of curves along which some deletion makes the layer less similar to
    itself than the same layer of the next seed is (`beyond_seed_level`), and the median share of components still kept
    where that first happens (`kept_at_seed_level`; larger is more sensitive).

    Source: Ding, Denain & Steinhardt (2021): there the reference is the seed with the best probe, and every seed's
    deletions are compared with it; here each layer is its own reference, so that nothing but the deletion varies.
    An index that fails is not sensitive to losses that change what the layer can be used for.
    """

    # What the least sensitive of the three indices of Ding et al., linear CKA, has in their experiment (.75 to .78).
    pass_if: str = Field(default=">= 0.75", pattern=PASS_IF.pattern)
    kept: list[Share] = Field(default=[1.0, 0.75, 0.5, 0.35, 0.25, 0.15, 0.1, 0.05, 0.02], min_length=3)
    """Shares of the components to keep; at least one component always stays."""
    layers: ChosenLayers = None
    """Layers to compare: a number of them, evenly spread, or their names; the last by default."""

    def questions(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[Question]:
        """Yield an observation per model, layer and share."""
        for a, _ in self._layers(groups, metric):
            for share in self._ladder:
                question = observation(_kept(a, share), PROBE, line=str(a))
                yield replace(question, where=f"{a}, {share:g} of the components")

    def comparisons(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[Comparison]:
        """Add each layer against the next seed's, which the auxiliary values need."""
        yield from super().comparisons(groups, metric)
        yield from (Comparison(b, a) for a, b in self._layers(groups, metric) if b is not None)

    def undetermined(self, trials: Sequence[Trial]) -> str:
        """Say that along some curve the probe loses nothing."""
        return "a linear probe is as accurate whatever is deleted: nothing to correlate with"

    def auxiliary(self, groups: Sequence[ModelGroup], metric: Metric, scores: Scores) -> Mapping[str, float]:
        """Find where deletion first exceeds the difference between seeds, over the curves that have all scores."""
        first_beyond: list[float | None] = []
        for a, b in self._layers(groups, metric):
            if b is None:
                continue
            between_seeds, curve = Comparison(b, a), {share: _kept(a, share) for share in self._ladder}
            if all_scored((between_seeds, *curve.values()), scores):
                level = scores(between_seeds)
                first_beyond.append(next((share for share, left in curve.items() if level.above(scores(left))), None))
        if not first_beyond:
            return {}
        shares = [share for share in first_beyond if share is not None]
        figures = {"beyond_seed_level": len(shares) / len(first_beyond)}
        return {**figures, "kept_at_seed_level": median(shares)} if shares else figures

    @property
    def _ladder(self) -> list[float]:
        """Shares to keep, the largest first."""
        return sorted(set(self.kept), reverse=True)

    def _layers(
        self, groups: Sequence[ModelGroup], metric: Metric
    ) -> Iterator[tuple[RepresentationRef, RepresentationRef | None]]:
        """Yield every chosen layer of every model with the same layer of the next model."""
        for group in groups:
            for layer in layers_or_last(group, self.layers, metric.level):
                yield from with_next(group.models, layer)


def _kept(a: RepresentationRef, share: float) -> Comparison:
    """Compare a layer's top principal components with the whole layer.

    For directed metrics the whole layer receives: its components can always be predicted from it.
    """
    return Comparison(a.under(Named.of("top_components", share=share, seed=0)), a)
