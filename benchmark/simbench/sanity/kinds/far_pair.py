"""Far pair: the last layer has little in common with the first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from simbench.references import Comparison, ModelGroup, RepresentationRef
from simbench.sanity.kind import Question, SanityTest, sanity_test
from simbench.sanity.selection import paired
from simbench.sanity.stats.pairing import shuffled
from simbench.sanity.stats.scale import credit_loss
from simbench.suite.schema import PASS_IF

if TYPE_CHECKING:
    from simbench.metrics.metric import Metric


@sanity_test("far_pair")
class FarPair(SanityTest):
    """The last layer, compared with the first, is nearly as dissimilar as unrelated data.

    Credit is 1 − max(0, S(last, first) − S₀) / (S(first, first) − S₀), S₀ being the median S of the first layer against
    row-shuffled copies of itself; asked within every model and between neighbouring seeds. The first layer receives.

    Source: Balogh & Jelasity (2024): a map trained on the task loss carries the last layer's class information into the
    first layer with full accuracy. A metric that fails it reports what the receiver can be trained to do with the
    sender, not what the two have in common. Some similarity is legitimate (both see the same inputs), so half the scale
    passes.
    """

    of_layers_only: ClassVar[bool] = True

    pass_if: str = Field(default=">= 0.5", pattern=PASS_IF.pattern)

    def questions(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[Question]:
        """Yield a question per model, and one per pair of neighbouring seeds."""
        for group in groups:
            if len(group.layers) < 2:
                continue
            first, last = group.layers[0], group.layers[-1]
            for sender, receiver in [*((model, model) for model in group.models), *paired(group.models, "ring")]:
                target = RepresentationRef(receiver, first)
                far = Comparison(RepresentationRef(sender, last), target)
                own, unrelated = Comparison(target, target), shuffled(target)
                yield Question.about(far, (far, own, unrelated), partial(credit_loss, far, own, [unrelated]))
