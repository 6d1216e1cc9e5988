"""In distribution: activations that a map sends into a network cannot be told from the network's own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from statistics import fmean
from typing import TYPE_CHECKING

from pydantic import Field

from simbench.references import Comparison, ModelGroup, Named, RepresentationRef
from simbench.sanity.kind import SanityTest, sanity_test
from simbench.sanity.question import Question, Scores, Ungradable, give_credit
from simbench.sanity.selection import ChosenLayers, layers_of, with_next
from simbench.suite.schema import PASS_IF
from simbench.verdicts.verdict import Trial

if TYPE_CHECKING:
    from simbench.metrics.metric import Metric


@sanity_test("in_distribution")
class InDistribution(SanityTest):
    """Stitched activations cannot be told from the receiver's own.

    An energy detector is trained to recognise the native activations of the receiving layer; credit is
    1 − 2 · max(0, AUROC − ½) for native against stitched ones. Columns: `self` (a layer stitched to itself) and
    `corresponding` (the same layer of the next seed). Asked of metrics that fit a map; where the detector does not pass
    its own check on noise, the receiver is skipped. The AUROC of the last layer stitched into the first is an auxiliary
    value: an honest map has nothing native to send there, and `far_pair` asks what the metric makes of it.

    Source: Balogh & Jelasity (2024): maps trained on the task loss drive the receiver with activations that it never
    produces. A metric that fails reports how well a receiver can be driven that way, not what the two networks have
    in common.
    """

    layers: ChosenLayers = 3
    pass_if: str = Field(default=">= 0.4", pattern=PASS_IF.pattern)
    """An AUROC of 0.8: what the paper allows between corresponding layers."""

    def questions(self, groups: Sequence[ModelGroup], metric: Metric) -> Iterator[Question]:
        """Yield a question per model, layer and column."""
        variable = _variable_of(metric)
        if variable is None:
            return
        for group in (group for group in groups if group.layers):
            for layer in layers_of(group, self.layers, metric.level):
                for a, b in with_next(group.models, layer):
                    yield _question(Comparison(a, a), "self", variable)
                    if b is not None:
                        yield _question(Comparison(a, b), "corresponding", variable)

    def reference_variables(
        self, groups: Sequence[ModelGroup], metric: Metric
    ) -> Mapping[Named, tuple[Comparison, ...]]:
        """Return the detector's AUROC, on the comparisons of questions and of the auxiliary value."""
        asked = super().reference_variables(groups, metric)
        far = tuple(_far_pairs(groups))
        return {variable: tuple(dict.fromkeys((*needed, *far))) for variable, needed in asked.items()}

    def auxiliary(self, groups: Sequence[ModelGroup], metric: Metric, scores: Scores) -> Mapping[str, float]:
        """Compute the mean AUROC per column, and of the last layers in the first."""
        variable = _variable_of(metric)
        asked = [(question.column, question.comparisons[0]) for question in self.questions(groups, metric)]
        values: dict[str, list[float]] = {}
        for column, comparison in [*asked, *(("far", far) for far in _far_pairs(groups))]:
            try:
                values.setdefault(f"auroc_{column}", []).append(scores(comparison, variable).value)
            except Ungradable:
                continue  # the grade says what is missing
        return {name: fmean(column) for name, column in values.items() if column}

    def nothing_to_ask(self, metric: Metric) -> str:
        """Say that the metric fits no map, where that is so."""
        if _variable_of(metric) is None:
            return f"{metric.name} finds no map into the receiving network"
        return super().nothing_to_ask(metric)


def _variable_of(metric: Metric) -> Named | None:
    if metric.map is None:
        return None
    trained = {"epochs": metric.parameters["epochs"]} if metric.map == "task" and "epochs" in metric.parameters else {}
    return Named.of("stitch_in_distribution", mapping=metric.map, **trained)


def _far_pairs(groups: Sequence[ModelGroup]) -> Iterator[Comparison]:
    for group in groups:
        for model in group.models if len(group.layers) > 1 else ():
            yield Comparison(RepresentationRef(model, group.layers[-1]), RepresentationRef(model, group.layers[0]))


def _question(comparison: Comparison, column: str, variable: Named) -> Question:
    return Question.about(
        comparison,
        (comparison,),
        partial(_native, comparison, variable),
        column,
        reference_variables=((variable, comparison),),
    )


def _native(comparison: Comparison, variable: Named, scores: Scores) -> Trial:
    scores(comparison)  # a map that cannot be scored gives no activations to judge
    return give_credit(1.0 - 2.0 * max(0.0, scores(comparison, variable).value - 0.5), comparison)
