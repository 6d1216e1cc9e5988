"""Correspondence: across seeds, a layer's counterpart is more similar to it than layers far from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from simbench.bounds import Depth
from simbench.references import Comparison, ModelGroup, ModelRef, RepresentationRef
from simbench.sanity.kind import Question, SanityTest, Scores, all_scored, is_more_similar, sanity_test
from simbench.sanity.selection import Pairing, paired

if TYPE_CHECKING:
    from simbench.metrics.metric import Metric


@sanity_test("correspondence")
class Correspondence(SanityTest):
    """Between two networks of one architecture, corresponding layers are more similar than distant ones.

    For every receiving layer j′ of the second network and every layer i of the first with |i − j| ≥ `distance`, the
    question is S(j, j′) > S(i, j′).

    Source: Kornblith et al. (2019), section 6.1 (the column arg-max rate, kept as an auxiliary value); Balogh &
    Jelasity (2024) for stitching. A metric that fails it does not measure what layers have in common across
    initialisations.
    """

    of_layers_only: ClassVar[bool] = True
    model_correlation: ClassVar[float] = 0.15  # .13 over 38 grades on the published boards

    distance: Depth = 3
    pairs: Pairing = "ring"

    def questions(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[Question]:
        """Yield a question per pair of models, receiving layer and distant layer."""
        for first, second, layers in _paired(groups, self.pairs):
            for j, column in enumerate(_columns(first, second, layers)):
                for i, other in enumerate(column):
                    if abs(i - j) >= self.distance:
                        yield Question(
                            f"{other.b}: {layers[j]} against {layers[i]} of {first}",
                            (str(first), str(second)),
                            (column[j], other),
                            partial(is_more_similar, column[j], other, other),
                        )

    def comparisons(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[Comparison]:
        """Yield every ordered pair of layers, near ones too: auxiliary values and heat map need whole columns."""
        if next(self.questions(groups, metric), None) is None:
            return
        for first, second, layers in _paired(groups, self.pairs):
            for column in _columns(first, second, layers):
                yield from column

    def nothing_to_ask(self, metric: Metric) -> str:
        """Say whether seeds or layers are missing."""
        if metric.level == "head":
            return super().nothing_to_ask(metric)
        return f"correspondence needs two seeds of a network with layers that are {self.distance} or more apart"

    def auxiliary(self, groups: Sequence[ModelGroup], metric: Metric, scores: Scores) -> Mapping[str, float]:
        """Compute the share of columns whose largest entry is the corresponding layer."""
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


def _columns(first: ModelRef, second: ModelRef, layers: Sequence[str]) -> Iterator[list[Comparison]]:
    """Yield, per receiving layer of the second model, its comparisons with every layer of the first."""
    for receiver in layers:
        yield [Comparison(RepresentationRef(first, sender), RepresentationRef(second, receiver)) for sender in layers]
