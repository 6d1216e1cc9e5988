"""Invariance: transforms that the rest of the network can undo leave similarity as it was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field, field_validator

from simbench.errors import suggestion
from simbench.parameters import ParameterError
from simbench.references import ModelGroup, Named
from simbench.registry import TRANSFORMS
from simbench.sanity.kind import Question, SanityTest, sanity_test
from simbench.sanity.selection import ChosenLayers
from simbench.sanity.stats.scale import ask_if_unchanged, with_unrelated
from simbench.seeds import seed_for
from simbench.suite.schema import Component, ShortComponentChoice

if TYPE_CHECKING:
    from simbench.metrics.metric import Metric


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

    Two questions per model, layer and transform T: is S(a, T a) as large as S(a, a), and is S(T a, b) the same as
    S(a, b), b being the same layer of the next seed? "The same" is |ΔS| ≤ `tolerance` · scale, with
    scale = S(a, a) − median S over unrelated pairs (the layer against row-shuffled copies of itself), so that a nearly
    constant index gains nothing. One column per transform.

    For any invertible T, "apply T after the layer, T⁻¹ before the rest" has the same output distribution
    (Nielsen et al. 2025, arXiv 2506.03784), so an index that changes measures a choice of coordinates:
    its values may differ between networks that no output can tell apart.
    """

    transforms: list[Annotated[ShortComponentChoice, AfterValidator(_function_preserving)]] = Field(min_length=1)
    """By name, or with parameters: `{name: invertible_linear, condition: 100}`."""
    tolerance: float = Field(default=0.05, gt=0, lt=1)
    layers: ChosenLayers = None
    """Layers to test: a number of them, evenly spread, or their names; all by default."""

    @field_validator("transforms")
    @classmethod
    def _each_once(cls, transforms: list[Component]) -> list[Component]:
        if len({str(_named(choice)) for choice in transforms}) != len(transforms):
            raise ValueError("a transform appears twice")
        return transforms

    def questions(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[Question]:
        """Yield two questions per model, layer and transform."""
        for a, b, unrelated in with_unrelated(groups, self.layers, metric.level):
            for choice in self.transforms:
                column = str(_named(choice))
                seed = seed_for(test=self.id, transform=column, model=str(a.model), layer=a.layer)
                changed = a.under(Named.of(choice.name, **choice.parameters, seed=seed))
                yield from ask_if_unchanged(a, b, changed, unrelated, self.tolerance, column)
