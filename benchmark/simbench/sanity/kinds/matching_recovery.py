"""Matching recovery: copies of a layer are recognised as far as the metric says it can."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from simbench.references import Comparison, ModelGroup, Named, RepresentationRef
from simbench.sanity.kind import Answer, Question, SanityTest, Scores, all_scored, sanity_test
from simbench.sanity.selection import ChosenLayers, layers_of
from simbench.sanity.statistics.scale import change, shuffled, similarity_left
from simbench.seeds import seed_for

if TYPE_CHECKING:
    from simbench.metrics.metric import Metric

Copy = Literal["permutation", "sign_flip", "orthogonal", "block_rotation", "noise"]
ALWAYS_RECOGNISED = ("permutation", "noise")
"""The order of units means nothing, and a trace of noise changes nothing, whatever a metric declares."""


@sanity_test("matching_recovery")
class MatchingRecovery(SanityTest):
    """Copies of a layer are as similar to it as the layer itself, where the metric is to see no difference.

    * `permutation`: units in another order. Every index of representations owes S(T a, a) = S(a, a).
    * `noise`: the copy plus noise of 1 % of each unit's standard deviation: S stays, up to `tolerance`.
    * `sign_flip`, `orthogonal`, `block_rotation`: the same is asked of metrics that declare invariance to orthogonal
      maps. Of others nothing is: what a rotation leaves is their answer, not their mistake.

    Differences are relative to the scale S(a, a) − S₀. Auxiliary: what every copy keeps of that scale, the median over
    layers and models.

    Source: the auxiliary tell kinds of matching apart. One-to-one matching finds permuted copies and loses rotated
    ones (Li et al. 2016); matching of spans finds both (Wang et al. 2018). A metric that fails the test is not what it
    declares to be, or hangs on the last digit of activations.
    """

    of_layers_only: ClassVar[bool] = True

    copies: list[Copy] = Field(
        default=["permutation", "sign_flip", "orthogonal", "block_rotation", "noise"], min_length=1
    )
    tolerance: float = Field(default=0.05, gt=0, lt=1)
    noise: float = Field(default=0.01, gt=0, lt=1)
    layers: ChosenLayers = None

    def questions(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[Question]:
        """One question per model, layer and copy that the metric is to recognise."""
        for a, unrelated in self._places(groups, metric):
            for name in self.copies:
                if name in ALWAYS_RECOGNISED or metric.is_invariant_to("orthogonal"):
                    copy, own = self._copy(name, a), Comparison(a, a)
                    yield Question(
                        str(copy),
                        (str(a.model),),
                        (copy, own, *unrelated),
                        partial(_recognised, copy, own, unrelated, self.tolerance),
                        name,
                    )

    def expand(self, groups: Sequence[ModelGroup], metric: Metric) -> tuple[Comparison, ...]:
        """All copies, also those that nothing is asked of: the auxiliary tell what is left of them."""
        places = self._places(groups, metric)
        wanted = ((*(self._copy(name, a) for name in self.copies), Comparison(a, a), *rest) for a, rest in places)
        return tuple(dict.fromkeys(comparison for comparisons in wanted for comparison in comparisons))

    def auxiliary(self, groups: Sequence[ModelGroup], metric: Metric, scores: Scores) -> Mapping[str, float]:
        """Per kind of copy, the median share of the scale that it keeps."""
        kept: dict[str, list[float]] = {}
        for a, unrelated in self._places(groups, metric):
            own = Comparison(a, a)
            for name in self.copies:
                copy = self._copy(name, a)
                if all_scored((copy, own, *unrelated), scores):
                    left = similarity_left(scores, copy, own, unrelated)
                    kept.setdefault(name, []).extend([] if left is None else [left])
        return {f"kept_{name}": median(found) for name, found in kept.items() if found}

    def _places(
        self, groups: Sequence[ModelGroup], metric: Metric
    ) -> Iterator[tuple[RepresentationRef, list[Comparison]]]:
        """Every layer, and what is unrelated to that layer of these models."""
        if metric.level == "head":
            return
        for group in groups:
            for layer in layers_of(group, self.layers, metric.level):
                unrelated = [shuffled(RepresentationRef(model, layer)) for model in group.models]
                for model in group.models:
                    yield RepresentationRef(model, layer), unrelated

    def _copy(self, name: Copy, a: RepresentationRef) -> Comparison:
        seed = seed_for(test=self.id, copy=name, model=str(a.model), layer=a.layer)
        how = Named.of(name, seed=seed, ratio=self.noise) if name == "noise" else Named.of(name, seed=seed)
        return Comparison(a.under(how), a)


def _recognised(
    copy: Comparison, own: Comparison, unrelated: Sequence[Comparison], tolerance: float, scores: Scores
) -> Answer:
    moved = change(scores, own, copy, own, unrelated)
    if moved is None:
        return Answer(False, -1.0, (copy,))
    return Answer(moved <= tolerance, tolerance - moved, () if moved <= tolerance else (copy,))
