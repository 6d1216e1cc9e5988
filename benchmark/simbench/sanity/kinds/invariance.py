"""Invariance: transforms that the rest of the network can undo leave similarity as it was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field, field_validator

from simbench.errors import suggestion
from simbench.parameters import ParameterError
from simbench.references import ModelGroup, Named
from simbench.registry import TRANSFORMS
from simbench.sanity.kind import SanityTest, sanity_test
from simbench.sanity.question import Question
from simbench.sanity.selection import ChosenLayers
from simbench.sanity.stats.place import ask_if_unchanged, neighbours, subject_of
from simbench.seeds import seed_for
from simbench.suite.schema import Component, ShortComponentChoice
from simbench.verdicts.verdict import Owed

if TYPE_CHECKING:
    from simbench.metrics.metric import Metric

# Neither the order of units nor a copy says anything about a layer, whatever an index declares.
OWED_BY_ALL = ("permutation", "copy")
# Orthogonal maps of a special form: who declares these declares those.
ORTHOGONAL = ("sign_flip", "block_rotation")


def _function_preserving(choice: Component) -> Component:
    """Require a function-preserving transform and keep only parameters that differ from their defaults.

    An unknown transform is returned as it is: loading reports it.
    """
    if choice.name not in TRANSFORMS:
        return choice
    chosen = TRANSFORMS.get(choice.name)
    if not chosen.function_preserving:
        valid = suggestion("", [name for name, transform in TRANSFORMS if transform.function_preserving])
        raise ValueError(f'"{choice.name}" is not function-preserving{valid}')
    try:
        return Component(name=choice.name, **chosen.declared(choice.parameters))
    except ParameterError:
        return choice


def _named(choice: Component) -> Named:
    return Named.of(choice.name, **choice.parameters)


@sanity_test("invariance")
class Invariance(SanityTest):
    """A transform of a representation that the rest of the network can undo changes no similarity.

    Per model, layer a and transform T: S(T a, a) is higher than S(c, a) for every other layer c, and S(T a, b) keeps
    the place of S(a, b), b being the same layer of the next model. The place of a score is the share of the real scores
    S(c, b) below it, c being every other layer of b's model and every layer of a's; it may move by `tolerance`. A
    column per transform; of a directed metric, a second one asks the same of T a as receiver.

    Permutations of units are owed by every index; other transforms by those that declare the invariance, and shown for
    the rest. For any invertible T, "apply T after the layer, T⁻¹ before the rest" has the same output distribution
    (Nielsen et al. 2025, arXiv 2506.03784), so an index that changes under T sees a choice of coordinates: right for
    one that is to see geometry (Kornblith et al. 2019, Theorem 1), and a broken promise of one that declares otherwise.
    """

    transforms: list[Annotated[ShortComponentChoice, AfterValidator(_function_preserving)]] = Field(min_length=1)
    """By name, or with parameters: `{name: invertible_linear, condition: 100}`."""
    tolerance: float = Field(default=0.1, ge=0, lt=1)
    """How far a score may move among the real scores, as a share of them."""
    layers: ChosenLayers = None
    """Layers to test: a number of them, evenly spread, or their names; all by default."""

    @field_validator("transforms")
    @classmethod
    def _each_once(cls, transforms: list[Component]) -> list[Component]:
        if len({str(_named(choice)) for choice in transforms}) != len(transforms):
            raise ValueError("a transform appears twice")
        return transforms

    def questions(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[Question]:
        """Yield two questions per model, layer and transform, twice as many of a directed metric."""
        for compared in neighbours(groups, self.layers, metric):
            a = compared.a
            for choice in self.transforms:
                column = str(_named(choice))
                seed = seed_for(test=self.id, transform=column, model=str(a.model), layer=a.layer)
                changed = a.under(Named.of(choice.name, **choice.parameters, seed=seed))
                yield from ask_if_unchanged(changed, compared, self.tolerance, metric, column)

    def owed(self, metric: Metric, column: str | None) -> Owed:
        """Say that permutations are required, and other transforms promised where they are declared."""
        if column is None or not self.is_owed_for(metric):
            return super().owed(metric, column)
        transform = subject_of(column).partition("(")[0]
        if transform in OWED_BY_ALL:
            return "required"
        declared = "orthogonal" if transform in ORTHOGONAL else transform
        return "promised" if metric.is_invariant_to(declared) else "not promised"
