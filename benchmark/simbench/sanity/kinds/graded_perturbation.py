"""Graded perturbation: the larger the noise on a model's embeddings, the less similar it is to the model without."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from simbench.bounds import MOST_INPUTS, Seeds
from simbench.references import Comparison, ModelGroup, ModelRef, Named, RepresentationRef
from simbench.sanity.generated_models import PerturbedClasses
from simbench.sanity.kind import sanity_test
from simbench.sanity.question import Question, observe
from simbench.sanity.stats.pairing import PairingCheck
from simbench.sanity.stats.place import both_ways
from simbench.sanity.stats.statistic import CorrelationTest
from simbench.suite.schema import PASS_IF
from simbench.verdicts.verdict import Trial

if TYPE_CHECKING:
    from simbench.metrics.metric import Metric

LAYER = "embedding"
NoiseLevel = Annotated[int, Field(ge=1)]


@sanity_test("graded_perturbation")
class GradedPerturbation(CorrelationTest):
    """Dissimilarity grows with the size of a perturbation, all the way.

    Synthetic: K clusters on a circle, and the same model with noise of level i on every embedding, one draw for all
    levels. Per K and seed, ρ = Spearman's correlation of level with dissimilarity to the model without noise. The grade
    is the mean ρ, or 0 below that; an index that is constant along a series has ρ = 0 there. A directed metric is asked
    with the perturbed model as receiver, too.

    Unlike `noise_response`, where noise outgrows the signal, all levels are small: the noise of the last one is a tenth
    to a quarter of the embeddings' length.

    Source: Nielsen et al. (2025), arXiv 2506.03784, app. F.6 (left), where i = 1 … 250. An index that fails does not
    register small changes, or not in order: do not rank nearly equal representations by it.
    """

    pass_if: str = Field(default=">= 0.99", pattern=PASS_IF.pattern)
    generates_its_models: ClassVar[bool] = True

    classes: list[PerturbedClasses] = Field(default=[4, 6, 10], min_length=1)
    """K."""
    levels: list[NoiseLevel] = Field(default=list(range(1, 250, 10)), min_length=2)
    inputs_per_class: int = Field(default=100, ge=3, le=MOST_INPUTS)
    seeds: Seeds = Field(default=[0, 1, 2])

    def questions(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[Question]:
        """Yield an observation per K, seed, level and direction."""
        for classes in self.classes:
            for seed in self.seeds:
                for level in self.levels:
                    pair = perturbed_pair(classes, level, seed, self.inputs_per_class)
                    for compared, column in both_ways(pair.a, pair.b, metric, None):
                        yield Question(
                            f"K = {classes}, level {level}, seed {seed}",
                            (f"perturbed/{classes}/{seed}",),
                            (compared,),
                            partial(observe, compared),
                            column,
                            at=float(level),
                            line=f"K = {classes}, seed {seed}",
                        )

    def pairing_checks(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[PairingCheck]:
        """Yield the check of every model without noise."""
        for classes in self.classes:
            for seed in self.seeds:
                yield PairingCheck.of(perturbed_pair(classes, self.levels[0], seed, self.inputs_per_class).b)

    def figures(self, trials: Sequence[Trial]) -> Mapping[str, float]:
        """Compute nothing: the grade says all."""
        return {}


def perturbed_pair(classes: int, level: int, seed: int, inputs_per_class: int) -> Comparison:
    """Compare the synthetic model with noise of a level with the model without noise."""
    noisy, clean = (
        Named.of("perturbed_clusters", classes=classes, level=noise, inputs_per_class=inputs_per_class)
        for noise in (level, 0)
    )
    return Comparison(*(RepresentationRef(ModelRef(model.name, seed, model), LAYER) for model in (noisy, clean)))
