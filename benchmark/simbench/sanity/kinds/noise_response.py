"""Noise response: the more noise, the less similar."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from simbench.references import Comparison, ModelGroup, Named, RepresentationRef
from simbench.sanity.kind import Answer, Question, SanityTest, Scores, all_scored, sanity_test
from simbench.sanity.selection import ChosenLayers, places
from simbench.sanity.statistics.scale import scale_of, shuffled
from simbench.seeds import seed_for

if TYPE_CHECKING:
    from simbench.metrics.metric import Metric


@sanity_test("noise_response")
class NoiseResponse(SanityTest):
    """Similarity falls with every step of added noise.

    A layer is compared with itself plus σ times one draw of white noise, σ in multiples of each feature's standard
    deviation. For adjacent σ < σ′ (and for no noise against the first) the question is S(a + σε, a) > S(a + σ′ε, a);
    a tie is a failure. Auxiliary: the share of the scale S(a, a) − S₀ that the whole ladder uses.

    A metric that fails it is flat or saturated: its small differences mean nothing.
    """

    ratios: list[Annotated[float, Field(gt=0)]] = Field(default=[0.1, 0.3, 1.0, 3.0, 10.0], min_length=1)
    layers: ChosenLayers = None

    def questions(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[Question]:
        """One question per model, layer and step."""
        for a in places(groups, self.layers, metric.level):
            ladder, own = self._ladder(a), Comparison(a, a)
            for (_, less), (ratio, more) in pairwise(ladder):
                yield Question(
                    str(more),
                    (str(a.model),),
                    tuple(dict.fromkeys((less, more, own, shuffled(a)))),
                    partial(_falls, less, more, own, shuffled(a)),
                    at=ratio,
                    line=str(a),
                )

    def auxiliary(self, groups: Sequence[ModelGroup], metric: Metric, scores: Scores) -> Mapping[str, float]:
        """The median share of the scale that lies between no noise and the most."""
        used = []
        for a in places(groups, self.layers, metric.level):
            own, most = self._ladder(a)[0][1], self._ladder(a)[-1][1]
            if all_scored((own, most, shuffled(a)), scores):
                scale = scale_of(scores, own, [shuffled(a)])
                used.append((scores(own).value - scores(most).value) / scale if scale > 0 else 0.0)
        return {"dynamic_range_used": median(used)} if used else {}

    def _ladder(self, a: RepresentationRef) -> list[tuple[float, Comparison]]:
        """No noise first; all steps share one draw, so that only its size differs."""
        seed = seed_for(test=self.id, model=str(a.model), layer=a.layer)
        noisy = [(ratio, a.under(Named.of("noise", seed=seed, ratio=ratio))) for ratio in sorted(self.ratios)]
        return [(ratio, Comparison(sender, a)) for ratio, sender in [(0.0, a), *noisy]]


def _falls(less: Comparison, more: Comparison, own: Comparison, unrelated: Comparison, scores: Scores) -> Answer:
    """A fall by no more than rounding is none."""
    fall = scores(less).value - scores(more).value
    held = scores(less).above(scores(more)) and scale_of(scores, own, [unrelated]) > 0.0
    return Answer(held, fall if held else -abs(fall), () if held else (more,))
