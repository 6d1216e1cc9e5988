"""Sample size: few probe inputs give about the similarity that many give."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field, model_validator

from simbench.bounds import MOST_INPUTS, WIDEST, Repetitions
from simbench.references import Comparison, ModelGroup, ModelRef, Named, RepresentationRef
from simbench.sanity.kind import Question, SanityTest, models_of, sanity_test
from simbench.sanity.selection import ChosenLayers, layers_of, with_next
from simbench.sanity.stats.pairing import shuffled
from simbench.sanity.stats.scale import credit_stability
from simbench.seeds import seed_for
from simbench.suite.schema import PASS_IF

if TYPE_CHECKING:
    from simbench.metrics.metric import Metric

SomeInputs = Annotated[int, Field(ge=3, le=MOST_INPUTS)]
Ratio = Annotated[float, Field(gt=0)]


@sanity_test("sample_size")
class SampleSize(SanityTest):
    """Few probe inputs give about the similarity that many give, and independent data look independent.

    * Column `bias`: S(a, b) on n inputs against S(a, b) on all of them, b being the same layer of the next seed.
      Credit is 1 − |S_n − S_N| / (S_N(a, a) − S₀).
    * Column `null`: two independent Gaussian matrices of `features` columns and n rows, features / n running over
      `ratios`. Credit is 1 − |S − S′| / (S(g, g) − S′), where S′ is the value at the smallest ratio.

    Source: Murphy et al. (2024), arXiv 2405.01012: CKA of independent data tends to 1 as features / n grows; so do
    CCA and distance correlation. Do not compare the values of a metric that fails it across layers of different
    width or datasets of different size.
    """

    generates_its_models: ClassVar[bool] = True
    of_layers_only: ClassVar[bool] = True

    inputs: list[SomeInputs] = Field(default=[50, 100, 200, 400], min_length=1)
    features: int = Field(default=64, ge=2, le=WIDEST)
    ratios: list[Ratio] = Field(default=[0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0], min_length=2)
    draws: Repetitions = 3
    layers: ChosenLayers = None
    pass_if: str = Field(default=">= 0.9", pattern=PASS_IF.pattern)

    @model_validator(mode="after")
    def _enough_rows(self) -> SampleSize:
        if round(self.features / max(self.ratios)) < 3:
            raise ValueError(f"a ratio of {max(self.ratios):g} leaves fewer than 3 rows of {self.features} features")
        return self

    def questions(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[Question]:
        """Yield a question per pair of models, layer and number of inputs, and one per draw and ratio."""
        for group in groups:
            for layer in layers_of(group, self.layers, metric.level):
                for a, b in with_next(group.models, layer):
                    if b is not None:
                        yield from self._bias(Comparison(a, b))
        if "model" not in metric.needs:
            for draw in range(self.draws):
                yield from self._null(draw)

    def _bias(self, pair: Comparison) -> Iterator[Question]:
        own, unrelated = Comparison(pair.a, pair.a), shuffled(pair.a)
        for inputs in self.inputs:
            subset = Named.of("row_subset", seed=seed_for(test=self.id, inputs=inputs), inputs=inputs)
            few = Comparison(pair.a.under(subset), pair.b.under(subset))
            yield Question(
                f"{pair} on {inputs} inputs",
                models_of(pair),
                (few, pair, own, unrelated),
                partial(credit_stability, pair, few, own, [unrelated]),
                "bias",
                at=float(inputs),
                line=str(pair),
            )

    def _null(self, draw: int) -> Iterator[Question]:
        base = self._independent(min(self.ratios), draw)
        own = Comparison(base.a, base.a)
        for ratio in sorted(self.ratios)[1:]:
            drawn = self._independent(ratio, draw)
            yield Question(
                f"independent data, features / rows = {ratio:g}, draw {draw}",
                (f"independent/{draw}",),
                (drawn, own, base),
                partial(credit_stability, base, drawn, own, [base]),
                "null",
                at=ratio,
                line=f"draw {draw}",
            )

    def _independent(self, ratio: float, draw: int) -> Comparison:
        rows = round(self.features / ratio)
        generator = Named.of("independent_gaussian", features=self.features, rows=rows)
        sides = (RepresentationRef(ModelRef(generator.name, 2 * draw + side, generator), "x") for side in (0, 1))
        return Comparison(*sides)
