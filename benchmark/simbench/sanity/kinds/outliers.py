"""Outliers: moving a few inputs far away leaves the similarity of two layers about as it was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from simbench.references import Comparison, ModelGroup, Named
from simbench.sanity.kind import Question, SanityTest, sanity_test
from simbench.sanity.selection import ChosenLayers
from simbench.sanity.stats.scale import credit_stability, with_unrelated
from simbench.seeds import seed_for
from simbench.suite.schema import PASS_IF

if TYPE_CHECKING:
    from simbench.metrics.metric import Metric


@sanity_test("outliers")
class Outliers(SanityTest):
    """Moving a small share of the inputs far away leaves similarity about as it was.

    Credit is 1 − |S(T a, b) − S(a, b)| / (S(a, a) − S₀), clipped to [0, 1], where T moves the share of the inputs
    `distance` times the root mean square norm along one direction, and b is a itself or the same layer of the next
    seed.

    Source: Davari et al. (2022), arXiv 2210.16156: CKA moves between 0 and 1 when a single subset of points is
    translated. With a metric that fails it, a few inputs decide how similar two layers are.
    """

    shares: list[Annotated[float, Field(gt=0, lt=0.5)]] = Field(default=[0.01], min_length=1)
    distance: float = Field(default=10.0, gt=0)
    layers: ChosenLayers = None
    pass_if: str = Field(default=">= 0.9", pattern=PASS_IF.pattern)

    def questions(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[Question]:
        """Yield two questions per model, layer and share of outliers."""
        for a, b, unrelated in with_unrelated(groups, self.layers, metric.level):
            seed = seed_for(test=self.id, model=str(a.model), layer=a.layer)
            own = Comparison(a, a)
            for share in self.shares:
                moved = a.under(Named.of("outlier_rows", seed=seed, share=share, distance=self.distance))
                for other in (a, b) if b is not None else (a,):
                    before, after = Comparison(a, other), Comparison(moved, other)
                    ask = partial(credit_stability, before, after, own, unrelated)
                    needed = (before, after, own, *unrelated)
                    yield Question.about(after, needed, ask, at=share, line=str(before))
