"""Noise null: noise in place of a layer is not similar to the layer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from simbench.references import Comparison, ModelGroup, Named
from simbench.sanity.kind import Question, SanityTest, sanity_test
from simbench.sanity.selection import ChosenLayers
from simbench.sanity.stats.scale import credit_loss, with_unrelated
from simbench.seeds import seed_for
from simbench.suite.schema import PASS_IF

if TYPE_CHECKING:
    from simbench.metrics.metric import Metric

Noise = Literal["iid_noise", "row_shuffle", "class_noise"]


@sanity_test("noise_null")
class NoiseNull(SanityTest):
    """Noise in place of a layer is as dissimilar to the layer as unrelated data.

    * `iid_noise`: independent Gaussian noise with the layer's means and variances;
    * `row_shuffle`: the layer itself, assigned to other inputs;
    * `class_noise`: a random centre per label plus noise: it knows the label and nothing else of the input.

    Credit is 1 − max(0, S(noise, a) − S₀) / (S(a, a) − S₀), clipped to [0, 1], with S₀ the median S of the layer
    against row-shuffled copies of itself: a high chance level costs nothing here (`sample_size` measures it). So an
    index with a stable chance level passes `row_shuffle` whatever that level is; this column can only reveal an index
    whose value for shuffled rows varies from draw to draw.

    Source: Smith et al. (2025): clustered noise without any content is stitched with full accuracy. A metric that
    fails on `class_noise` may only measure whether the label can be read from a layer.
    """

    noises: list[Noise] = Field(default=["iid_noise", "row_shuffle", "class_noise"], min_length=1)
    layers: ChosenLayers = None
    pass_if: str = Field(default=">= 0.7", pattern=PASS_IF.pattern)
    """Smith et al.: no more than 0.3 of the similarity of a layer with itself."""

    def questions(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[Question]:
        """Yield a question per model, layer and kind of noise."""
        for a, _, unrelated in with_unrelated(groups, self.layers, metric.level):
            for name in self.noises:
                seed = seed_for(test=self.id, noise=name, model=str(a.model), layer=a.layer)
                noise, own = Comparison(a.under(Named.of(name, seed=seed)), a), Comparison(a, a)
                ask = partial(credit_loss, noise, own, unrelated)
                yield Question.about(noise, (noise, own, *unrelated), ask, name)
