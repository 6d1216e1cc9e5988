"""Scale of a metric: the distance from self-similarity to the similarity of unrelated data.

Differences in this unit depend on how an index is expressed: they are auxiliary values, and grade what a theorem says
of an index as it is expressed. All other tests go by order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median
from typing import TYPE_CHECKING

from simbench.references import Comparison, ModelGroup, RepresentationRef
from simbench.sanity.question import Scores
from simbench.sanity.selection import ChosenLayers, layers_of
from simbench.sanity.stats.pairing import shuffled

if TYPE_CHECKING:
    from simbench.declaration import Level

# Relative to the scores: what single precision may leave of a constant.
ROUNDING = 1e-6


def with_unrelated(
    groups: Sequence[ModelGroup], chosen: ChosenLayers, level: Level
) -> Iterator[tuple[RepresentationRef, list[Comparison]]]:
    """Yield each chosen layer of each model, and the layer's unrelated comparisons.

    Unrelated are, for every model of the group, the layer and its row-shuffled copy.
    """
    for group in groups:
        for layer in layers_of(group, chosen, level):
            unrelated = [shuffled(RepresentationRef(model, layer)) for model in group.models]
            yield from ((RepresentationRef(model, layer), unrelated) for model in group.models)


def scale_of(
    scores: Scores, own: Comparison, unrelated: Sequence[Comparison], beside: Sequence[Comparison] = ()
) -> float:
    """Compute S(a, a) − median S over unrelated pairs, the unit in which differences in similarity are measured.

    0 where the two differ by no more than rounding: a constant index computed in floating point is still constant. The
    size of a rounding error is judged by the scores `beside` too: an index that cannot tell a layer from its shuffled
    rows gives 0 for both, up to an error that is small only relative to its values elsewhere.
    """
    self_similarity = scores(own).value
    baseline = median(scores(comparison).value for comparison in unrelated)
    scale = self_similarity - baseline
    size = max(abs(value) for value in (self_similarity, baseline, *(scores(other).value for other in beside)))
    return scale if abs(scale) > ROUNDING * size else 0.0


def similarity_left(
    scores: Scores, comparison: Comparison, own: Comparison, unrelated: Sequence[Comparison]
) -> float | None:
    """Compute max(0, S − S₀) / scale: 0 for unrelated data, 1 for self-similarity; None without a scale."""
    scale = scale_of(scores, own, unrelated, (comparison,))
    if scale <= 0:
        return None
    baseline = scores(own).value - scale
    return max(0.0, scores(comparison).value - baseline) / scale
