"""Distribution invariance: other weights with the same output distribution leave similarity as it was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from simbench.references import ModelGroup, Named, RepresentationRef
from simbench.registry import REPARAMETRISATIONS
from simbench.sanity.kind import Question, SanityTest, sanity_test
from simbench.sanity.selection import ChosenLayers, layers_of, with_next
from simbench.sanity.stats.pairing import shuffled
from simbench.sanity.stats.scale import ask_if_unchanged
from simbench.seeds import seed_for
from simbench.suite.registered_name import RegisteredName

if TYPE_CHECKING:
    from simbench.metrics.metric import Metric

ReparametrisationName = Annotated[str, RegisteredName(REPARAMETRISATIONS)]


@sanity_test("distribution_invariance")
class DistributionInvariance(SanityTest):
    """Other weights that give the same p(y | x) give the same similarity.

    * `head_linear`: f → A f, W → A⁻ᵀ W and a common shift of all unembeddings, at the layer the head reads. This is
      exactly the equivalence class of the identifiability theorem (Roeder et al. 2021; Nielsen et al. 2025, Thm 2.2).
    * `unit_permutation`, `relu_rescaling`: hidden units permuted, or rescaled by positive factors through ReLU, and
      undone in the next layer's weights.

    Graded like `invariance`. Before it grades, the runner measures that max |Δ log p| < 1e-4 on the probe; where that
    premise fails, the comparison is an error. A metric that fails the test depends on a choice of weights that the
    outputs cannot reveal.
    """

    reparametrisations: list[ReparametrisationName] = Field(
        default=["head_linear", "unit_permutation", "relu_rescaling"], min_length=1
    )
    tolerance: float = Field(default=0.05, gt=0, lt=1)
    layers: ChosenLayers = None

    def questions(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[Question]:
        """Yield two questions per model, reparametrisation and layer that it changes."""
        for group in groups:
            for name in self.reparametrisations:
                at_head = metric.level == "head" or REPARAMETRISATIONS.get(name).changes == "embedding"
                for layer in layers_of(group, self.layers, "head" if at_head else "layers"):
                    unrelated = [shuffled(RepresentationRef(model, layer)) for model in group.models]
                    for a, b in with_next(group.models, layer):
                        seed = seed_for(test=self.id, reparametrisation=name, model=str(a.model))
                        changed = a.reparametrised(Named.of(name, seed=seed))
                        yield from ask_if_unchanged(a, b, changed, unrelated, self.tolerance, name)
