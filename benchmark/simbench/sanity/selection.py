"""Selection of the layers and of the pairs of models that a test compares."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import combinations, islice, permutations
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

from simbench.bounds import Depth, LayerNames
from simbench.references import Comparison, ModelGroup, ModelRef, RepresentationRef
from simbench.seeds import seed_for
from simbench.suite.schema import SampledPairs

if TYPE_CHECKING:
    from simbench.declaration import Level

T = TypeVar("T")
Pair: TypeAlias = tuple[T, T]
ChosenLayers = Depth | LayerNames | None
Pairs = Literal["all"] | SampledPairs
Pairing = Literal["ring", "all"] | SampledPairs


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
    """Pair up models: each with the next one and the last with the first (`ring`), `all` pairs, or a sample of them.

    >>> paired([0, 1, 2], "ring")
    [(0, 1), (1, 2), (2, 0)]
    >>> paired([0, 1], "ring")
    [(0, 1)]
    """
    if pairing != "ring" or len(items) < 3:
        return list(pairs_of(items, "all" if pairing == "ring" else pairing, ordered=False))
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


def pairs_of(items: Sequence[T], pairs: Pairs = "all", *, ordered: bool) -> Iterator[tuple[T, T]]:
    """Yield all pairs of different items, or a sample of them, both ways where they are `ordered`.

    >>> list(pairs_of([0, 1], ordered=True))
    [(0, 1), (1, 0)]
    """
    if pairs == "all" or is_complete(pairs, len(items)):
        yield from permutations(items, 2) if ordered else combinations(items, 2)
        return
    for first, second in sorted(islice(spread_pairs(len(items)), pairs.sample)):
        yield items[first], items[second]
        if ordered:
            yield items[second], items[first]


def within_and_across(groups: Sequence[Sequence[T]], pairs: Pairs = "all") -> list[tuple[list[Pair[T]], list[Pair[T]]]]:
    """List, per group, its own pairs and, one of its items first, the pairs with items of other groups.

    A sample is of all pairs of all groups: each group's own pairs, and the pairs across, have their share of it.
    """
    items = [item for group in groups for item in group]
    number = [place for place, group in enumerate(groups) for _ in group]
    own, across = [list[tuple[int, int]]() for _ in groups], [list[tuple[int, int]]() for _ in groups]
    for first, second in _chosen([len(group) for group in groups], number, pairs):
        if number[first] == number[second]:
            own[number[first]].append((first, second))
        else:
            across[number[first]].append((first, second))
            across[number[second]].append((second, first))

    def in_order(places: list[tuple[int, int]]) -> list[Pair[T]]:
        return [(items[first], items[second]) for first, second in sorted(places)]

    return [(in_order(within), in_order(beyond)) for within, beyond in zip(own, across, strict=True)]


def _chosen(sizes: Sequence[int], number: Sequence[int], pairs: Pairs) -> Iterator[tuple[int, int]]:
    """Yield the pairs of items to compare; `number` is the group of each."""
    models = len(number)
    if pairs == "all" or is_complete(pairs, models):
        yield from combinations(range(models), 2)
        return
    share = pairs.sample / math.comb(models, 2)
    left = [max(1, round(share * math.comb(size, 2))) for size in sizes]
    left_across = pairs.sample - sum(left[place] for place, size in enumerate(sizes) if size > 1)
    for first, second in spread_pairs(models):
        group = number[first]
        if group != number[second] and left_across > 0:
            left_across -= 1
            yield first, second
        elif group == number[second] and left[group] > 0:
            left[group] -= 1
            yield first, second


def is_complete(pairs: Pairs, models: int) -> bool:
    """Tell whether all pairs of so many models are compared."""
    return pairs == "all" or pairs.sample >= math.comb(models, 2)


def without_p_value(pairs: Pairs, models: int) -> str:
    """Explain why there is no p-value, where a sample of the pairs of so many models is compared."""
    return "" if is_complete(pairs, models) else "no p-value: to permute models takes all pairs, and these are a sample"


def spread_pairs(count: int) -> Iterator[tuple[int, int]]:
    """Yield all pairs of `count` items, the smaller first, so that the first k have every item about equally often.

    They are the rounds of a tournament, in each of which every item meets another one (de Werra 1981, Scheduling in
    sports; the circle method), in a random order of items and of rounds.

    >>> sorted(spread_pairs(3))
    [(0, 1), (0, 2), (1, 2)]
    """
    places = count + count % 2  # with an odd number of items, one rests in each round
    last = places - 1
    item, rounds = (_shuffled(purpose, number) for purpose, number in (("items", places), ("rounds", last)))
    for number in rounds:
        meetings = [
            (number, last),
            *(((number + step) % last, (number - step) % last) for step in range(1, places // 2)),
        ]
        for first, second in ((item[a], item[b]) for a, b in meetings):
            if max(first, second) < count:
                yield min(first, second), max(first, second)


def _shuffled(purpose: str, count: int) -> list[int]:
    """Shuffle numbers in a way that no version of Python changes: plans are made anew where bundles are verified."""
    return sorted(range(count), key=lambda number: seed_for(purpose=f"pairs: {purpose}", number=number))


def pairs_at(group: ModelGroup, layer: str, pairs: Pairs = "all", *, ordered: bool) -> Iterator[Comparison]:
    """Compare the models of a group with each other at one layer, both ways where pairs are `ordered`."""
    for first, second in pairs_of(group.models, pairs, ordered=ordered):
        yield Comparison(RepresentationRef(first, layer), RepresentationRef(second, layer))
