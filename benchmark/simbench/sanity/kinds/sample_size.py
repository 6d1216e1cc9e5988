"""Sample size: few probe inputs give the order that many give, and no number of them makes unrelated data related."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import combinations
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field, model_validator

from simbench.bounds import MOST_INPUTS, WIDEST, Repetitions
from simbench.references import Comparison, ModelGroup, ModelRef, Named, RepresentationRef
from simbench.sanity.kind import SanityTest, sanity_test
from simbench.sanity.question import Question, Scores, give_credit, is_more_similar, models_of
from simbench.sanity.selection import ChosenLayers, layers_of
from simbench.sanity.stats.pairing import PairingCheck
from simbench.sanity.stats.place import both_ways, neighbours, null_level_of, require_signal
from simbench.seeds import seed_for
from simbench.suite.schema import PASS_IF
from simbench.verdicts.verdict import Trial

if TYPE_CHECKING:
    from simbench.metrics.metric import Metric

SomeInputs = Annotated[int, Field(ge=3, le=MOST_INPUTS)]
Ratio = Annotated[float, Field(gt=0)]
ORDER, ACROSS_SIZES = "order", "across sizes"


@sanity_test("sample_size")
class SampleSize(SanityTest):
    """Few probe inputs order pairs as many do, and unrelated data of any size are less similar than related data.

    * Column `order`: for a receiving layer b, the senders c are the other chosen layers of its model and all chosen
      layers of the model before it, the comparisons of `identity` and `correspondence`. Credit is the share of pairs
      of senders that S(c, b) on n inputs puts in the order that it puts them in on all inputs; a tie is a failure, and
      ½ is chance. Where no sender is more similar to b than its own shuffled rows are, there is no order to keep, and
      no answer.
    * Column `across sizes`: is S of two independent Gaussian populations of `features` units, features / rows running
      over `ratios`, smaller than S of two that share the `shared` part of their units, at the smallest ratio? A tie is
      a failure. A directed metric is asked both ways.

    Source: Murphy et al. (2024), arXiv 2405.01012: CKA of independent data tends to 1 as features / rows grows; so do
    CCA and distance correlation. Take more inputs before you rank layers by an index that fails `order`; compare no
    values of one that fails `across sizes` between layers of different width or datasets of different size.
    """

    generates_its_models: ClassVar[bool] = True
    of_layers_only: ClassVar[bool] = True

    inputs: list[SomeInputs] = Field(default=[50, 200], min_length=1)
    """Numbers n of probe inputs."""
    features: int = Field(default=64, ge=2, le=WIDEST)
    ratios: list[Ratio] = Field(default=[0.05, 0.25, 1.0, 4.0], min_length=2)
    shared: float = Field(default=0.5, gt=0, le=1)
    """Share of the units that the related populations have in common."""
    draws: Repetitions = 5
    layers: ChosenLayers = 3
    pass_if: str = Field(default=">= 0.9", pattern=PASS_IF.pattern)

    @model_validator(mode="after")
    def _enough_rows(self) -> SampleSize:
        if round(self.features / max(self.ratios)) < 3:
            raise ValueError(f"a ratio of {max(self.ratios):g} leaves fewer than 3 rows of {self.features} features")
        return self

    def questions(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[Question]:
        """Yield a question per receiving layer and number of inputs, and one per draw, ratio and direction."""
        for group in groups:
            chosen = set(layers_of(group, self.layers, metric.level))
            for of in neighbours([group], self.layers, metric):
                yield from self._order(of.a, [pair for pair in of.rivals_of_a if pair.a.layer in chosen], metric)
        if not metric.needs & {"model", "targets"}:
            for draw in range(self.draws):
                yield from self._across_sizes(draw, metric)

    def pairing_checks(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[PairingCheck]:
        """Add the check of the populations of every draw."""
        yield from super().pairing_checks(groups, metric)
        if not metric.needs & {"model", "targets"}:
            for draw in range(self.draws):
                yield PairingCheck.of(self._population(min(self.ratios), draw, None))

    def _order(self, b: RepresentationRef, pairs: Sequence[Comparison], metric: Metric) -> Iterator[Question]:
        if len(pairs) < 2:
            return
        null = null_level_of(b, metric)
        for inputs in self.inputs:
            subset = Named.of("row_subset", seed=seed_for(test=self.id, inputs=inputs), inputs=inputs)
            few = tuple(Comparison(pair.a.under(subset), pair.b.under(subset)) for pair in pairs)
            yield Question(
                f"{b} on {inputs} inputs",
                models_of(*pairs),
                (*few, *pairs, *null),
                partial(_share_in_order, few, pairs, null),
                ORDER,
                at=float(inputs),
                line=str(b),
            )

    def _across_sizes(self, draw: int, metric: Metric) -> Iterator[Question]:
        smallest, *others = sorted(self.ratios)
        related = self._pair(smallest, draw, self.shared, metric)
        for ratio in others:
            for (more, column), (less, _) in zip(related, self._pair(ratio, draw, 0.0, metric), strict=True):
                yield Question(
                    f"independent data, features / rows = {ratio:g}, draw {draw}",
                    (f"populations/{draw}",),
                    (more, less),
                    partial(is_more_similar, more, less, less),
                    column,
                    at=ratio,
                    line=f"draw {draw}",
                )

    def _pair(self, ratio: float, draw: int, share: float, metric: Metric) -> list[tuple[Comparison, str | None]]:
        """Compare two populations that have a share of their units in common, both ways where that matters."""
        other, first = self._population(ratio, draw, share), self._population(ratio, draw, None)
        return list(both_ways(other, first, metric, ACROSS_SIZES))

    def _population(self, ratio: float, draw: int, share: float | None) -> RepresentationRef:
        """Return the first population at a ratio, or one that has a `share` of its units in common with it."""
        form, own = ("own", 1.0) if share is None else ("permuted", share)
        rows = round(self.features / ratio)
        generator = Named.of("shared_units", share=own, form=form, units=self.features, rows=rows)
        return RepresentationRef(ModelRef(generator.name, draw, generator), "x")


def _share_in_order(
    few: Sequence[Comparison], many: Sequence[Comparison], null: Sequence[Comparison], scores: Scores
) -> Trial:
    """Give credit for the share of pairs of comparisons that few inputs order as many do; a tie is a failure."""
    require_signal(many, null, scores)
    pairs = list(combinations([(scores(less), scores(more)) for less, more in zip(few, many, strict=True)], 2))
    alike = sum(
        (a.above(b) and whole_a.above(whole_b)) or (b.above(a) and whole_b.above(whole_a))
        for (a, whole_a), (b, whole_b) in pairs
    )
    return give_credit(alike / len(pairs), *few)
