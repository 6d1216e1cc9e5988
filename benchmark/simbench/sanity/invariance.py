"""Invariance: transforms that the rest of the network undoes leave similarity where it was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from statistics import median
from typing import Annotated, Any

from pydantic import Field

from simbench.plan.references import Comparison, ModelGroup, ModelRef, Named, RepresentationRef
from simbench.sanity.correspondence import paired
from simbench.sanity.kind import Answer, Level, Question, Scores, TestKind, test_kind
from simbench.seeds import seed_for

ChosenLayers = Annotated[int, Field(ge=1)] | Annotated[list[str], Field(min_length=1)] | None
ROUNDING = 1e-6
"""Relative to the scores: what single precision may leave of a constant."""


@test_kind("invariance")
class Invariance(TestKind):
    """A function-preserving transform T of a representation changes no similarity.

    Per model, layer and transform two questions: is S(a, T a) as large as S(a, a), and is S(T a, b) the same as
    S(a, b), b being the same layer of the next seed? "The same" is |ΔS| ≤ `tolerance` · scale, with
    scale = S(a, a) − median S over unrelated pairs (the layer against row-shuffled copies of itself), so that a nearly
    constant index gains nothing. One column per transform.

    For any invertible T, "apply T after the layer, T⁻¹ before the rest" has the same output distribution
    (Nielsen et al. 2025, arXiv 2506.03784), so an index that changes measures a choice of coordinates.
    """

    transforms: list[str] = Field(min_length=1)
    tolerance: float = Field(default=0.05, gt=0, lt=1)
    layers: ChosenLayers = None
    """Layers to test: a number of them, evenly spread, or their names; all by default."""

    def questions(self, groups: Sequence[ModelGroup], level: Level) -> Iterator[Question]:
        """Two questions per model, layer and transform."""
        for group in groups:
            for layer in layers_of(group, self.layers, level):
                unrelated = [shuffled(RepresentationRef(model, layer)) for model in group.models]
                for a, b in with_next(group.models, layer):
                    for name in self.transforms:
                        seed = seed_for(test=self.id, transform=name, model=str(a.model), layer=layer)
                        changed = a.under(Named.of(name, seed=seed))
                        yield from same_similarity(a, b, changed, unrelated, self.tolerance, name)


def layers_of(group: ModelGroup, chosen: ChosenLayers, level: Level) -> tuple[str, ...]:
    """The layers a test looks at: those asked for, or at the head the one layer that the head reads."""
    if level == "head":
        return (group.embedding_layer,) if group.embedding_layer is not None else ()
    if chosen is None:
        return group.layers
    if isinstance(chosen, list):
        return tuple(chosen)
    count = min(chosen, len(group.layers))
    steps = [round(position * (len(group.layers) - 1) / max(1, count - 1)) for position in range(count)]
    return tuple(group.layers[step] for step in steps)


def shuffled(a: RepresentationRef) -> Comparison:
    """A row-shuffled copy of `a` against `a`: the same values, no shared inputs. All tests share one shuffle."""
    seed = seed_for(transform="row_shuffle", model=str(a.model), layer=a.layer)
    return Comparison(a.under(Named.of("row_shuffle", seed=seed)), a)


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


def scale_of(scores: Scores, own: Comparison, unrelated: Sequence[Comparison]) -> float:
    """S(a, a) − median S over unrelated pairs: what a difference in similarity is measured against.

    0 where the two differ by no more than rounding: a constant index computed in floating point is still constant.
    """
    self_similarity = scores(own).value
    baseline = median(scores(comparison).value for comparison in unrelated)
    scale = self_similarity - baseline
    return scale if abs(scale) > ROUNDING * max(abs(self_similarity), abs(baseline)) else 0.0


def _unchanged(
    before: Comparison,
    after: Comparison,
    own: Comparison,
    unrelated: Sequence[Comparison],
    tolerance: float,
    scores: Scores,
) -> Answer:
    difference = abs(scores(after).value - scores(before).value)
    scale = scale_of(scores, own, unrelated)
    if scale <= 0:
        # Nothing to measure a difference against: as if all of the similarity were lost.
        return Answer(False, tolerance - 1, (after,))
    held = difference <= tolerance * scale
    return Answer(held, tolerance - difference / scale, () if held else (after,))


def with_next(models: Sequence[ModelRef], layer: str) -> list[tuple[RepresentationRef, RepresentationRef | None]]:
    """Each model's layer with the same layer of the next model; None when there is only one model."""
    following: dict[ModelRef, Any] = dict(paired(models, "ring"))
    return [
        (
            RepresentationRef(model, layer),
            RepresentationRef(following[model], layer) if model in following else None,
        )
        for model in models
    ]
