"""Far pair: the last layer has less in common with the first than any other layer has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from simbench.references import Comparison, ModelGroup, ModelRef, RepresentationRef
from simbench.sanity.kind import SanityTest, sanity_test
from simbench.sanity.question import Question, Scores, is_more_similar, models_of
from simbench.sanity.selection import paired
from simbench.sanity.stats.place import null_level_of, receiver_column, require_signal, sender_column
from simbench.suite.schema import PASS_IF
from simbench.verdicts.verdict import Trial

if TYPE_CHECKING:
    from simbench.metrics.metric import Metric


@sanity_test("far_pair")
class FarPair(SanityTest):
    """The last layer, compared with the first, is less similar to it than every other layer.

    The first layer receives: S(last, first) < S(c, first) for every other layer c of the sender, a question each; asked
    within every model and between neighbouring seeds. A tie is a failure. A directed metric is asked the same of the
    last layer as receiver: S(first, last) < S(first, c). A question neither of whose scores is above that of shuffled
    rows has no answer.

    Source: Balogh & Jelasity (2024): a map trained on the task loss carries the last layer's class information into the
    first layer with full accuracy. A metric that fails it reports what the receiver can be trained to do with the
    sender, not what the two have in common.
    """

    of_layers_only: ClassVar[bool] = True

    pass_if: str = Field(default=">= 0.9", pattern=PASS_IF.pattern)

    def questions(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[Question]:
        """Yield a question per model or pair of neighbouring seeds and other layer, twice as many of a directed one."""
        for group in groups:
            if len(group.layers) < 2:
                continue
            for pair in [*((model, model) for model in group.models), *paired(group.models, "ring")]:
                yield from _ask(group, *pair, metric, as_receiver=False)
                if not metric.symmetric:
                    yield from _ask(group, *pair, metric, as_receiver=True)


def _ask(
    group: ModelGroup, sender: ModelRef, receiver: ModelRef, metric: Metric, *, as_receiver: bool
) -> Iterator[Question]:
    """Compare the first layer of one model with the last and with all others of the other model, or vice versa."""
    first, *_, last = group.layers
    fixed = RepresentationRef(sender if as_receiver else receiver, first)
    model = receiver if as_receiver else sender
    column = receiver_column() if as_receiver else sender_column(metric)

    def compared_with(layer: str) -> Comparison:
        other = RepresentationRef(model, layer)
        return Comparison(fixed, other) if as_receiver else Comparison(other, fixed)

    far = compared_with(last)
    for layer in group.layers[:-1]:
        near = compared_with(layer)
        if near.a != near.b:
            null = tuple(dict.fromkeys(low for pair in (far, near) for low in null_level_of(pair.b, metric)))
            where = f"{far}: {last} against {layer}"
            yield Question(where, models_of(far), (far, near, *null), partial(_is_further, far, near, null), column)


def _is_further(far: Comparison, near: Comparison, null: Sequence[Comparison], scores: Scores) -> Trial:
    require_signal((far, near), null, scores)
    return is_more_similar(near, far, far, scores)
