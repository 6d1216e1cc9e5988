"""Correspondence: across seeds, a layer's counterpart is more similar to it than other layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal

from simbench.bounds import Depth
from simbench.references import Comparison, ModelGroup, ModelRef, RepresentationRef
from simbench.sanity.kind import SanityTest, sanity_test
from simbench.sanity.question import Question, Scores, all_scored, is_most_similar, models_of
from simbench.sanity.selection import Pairing, paired
from simbench.sanity.stats.place import null_level_of, receiver_column, require_signal, sender_column
from simbench.verdicts.verdict import Trial

if TYPE_CHECKING:
    from simbench.metrics.metric import Metric


Claim = Literal["distant", "arg_max"]


@sanity_test("correspondence")
class Correspondence(SanityTest):
    """Between two networks of one architecture, corresponding layers are more similar than other ones.

    For every layer j′ of the second network, its counterpart j and the other layers i of the first:

    * `claim: distant`: S(j, j′) > S(i, j′), a question for every i with |i − j| ≥ `distance`;
    * `claim: arg_max`: S(j, j′) > S(i, j′) for all i at once, the paper's own statistic; chance is 1 / layers.

    A tie is a failure. A directed metric is asked this of j as sender, and of j′ as receiver among all layers i′ of the
    second network: S(j, j′) > S(j, i′). A question none of whose scores is above those of shuffled rows has no answer.

    Source: Kornblith et al. (2019), section 6.1, whose figure is the arg-max rate (always among the auxiliary values);
    Balogh & Jelasity (2024) for stitching. A metric that fails it does not measure what layers have in common across
    initialisations.
    """

    of_layers_only: ClassVar[bool] = True

    claim: Claim = "distant"
    """Whether the counterpart beats each distant layer, or all others."""
    distance: Depth = 3
    """How many layers apart is distant; not used by `arg_max`."""
    pairs: Pairing = "ring"
    """Pairs of models to compare: each with the next (`ring`), `all`, or `{sample: k}` for k of them per group."""

    def questions(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[Question]:
        """Yield a question per pair of models and layer, for `distant` one per distant layer, in each direction."""
        for first, second, layers in _paired(groups, self.pairs):
            grid = _grid(first, second, layers)
            for position in range(len(layers)):
                yield from self._ask([row[position] for row in grid], position, metric, as_receiver=False)
                if not metric.symmetric:
                    yield from self._ask(grid[position], position, metric, as_receiver=True)

    def _ask(
        self, candidates: Sequence[Comparison], position: int, metric: Metric, *, as_receiver: bool
    ) -> Iterator[Question]:
        """Ask about one column of the grid, or of what receives about one row; the counterpart is at `position`."""
        own = candidates[position]
        column = receiver_column() if as_receiver else sender_column(metric)
        layer, counterpart = (own.a, own.b) if as_receiver else (own.b, own.a)
        for others in self._rivals(candidates, position):
            compared = (own, *others)
            null = tuple(dict.fromkeys(low for pair in compared for low in null_level_of(pair.b, metric)))
            rival = others[0].b.layer if as_receiver else others[0].a.layer
            against = rival if self.claim == "distant" else "all others"
            where = f"{layer}: {counterpart.layer} against {against} of {counterpart.model}"
            yield Question(where, models_of(own), (*compared, *null), partial(_decide, own, others, null), column)

    def _rivals(self, candidates: Sequence[Comparison], position: int) -> Iterator[tuple[Comparison, ...]]:
        """Yield what the counterpart is to beat, a question each."""
        others = [(i, other) for i, other in enumerate(candidates) if i != position]
        if self.claim == "distant":
            yield from ((other,) for i, other in others if abs(i - position) >= self.distance)
        elif others:
            yield tuple(other for _, other in others)

    def comparisons(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[Comparison]:
        """Yield every ordered pair of layers, near ones too: auxiliary values and heat map need whole columns."""
        if not any(len(layers) > self._apart for _, _, layers in _paired(groups, self.pairs)):
            return
        for first, second, layers in _paired(groups, self.pairs):
            for receiver in (RepresentationRef(second, layer) for layer in layers):
                yield from (Comparison(RepresentationRef(first, sender), receiver) for sender in layers)
        yield from super().comparisons(groups, metric)

    def nothing_to_ask(self, metric: Metric) -> str:
        """Say whether seeds or layers are missing."""
        if metric.level == "head":
            return super().nothing_to_ask(metric)
        return f"correspondence needs two seeds of a network with layers that are {self._apart} or more apart"

    @property
    def _apart(self) -> int:
        """Number of layers between a layer and the nearest that its counterpart is to beat."""
        return self.distance if self.claim == "distant" else 1

    def auxiliary(self, groups: Sequence[ModelGroup], metric: Metric, scores: Scores) -> Mapping[str, float]:
        """Compute the share of columns whose largest entry is the corresponding layer."""
        hits = []
        for first, second, layers in _paired(groups, self.pairs):
            grid = _grid(first, second, layers)
            for position in range(len(layers)):
                column = [row[position] for row in grid]
                if all_scored(column, scores):
                    others = [other for i, other in enumerate(column) if i != position]
                    hits.append(all(scores(column[position]).above(scores(other)) for other in others))
        return {"column_arg_max": sum(hits) / len(hits)} if hits else {}


def _decide(own: Comparison, others: Sequence[Comparison], null: Sequence[Comparison], scores: Scores) -> Trial:
    require_signal((own, *others), null, scores)
    return is_most_similar(own, others, scores)


def _paired(groups: Sequence[ModelGroup], pairing: Pairing) -> Iterator[tuple[ModelRef, ModelRef, tuple[str, ...]]]:
    for group in groups:
        for first, second in paired(group.models, pairing):
            yield first, second, group.layers


def _grid(first: ModelRef, second: ModelRef, layers: Sequence[str]) -> list[list[Comparison]]:
    """Return the comparisons of every layer of the first model, a row each, with every layer of the second."""
    return [
        [Comparison(RepresentationRef(first, sender), RepresentationRef(second, receiver)) for receiver in layers]
        for sender in layers
    ]
