"""Outliers: a few inputs far away do not decide how similar two layers are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from simbench.references import Comparison, ModelGroup, Named, RepresentationRef
from simbench.sanity.kind import Question, SanityTest, sanity_test
from simbench.sanity.selection import ChosenLayers, layers_of, with_next
from simbench.sanity.statistics.scale import shuffled, stable
from simbench.seeds import seed_for
from simbench.suite.schema import PASS_IF

if TYPE_CHECKING:
    from simbench.metrics.metric import Metric


@sanity_test("outliers")
class Outliers(SanityTest):
    """Moving a small share of the inputs far away leaves similarity about where it was.

    Credit is 1 − |S(T a, b) − S(a, b)| / (S(a, a) − S₀), cut to [0, 1], where T moves the share of the inputs
    `distance` times the root mean square norm along one direction, and b is a itself or the same layer of the next
    seed.

    Source: Davari et al. (2022), arXiv 2210.16156: CKA moves between 0 and 1 when a single subset of points is
    translated. A metric that fails it can be set to any value by a few inputs.
    """

    shares: list[Annotated[float, Field(gt=0, lt=0.5)]] = Field(default=[0.01], min_length=1)
    distance: float = Field(default=10.0, gt=0)
    layers: ChosenLayers = None
    pass_if: str = Field(default=">= 0.9", pattern=PASS_IF.pattern)

    def questions(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[Question]:
        """Two questions per model, layer and share of outliers."""
        for group in groups:
            for layer in layers_of(group, self.layers, metric.level):
                unrelated = [shuffled(RepresentationRef(model, layer)) for model in group.models]
                for a, b in with_next(group.models, layer):
                    seed = seed_for(test=self.id, model=str(a.model), layer=layer)
                    own = Comparison(a, a)
                    for share in self.shares:
                        moved = a.under(Named.of("outlier_rows", seed=seed, share=share, distance=self.distance))
                        for other in (a, b) if b is not None else (a,):
                            before, after = Comparison(a, other), Comparison(moved, other)
                            yield Question(
                                str(after),
                                tuple(dict.fromkeys((str(a.model), str(other.model)))),
                                (before, after, own, *unrelated),
                                partial(stable, before, after, own, unrelated),
                                at=share,
                                line=str(before),
                            )
