"""Matching recovery: a metric recognises the copies of a layer that it declares to recognise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from simbench.references import Comparison, ModelGroup, Named, RepresentationRef
from simbench.sanity.kind import Question, SanityTest, Scores, all_scored, decide, sanity_test
from simbench.sanity.selection import ChosenLayers
from simbench.sanity.stats.scale import relative_change, similarity_left, with_unrelated
from simbench.seeds import seed_for
from simbench.verdicts.verdict import Trial

if TYPE_CHECKING:
    from simbench.metrics.metric import Metric

Copy = Literal["permutation", "sign_flip", "orthogonal", "block_rotation", "noise"]
# The order of units means nothing, and a trace of noise changes nothing, whatever a metric declares.
ALWAYS_RECOGNISED = ("permutation", "noise")


@sanity_test("matching_recovery")
class MatchingRecovery(SanityTest):
    """Copies of a layer are as similar to it as the layer itself, if the metric must not see the difference.

    * `permutation`: units in another order. Every index of representations must give S(T a, a) = S(a, a).
    * `noise`: the copy plus noise of 1 % of each unit's standard deviation: S stays, up to `tolerance`.
    * `sign_flip`, `orthogonal`, `block_rotation`: the same is asked of metrics that declare invariance to orthogonal
      maps. Others are not asked: that they see a rotation is no mistake.

    Differences are relative to the scale S(a, a) − S₀. Auxiliary values: the share of that scale that each kind of copy
    keeps, the median over layers and models.

    Source: the auxiliary values tell kinds of matching apart. One-to-one matching finds permuted copies and loses
    rotated ones (Li et al. 2016); matching of spans finds both (Wang et al. 2018). A metric that fails the test does
    not have the invariance that it declares, or depends on the last digits of activations.
    """

    of_layers_only: ClassVar[bool] = True

    copies: list[Copy] = Field(
        default=["permutation", "sign_flip", "orthogonal", "block_rotation", "noise"], min_length=1
    )
    tolerance: float = Field(default=0.05, gt=0, lt=1)
    noise: float = Field(default=0.01, gt=0, lt=1)
    layers: ChosenLayers = None

    def questions(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[Question]:
        """Yield a question per model, layer and copy that the metric must recognise."""
        for a, _, unrelated in with_unrelated(groups, self.layers, metric.level):
            for name in self.copies:
                if name in ALWAYS_RECOGNISED or metric.is_invariant_to("orthogonal"):
                    copy, own = self._copy(name, a), Comparison(a, a)
                    ask = partial(_decide_if_recognised, copy, own, unrelated, self.tolerance)
                    yield Question.about(copy, (copy, own, *unrelated), ask, name)

    def comparisons(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[Comparison]:
        """Yield all copies, even those without a question: auxiliary values tell what is left of them."""
        for a, _, unrelated in with_unrelated(groups, self.layers, metric.level):
            yield from (self._copy(name, a) for name in self.copies)
            yield from (Comparison(a, a), *unrelated)

    def auxiliary(self, groups: Sequence[ModelGroup], metric: Metric, scores: Scores) -> Mapping[str, float]:
        """Compute, per kind of copy, the median share of the scale that it keeps."""
        kept: dict[str, list[float]] = {}
        for a, _, unrelated in with_unrelated(groups, self.layers, metric.level):
            own = Comparison(a, a)
            for name in self.copies:
                copy = self._copy(name, a)
                if all_scored((copy, own, *unrelated), scores):
                    left = similarity_left(scores, copy, own, unrelated)
                    kept.setdefault(name, []).extend([] if left is None else [left])
        return {f"kept_{name}": median(shares) for name, shares in kept.items() if shares}

    def _copy(self, name: Copy, a: RepresentationRef) -> Comparison:
        seed = seed_for(test=self.id, copy=name, model=str(a.model), layer=a.layer)
        transform = Named.of(name, seed=seed, ratio=self.noise) if name == "noise" else Named.of(name, seed=seed)
        return Comparison(a.under(transform), a)


def _decide_if_recognised(
    copy: Comparison, own: Comparison, unrelated: Sequence[Comparison], tolerance: float, scores: Scores
) -> Trial:
    moved = relative_change(scores, own, copy, own, unrelated)
    return decide(False, -1.0, copy) if moved is None else decide(moved <= tolerance, tolerance - moved, copy)
