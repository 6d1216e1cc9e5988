"""Selection of the layers and of the pairs of models that a test compares."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, permutations
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from simbench.bounds import Depth, LayerNames
from simbench.references import Comparison, ModelGroup, ModelRef, RepresentationRef

if TYPE_CHECKING:
    from simbench.declaration import Level

T = TypeVar("T")
ChosenLayers = Depth | LayerNames | None
Pairing = Literal["ring", "all"]


def layers_of(group: ModelGroup, chosen: ChosenLayers, level: Level) -> tuple[str, ...]:
    """Return the layers that a test compares: those chosen, or at the head the one layer that the head reads."""
    if level == "head":
        return (group.embedding_layer,) if group.embedding_layer is not None else ()
    if chosen is None:
        return group.layers
    if isinstance(chosen, list):
        return tuple(chosen)
    count = min(chosen, len(group.layers))
    steps = [round(position * (len(group.layers) - 1) / max(1, count - 1)) for position in range(count)]
    return tuple(group.layers[step] for step in steps)


def layers_or_last(group: ModelGroup, chosen: ChosenLayers, level: Level) -> tuple[str, ...]:
    """Return the layers that a test compares which by default is of the last layer only."""
    last = chosen is None and level != "head"
    return group.layers[-1:] if last else layers_of(group, chosen, level)


def paired(items: Sequence[T], pairing: Pairing) -> list[tuple[T, T]]:
    """Pair up models: each with the next one and the last with the first (`ring`), or `all` pairs.

    >>> paired([0, 1, 2], "ring")
    [(0, 1), (1, 2), (2, 0)]
    >>> paired([0, 1], "ring")
    [(0, 1)]
    """
    if pairing == "all" or len(items) < 3:
        return list(combinations(items, 2))
    return [(item, items[(position + 1) % len(items)]) for position, item in enumerate(items)]


def with_next(models: Sequence[ModelRef], layer: str) -> list[tuple[RepresentationRef, RepresentationRef | None]]:
    """Pair each model's layer with the same layer of the next model; None when there is only one model."""
    following: dict[ModelRef, Any] = dict(paired(models, "ring"))
    return [
        (
            RepresentationRef(model, layer),
            RepresentationRef(following[model], layer) if model in following else None,
        )
        for model in models
    ]


def representations_of(groups: Sequence[ModelGroup], chosen: ChosenLayers, level: Level) -> list[RepresentationRef]:
    """List the chosen layers of every model."""
    return [
        RepresentationRef(model, layer)
        for group in groups
        for layer in layers_of(group, chosen, level)
        for model in group.models
    ]


def single_layer(group: ModelGroup, chosen: str | None, level: Level) -> str | None:
    """Return the layer of a test of one layer: the chosen one, else the last; at the head the layer that it reads."""
    if level == "head":
        return group.embedding_layer
    return chosen or (group.layers[-1] if group.layers else None)


def pairs_of(items: Sequence[T], *, ordered: bool) -> Iterator[tuple[T, T]]:
    """Yield all pairs of different items, both ways where they are `ordered`.

    >>> list(pairs_of([0, 1], ordered=True))
    [(0, 1), (1, 0)]
    """
    return permutations(items, 2) if ordered else combinations(items, 2)


def pairs_at(group: ModelGroup, layer: str, *, ordered: bool) -> Iterator[Comparison]:
    """Compare all models of a group with each other at one layer, both ways where pairs are `ordered`."""
    for first, second in pairs_of(group.models, ordered=ordered):
        yield Comparison(RepresentationRef(first, layer), RepresentationRef(second, layer))
