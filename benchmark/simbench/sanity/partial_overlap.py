"""Partial overlap: the more units two layers share, the more similar they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from statistics import fmean
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from simbench.plan.references import Comparison, ModelGroup, ModelRef, Named, RepresentationRef
from simbench.sanity.kind import Answer, Question, Scores, TestKind, all_scored, test_kind
from simbench.sanity.scale import ROUNDING

if TYPE_CHECKING:
    from simbench.metrics.metric import Metric

Form = Literal["permuted", "rotated"]
Share = Annotated[float, Field(ge=0, le=1)]
LAYER = "x"


@test_kind("partial_overlap")
class PartialOverlap(TestKind):
    """Similarity rises with every further unit that two populations have in common.

    Constructed: two populations of `units` Gaussian units seen on `rows` inputs; a `share` of those of the second are
    those of the first, `permuted` or `rotated` among themselves, the rest is independent. For adjacent shares p < q the
    question is S(p) < S(q), a tie being a failure; one column per form. Companion: the mean |S − p| (a metric that
    reads as "share of common units" has 0).

    Source: Wang et al. (2018), where the maximum match of half-shared populations is one half; one-to-one matching (Li
    et al. 2016) is only to see the permuted ones.
    """

    constructs_its_models: ClassVar[bool] = True

    shares: list[Share] = Field(default=[0.0, 0.25, 0.5, 0.75, 1.0], min_length=2)
    forms: list[Form] = Field(default=["permuted", "rotated"], min_length=1)
    units: int = Field(default=40, ge=4)
    rows: int = Field(default=1000, ge=10)
    seeds: list[int] = Field(default=[0, 1, 2], min_length=1)

    def questions(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[Question]:
        """One question per form, seed and step."""
        if metric.level == "head" or metric.needs & {"model", "targets"}:
            return
        for form in self.forms:
            for seed in self.seeds:
                for (less, one), (share, other) in pairwise(self._ladder(form, seed)):
                    yield Question(
                        f"{form}, {less:g} against {share:g} shared, seed {seed}",
                        (f"populations/{seed}",),
                        (one, other),
                        partial(_rises, one, other),
                        form,
                        at=share,
                        line=f"{form}, seed {seed}",
                    )

    def companions(self, groups: Sequence[ModelGroup], metric: Metric, scores: Scores) -> Mapping[str, float]:
        """Per form, how far the similarity is from the share."""
        found = {}
        for form in self.forms:
            ladder = [step for seed in self.seeds for step in self._ladder(form, seed)]
            if metric.level == "layers" and all_scored([comparison for _, comparison in ladder], scores):
                found[f"distance_from_share_{form}"] = fmean(abs(scores(pair).value - p) for p, pair in ladder)
        return found

    def nothing_to_ask(self, metric: Metric) -> str:
        """There is no network behind constructed populations."""
        return f"{metric.name} needs a network; the populations of {self.kind} are constructed"

    def _ladder(self, form: Form, seed: int) -> list[tuple[float, Comparison]]:
        first = self._population(1.0, "own", seed)
        return [(share, Comparison(self._population(share, form, seed), first)) for share in sorted(self.shares)]

    def _population(self, share: float, form: str, seed: int) -> RepresentationRef:
        construction = Named.of("shared_units", share=share, form=form, units=self.units, rows=self.rows)
        return RepresentationRef(ModelRef(construction.name, seed, construction), LAYER)


def _rises(one: Comparison, other: Comparison, scores: Scores) -> Answer:
    """A rise by no more than rounding is none."""
    rise = scores(other).value - scores(one).value
    held = rise > ROUNDING * max(abs(scores(one).value), abs(scores(other).value))
    return Answer(held, rise if held else -abs(rise), () if held else (other,))
