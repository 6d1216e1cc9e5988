"""Noise response: the more noise is added to a layer, the less similar it is to itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from simbench.references import Comparison, ModelGroup, Named, RepresentationRef
from simbench.sanity.kind import Question, SanityTest, Scores, all_scored, decide, sanity_test
from simbench.sanity.selection import ChosenLayers, representations_of
from simbench.sanity.stats.pairing import shuffled
from simbench.sanity.stats.scale import scale_of
from simbench.seeds import seed_for
from simbench.verdicts.verdict import Trial

if TYPE_CHECKING:
    from simbench.metrics.metric import Metric


@sanity_test("noise_response")
class NoiseResponse(SanityTest):
    """Similarity falls with every step of added noise.

    A layer is compared with itself plus σ times one draw of white noise, σ in multiples of each feature's standard
    deviation. For adjacent σ < σ′ (and for no noise against the first) the question is S(a + σε, a) > S(a + σ′ε, a);
    a tie is a failure. Auxiliary value: the share of the scale S(a, a) − S₀ that the whole ladder spans.

    A metric that fails it is flat or saturated: its small differences mean nothing.
    """

    ratios: list[Annotated[float, Field(gt=0)]] = Field(default=[0.1, 0.3, 1.0, 3.0, 10.0], min_length=1)
    layers: ChosenLayers = None

    def questions(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[Question]:
        """Yield a question per model, layer and step."""
        for a in representations_of(groups, self.layers, metric.level):
            ladder, own = self._ladder(a), Comparison(a, a)
            for (_, less), (ratio, more) in pairwise(ladder):
                ask = partial(_falls, less, more, own, shuffled(a))
                yield Question.about(more, (less, more, own, shuffled(a)), ask, at=ratio, line=str(a))

    def auxiliary(self, groups: Sequence[ModelGroup], metric: Metric, scores: Scores) -> Mapping[str, float]:
        """Compute the median share of the scale that lies between no noise and the most."""
        used = []
        for a in representations_of(groups, self.layers, metric.level):
            own, most = self._ladder(a)[0][1], self._ladder(a)[-1][1]
            if all_scored((own, most, shuffled(a)), scores):
                scale = scale_of(scores, own, [shuffled(a)])
                used.append((scores(own).value - scores(most).value) / scale if scale > 0 else 0.0)
        return {"dynamic_range_used": median(used)} if used else {}

    def _ladder(self, a: RepresentationRef) -> list[tuple[float, Comparison]]:
        """List noise ratios and comparisons, no noise first; all steps share one draw, and only its size differs."""
        seed = seed_for(test=self.id, model=str(a.model), layer=a.layer)
        noisy = [(ratio, a.under(Named.of("noise", seed=seed, ratio=ratio))) for ratio in sorted(self.ratios)]
        return [(ratio, Comparison(sender, a)) for ratio, sender in [(0.0, a), *noisy]]


def _falls(less: Comparison, more: Comparison, own: Comparison, unrelated: Comparison, scores: Scores) -> Trial:
    """Answer whether similarity falls by more than rounding."""
    fall = scores(less).value - scores(more).value
    holds = scores(less).above(scores(more)) and scale_of(scores, own, [unrelated]) > 0.0
    return decide(holds, fall if holds else -abs(fall), more)
