"""Component deletion: the more a layer loses of what can be read from it, the less similar it is to itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from simbench.references import Comparison, ModelGroup, Named, RepresentationRef
from simbench.sanity.kind import Question, Scores, all_scored, sanity_test
from simbench.sanity.selection import ChosenLayers, layers_of, with_next
from simbench.sanity.statistics.rank_statistics import kendall
from simbench.sanity.statistics.statistic import StatisticTest, association, observation, rank_strays
from simbench.suite.schema import PASS_IF
from simbench.verdicts.verdict import Trial, Violation

if TYPE_CHECKING:
    from simbench.metrics.metric import Metric

Share = Annotated[float, Field(gt=0, le=1)]
PROBE = Named.of("probe_accuracy_difference")


@sanity_test("component_deletion")
class ComponentDeletion(StatisticTest):
    """Deleting principal components makes a layer the less like itself the more a linear probe loses by it.

    A layer is compared with what is left when only its top principal components are kept, from all of them to few. Per
    model and layer: Spearman's correlation, along this ladder, of dissimilarity with the loss in accuracy of a linear
    probe. The grade is the mean over models and layers; what is below 0 is graded 0.

    Auxiliary: Kendall's τ_b; in what share of the curves any deletion makes the layer less like itself than the same
    layer of the next seed is (`beyond_seed_level`), and the median share of components still kept where that first
    happens (`kept_at_seed_level`; larger is more sensitive).

    Source: Ding, Denain & Steinhardt (2021): there the reference is the seed with the best probe, and every seed's
    deletions are compared with it; here each layer is its own reference, so that nothing but the deletion varies.
    An index that fails does not see what a layer is used for.
    """

    # What the least sensitive of the three indices of Ding et al., linear CKA, has in their experiment (.75 to .78).
    pass_if: str = Field(default=">= 0.75", pattern=PASS_IF.pattern)
    kept: list[Share] = Field(default=[1.0, 0.75, 0.5, 0.35, 0.25, 0.15, 0.1, 0.05, 0.02], min_length=3)
    """Shares of the components to keep, of which there is always at least one."""
    layers: ChosenLayers = None
    """Layers to compare: a number of them, evenly spread, or their names; the last by default."""

    def questions(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[Question]:
        """One observation per model, layer and share."""
        for a, _ in self._layers(groups, metric):
            for share in self._ladder:
                seen = observation(_kept(a, share), PROBE, line=str(a))
                yield replace(seen, where=f"{a}, {share:g} of the components")

    def expand(self, groups: Sequence[ModelGroup], metric: Metric) -> tuple[Comparison, ...]:
        """Also each layer against the next seed's: the auxiliary need the level of seeds."""
        seeds = [Comparison(b, a) for a, b in self._layers(groups, metric) if b is not None]
        return tuple(dict.fromkeys((*super().expand(groups, metric), *seeds)))

    def statistic(self, trials: Sequence[Trial]) -> float:
        """The mean Spearman correlation of dissimilarity with the probe's loss."""
        return association(trials)

    def undetermined(self, trials: Sequence[Trial]) -> str:
        """That some curve has no probe that loses anything."""
        return "a linear probe is as accurate whatever is deleted: nothing to correlate with"

    def figures(self, trials: Sequence[Trial]) -> Mapping[str, float]:
        """Spearman and Kendall, which may be negative."""
        return {"spearman": association(trials), "kendall": association(trials, kendall)}

    def strays(self, trials: Sequence[Trial]) -> Sequence[Violation]:
        """The deletions whose similarity is furthest from its place."""
        return rank_strays(trials)

    def auxiliary(self, groups: Sequence[ModelGroup], metric: Metric, scores: Scores) -> Mapping[str, float]:
        """Where deletion first exceeds the level of seeds, over the curves that have all scores."""
        first_beyond: list[float | None] = []
        for a, b in self._layers(groups, metric):
            if b is None:
                continue
            level, curve = Comparison(b, a), {share: _kept(a, share) for share in self._ladder}
            if all_scored((level, *curve.values()), scores):
                beyond = (share for share, left in curve.items() if scores(level).above(scores(left)))
                first_beyond.append(next(beyond, None))
        if not first_beyond:
            return {}
        shares = [share for share in first_beyond if share is not None]
        found = {"beyond_seed_level": len(shares) / len(first_beyond)}
        return {**found, "kept_at_seed_level": median(shares)} if shares else found

    @property
    def _ladder(self) -> list[float]:
        """The shares to keep, most first."""
        return sorted(set(self.kept), reverse=True)

    def _layers(
        self, groups: Sequence[ModelGroup], metric: Metric
    ) -> Iterator[tuple[RepresentationRef, RepresentationRef | None]]:
        """Every chosen layer of every model, and the same layer of the next one."""
        for group in groups:
            last = self.layers is None and metric.level != "head"
            for layer in group.layers[-1:] if last else layers_of(group, self.layers, metric.level):
                yield from with_next(group.models, layer)


def _kept(a: RepresentationRef, share: float) -> Comparison:
    """A layer's top principal components against the whole layer.

    For directed metrics the whole receives: what is left can always be predicted from the whole.
    """
    return Comparison(a.under(Named.of("top_components", share=share, seed=0)), a)
