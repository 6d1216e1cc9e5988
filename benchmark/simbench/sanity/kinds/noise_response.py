"""Noise response: the more noise is added to a layer, the less similar it is to itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from simbench.references import Comparison, ModelGroup, Named, RepresentationRef
from simbench.sanity.kind import SanityTest, sanity_test
from simbench.sanity.question import Question, Scores, all_scored, is_more_similar
from simbench.sanity.selection import ChosenLayers, representations_of
from simbench.sanity.stats.place import both_ways, null_level_of, require_signal
from simbench.seeds import seed_for
from simbench.verdicts.verdict import Trial

if TYPE_CHECKING:
    from simbench.metrics.metric import Metric


@sanity_test("noise_response")
class NoiseResponse(SanityTest):
    """Similarity falls with every step of added noise.

    A layer is compared with itself plus σ times one draw of white noise, σ in multiples of each feature's standard
    deviation. For adjacent σ < σ′ (and for no noise against the first) the question is S(a + σε, a) > S(a + σ′ε, a);
    a tie is a failure. Only scores of one ladder are compared with each other. Where both are no higher than for the
    layer's shuffled rows, noise has won and nothing can be read: no answer. A directed metric is asked with the noisy
    copy as receiver, too.

    Auxiliary value: the share of S(a, a) − S(shuffled a, a) that the whole ladder spans, in the metric's own units.

    Every index owes it; no paper grades it. One that fails is flat or saturated: its small differences mean nothing.
    """

    ratios: list[Annotated[float, Field(gt=0)]] = Field(default=[0.1, 0.3, 1.0, 3.0, 10.0], min_length=1)
    layers: ChosenLayers = None

    def questions(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[Question]:
        """Yield a question per model, layer, step and direction."""
        for a in representations_of(groups, self.layers, metric.level):
            ladder, null = self._ladder(a), null_level_of(a, metric)
            for (_, less), (ratio, more) in pairwise(ladder):
                ways = (both_ways(step.a, step.b, metric, None) for step in (less, more))
                for (first, column), (second, _) in zip(*ways, strict=True):
                    ask = partial(_falls, first, second, null)
                    yield Question.about(second, (first, second, *null), ask, column, at=ratio, line=str(a))

    def auxiliary(self, groups: Sequence[ModelGroup], metric: Metric, scores: Scores) -> Mapping[str, float]:
        """Compute the median share of the scale that lies between no noise and the most."""
        used = []
        for a in representations_of(groups, self.layers, metric.level):
            ends = self._ladder(a)[0][1], self._ladder(a)[-1][1], *null_level_of(a, metric)
            if len(ends) == 3 and all_scored(ends, scores):
                own, most, unrelated = (scores(end).value for end in ends)
                used.append((own - most) / (own - unrelated) if own > unrelated else 0.0)
        return {"dynamic_range_used": median(used)} if used else {}

    def _ladder(self, a: RepresentationRef) -> list[tuple[float, Comparison]]:
        """List noise ratios and comparisons, no noise first; all steps share one draw, and only its size differs."""
        seed = seed_for(test=self.id, model=str(a.model), layer=a.layer)
        noisy = [(ratio, a.under(Named.of("noise", seed=seed, ratio=ratio))) for ratio in sorted(self.ratios)]
        return [(ratio, Comparison(sender, a)) for ratio, sender in [(0.0, a), *noisy]]


def _falls(less: Comparison, more: Comparison, null: Sequence[Comparison], scores: Scores) -> Trial:
    """Answer whether more noise leaves less similarity; no answer where neither is above the null level."""
    require_signal((less, more), null, scores)
    return is_more_similar(less, more, more, scores)
