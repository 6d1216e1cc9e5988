"""Distribution invariance: other weights with the same output distribution leave similarity as it was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from simbench.declaration import Purpose
from simbench.references import ModelGroup, Named
from simbench.registry import REPARAMETRISATIONS
from simbench.sanity.kind import SanityTest, sanity_test
from simbench.sanity.question import Question
from simbench.sanity.selection import ChosenLayers, layers_of
from simbench.sanity.stats.place import ask_if_unchanged, neighbours_at, subject_of
from simbench.seeds import seed_for
from simbench.suite.registered_name import RegisteredName
from simbench.verdicts.verdict import Owed

if TYPE_CHECKING:
    from simbench.metrics.metric import Metric

ReparametrisationName = Annotated[str, RegisteredName(REPARAMETRISATIONS)]
# What a reparametrisation does to a layer, by the transform whose invariance says that an index is not to see it.
DONE_TO_A_LAYER = {"head_linear": "invertible_linear", "relu_rescaling": "diagonal_scaling"}
# Indices made for these answer by the function that a network computes, whatever else they declare.
OF_THE_FUNCTION: frozenset[Purpose] = frozenset({"distribution", "information", "function"})


@sanity_test("distribution_invariance")
class DistributionInvariance(SanityTest):
    """Other weights that give the same p(y | x) give the same similarity.

    * `head_linear`: f → A f, W → A⁻ᵀ W and a common shift of all unembeddings, at the layer the head reads. This is
      exactly the equivalence class of the identifiability theorem (Roeder et al. 2021; Nielsen et al. 2025, Thm 2.2).
    * `unit_permutation`, `relu_rescaling`: hidden units permuted, or rescaled by positive factors through ReLU, and
      undone in the next layer's weights.

    Asked as in `invariance`: a layer of the rewritten model is more similar to the layer as it was than every other
    layer of the model and of the one before it, and the similarity of both to the same layer of the next model takes
    one place among the real scores, up to `tolerance`; of a directed metric, as sender and as receiver. The layer that
    the head reads is held against those of all other models. Before it grades, the runner measures that
    max |Δ log p| < 1e-4 on the probe; where that premise fails, the comparison is an error.

    `unit_permutation` is owed by every index. `head_linear` and `relu_rescaling` are owed by indices of information, of
    the function or of the distribution, promised by those that declare the invariance, and shown for the rest. A metric
    that fails the test depends on a choice of weights that the outputs cannot reveal.
    """

    reparametrisations: list[ReparametrisationName] = Field(
        default=["head_linear", "unit_permutation", "relu_rescaling"], min_length=1
    )
    tolerance: float = Field(default=0.1, ge=0, lt=1)
    """How far a score may move among the real scores, as a share of them."""
    layers: ChosenLayers = None

    def questions(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[Question]:
        """Yield two questions per model, reparametrisation and layer that it changes, twice as many if directed."""
        for group in groups:
            for name in self.reparametrisations:
                at_head = metric.level == "head" or REPARAMETRISATIONS.get(name).changes == "embedding"
                for layer in layers_of(group, self.layers, "head" if at_head else "layers"):
                    for compared in neighbours_at(group, layer, metric):
                        seed = seed_for(test=self.id, reparametrisation=name, model=str(compared.a.model))
                        changed = compared.a.reparametrised(Named.of(name, seed=seed))
                        yield from ask_if_unchanged(changed, compared, self.tolerance, metric, name)

    def owed(self, metric: Metric, column: str | None) -> Owed:
        """Say that a map of the layer is required of indices of the function, and promised where it is declared."""
        if column is None or not self.is_owed_for(metric):
            return super().owed(metric, column)
        transform = DONE_TO_A_LAYER.get(subject_of(column))
        if transform is None or not OF_THE_FUNCTION.isdisjoint(metric.serves):
            return "required"
        return "promised" if metric.is_invariant_to(transform) else "not promised"
