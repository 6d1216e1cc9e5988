"""Noise null: a layer has nothing in common with noise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from simbench.references import Comparison, ModelGroup, Named, RepresentationRef
from simbench.sanity.kind import Question, SanityTest, sanity_test
from simbench.sanity.selection import ChosenLayers, layers_of
from simbench.sanity.statistics.scale import as_good_as_unrelated, shuffled
from simbench.seeds import seed_for
from simbench.suite.schema import PASS_IF

if TYPE_CHECKING:
    from simbench.metrics.metric import Metric

Noise = Literal["iid_noise", "row_shuffle", "class_noise"]


@sanity_test("noise_null")
class NoiseNull(SanityTest):
    """Noise in place of a layer is as good as unrelated to it.

    * `iid_noise`: independent Gaussian noise with the layer's means and variances;
    * `row_shuffle`: the layer itself, assigned to other inputs;
    * `class_noise`: a random centre per label plus noise: the label and nothing else of the input.

    Credit is 1 − max(0, S(noise, a) − S₀) / (S(a, a) − S₀), cut to [0, 1], with S₀ the median S of the layer against
    row-shuffled copies of itself: a metric's chance level is not held against it here (`sample_size` measures it).
    So an index whose chance level is stable holds on `row_shuffle` whatever that level is; all that this column can
    show is an index whose value for shuffled rows varies from draw to draw.

    Source: Smith et al. (2025): clustered noise without any content is stitched with full accuracy. A metric that
    fails on `class_noise` may be answering "is the label in there?".
    """

    noises: list[Noise] = Field(default=["iid_noise", "row_shuffle", "class_noise"], min_length=1)
    layers: ChosenLayers = None
    pass_if: str = Field(default=">= 0.7", pattern=PASS_IF.pattern)
    """Smith et al.: no more than 0.3 of the similarity of a layer with itself."""

    def questions(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[Question]:
        """One question per model, layer and kind of noise."""
        for group in groups:
            for layer in layers_of(group, self.layers, metric.level):
                unrelated = [shuffled(RepresentationRef(model, layer)) for model in group.models]
                for model in group.models:
                    a = RepresentationRef(model, layer)
                    for name in self.noises:
                        seed = seed_for(test=self.id, noise=name, model=str(model), layer=layer)
                        noise = Comparison(a.under(Named.of(name, seed=seed)), a)
                        own = Comparison(a, a)
                        yield Question(
                            str(noise),
                            (str(model),),
                            (noise, own, *unrelated),
                            partial(as_good_as_unrelated, noise, own, unrelated),
                            name,
                        )
