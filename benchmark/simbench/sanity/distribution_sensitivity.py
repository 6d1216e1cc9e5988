"""Distribution sensitivity: models that are close in KL divergence and whose embeddings are not linearly related."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from simbench.plan.references import Comparison, ModelGroup, ModelRef, Named, RepresentationRef
from simbench.sanity.kind import Answer, Question, Scores, TestKind, all_scored, test_kind
from simbench.sanity.scale import scale_of, shuffled
from simbench.seeds import seed_for

if TYPE_CHECKING:
    from simbench.metrics.metric import Metric

LAYER = "embedding"


@test_kind("distribution_sensitivity")
class DistributionSensitivity(TestKind):
    """An equivalent model is more similar than one that is merely close in KL divergence.

    The pairs are constructed (Nielsen et al. 2025, Thm 3.1 and Table 1): K clusters on a circle, unembeddings of
    length ρ, and a second model whose clusters are permuted so that no linear map relates the two, while
    KL → 0 as ρ grows. For every K, ρ and seed the question is
    S(f, f permuted) < S(f, A f) − `margin` · scale, with scale = S(f, f) − S(f, row-shuffled f).
    With margin 0 an index that gives both the same value up to 1e-5 of its range would pass; KL itself does.
    """

    constructs_its_models: ClassVar[bool] = True

    classes: list[int] = Field(default=[7], min_length=1)
    rho: list[float] = Field(default=[5.0, 10.0, 15.0, 20.0], min_length=1)
    seeds: list[int] = Field(default=[0, 1, 2], min_length=1)
    margin: float = Field(default=0.05, ge=0, lt=1)

    def questions(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[Question]:
        """One question per constructed pair."""
        for classes in self.classes:
            for rho in self.rho:
                for seed in self.seeds:
                    pair = self._pair(classes, rho, seed)
                    yield Question(
                        f"K = {classes}, ρ = {rho:g}, seed {seed}",
                        (f"construction/{classes}/{seed}",),
                        pair,
                        partial(_told_apart, pair, self.margin),
                        at=rho,
                        line=f"K = {classes}, seed {seed}",
                    )

    def companions(self, groups: Sequence[ModelGroup], metric: Metric, scores: Scores) -> Mapping[str, float]:
        """Median scores of the dissimilar and of the equivalent pairs at the largest ρ."""
        pairs = [self._pair(classes, max(self.rho), seed) for classes in self.classes for seed in self.seeds]
        pairs = [pair for pair in pairs if all_scored(pair[:2], scores)]
        if not pairs:
            return {}
        return {
            "dissimilar_pair_at_largest_rho": median(scores(pair[0]).value for pair in pairs),
            "equivalent_pair_at_largest_rho": median(scores(pair[1]).value for pair in pairs),
        }

    def _pair(self, classes: int, rho: float, seed: int) -> tuple[Comparison, Comparison, Comparison, Comparison]:
        """(dissimilar, equivalent, own, unrelated)."""
        f = _constructed(classes, rho, seed, permuted=False)
        permuted = _constructed(classes, rho, seed, permuted=True)
        mixing = Named.of("invertible_linear", seed=seed_for(test=self.id, classes=classes, seed=seed))
        return Comparison(f, permuted), Comparison(f, f.under(mixing)), Comparison(f, f), shuffled(f)


def _constructed(classes: int, rho: float, seed: int, *, permuted: bool) -> RepresentationRef:
    construction = Named.of("permuted_clusters", classes=classes, rho=rho, permuted=permuted)
    return RepresentationRef(ModelRef(construction.name, seed, construction), LAYER)


def _told_apart(pair: Sequence[Comparison], margin: float, scores: Scores) -> Answer:
    dissimilar, equivalent, own, unrelated = pair
    scale = scale_of(scores, own, [unrelated])
    difference = scores(equivalent).value - scores(dissimilar).value
    if scale <= 0:
        return Answer(False, -abs(difference), (dissimilar,))
    held = difference > margin * scale
    return Answer(held, difference / scale - margin, () if held else (dissimilar,))
