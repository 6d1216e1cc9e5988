"""Split a metric's missing scores into blocks, and group blocks into bundles.

A block is the unit of progress, and the most that a killed run loses. A bundle is the work that one worker does in one
go: blocks whose metrics share prepared values.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice

from simbench.metrics.metric import Metric, Score
from simbench.plan.plan import Plan, needs_fit
from simbench.references import Comparison, RepresentationRef
from simbench.run.tasks import ScoreBlock

LARGEST_BLOCK = 2000
# Of metrics that learn on the fitting inputs, whose representations are held with the activations of both sides: 976
# comparisons under transforms, of layers of 24 × 40 numbers for each of 1,000 inputs, took 12 GB as one block,
# and 200 of them 6 GB.
LARGEST_FIT_BLOCK = 40


def blocks_of(
    plan: Plan,
    metric: Metric,
    missing: Mapping[str, Comparison],
    unavailable: Mapping[RepresentationRef, Score],
    provenance: str,
) -> Iterator[ScoreBlock]:
    """Split the missing scores of one metric into blocks.

    A metric that trains maps into a network gets all senders of one receiving layer (under any transform) in one block,
    to train them together; one that solves for the maps gets all senders of one receiving network, whose layers are
    targets; in either case as far as a block may hold them. Any other metric gets as many comparisons as a block may
    hold, to prepare each representation once.
    """
    for scores in _grouped(metric, missing):
        refs = dict.fromkeys(side for comparison in scores.values() for side in (comparison.a, comparison.b))
        keys = {ref: plan.representation_key(ref, with_fit=needs_fit(metric)) for ref in refs}
        failed = {ref: unavailable[ref] for ref in refs if ref in unavailable}
        yield ScoreBlock(metric, scores, keys, failed, provenance)


def bundles_of(blocks: Iterable[ScoreBlock]) -> list[tuple[ScoreBlock, ...]]:
    """Group blocks into bundles, heavy blocks first and each alone, so that short bundles fill the gaps at the end.

    Light metrics of one family prepare the same values: their first blocks form one bundle, their second blocks
    (mostly of the same comparisons, too) another one, and so on.
    """
    heavy: list[tuple[ScoreBlock, ...]] = []
    light: dict[tuple[str, int], list[ScoreBlock]] = {}
    count: Counter[str] = Counter()
    for block in blocks:
        metric = block.metric
        if metric.cost == "heavy" or needs_fit(metric):
            heavy.append((block,))
        else:
            light.setdefault((metric.family, count[metric.label]), []).append(block)
            count[metric.label] += 1
    return heavy + [tuple(bundle) for bundle in light.values()]


def _grouped(metric: Metric, missing: Mapping[str, Comparison]) -> Iterator[dict[str, Comparison]]:
    groups: dict[object, dict[str, Comparison]] = {}
    for key, comparison in missing.items():
        groups.setdefault(_shared(metric, comparison), {})[key] = comparison
    largest = LARGEST_FIT_BLOCK if needs_fit(metric) else LARGEST_BLOCK
    for group in groups.values():
        items = iter(group.items())
        while block := dict(islice(items, largest)):
            yield block


def _shared(metric: Metric, comparison: Comparison) -> tuple[object, ...]:
    """Return the property that the comparisons of one block have in common."""
    if not needs_fit(metric):
        return ()
    receiver = comparison.b
    return (receiver.model, receiver.layer) if metric.cost == "heavy" else (receiver.model,)
