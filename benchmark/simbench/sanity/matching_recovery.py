"""Matching recovery: copies of a layer are recognised exactly as far as the metric says it can."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from simbench.plan.references import Comparison, ModelGroup, Named, RepresentationRef
from simbench.sanity.kind import Answer, Question, Scores, TestKind, test_kind
from simbench.sanity.scale import change, shuffled
from simbench.sanity.selection import ChosenLayers, layers_of
from simbench.seeds import seed_for

if TYPE_CHECKING:
    from simbench.metrics.metric import Metric

Copy = Literal["permutation", "sign_flip", "orthogonal", "block_rotation", "noise"]
ALWAYS_RECOGNISED = ("permutation", "noise")
"""The order of units means nothing, and a trace of noise changes nothing, whatever a metric declares."""


@test_kind("matching_recovery")
class MatchingRecovery(TestKind):
    """Copies of a layer are as similar as the layer itself where they must be, and clearly less where they must not.

    * `permutation`: units in another order. Every index of representations owes S(T a, a) = S(a, a).
    * `noise`: the copy plus noise of 1 % of each unit's standard deviation: S stays, up to `tolerance`.
    * `sign_flip`, `orthogonal`, `block_rotation`: recognised by metrics that declare invariance to orthogonal maps; any
      other metric must tell the copy apart, by more than `tolerance`.

    Differences are relative to the scale S(a, a) − S₀. The expectations are those of one-to-one matching (Li et al.
    2016: permuted copies match fully, rotated ones do not) and of span matching (Wang et al. 2018). A metric that fails
    it is not what it declares to be.
    """

    copies: list[Copy] = Field(
        default=["permutation", "sign_flip", "orthogonal", "block_rotation", "noise"], min_length=1
    )
    tolerance: float = Field(default=0.05, gt=0, lt=1)
    noise: float = Field(default=0.01, gt=0, lt=1)
    layers: ChosenLayers = None

    def questions(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[Question]:
        """One question per model, layer and copy."""
        if metric.level == "head":
            return
        for group in groups:
            for layer in layers_of(group, self.layers, metric.level):
                unrelated = [shuffled(RepresentationRef(model, layer)) for model in group.models]
                for model in group.models:
                    a = RepresentationRef(model, layer)
                    for name in self.copies:
                        recognised = name in ALWAYS_RECOGNISED or metric.is_invariant_to("orthogonal")
                        copy, own = Comparison(a.under(self._copying(name, a)), a), Comparison(a, a)
                        yield Question(
                            str(copy),
                            (str(model),),
                            (copy, own, *unrelated),
                            partial(_as_expected, copy, own, unrelated, self.tolerance, recognised),
                            name,
                        )

    def _copying(self, name: Copy, a: RepresentationRef) -> Named:
        seed = seed_for(test=self.id, copy=name, model=str(a.model), layer=a.layer)
        return Named.of(name, seed=seed, ratio=self.noise) if name == "noise" else Named.of(name, seed=seed)


def _as_expected(
    copy: Comparison,
    own: Comparison,
    unrelated: Sequence[Comparison],
    tolerance: float,
    recognised: bool,
    scores: Scores,
) -> Answer:
    moved = change(scores, own, copy, own, unrelated)
    if moved is None:
        return Answer(False, -1.0, (copy,))
    margin = tolerance - moved if recognised else moved - tolerance
    held = margin >= 0 if recognised else margin > 0
    return Answer(held, margin, () if held else (copy,))
