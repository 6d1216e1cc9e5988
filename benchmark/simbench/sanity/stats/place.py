"""Places: where a score stands among real scores, which says the same however an index is expressed.

A difference of scores means nothing by itself: an index and its eighth power order all pairs alike and differ in every
difference. So a score is held against the scores of real pairs with the same receiver, its *rivals*, and "unchanged"
says that it keeps its place among them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, NamedTuple

from simbench.references import AS_RECEIVER, AS_SENDER, Comparison, ModelGroup, ModelRef, RepresentationRef
from simbench.sanity.question import Question, Scores, Similarity, Ungradable, decide
from simbench.sanity.selection import ChosenLayers, layers_of
from simbench.sanity.stats.pairing import shuffled
from simbench.verdicts.verdict import Trial

if TYPE_CHECKING:
    from simbench.metrics.metric import Metric

# Shares of whole numbers of rivals, subtracted from each other.
ROUNDING = 1e-12


class Neighbours(NamedTuple):
    """A layer of a model, the same layer of the next model, and the rivals of either.

    `b` and its rivals are missing where there is one model only.
    """

    a: RepresentationRef
    b: RepresentationRef | None
    rivals_of_a: tuple[Comparison, ...]
    rivals_of_b: tuple[Comparison, ...]


def neighbours(groups: Sequence[ModelGroup], chosen: ChosenLayers, metric: Metric) -> Iterator[Neighbours]:
    """Yield each chosen layer of each model, beside that layer of the next model; the last model's next is the first.

    The next model is the one that the model sends to in `correspondence`, so that the rivals of b cost nothing more.
    """
    for group in groups:
        for layer in layers_of(group, chosen, metric.level):
            yield from neighbours_at(group, layer, metric)


def neighbours_at(group: ModelGroup, layer: str, metric: Metric) -> Iterator[Neighbours]:
    """Yield one layer of each model of a group, beside that layer of the next model."""
    following, before = next_models(group.models), previous_models(group.models)

    @cache  # each receiver is b once and a once; listed when asked for, as most suites are only looked over
    def rivals_of(model: ModelRef) -> tuple[Comparison, ...]:
        return rivals(group, RepresentationRef(model, layer), before.get(model), metric)

    for model in group.models:
        after = following.get(model)
        b = None if after is None else RepresentationRef(after, layer)
        yield Neighbours(
            RepresentationRef(model, layer), b, rivals_of(model), () if after is None else rivals_of(after)
        )


def next_models(models: Sequence[ModelRef]) -> dict[ModelRef, ModelRef]:
    """Return the next model of each, in a ring; nothing for a single model."""
    return dict(zip(models, [*models[1:], models[0]], strict=True)) if len(models) > 1 else {}


def previous_models(models: Sequence[ModelRef]) -> dict[ModelRef, ModelRef]:
    """Return the model before each, in a ring; nothing for a single model."""
    return {following: model for model, following in next_models(models).items()}


def rivals(
    group: ModelGroup, receiver: RepresentationRef, before: ModelRef | None, metric: Metric
) -> tuple[Comparison, ...]:
    """Compare all other layers of the receiver's model, and all layers of the model before it, with the receiver.

    At the head, compare that of all other models of the group instead: a layer that the head reads may be a linear map
    of the one before it, and to many indices the same.
    """
    if metric.level == "head" or receiver.layer not in group.layers:
        senders = [RepresentationRef(model, receiver.layer) for model in group.models if model != receiver.model]
        return tuple(Comparison(sender, receiver) for sender in senders)
    models = [receiver.model] if before is None else [receiver.model, before]
    senders = [RepresentationRef(model, layer) for model in models for layer in group.layers]
    return tuple(Comparison(sender, receiver) for sender in senders if sender != receiver)


def place(score: Similarity, among: Sequence[Similarity]) -> float:
    """Compute u(s), the share of the scores below s; equal scores count half.

    >>> place(Similarity(0.5), [Similarity(0.1), Similarity(0.5), Similarity(0.9), Similarity(0.8)])
    0.375
    """
    below = sum(1.0 if score.above(other) else 0.0 if other.above(score) else 0.5 for other in among)
    return below / len(among)


def ask_if_recognised(
    copy: RepresentationRef,
    a: RepresentationRef,
    rivals_of_a: Sequence[Comparison],
    metric: Metric,
    column: str | None,
) -> Iterator[Question]:
    """Ask whether a copy of `a` is more similar to `a` than every other layer is: as sender, and as receiver."""
    if not rivals_of_a:
        return
    for compared, where in both_ways(copy, a, metric, column):
        ask = partial(decide_if_first, compared, rivals_of_a)
        yield Question.about(compared, (compared, *rivals_of_a), ask, where)


def ask_if_unchanged(
    changed: RepresentationRef, of: Neighbours, tolerance: float, metric: Metric, column: str | None
) -> Iterator[Question]:
    """Ask whether `changed` stands for `a`: S(a′, b) keeps the place of S(a, b), and nothing else is nearer to a.

    Asked of a directed metric as receiver, too: S(b, a′) is held against S(b, a), and S(a, a′) against the rivals of a.
    """
    yield from ask_if_recognised(changed, of.a, of.rivals_of_a, metric, column)
    if of.b is None:
        return
    for after, where in both_ways(changed, of.b, metric, column):
        sends = after.a == changed
        before = Comparison(of.a, of.b) if sends else Comparison(of.b, of.a)
        among = tuple(other for other in (of.rivals_of_b if sends else of.rivals_of_a) if other != before)
        null = null_level_of(before.b, metric)
        if among:
            ask = partial(decide_if_place_kept, before, after, among, null, tolerance)
            yield Question.about(after, (before, after, *among, *null), ask, where)


def null_level_of(receiver: RepresentationRef, metric: Metric) -> tuple[Comparison, ...]:
    """Compare the receiver's own rows, shuffled, with it; nothing for a metric that does not pair inputs."""
    return (shuffled(receiver),) if metric.pairs_inputs else ()


def both_ways(
    changed: RepresentationRef, other: RepresentationRef, metric: Metric, column: str | None
) -> Iterator[tuple[Comparison, str | None]]:
    """Yield S(changed, other) and, for a directed metric, S(other, changed), each with its column."""
    yield Comparison(changed, other), sender_column(metric, column)
    if not metric.symmetric:
        yield Comparison(other, changed), receiver_column(column)


def sender_column(metric: Metric, column: str | None = None) -> str | None:
    """Name the column in which a metric is asked of what sends; a symmetric one needs no other than the test's."""
    return column if column is not None or metric.symmetric else AS_SENDER


def receiver_column(column: str | None = None) -> str:
    """Name the column in which a directed metric is asked the same of what receives."""
    return AS_RECEIVER if column is None else f"{column} {AS_RECEIVER}"


def subject_of(column: str | None) -> str:
    """Return what a column is about, whichever way it is asked.

    >>> subject_of("orthogonal as receiver")
    'orthogonal'
    """
    return (column or "").removesuffix(AS_RECEIVER).rstrip()


def decide_if_first(compared: Comparison, others: Sequence[Comparison], scores: Scores) -> Trial:
    """Answer whether a pair is more similar than all others; a tie is a failure."""
    own, rest = scores(compared), [scores(other) for other in others]
    beaten_by = [other for other, score in zip(others, rest, strict=True) if not own.above(score)]
    return decide(not beaten_by, place(own, rest) - 1.0 if beaten_by else 1.0, compared)


def decide_if_place_kept(
    before: Comparison,
    after: Comparison,
    among: Sequence[Comparison],
    null: Sequence[Comparison],
    tolerance: float,
    scores: Scores,
) -> Trial:
    """Answer whether |Δu| ≤ `tolerance`; no answer where both scores lie at the level of shuffled rows.

    A score that is equal to all of its rivals has no place to keep: a constant index keeps nothing.
    """
    require_signal((before, after), null, scores)
    old, new, rest = scores(before), scores(after), [scores(other) for other in among]
    if all(is_tie(old, other) for other in rest):
        return decide(False, tolerance - 1.0, after)
    moved = abs(place(new, rest) - place(old, rest))
    return decide(moved <= tolerance + ROUNDING, tolerance - moved, after)


def is_tie(score: Similarity, other: Similarity) -> bool:
    """Tell whether neither of two scores is more similar."""
    return not score.above(other) and not other.above(score)


def require_signal(decisive: Sequence[Comparison], null: Sequence[Comparison], scores: Scores) -> None:
    """Raise `Ungradable` where no decisive score is above those of unrelated data: nothing can be read from them."""
    floor = [scores(comparison) for comparison in null]
    if floor and not any(all(scores(comparison).above(low) for low in floor) for comparison in decisive):
        raise Ungradable("null", "the scores are no higher than for shuffled rows: nothing can be read from them")
