"""Matching recovery: a metric recognises the copies of a layer that it declares to recognise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from simbench.references import Comparison, ModelGroup, Named, RepresentationRef
from simbench.sanity.kind import SanityTest, sanity_test
from simbench.sanity.question import Question, Scores, all_scored
from simbench.sanity.selection import ChosenLayers
from simbench.sanity.stats.place import ask_if_recognised, neighbours, subject_of
from simbench.sanity.stats.scale import similarity_left, with_unrelated
from simbench.seeds import seed_for
from simbench.verdicts.verdict import Owed

if TYPE_CHECKING:
    from simbench.metrics.metric import Metric

Copy = Literal["permutation", "sign_flip", "orthogonal", "block_rotation", "noise"]
# The order of units means nothing, and a trace of noise changes nothing, whatever a metric declares.
ALWAYS_RECOGNISED = ("permutation", "noise")


@sanity_test("matching_recovery")
class MatchingRecovery(SanityTest):
    """Copies of a layer are more similar to it than every other layer, if the metric must not see the difference.

    Per model, layer a and copy T a: S(T a, a) is higher than S(c, a) for every other layer c of a's model and every
    layer of the model before it; of a directed metric, S(a, T a) as well. A column per kind of copy:

    * `permutation`: units in another order, and `noise`: noise of 1 % of each unit's standard deviation added. Every
      index owes these.
    * `sign_flip`, `orthogonal`, `block_rotation`: promised by metrics that declare invariance to orthogonal maps, and
      shown for others: that they see a rotation is no mistake.

    Auxiliary values, in the metric's own units: the share of S(a, a) − S₀ that each kind of copy keeps, with S₀ the
    similarity of row-shuffled copies; the median over layers and models.

    Source: the auxiliary values tell kinds of matching apart. One-to-one matching finds permuted copies and loses
    rotated ones (Li et al. 2016); matching of spans finds both (Wang et al. 2018). A metric that fails the test does
    not have the invariance that it declares, or depends on the last digits of activations.
    """

    of_layers_only: ClassVar[bool] = True

    copies: list[Copy] = Field(
        default=["permutation", "sign_flip", "orthogonal", "block_rotation", "noise"], min_length=1
    )
    noise: float = Field(default=0.01, gt=0, lt=1)
    layers: ChosenLayers = None

    def questions(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[Question]:
        """Yield a question per model, layer and copy, and of a directed metric another one."""
        for compared in neighbours(groups, self.layers, metric):
            for name in self.copies:
                copy = self._copy(name, compared.a)
                yield from ask_if_recognised(copy, compared.a, compared.rivals_of_a, metric, name)

    def owed(self, metric: Metric, column: str | None) -> Owed:
        """Say that copies that every index recognises are required, and rotated ones promised where declared."""
        if column is None or subject_of(column) in ALWAYS_RECOGNISED or not self.is_owed_for(metric):
            return super().owed(metric, column)
        return "promised" if metric.is_invariant_to("orthogonal") else "not promised"

    def comparisons(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[Comparison]:
        """Yield what questions need, and the scores of a layer with itself and shuffled, for auxiliary values."""
        if next(self.questions(groups, metric), None) is None:
            return
        yield from super().comparisons(groups, metric)
        for a, unrelated in with_unrelated(groups, self.layers, metric.level):
            yield from (Comparison(a, a), *unrelated)

    def auxiliary(self, groups: Sequence[ModelGroup], metric: Metric, scores: Scores) -> Mapping[str, float]:
        """Compute, per kind of copy, the median share of the scale that it keeps."""
        kept: dict[str, list[float]] = {}
        for a, unrelated in with_unrelated(groups, self.layers, metric.level):
            own = Comparison(a, a)
            for name in self.copies:
                copy = Comparison(self._copy(name, a), a)
                if all_scored((copy, own, *unrelated), scores):
                    left = similarity_left(scores, copy, own, unrelated)
                    kept.setdefault(name, []).extend([] if left is None else [left])
        return {f"kept_{name}": median(shares) for name, shares in kept.items() if shares}

    def _copy(self, name: Copy, a: RepresentationRef) -> RepresentationRef:
        seed = seed_for(test=self.id, copy=name, model=str(a.model), layer=a.layer)
        return a.under(Named.of(name, seed=seed, ratio=self.noise) if name == "noise" else Named.of(name, seed=seed))
