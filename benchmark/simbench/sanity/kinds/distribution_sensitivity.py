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
from simbench.sanity.kind import SanityTest, sanity_test
from simbench.sanity.question import Question, Scores, all_scored, is_more_similar
from simbench.sanity.stats.pairing import PairingCheck
from simbench.sanity.stats.place import both_ways
from simbench.seeds import seed_for
from simbench.suite.registered_name import RegisteredName

if TYPE_CHECKING:
    from simbench.metrics.metric import Metric

# A generator that makes a pair of models, one of them chosen by the parameter that it declares as `pair`.
PairGenerator = Annotated[str, RegisteredName(GENERATORS, accepts=lambda generator: generator.pair is not None)]
LAYER = "embedding"
# Dimensions of the embeddings and numbers of classes of the deranged clusters.
DERANGED = ((2, 5), (4, 8), (8, 20))


@sanity_test("distribution_sensitivity")
class DistributionSensitivity(SanityTest):
    """A model that is merely close in KL divergence is less similar than an equivalent one with a little noise.

    The pairs of models are synthetic:

    * `permuted_clusters` (Nielsen et al. 2025, Thm 3.1 and Table 1): K clusters on a circle, unembeddings of length ρ,
      and a second model whose clusters are permuted so that no linear map relates the two, while KL → 0 as ρ grows;
    * `deranged_clusters`: the same theorem in 2, 4 and 8 dimensions, for 5, 8 and 20 classes, within 1e-6 in KL;
    * `separately_rotated`: f′ = R f and g′ = R⁻¹ g with R = R(45°), both rotated, so that no prediction stays
      the same;
    * `exchanged_unembeddings`: f′ = f, within .005 in KL, and yet g′ is no linear map of g. The last two are
      after Nielsen et al. (2026, arXiv 2602.15438); an index of embeddings alone cannot see the difference and fails.

    For every pair and seed (of the permuted clusters, for every K and ρ) the question is whether
    S(f, f′) < S(f + noise, A f). The two scores are all that is compared: no unit is needed for their difference.
    The equivalent copy A f is drawn from the widest maps to which the metric declares to be invariant: invertible
    linear ones, else orthogonal ones, else permutations of units, which any index owes. So no index fails for seeing
    coordinates that it says it sees. White noise of `noise` times each feature's standard deviation is just noticeable:
    at .2 it takes 4 % of the variance that a linear map can explain (CKA .96), where of permuted clusters next to
    nothing can be explained (CKA .00). KL divergence holds that noise for larger than the exchange of all clusters.
    With several generators, each is a column; a directed metric is asked both ways.

    A metric that fails measures agreement of predictions, and says nothing of representations.
    """

    generates_its_models: ClassVar[bool] = True

    generators: list[PairGenerator] = Field(default=["permuted_clusters"], min_length=1)
    classes: list[PermutedClasses] = Field(default=[7], min_length=1)
    """K of the permuted clusters: 5, 7, 11 or 13."""
    rho: list[float] = Field(default=[5.0, 10.0, 15.0, 20.0], min_length=1)
    """ρ of the permuted clusters."""
    seeds: Seeds = Field(default=[0, 1, 2])
    noise: float = Field(default=0.2, gt=0)
    """Size of the noise on the equivalent copy, in standard deviations of each feature."""

    def questions(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[Question]:
        """Yield a question per synthetic pair and direction."""
        for example in self._examples():
            name = example.generator if len(self.generators) > 1 else None
            ways = (both_ways(pair.a, pair.b, metric, name) for pair in self._pairs(example, metric))
            for (dissimilar, column), (equivalent, _) in zip(*ways, strict=True):
                yield Question(
                    example.where,
                    (example.models,),
                    (dissimilar, equivalent),
                    partial(is_more_similar, equivalent, dissimilar, dissimilar),
                    column,
                    at=example.rho,
                    line=example.line,
                )

    def pairing_checks(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[PairingCheck]:
        """Yield the check of the first model of every pair."""
        yield from (PairingCheck.of(example.first) for example in self._examples())

    def auxiliary(self, groups: Sequence[ModelGroup], metric: Metric, scores: Scores) -> Mapping[str, float]:
        """Compute, per generator, median scores of the dissimilar and of the equivalent pairs (at the largest ρ)."""
        figures: dict[str, float] = {}
        for generator in self.generators:
            pairs = [
                self._pairs(example, metric)
                for example in self._examples()
                if example.generator == generator and example.rho in (None, max(self.rho))
            ]
            pairs = [pair for pair in pairs if all_scored(pair, scores)]
            if pairs:
                name = "at_largest_rho" if generator == "permuted_clusters" else f"of_{generator}"
                figures[f"dissimilar_pair_{name}"] = median(scores(pair[0]).value for pair in pairs)
                figures[f"equivalent_pair_{name}"] = median(scores(pair[1]).value for pair in pairs)
        return figures

    def _pairs(self, example: _Example, metric: Metric) -> tuple[Comparison, Comparison]:
        """Return the dissimilar pair, and the noisy copy against the equivalent one."""
        f = example.first
        seed = seed_for(test=self.id, seed=example.seed, **example.kind, **example.axes)
        noisy = f.under(Named.of("noise", seed=seed_for(purpose="noise", seed=seed), ratio=self.noise))
        return Comparison(f, example.second), Comparison(noisy, f.under(Named.of(_widest_map(metric), seed=seed)))

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
        return "/".join(map(str, ["construction", *self.kind.values(), *self.axes.values(), self.seed]))

    @property
    def kind(self) -> Mapping[str, str]:
        """Name of the generator, but for the first that there was: names and seeds of its pairs stay as they are."""
        return {} if self.generator == "permuted_clusters" else {"construction": self.generator}

    @property
    def first(self) -> RepresentationRef:
        """Embedding f."""
        return self._model(second=False)

    @property
    def second(self) -> RepresentationRef:
        """Embedding f′."""
        return self._model(second=True)

    def _model(self, *, second: bool) -> RepresentationRef:
        parameters: dict[str, Any] = {**self.axes, str(GENERATORS.get(self.generator).pair): second}
        if self.rho is not None:
            parameters["rho"] = self.rho
        return RepresentationRef(ModelRef(self.generator, self.seed, Named.of(self.generator, **parameters)), LAYER)


def _widest_map(metric: Metric) -> str:
    """Name the widest of the maps to which a metric declares to be invariant; permutations are owed by any."""
    return next((name for name in ("invertible_linear", "orthogonal") if metric.is_invariant_to(name)), "permutation")
