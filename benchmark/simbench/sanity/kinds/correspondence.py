"""Correspondence: across seeds, a layer's counterpart beats layers far from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from simbench.references import Comparison, ModelGroup, ModelRef, RepresentationRef
from simbench.sanity.kind import Answer, Question, SanityTest, Scores, all_scored, sanity_test
from simbench.sanity.selection import Pairing, paired

if TYPE_CHECKING:
    from simbench.metrics.metric import Metric


@sanity_test("correspondence")
class Correspondence(SanityTest):
    """Between two networks of one architecture, corresponding layers are more similar than distant ones.

    For every receiving layer j′ of the second network and every layer i of the first with |i − j| ≥ `distance`, the
    question is S(j, j′) > S(i, j′).

    Source: Kornblith et al. (2019), section 6.1 (the column arg-max rate, kept as a auxiliary); Balogh & Jelasity
    (2024) for stitching. A metric that fails it does not measure what layers have in common across initialisations.
    """

    of_layers_only: ClassVar[bool] = True

    distance: int = Field(default=3, ge=1)
    pairs: Pairing = "ring"

    def questions(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[Question]:
        """One question per pair of models, receiving layer and distant layer."""
        if metric.level == "head":
            return
        for first, second, layers in _paired(groups, self.pairs):
            for j, receiver_layer in enumerate(layers):
                receiver = RepresentationRef(second, receiver_layer)
                own = Comparison(RepresentationRef(first, receiver_layer), receiver)
                for i, layer in enumerate(layers):
                    if abs(i - j) >= self.distance:
                        other = Comparison(RepresentationRef(first, layer), receiver)
                        yield Question(
                            f"{receiver}: {receiver_layer} against {layer} of {first}",
                            (str(first), str(second)),
                            (own, other),
                            partial(_beats, own, other),
                        )

    def expand(self, groups: Sequence[ModelGroup], metric: Metric) -> tuple[Comparison, ...]:
        """Every ordered layer pair, also the near ones: the auxiliary and the heat map need whole columns."""
        if next(self.questions(groups, metric), None) is None:
            return ()
        return tuple(
            comparison
            for first, second, layers in _paired(groups, self.pairs)
            for column in _columns(first, second, layers)
            for comparison in column
        )

    def nothing_to_ask(self, metric: Metric) -> str:
        """What is missing, of seeds or of layers."""
        if metric.level == "head":
            return super().nothing_to_ask(metric)
        return f"correspondence needs two seeds of a network with layers that are {self.distance} or more apart"

    def auxiliary(self, groups: Sequence[ModelGroup], metric: Metric, scores: Scores) -> Mapping[str, float]:
        """Share of columns whose largest entry is the corresponding layer."""
        hits = [
            all(scores(column[j]).above(scores(other)) for i, other in enumerate(column) if i != j)
            for first, second, layers in _paired(groups, self.pairs)
            for j, column in enumerate(_columns(first, second, layers))
            if all_scored(column, scores)
        ]
        return {"column_arg_max": sum(hits) / len(hits)} if hits else {}


def _paired(groups: Sequence[ModelGroup], pairing: Pairing) -> Iterator[tuple[ModelRef, ModelRef, tuple[str, ...]]]:
    for group in groups:
        for first, second in paired(group.models, pairing):
            yield first, second, group.layers


def _columns(first: ModelRef, second: ModelRef, layers: Sequence[str]) -> list[list[Comparison]]:
    """Per receiving layer of the second model, the comparisons with every layer of the first."""
    return [
        [Comparison(RepresentationRef(first, sender), RepresentationRef(second, receiver)) for sender in layers]
        for receiver in layers
    ]


def _beats(own: Comparison, other: Comparison, scores: Scores) -> Answer:
    own_score, other_score = scores(own), scores(other)
    held = own_score.above(other_score)
    return Answer(held, own_score.value - other_score.value, () if held else (other,))
