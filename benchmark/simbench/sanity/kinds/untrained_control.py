"""Untrained control: two trained networks are more similar than a trained and an untrained one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from simbench.bounds import Depth
from simbench.references import Comparison, ModelGroup, ModelRef, RepresentationRef
from simbench.sanity.kind import SanityTest, sanity_test
from simbench.sanity.question import Question, Scores, is_more_similar, models_of
from simbench.sanity.selection import paired
from simbench.sanity.stats.place import null_level_of, require_signal
from simbench.suite.schema import PASS_IF
from simbench.verdicts.verdict import Trial

if TYPE_CHECKING:
    from simbench.metrics.metric import Metric


@sanity_test("untrained_control")
class UntrainedControl(SanityTest):
    """A trained network is more similar to another trained one than to an untrained one.

    The first of `models` is trained, the second is the same architecture with `epochs: 0`. From layer `from_layer` on,
    with f and g trained and u untrained:

    * column `sender`: S(g, f) > S(u, f), layer by layer;
    * column `receiver`, of directed metrics: S(f, g) > S(f, u). A metric that refuses an untrained receiver ("not
      better than chance") is skipped there.

    A tie is a failure. Where neither score is higher than for the receiver's shuffled rows there is no answer.

    Source: Li et al. (2016) and Raghu et al. (2017) rely on it; stitching into an untrained network reaches high
    accuracy (Csiszárik et al. 2021). First layers are left out: there, random features are much like trained ones. A
    metric that fails it does not measure what networks learn.
    """

    of_layers_only: ClassVar[bool] = True
    model_correlation: ClassVar[float] = 0.3  # .22 over 37 grades on the published boards

    models: list[str] = Field(min_length=2, max_length=2)
    from_layer: Depth = 2
    pass_if: str = Field(default=">= 0.9", pattern=PASS_IF.pattern)

    def questions(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[Question]:
        """Yield a question per pair of trained models, layer and column."""
        if len(groups) < 2:
            return
        trained, untrained = groups[0], groups[1]
        for position, (g, f) in enumerate(paired(trained.models, "ring")):
            u = untrained.models[position % len(untrained.models)]
            for layer in trained.layers[self.from_layer - 1 :]:
                yield _question(_pair(g, f, layer), _pair(u, f, layer), metric, "sender")
                if not metric.symmetric:
                    yield _question(_pair(f, g, layer), _pair(f, u, layer), metric, "receiver")


def _pair(sender: ModelRef, receiver: ModelRef, layer: str) -> Comparison:
    return Comparison(RepresentationRef(sender, layer), RepresentationRef(receiver, layer))


def _question(trained: Comparison, control: Comparison, metric: Metric, column: str) -> Question:
    null = tuple(dict.fromkeys((*null_level_of(trained.b, metric), *null_level_of(control.b, metric))))
    ask = partial(_is_nearer, trained, control, null)
    return Question(str(control), models_of(trained, control), (trained, control, *null), ask, column)


def _is_nearer(trained: Comparison, control: Comparison, null: Sequence[Comparison], scores: Scores) -> Trial:
    require_signal((trained, control), null, scores)
    return is_more_similar(trained, control, control, scores)
