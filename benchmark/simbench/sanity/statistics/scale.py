"""What a difference in similarity is measured against: the distance from self-similarity to unrelated data."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from simbench.references import Comparison, Named, RepresentationRef
from simbench.sanity.kind import Answer, Scores, partly
from simbench.seeds import seed_for

ROUNDING = 1e-6
"""Relative to the scores: what single precision may leave of a constant."""


def shuffled(a: RepresentationRef) -> Comparison:
    """A row-shuffled copy of `a` against `a`: the same values, no shared inputs. All tests share one shuffle."""
    seed = seed_for(transform="row_shuffle", model=str(a.model), layer=a.layer)
    return Comparison(a.under(Named.of("row_shuffle", seed=seed)), a)


def scale_of(
    scores: Scores, own: Comparison, unrelated: Sequence[Comparison], beside: Sequence[Comparison] = ()
) -> float:
    """S(a, a) − median S over unrelated pairs: what a difference in similarity is measured against.

    0 where the two differ by no more than rounding: a constant index computed in floating point is still constant. How
    large a rounding error may be, the scores `beside` tell too: an index that does not know a layer from its shuffled
    rows finds 0 for both, but for an error that is small only next to what it finds elsewhere.
    """
    self_similarity = scores(own).value
    baseline = median(scores(comparison).value for comparison in unrelated)
    scale = self_similarity - baseline
    size = max(abs(value) for value in (self_similarity, baseline, *(scores(one).value for one in beside)))
    return scale if abs(scale) > ROUNDING * size else 0.0


def similarity_left(
    scores: Scores, comparison: Comparison, own: Comparison, unrelated: Sequence[Comparison]
) -> float | None:
    """max(0, S − S₀) / scale: 0 for what is as good as unrelated, 1 for self-similarity; None without a scale."""
    scale = scale_of(scores, own, unrelated, (comparison,))
    if scale <= 0:
        return None
    baseline = scores(own).value - scale
    return max(0.0, scores(comparison).value - baseline) / scale


def change(
    scores: Scores, before: Comparison, after: Comparison, own: Comparison, unrelated: Sequence[Comparison]
) -> float | None:
    """|ΔS| / scale between two comparisons; None without a scale: then there is nothing to measure it against."""
    scale = scale_of(scores, own, unrelated, (before, after))
    return abs(scores(after).value - scores(before).value) / scale if scale > 0 else None


def as_good_as_unrelated(
    comparison: Comparison, own: Comparison, unrelated: Sequence[Comparison], scores: Scores
) -> Answer:
    """Credit for what is lost: 1 − max(0, S − S₀) / scale; none where there is no scale."""
    left = similarity_left(scores, comparison, own, unrelated)
    return partly(0.0 if left is None else 1.0 - left, (comparison,))


def stable(
    before: Comparison, after: Comparison, own: Comparison, unrelated: Sequence[Comparison], scores: Scores
) -> Answer:
    """Credit for what stays: 1 − |ΔS| / scale; none where there is no scale."""
    moved = change(scores, before, after, own, unrelated)
    return partly(0.0 if moved is None else 1.0 - moved, (after,))
