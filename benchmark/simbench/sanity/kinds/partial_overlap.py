"""Partial overlap: the more units two populations share, the more similar they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from statistics import fmean
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from simbench.bounds import MOST_INPUTS, WIDEST, Seeds
from simbench.references import Comparison, ModelGroup, ModelRef, Named, RepresentationRef
from simbench.sanity.generated_models import OtherPopulation
from simbench.sanity.kind import SanityTest, sanity_test
from simbench.sanity.question import Question, Scores, all_scored, decide
from simbench.sanity.stats.pairing import PairingCheck
from simbench.sanity.stats.ties import is_above
from simbench.verdicts.verdict import Trial

if TYPE_CHECKING:
    from simbench.metrics.metric import Metric

Share = Annotated[float, Field(ge=0, le=1)]
LAYER = "x"
# Forms in which a share of 0 would need infinitely many other units, or leave no unit that varies.
NEVER_WITHOUT = ("extended", "dead")


@sanity_test("partial_overlap")
class PartialOverlap(SanityTest):
    """Similarity rises with the share of units that two populations have in common.

    Synthetic: a population of `units` Gaussian units on `rows` inputs, and another one; a `share` of the units of both
    is common. One column per form of the other population:

    * `permuted`, `rotated`: units of the first in another order, or mixed by a rotation; the rest is independent;
    * `extended`: all units of the first and independent ones besides;
    * `dead`: units of the first; the rest is 0 on all inputs.

    For adjacent shares p < q the question is S(p) < S(q), a tie being a failure. Only scores of one ladder are compared
    with each other. A directed metric must rise in one direction and fall in none: units that extend one side decide
    everything in one direction and nothing in the other. Auxiliary value: the mean |S − p| (0 for a metric that gives
    the share of common units).

    Source: Wang et al. (2018), where the maximum match of half-shared populations is one half; one-to-one matching (Li
    et al. 2016) should only see units that are not rotated. A metric that fails `dead` does not count dead units: a
    layer that has lost half of its units looks intact.
    """

    generates_its_models: ClassVar[bool] = True

    shares: list[Share] = Field(default=[0.0, 0.25, 0.5, 0.75, 1.0], min_length=2)
    forms: list[OtherPopulation] = Field(default=["permuted", "rotated", "extended", "dead"], min_length=1)
    units: int = Field(default=40, ge=4, le=WIDEST)
    rows: int = Field(default=1000, ge=10, le=MOST_INPUTS)
    seeds: Seeds = Field(default=[0, 1, 2])

    def questions(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[Question]:
        """Yield a question per form, seed and step."""
        if metric.level == "head" or metric.needs & {"model", "targets"}:
            return
        for form in self.forms:
            for seed in self.seeds:
                for (less, lower), (share, higher) in pairwise(self._ladder(form, seed, metric)):
                    yield Question(
                        f"{form}, {less:g} against {share:g} shared, seed {seed}",
                        (f"populations/{seed}",),
                        (*lower, *higher),
                        partial(_rises, lower, higher),
                        form,
                        at=share,
                        line=f"{form}, seed {seed}",
                    )

    def auxiliary(self, groups: Sequence[ModelGroup], metric: Metric, scores: Scores) -> Mapping[str, float]:
        """Compute, per form, how far the similarity is from the share."""
        figures = {}
        for form in self.forms:
            ladder = [step for seed in self.seeds for step in self._ladder(form, seed, metric)]
            if all_scored([comparison for _, pair in ladder for comparison in pair], scores):
                figures[f"distance_from_share_{form}"] = fmean(abs(_mean(pair, scores) - p) for p, pair in ladder)
        return figures

    def pairing_checks(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[PairingCheck]:
        """Yield the check of the first population of every seed."""
        yield from (PairingCheck.of(self._population(1.0, "own", seed)) for seed in self.seeds)

    def nothing_to_ask(self, metric: Metric) -> str:
        """Say what synthetic populations lack: a network and, whether or not there is one, labels."""
        lacking = "labels" if metric.level == "layers" and "model" not in metric.needs else "a network"
        return f"{metric.name} needs {lacking}; the populations of {self.kind} are synthetic"

    def _ladder(self, form: OtherPopulation, seed: int, metric: Metric) -> list[tuple[float, tuple[Comparison, ...]]]:
        """List, per share, the comparison with the first population; for directed metrics in both directions."""
        first = self._population(1.0, "own", seed)
        shares = [share for share in sorted(self.shares) if share > 0 or form not in NEVER_WITHOUT]
        others = [self._population(share, form, seed) for share in shares]
        pairs = [(Comparison(other, first), Comparison(first, other)) for other in others]
        return [(share, pair[:1] if metric.symmetric else pair) for share, pair in zip(shares, pairs, strict=True)]

    def _population(self, share: float, form: str, seed: int) -> RepresentationRef:
        generator = Named.of("shared_units", share=share, form=form, units=self.units, rows=self.rows)
        return RepresentationRef(ModelRef(generator.name, seed, generator), LAYER)


def _mean(pair: Sequence[Comparison], scores: Scores) -> float:
    return fmean(scores(comparison).value for comparison in pair)


def _rises(lower: Sequence[Comparison], higher: Sequence[Comparison], scores: Scores) -> Trial:
    """Answer whether similarity rises in a direction and falls in none, by more than rounding."""
    pairs = [(scores(less), scores(more)) for less, more in zip(lower, higher, strict=True)]
    rises = any(is_above(more.value, less.value) for less, more in pairs)
    falls = any(is_above(less.value, more.value) for less, more in pairs)
    change = fmean(more.value - less.value for less, more in pairs)
    return decide(rises and not falls, change if rises and not falls else -abs(change), *higher)
