"""Distribution sensitivity: models with nearly equal outputs and unrelated representations are told apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from simbench.bounds import Seeds
from simbench.references import Comparison, ModelGroup, ModelRef, Named, RepresentationRef
from simbench.registry import GENERATORS
from simbench.sanity.generated_models import PermutedClasses
from simbench.sanity.kind import Question, SanityTest, Scores, all_scored, decide, sanity_test
from simbench.sanity.stats.pairing import shuffled
from simbench.sanity.stats.scale import scale_of
from simbench.seeds import seed_for
from simbench.suite.registered_name import RegisteredName
from simbench.verdicts.verdict import Trial

if TYPE_CHECKING:
    from simbench.metrics.metric import Metric

# A generator that makes a pair of models, one of them chosen by the parameter that it declares as `pair`.
PairGenerator = Annotated[str, RegisteredName(GENERATORS, accepts=lambda generator: generator.pair is not None)]
LAYER = "embedding"
# Dimensions of the embeddings and numbers of classes of the deranged clusters.
DERANGED = ((2, 5), (4, 8), (8, 20))


@sanity_test("distribution_sensitivity")
class DistributionSensitivity(SanityTest):
    """An equivalent model is more similar than one that is merely close in KL divergence.

    The pairs of models are synthetic:

    * `permuted_clusters` (Nielsen et al. 2025, Thm 3.1 and Table 1): K clusters on a circle, unembeddings of length ρ,
      and a second model whose clusters are permuted so that no linear map relates the two, while KL → 0 as ρ grows;
    * `deranged_clusters`: the same theorem in 2, 4 and 8 dimensions, for 5, 8 and 20 classes, within 1e-6 in KL;
    * `separately_rotated`: f′ = R f and g′ = R⁻¹ g with R = R(45°), both rotated, so that no prediction stays
      the same;
    * `exchanged_unembeddings`: f′ = f, within .005 in KL, and yet g′ is no linear map of g. The last two are
      after Nielsen et al. (2026, arXiv 2602.15438); an index of embeddings alone cannot see the difference and fails.

    For every pair and seed (of the permuted clusters, for every K and ρ) the question is
    S(f, f′) < S(f, A f) − `margin` · scale, with scale = S(f, f) − S(f, row-shuffled f).
    With margin 0 an index that gives both the same value up to 1e-5 of its range would pass, as KL itself does.
    With several generators, each is a column. A metric that fails measures agreement of predictions, and says nothing
    of representations.
    """

    generates_its_models: ClassVar[bool] = True

    generators: list[PairGenerator] = Field(default=["permuted_clusters"], min_length=1)
    classes: list[PermutedClasses] = Field(default=[7], min_length=1)
    """K of the permuted clusters: 5, 7, 11 or 13."""
    rho: list[float] = Field(default=[5.0, 10.0, 15.0, 20.0], min_length=1)
    """ρ of the permuted clusters."""
    seeds: Seeds = Field(default=[0, 1, 2])
    margin: float = Field(default=0.05, ge=0, lt=1)

    def questions(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[Question]:
        """Yield a question per synthetic pair."""
        for example in self._examples():
            pair = example.comparisons(self.id)
            yield Question(
                example.where,
                (example.models,),
                pair,
                partial(_told_apart, pair, self.margin),
                example.generator if len(self.generators) > 1 else None,
                at=example.rho,
                line=example.line,
            )

    def auxiliary(self, groups: Sequence[ModelGroup], metric: Metric, scores: Scores) -> Mapping[str, float]:
        """Compute, per generator, median scores of the dissimilar and of the equivalent pairs (at the largest ρ)."""
        figures: dict[str, float] = {}
        for generator in self.generators:
            pairs = [
                example.comparisons(self.id)
                for example in self._examples()
                if example.generator == generator and example.rho in (None, max(self.rho))
            ]
            pairs = [pair for pair in pairs if all_scored(pair[:2], scores)]
            if pairs:
                name = "at_largest_rho" if generator == "permuted_clusters" else f"of_{generator}"
                figures[f"dissimilar_pair_{name}"] = median(scores(pair[0]).value for pair in pairs)
                figures[f"equivalent_pair_{name}"] = median(scores(pair[1]).value for pair in pairs)
        return figures

    def _examples(self) -> Iterator[_Example]:
        for generator in GENERATORS.names():
            if generator in self.generators:
                for label, axes, rho in self._axes(generator):
                    for seed in self.seeds:
                        yield _Example(generator, label, axes, rho, seed)

    def _axes(self, generator: str) -> Iterator[tuple[str, Mapping[str, int], float | None]]:
        """Yield the label, the parameters and ρ of each pair of models that a generator is asked for."""
        if generator == "permuted_clusters":
            yield from ((f"K = {k}", {"classes": k}, rho) for k in self.classes for rho in self.rho)
        elif generator == "deranged_clusters":
            yield from ((f"M = {m}, K = {k}", {"dimension": m, "classes": k}, None) for m, k in DERANGED)
        else:
            yield generator.replace("_", " "), {}, None


@dataclass(frozen=True)
class _Example:
    """A synthetic pair: `axes` are its parameters without `rho`, on which neither noise nor seeds depend."""

    generator: str
    label: str
    axes: Mapping[str, int]
    rho: float | None
    seed: int

    @property
    def where(self) -> str:
        swept = "" if self.rho is None else f", ρ = {self.rho:g}"
        return f"{self.label}{swept}, seed {self.seed}"

    @property
    def line(self) -> str:
        return f"{self.label}, seed {self.seed}"

    @property
    def models(self) -> str:
        """Name of the draw. Intervals are over draws: examples of one generator with different seeds."""
        kind = [] if self.generator == "permuted_clusters" else [self.generator]
        return "/".join(map(str, ["construction", *kind, *self.axes.values(), self.seed]))

    def comparisons(self, test: str) -> tuple[Comparison, Comparison, Comparison, Comparison]:
        """Return the comparisons (dissimilar, equivalent, own, unrelated)."""
        f, other = (self._model(second=second) for second in (False, True))
        kind = {} if self.generator == "permuted_clusters" else {"construction": self.generator}
        mixing = Named.of("invertible_linear", seed=seed_for(test=test, seed=self.seed, **kind, **self.axes))
        return Comparison(f, other), Comparison(f, f.under(mixing)), Comparison(f, f), shuffled(f)

    def _model(self, *, second: bool) -> RepresentationRef:
        parameters: dict[str, Any] = {**self.axes, str(GENERATORS.get(self.generator).pair): second}
        if self.rho is not None:
            parameters["rho"] = self.rho
        return RepresentationRef(ModelRef(self.generator, self.seed, Named.of(self.generator, **parameters)), LAYER)


def _told_apart(pair: Sequence[Comparison], margin: float, scores: Scores) -> Trial:
    dissimilar, equivalent, own, unrelated = pair
    scale = scale_of(scores, own, [unrelated])
    difference = scores(equivalent).value - scores(dissimilar).value
    if scale <= 0:
        return decide(False, -abs(difference), dissimilar)
    return decide(difference > margin * scale, difference / scale - margin, dissimilar)
