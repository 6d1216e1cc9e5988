"""Identity: nothing is more similar to a layer than the layer itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from simbench.references import Comparison, ModelGroup, RepresentationRef
from simbench.sanity.kind import Question, SanityTest, Scores, all_scored, decide, sanity_test
from simbench.verdicts.verdict import Trial

if TYPE_CHECKING:
    from simbench.metrics.metric import Metric


@sanity_test("identity")
class Identity(SanityTest):
    """Within a network, no other layer is as similar to layer j as layer j itself.

    Per receiving layer j the question is S(j, j) > S(i, j) for all i ≠ j; a tie is a failure, so that a constant index
    passes nothing. Metrics that are defined at the head are asked the same about the heads of all models of a group.

    Source: Balogh & Jelasity (2024), arXiv 2412.11299: task loss matching fails this. A metric that fails it cannot
    tell one layer from another, and its heat maps must not be read as similarity.
    """

    def questions(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[Question]:
        """Yield a question per receiving layer."""
        for senders in _compared_sets(groups, metric):
            if len(senders) < 2:
                continue
            for receiver in senders:
                column = tuple(Comparison(sender, receiver) for sender in senders)
                yield Question(str(receiver), (str(receiver.model),), column, partial(_is_best, column))

    def auxiliary(self, groups: Sequence[ModelGroup], metric: Metric, scores: Scores) -> Mapping[str, float]:
        """Compute how often self-similarity is best within one standard error, and its mean rank."""
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


def _compared_sets(groups: Sequence[ModelGroup], metric: Metric) -> Iterator[list[RepresentationRef]]:
    """Yield the sets of representations that are compared with each other."""
    if metric.level == "head":
        for group in groups:
            if group.embedding_layer is not None:
                yield [RepresentationRef(model, group.embedding_layer) for model in group.models]
        return
    for group in groups:
        for model in group.models:
            yield [RepresentationRef(model, layer) for layer in group.layers]


def _split(column: Sequence[Comparison]) -> tuple[Comparison, list[Comparison]]:
    own = next(comparison for comparison in column if comparison.a == comparison.b)
    return own, [comparison for comparison in column if comparison.a != comparison.b]


def _is_best(column: Sequence[Comparison], scores: Scores) -> Trial:
    own, others = _split(column)
    own_score = scores(own)
    other_scores = [scores(other) for other in others]
    violating = tuple(other for other, score in zip(others, other_scores, strict=True) if not own_score.above(score))
    return decide(not violating, own_score.value - max(other.value for other in other_scores), *violating)
