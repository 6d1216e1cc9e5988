"""Distillation order: a student with its teacher's logits is more similar to it than one that is close to it in KL."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import product
from statistics import median
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from simbench.references import Comparison, ModelGroup, RepresentationRef
from simbench.sanity.kind import SanityTest, sanity_test
from simbench.sanity.question import Question, Scores, all_scored, is_more_similar
from simbench.sanity.stats.place import both_ways

if TYPE_CHECKING:
    from simbench.metrics.metric import Metric


@sanity_test("distillation_order")
class DistillationOrder(SanityTest):
    """A student that matches its teacher's logits is more similar to the teacher than one that is close to it in KL.

    `models` are three groups in this order: the teacher (its first seed), students trained on the distance of logits,
    and students trained on the KL divergence (`train: {distil: {teacher: …, loss: l1}}` and `loss: kl`). At the layer
    that the head reads, for every student of either kind, the question is S(logit student, teacher) > S(KL student,
    teacher); a tie is a failure. A directed metric is asked with the students as receivers, too.

    Source: Nielsen et al. (2026), arXiv 2602.15438: a small distance of logits bounds how far embeddings are from
    linear maps of each other, and a small KL divergence does not, so that the student that is less accurate and further
    in KL may be the one that has the teacher's embeddings. Whether that is so for these students can be read from the
    auxiliary values of `kl` and from the accuracies. A metric that fails it follows how alike predictions are, not how
    alike embeddings are.
    """

    model_correlation: ClassVar[float] = 0.8  # .69 over 15 grades on the published boards

    models: list[str] = Field(min_length=3, max_length=3)

    def questions(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[Question]:
        """Yield a question per pair of students of different kinds, and direction."""
        for pair, other in product(*self._taught(groups)):
            students = pair.a.model, other.a.model
            ways = (both_ways(compared.a, compared.b, metric, None) for compared in (pair, other))
            for (by_logits, column), (by_divergence, _) in zip(*ways, strict=True):
                yield Question(
                    " against ".join(map(str, students)),
                    tuple(map(str, students)),
                    (by_logits, by_divergence),
                    partial(is_more_similar, by_logits, by_divergence, by_logits),
                    column,
                )

    def auxiliary(self, groups: Sequence[ModelGroup], metric: Metric, scores: Scores) -> Mapping[str, float]:
        """Compute the median similarity of each kind of student to the teacher."""
        figures = {}
        for name, compared in zip(("logit_students", "kl_students"), self._taught(groups), strict=True):
            if compared and all_scored(compared, scores):
                figures[f"median_of_{name}"] = median(scores(comparison).value for comparison in compared)
        return figures

    def nothing_to_ask(self, metric: Metric) -> str:
        """Say which models are missing, whatever the metric."""
        return "distillation_order needs a teacher and two kinds of students with a linear head"

    def _taught(self, groups: Sequence[ModelGroup]) -> tuple[list[Comparison], list[Comparison]]:
        """Compare students with the teacher, which receives: those taught by logits, then those by divergence."""
        if len(groups) != 3 or any(group.embedding_layer is None for group in groups):
            return [], []
        teacher, *students = groups
        receiver = RepresentationRef(teacher.models[0], str(teacher.embedding_layer))
        by_logits, by_divergence = (
            [Comparison(RepresentationRef(model, str(group.embedding_layer)), receiver) for model in group.models]
            for group in students
        )
        return by_logits, by_divergence
