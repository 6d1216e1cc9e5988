"""Noise null: noise in place of a layer is less similar to the layer than its counterparts are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from simbench.references import Comparison, ModelGroup, Named, RepresentationRef
from simbench.sanity.kind import SanityTest, sanity_test
from simbench.sanity.question import Question, Scores, Ungradable, is_more_similar, models_of
from simbench.sanity.selection import ChosenLayers, layers_of
from simbench.sanity.stats.place import (
    both_ways,
    next_models,
    null_level_of,
    previous_models,
    require_signal,
    subject_of,
)
from simbench.seeds import seed_for
from simbench.suite.schema import PASS_IF
from simbench.verdicts.verdict import Owed, Trial

if TYPE_CHECKING:
    from simbench.metrics.metric import Metric

Noise = Literal["iid_noise", "row_shuffle", "class_noise"]
# Differs from the layer in nothing but the inputs to which rows belong.
PRESUPPOSES_PAIRING = "row_shuffle"


@sanity_test("noise_null")
class NoiseNull(SanityTest):
    """Noise in place of a layer is less similar to the layer than its counterparts in other models are.

    * `iid_noise`: independent Gaussian noise with the layer's means and variances;
    * `row_shuffle`: the layer itself, assigned to other inputs; skipped for a metric that does not pair inputs;
    * `class_noise`: a random centre per label plus noise: it knows the label and nothing else of the input.

    Per model, layer a and noise: S(noise, a) < S(c, a), a question for every counterpart c: the same layer of the model
    before and, where scores are symmetric, of the next one. A directed metric is asked of the noise as receiver, too:
    S(a, noise) < S(a, c), with the next model's layer c; but not one that continues the receiving network, as no
    network has learnt to read noise. A tie is a failure. A question neither of whose scores is above that of shuffled
    rows has no answer.

    Source: Smith et al. (2025): clustered noise without any content is stitched with full accuracy. A metric that
    fails on `class_noise` may only measure whether the label can be read from a layer; one that fails on the others
    finds similarity where there is no shared content at all.
    """

    noises: list[Noise] = Field(default=["iid_noise", "row_shuffle", "class_noise"], min_length=1)
    layers: ChosenLayers = None
    pass_if: str = Field(default=">= 0.9", pattern=PASS_IF.pattern)

    def questions(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[Question]:
        """Yield a question per model, layer, kind of noise and counterpart."""
        for group in groups:
            for layer in layers_of(group, self.layers, metric.level):
                for a, before, after in _neighbours(group, layer):
                    for name in self.noises:
                        yield from self._ask(name, a, before, after, metric)

    def _ask(
        self, name: Noise, a: RepresentationRef, before: RepresentationRef, after: RepresentationRef, metric: Metric
    ) -> Iterator[Question]:
        seed = seed_for(test=self.id, noise=name, model=str(a.model), layer=a.layer)
        for noise, column in both_ways(a.under(Named.of(name, seed=seed)), a, metric, name):
            if noise.a == a and "model" in metric.needs:
                continue
            if noise.a == a:
                counterparts = [Comparison(a, after)]
            else:
                senders = [before, after] if metric.symmetric else [before]
                counterparts = [Comparison(sender, a) for sender in dict.fromkeys(senders)]
            for counterpart in counterparts:
                where = f"{noise} against {counterpart.a if noise.b == a else counterpart.b}"
                models, null = models_of(counterpart), null_level_of(counterpart.b, metric)
                if name == PRESUPPOSES_PAIRING and not metric.pairs_inputs:
                    yield Question(where, models, (), partial(_without_answer, metric.name), column)
                else:
                    ask = partial(_is_less_similar, noise, counterpart, null)
                    yield Question(where, models, (noise, counterpart, *null), ask, column)

    def nothing_to_ask(self, metric: Metric) -> str:
        """Say that a layer needs a counterpart, where there are layers."""
        needed = "noise_null needs two seeds of a network, so that a layer has a counterpart"
        return super().nothing_to_ask(metric) if metric.level == "head" else needed

    def owed(self, metric: Metric, column: str | None) -> Owed:
        """Say that a metric that does not pair inputs need not tell shuffled rows apart."""
        if subject_of(column) == PRESUPPOSES_PAIRING and not metric.pairs_inputs:
            return "not promised"
        return super().owed(metric, column)


def _neighbours(
    group: ModelGroup, layer: str
) -> Iterator[tuple[RepresentationRef, RepresentationRef, RepresentationRef]]:
    """Yield a layer of each model, of the model before it, and of the next one, in a ring."""
    following, before = next_models(group.models), previous_models(group.models)
    for model in following:
        yield (
            RepresentationRef(model, layer),
            RepresentationRef(before[model], layer),
            RepresentationRef(following[model], layer),
        )


def _is_less_similar(noise: Comparison, counterpart: Comparison, null: Sequence[Comparison], scores: Scores) -> Trial:
    require_signal((noise, counterpart), null, scores)
    return is_more_similar(counterpart, noise, noise, scores)


def _without_answer(name: str, scores: Scores) -> Trial:
    raise Ungradable("skip", f"{name} does not pair inputs: shuffled rows are the same to it")
