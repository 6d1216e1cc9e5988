"""Outliers: moving a few inputs far away leaves the similarity of two layers about as it was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from simbench.references import ModelGroup, Named
from simbench.sanity.kind import SanityTest, sanity_test
from simbench.sanity.question import Question
from simbench.sanity.selection import ChosenLayers
from simbench.sanity.stats.place import ask_if_unchanged, neighbours
from simbench.seeds import seed_for
from simbench.suite.schema import PASS_IF

if TYPE_CHECKING:
    from simbench.metrics.metric import Metric


@sanity_test("outliers")
class Outliers(SanityTest):
    """A layer is still recognised when a small share of its inputs lies far away.

    With T a, the layer a of which the share of the inputs is moved `distance` times the root mean square norm along one
    direction: S(T a, a) is higher than S(c, a) for every other layer c of a's model and of the one before it, and
    S(T a, b) keeps the place of S(a, b) among the real scores S(c, b), up to `tolerance`, b being the same layer of the
    next model. A directed metric is asked of T a as sender and as receiver.

    Source: Davari et al. (2022), arXiv 2210.16156: CKA moves between 0 and 1 when a single subset of points is
    translated. With a metric that fails it, a few inputs decide how similar two layers are.
    """

    shares: list[Annotated[float, Field(gt=0, lt=0.5)]] = Field(default=[0.01], min_length=1)
    distance: float = Field(default=10.0, gt=0)
    tolerance: float = Field(default=0.1, ge=0, lt=1)
    """How far a score may move among the real scores, as a share of them."""
    layers: ChosenLayers = None
    pass_if: str = Field(default=">= 0.9", pattern=PASS_IF.pattern)

    def questions(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[Question]:
        """Yield two questions per model, layer and share of outliers, twice as many of a directed metric."""
        for compared in neighbours(groups, self.layers, metric):
            a = compared.a
            seed = seed_for(test=self.id, model=str(a.model), layer=a.layer)
            for share in self.shares:
                moved = a.under(Named.of("outlier_rows", seed=seed, share=share, distance=self.distance))
                asked = ask_if_unchanged(moved, compared, self.tolerance, metric, column=None)
                for number, question in enumerate(asked):
                    yield replace(question, at=share, line=f"{a} {number}")
