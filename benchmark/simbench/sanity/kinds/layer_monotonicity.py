"""Layer monotonicity: within a network, similarity falls with the distance between layers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from simbench.references import Comparison, ModelGroup, ModelRef, RepresentationRef
from simbench.sanity.kind import SanityTest, sanity_test
from simbench.sanity.question import Question, Scores, all_scored, is_more_similar
from simbench.sanity.selection import ChosenLayers, layers_of
from simbench.sanity.stats.rank_statistics import spearman, zero_if_constant
from simbench.suite.schema import PASS_IF

if TYPE_CHECKING:
    from simbench.metrics.metric import Metric


@sanity_test("layer_monotonicity")
class LayerMonotonicity(SanityTest):
    """Within a network, a layer is more similar to a near layer than to one beyond it.

    For an anchor layer l and layers l < i < j, and mirrored for l > i > j, the question is S(i, l) > S(j, l). A tie is
    a failure. For directed metrics the anchor receives, so that only scores of one receiver are compared: a column of
    the heat map. On a chart, a question lies at |i − j|, the distance between the two layers to tell apart.

    Auxiliary value: Spearman's correlation of similarity with minus the distance between layers, the mean over anchors
    and directions with at least two layers; where all of them are equally similar it is undetermined and left out, as
    ReSi leaves out NaN.

    Source: Klabunde et al. (2025), ReSi, test 6 (layer monotonicity). There a tie is no violation. The heat maps of
    an index that fails do not show depth: two layers may look alike for other reasons than being near.
    """

    of_layers_only: ClassVar[bool] = True
    model_correlation: ClassVar[float] = 0.05  # .02 over 22 grades on the published boards

    # A convention: the last layers of a trained network are nearly copies of each other, and which of two neighbours
    # is more similar to a third then depends on the seed. Chance is one half.
    pass_if: str = Field(default=">= 0.9", pattern=PASS_IF.pattern)
    layers: ChosenLayers = None
    """Layers to compare: a number of them, evenly spread, or their names; all by default."""

    def questions(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[Question]:
        """Yield a question per model, anchor and pair of layers on one side of it."""
        for model, column in self._columns(groups, metric):
            for nearer, near in enumerate(column):
                for further, far in enumerate(column[nearer + 1 :], nearer + 1):
                    yield Question(
                        f"{near.b}: {near.a.layer} against {far.a.layer}",
                        (str(model),),
                        (near, far),
                        partial(is_more_similar, near, far, far),
                        at=float(further - nearer),
                        line=str(model),
                    )

    def auxiliary(self, groups: Sequence[ModelGroup], metric: Metric, scores: Scores) -> Mapping[str, float]:
        """Compute the mean Spearman correlation of similarity with nearness."""
        correlations = []
        for _, column in self._columns(groups, metric):
            if all_scored(column, scores):
                nearness = [-float(distance) for distance in range(len(column))]
                correlations.append(
                    spearman(zero_if_constant([scores(comparison).value for comparison in column]), nearness)
                )
        determined = [value for value in correlations if math.isfinite(value)]
        return {"mean_spearman": sum(determined) / len(determined)} if determined else {}

    def _columns(
        self, groups: Sequence[ModelGroup], metric: Metric
    ) -> Iterator[tuple[ModelRef, tuple[Comparison, ...]]]:
        """Yield, per model, anchor and direction, the anchor's comparisons with the layers there, the nearest first."""
        for group in groups:
            chosen = layers_of(group, self.layers, metric.level)
            layers = [layer for layer in group.layers if layer in chosen]  # in the network's order, not the suite's
            for model in group.models:
                for position, anchor in enumerate(layers):
                    receiver = RepresentationRef(model, anchor)
                    for side in (layers[position + 1 :], layers[:position][::-1]):
                        if len(side) > 1:
                            column = (Comparison(RepresentationRef(model, layer), receiver) for layer in side)
                            yield model, tuple(column)
