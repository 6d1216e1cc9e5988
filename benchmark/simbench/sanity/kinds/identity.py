"""Identity: nothing is more similar to a layer than the layer itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from simbench.references import Comparison, ModelGroup, RepresentationRef
from simbench.sanity.kind import SanityTest, sanity_test
from simbench.sanity.question import Question, Scores, all_scored, is_most_similar
from simbench.sanity.selection import ChosenLayers, layers_of
from simbench.sanity.stats.place import receiver_column, sender_column
from simbench.verdicts.verdict import Trial

if TYPE_CHECKING:
    from simbench.metrics.metric import Metric


@sanity_test("identity")
class Identity(SanityTest):
    """Within a network, no other layer is as similar to layer j as layer j itself.

    Per layer j: S(j, j) > S(i, j) for every other layer i of the network; a tie is a failure, so that a constant index
    passes nothing. A directed metric is asked this of j as sender, among all senders into j, and of j as receiver,
    among all receivers from j: S(j, j) > S(j, i). Metrics that are defined at the head are asked the same about the
    heads of all models of a group.

    Source: Balogh & Jelasity (2024), arXiv 2412.11299: task loss matching fails this. A metric that fails it cannot
    tell one layer from another, and its heat maps must not be read as similarity.
    """

    layers: ChosenLayers = None
    """Layers to compare: a number of them, evenly spread, or their names; all by default."""

    def questions(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[Question]:
        """Yield a question per layer, and of a directed metric another one."""
        for compared in _compared_sets(groups, self.layers, metric):
            if len(compared) < 2:
                continue
            for layer in compared:
                yield _question(layer, [Comparison(other, layer) for other in compared], sender_column(metric))
                if not metric.symmetric:
                    yield _question(layer, [Comparison(layer, other) for other in compared], receiver_column())

    def auxiliary(self, groups: Sequence[ModelGroup], metric: Metric, scores: Scores) -> Mapping[str, float]:
        """Compute how often self-similarity is best within one standard error (of scores as they are), and its rank."""
        within: list[bool] = []
        ranks: list[float] = []
        for question in self.questions(groups, metric):
            if not all_scored(question.comparisons, scores):
                continue
            own, others = _split(question.comparisons)
            own_score, other_scores = scores(own), [scores(other) for other in others]
            slack = own_score.standard_error or 0.0
            within.append(all(other.value <= own_score.value + slack for other in other_scores))
            ranks.append(1 + sum(not own_score.above(other) for other in other_scores))
        if not ranks:
            return {}
        return {"within_one_standard_error": sum(within) / len(within), "mean_rank_of_self": sum(ranks) / len(ranks)}


def _compared_sets(
    groups: Sequence[ModelGroup], chosen: ChosenLayers, metric: Metric
) -> Iterator[list[RepresentationRef]]:
    """Yield the sets of representations that are compared with each other."""
    if metric.level == "head":
        for group in groups:
            if group.embedding_layer is not None:
                yield [RepresentationRef(model, group.embedding_layer) for model in group.models]
        return
    for group in groups:
        for model in group.models:
            yield [RepresentationRef(model, layer) for layer in layers_of(group, chosen, metric.level)]


def _question(layer: RepresentationRef, candidates: Sequence[Comparison], column: str | None) -> Question:
    return Question(str(layer), (str(layer.model),), tuple(candidates), partial(_is_best, candidates), column)


def _split(candidates: Sequence[Comparison]) -> tuple[Comparison, list[Comparison]]:
    own = next(comparison for comparison in candidates if comparison.a == comparison.b)
    return own, [comparison for comparison in candidates if comparison.a != comparison.b]


def _is_best(candidates: Sequence[Comparison], scores: Scores) -> Trial:
    own, others = _split(candidates)
    return is_most_similar(own, others, scores)
