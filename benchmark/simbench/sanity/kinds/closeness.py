"""Closeness: the closer the output distributions of two models, the more similar their embeddings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from pydantic import Field

from simbench.references import ModelGroup, Named
from simbench.sanity.kind import sanity_test
from simbench.sanity.question import Question
from simbench.sanity.selection import Pairs, pairs_at, without_p_value
from simbench.sanity.stats.observations import Observations
from simbench.sanity.stats.statistic import (
    CorrelationTest,
    association,
    mantel_p_value,
    misranked,
    observation,
    reference_values,
)
from simbench.suite.schema import PASS_IF
from simbench.verdicts.verdict import Trial

if TYPE_CHECKING:
    from simbench.metrics.metric import Metric

DISTANCE = Named.of("identifiability_llv")


@sanity_test("closeness")
class Closeness(CorrelationTest):
    """The closer the output distributions of two models, as those of wider networks are, the more similar the models.

    Groups of growing width, the narrowest first. Over all pairs of seeds of one width, at the layer that the head
    reads: ρ = Spearman's correlation of similarity with −d_LLV, the log-likelihood-variance distance of the two
    conditional distributions. The grade is (1 + ρ)/2: ½ is chance, and what a constant index has.

    Auxiliary values: ρ; the one-sided p-value of the association from permuting models **within** their widths, which
    excludes what widths have in common; median similarity and median d_LLV of the narrowest and of the widest models.
    If the medians of d_LLV do not fall with width, the models do not show the effect that this test is about.

    Source: Nielsen et al. (2025), arXiv 2506.03784: closeness in d_LLV, unlike in KL, bounds the dissimilarity of
    embeddings up to invertible linear maps, and wider networks are closer. The paper leaves out seeds of low accuracy;
    here they are in, as ranks bound their weight. An index that fails does not reflect how close two models are in
    distribution, where theory says that their embeddings are alike up to a linear map.
    """

    null_level: ClassVar[float | None] = 0.5
    # A convention: half-way between chance, 0.5, and perfect (ρ ≥ 0.5).
    pass_if: str = Field(default=">= 0.75", pattern=PASS_IF.pattern)

    pairs: Pairs = "all"
    """Pairs of models to compare: `all`, or `{sample: k}` for k of them per width; then there is no p-value."""

    def questions(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[Question]:
        """Yield an observation per pair of models of one width."""
        for group in groups:
            if group.embedding_layer is not None:
                for compared in pairs_at(group, group.embedding_layer, self.pairs, ordered=not metric.symmetric):
                    yield observation(compared, DISTANCE, line=group.name)

    def remark(self, groups: Sequence[ModelGroup]) -> str:
        """Say that a sample of pairs has no p-value."""
        return next(filter(None, (without_p_value(self.pairs, len(group.models)) for group in groups)), "")

    def nothing_to_ask(self, metric: Metric) -> str:
        """Say which models are missing, whatever the metric."""
        return "closeness needs two models with a linear head"

    def statistic(self, trials: Sequence[Trial]) -> float:
        """Compute (1 + ρ)/2."""
        return (1 + association(_one_curve(trials))) / 2

    def lowest(self, trials: Sequence[Trial]) -> float:
        """Return 0, where ρ is -1."""
        return 0.0

    def undetermined(self, trials: Sequence[Trial]) -> str:
        """Say that all pairs are equally close."""
        return f"d_LLV is {reference_values(trials)[0]:g} for every pair: nothing to correlate with"

    def figures(self, trials: Sequence[Trial]) -> Mapping[str, float]:
        """Compute ρ, its p-value, and the medians of the narrowest and the widest models."""
        ends = {"narrowest": trials[0].line, "widest": trials[-1].line}
        at_end = {end: [trial for trial in trials if trial.line == line] for end, line in ends.items()}
        return {
            "spearman": association(_one_curve(trials)),
            "p_value_within_widths": mantel_p_value(_one_curve(trials), self.seed("permutations")),
            **{f"median_similarity_{end}": median(trial.margin for trial in some) for end, some in at_end.items()},
            **{f"median_d_llv_{end}": float(np.median(reference_values(some))) for end, some in at_end.items()},
        }

    def violations(self, trials: Sequence[Trial]) -> Sequence[Trial]:
        """Select the pairs whose rank by similarity is not their rank by closeness."""
        return misranked(_one_curve(trials))


def _one_curve(trials: Sequence[Trial]) -> Observations:
    """Join the pairs of all widths into one curve; their `line` only colours the chart."""
    return Observations.of(trials).joined()
