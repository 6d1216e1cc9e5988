"""Closeness: models whose distributions are closer are more similar."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from simbench.references import Comparison, ModelGroup, Named, RepresentationRef
from simbench.sanity.kind import Question, sanity_test
from simbench.sanity.selection import pairs_of
from simbench.sanity.statistics.statistic import (
    StatisticTest,
    association,
    held_against,
    mantel_p_value,
    observation,
    rank_strays,
)
from simbench.suite.schema import PASS_IF
from simbench.verdicts.verdict import Trial, Violation

if TYPE_CHECKING:
    from simbench.metrics.metric import Metric

DISTANCE = Named.of("identifiability_llv")


@sanity_test("closeness")
class Closeness(StatisticTest):
    """Pairs of models whose distributions are closer, as those of wider networks are, are more similar.

    Groups of growing width, the narrowest first. Over all pairs of seeds of one width, at the layer that the head
    reads: ρ = Spearman's correlation of similarity with −d_LLV, the log-likelihood-variance distance of the two
    conditional distributions. The grade is (1 + ρ)/2: ½ is chance, and what a constant index has.

    Auxiliary: ρ; the one-sided p-value of the association from permuting models **within** their widths, which leaves
    what widths have in common out of it; median similarity and median d_LLV of the narrowest and of the widest models.
    If the medians of d_LLV do not fall with width, the models do not show the effect that this test is about.

    Source: Nielsen et al. (2025), arXiv 2506.03784: closeness in d_LLV, unlike in KL, bounds the dissimilarity of
    embeddings up to invertible linear maps, and wider networks are closer. Seeds of little accuracy, which the paper
    leaves out, are in: ranks bound their weight.
    """

    # A convention: half-way between chance, 0.5, and perfect (ρ ≥ 0.5).
    pass_if: str = Field(default=">= 0.75", pattern=PASS_IF.pattern)

    def questions(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[Question]:
        """One observation per pair of models of one width."""
        for group in groups:
            if group.embedding_layer is None:
                continue
            for first, second in pairs_of(group.models, ordered=not metric.symmetric):
                compared = Comparison(
                    RepresentationRef(first, group.embedding_layer), RepresentationRef(second, group.embedding_layer)
                )
                yield observation(compared, DISTANCE, line=group.name)

    def nothing_to_ask(self, metric: Metric) -> str:
        """Whatever the metric, what is missing are models."""
        return "closeness needs two models with a linear head"

    def statistic(self, trials: Sequence[Trial]) -> float:
        """(1 + ρ)/2."""
        return (1 + association(_one_curve(trials))) / 2

    def undetermined(self, trials: Sequence[Trial]) -> str:
        """That all pairs are as close."""
        return f"d_LLV is {held_against(trials)[0]:g} for every pair: nothing to correlate with"

    def figures(self, trials: Sequence[Trial]) -> Mapping[str, float]:
        """ρ, its p-value, and the medians at both ends."""
        ends = {"narrowest": trials[0].line, "widest": trials[-1].line}
        at_end = {end: [trial for trial in trials if trial.line == line] for end, line in ends.items()}
        return {
            "spearman": association(_one_curve(trials)),
            "p_value_within_widths": mantel_p_value(_one_curve(trials), self.seed("permutations")),
            **{f"median_similarity_{end}": median(trial.margin for trial in some) for end, some in at_end.items()},
            **{f"median_d_llv_{end}": float(np.median(held_against(some))) for end, some in at_end.items()},
        }

    def strays(self, trials: Sequence[Trial]) -> Sequence[Violation]:
        """The pairs whose similarity is furthest from its place."""
        return rank_strays(_one_curve(trials))


def _one_curve(trials: Sequence[Trial]) -> list[Trial]:
    """The pairs of all widths together: `line` is for the eye."""
    return [replace(trial, line="") for trial in trials]
