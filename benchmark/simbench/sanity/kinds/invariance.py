"""Invariance: transforms that the rest of the network undoes leave similarity where it was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, Field, field_validator

from simbench.errors import suggestion
from simbench.parameters import ParameterError
from simbench.references import Comparison, ModelGroup, Named, RepresentationRef
from simbench.registry import TRANSFORMS
from simbench.sanity.kind import Answer, Question, SanityTest, Scores, sanity_test
from simbench.sanity.selection import ChosenLayers, layers_of, with_next
from simbench.sanity.statistics.scale import change, shuffled
from simbench.seeds import seed_for
from simbench.suite.schema import Component, ShortComponentChoice

if TYPE_CHECKING:
    from simbench.metrics.metric import Metric


def _function_preserving(choice: Component) -> Component:
    """The choice with the parameters that differ from their defaults; an unknown one as it is, as loading says so."""
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
    """A function-preserving transform T of a representation changes no similarity.

    Per model, layer and transform two questions: is S(a, T a) as large as S(a, a), and is S(T a, b) the same as
    S(a, b), b being the same layer of the next seed? "The same" is |ΔS| ≤ `tolerance` · scale, with
    scale = S(a, a) − median S over unrelated pairs (the layer against row-shuffled copies of itself), so that a nearly
    constant index gains nothing. One column per transform.

    For any invertible T, "apply T after the layer, T⁻¹ before the rest" has the same output distribution
    (Nielsen et al. 2025, arXiv 2506.03784), so an index that changes measures a choice of coordinates.
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
        """Two questions per model, layer and transform."""
        for group in groups:
            for layer in layers_of(group, self.layers, metric.level):
                unrelated = [shuffled(RepresentationRef(model, layer)) for model in group.models]
                for a, b in with_next(group.models, layer):
                    for choice in self.transforms:
                        column = str(_named(choice))
                        seed = seed_for(test=self.id, transform=column, model=str(a.model), layer=layer)
                        changed = a.under(Named.of(choice.name, **choice.parameters, seed=seed))
                        yield from same_similarity(a, b, changed, unrelated, self.tolerance, column)


def same_similarity(
    a: RepresentationRef,
    b: RepresentationRef | None,
    changed: RepresentationRef,
    unrelated: Sequence[Comparison],
    tolerance: float,
    column: str,
) -> Iterator[Question]:
    """Whether `changed` may stand for `a`: against `a` itself, and against `b`."""
    own = Comparison(a, a)
    pairs = [(own, Comparison(a, changed))]
    if b is not None:
        pairs.append((Comparison(a, b), Comparison(changed, b)))
    for before, after in pairs:
        yield Question(
            f"{after}",
            tuple(dict.fromkeys((str(before.a.model), str(before.b.model)))),
            (before, after, own, *unrelated),
            partial(_unchanged, before, after, own, unrelated, tolerance),
            column,
        )


def _unchanged(
    before: Comparison,
    after: Comparison,
    own: Comparison,
    unrelated: Sequence[Comparison],
    tolerance: float,
    scores: Scores,
) -> Answer:
    moved = change(scores, before, after, own, unrelated)
    if moved is None:
        # Nothing to measure a difference against: as if all of the similarity were lost.
        return Answer(False, tolerance - 1, (after,))
    held = moved <= tolerance
    return Answer(held, tolerance - moved, () if held else (after,))
