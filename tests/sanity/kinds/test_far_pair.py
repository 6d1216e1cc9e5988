"""far_pair: the last layer is less similar to the first than every other layer is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.sanity.kinds.scales import make
from tests.sanity.kinds.subjects import AT_HEAD, AT_LAYERS

from simbench.references import Comparison, ModelGroup
from simbench.sanity.question import Similarity

# One layer of five is the last, one receives: within a model three others send, between models four.
ASKED = 4 * 3 + 4 * 4


def by_depth(comparison: Comparison) -> float:
    return 5.0 - abs(int(comparison.a.layer[-1]) - int(comparison.b.layer[-1]))


def is_far(comparison: Comparison) -> bool:
    return {comparison.a.layer, comparison.b.layer} == {"block1", "block5"}


@pytest.mark.parametrize(
    ("far", "held"),
    [
        (0.5, ASKED),
        (2.0, ASKED - 8),  # as similar as the fourth layer: a tie fails
        (2.5, ASKED - 8),
        (4.5, ASKED - 24),
        (9.0, 0),
    ],
)
def test_far_pair_holds_the_last_layer_against_every_other(far: float, held: int, group: ModelGroup) -> None:
    def scores(comparison: Comparison, variable: object = None) -> Similarity:
        return Similarity(far if is_far(comparison) else by_depth(comparison))

    assert make("far_pair").grade([group], AT_LAYERS, scores).grade == pytest.approx(held / ASKED)


@pytest.mark.parametrize(("of", "grades"), [(lambda c: c.a, (0.0, 1.0)), (lambda c: c.b, (1.0, 0.0))])
def test_a_directed_metric_is_asked_of_the_last_layer_as_sender_and_as_receiver(
    of: Callable[[Comparison], object], grades: tuple[float, float], group: ModelGroup
) -> None:
    """Whatever sends from, or receives in, the last layer is found similar to everything."""

    def scores(comparison: Comparison, variable: object = None) -> Similarity:
        return Similarity(9.0 if getattr(of(comparison), "layer", "") == "block5" else by_depth(comparison))

    verdict = make("far_pair").grade([group], replace(AT_LAYERS, symmetric=False), scores)
    found = verdict.columns["as sender"].grade, verdict.columns["as receiver"].grade
    assert found == grades


def test_what_is_not_seen_at_all_has_no_answer(group: ModelGroup) -> None:
    """A metric that sees the next layer, and nothing of those beyond: these are no more similar than shuffled rows."""

    def scores(comparison: Comparison, variable: object = None) -> Similarity:
        if comparison.a.transform is not None:
            return Similarity(3.5)
        return Similarity(5.0 if comparison.a == comparison.b else max(by_depth(comparison), 3.5))

    verdict = make("far_pair").grade([group], replace(AT_LAYERS, pairs_inputs=True), scores)
    assert verdict.grade == 1.0
    # of the three other senders within a model, the two that are not seen; of the four between models, too
    assert verdict.auxiliary["at_null_level"] == pytest.approx(16 / ASKED)


def test_far_pair_asks_within_models_and_between_neighbours(group: ModelGroup) -> None:
    questions = list(make("far_pair").questions([group], AT_LAYERS))
    assert [len(question.models) for question in questions] == [1] * 4 * 3 + [2] * 4 * 4
    assert {(q.comparisons[0].a.layer, q.comparisons[0].b.layer) for q in questions} == {("block5", "block1")}
    assert make("far_pair").grade([group], AT_HEAD, lambda c: Similarity(1.0)).status == "skip"


@pytest.mark.parametrize(("layers", "asked"), [(("only",), 0), (("first", "last"), 4), (("1", "2", "3"), 4 + 4 * 2)])
def test_far_pair_needs_two_layers(layers: tuple[str, ...], asked: int, group: ModelGroup) -> None:
    assert len(list(make("far_pair").questions([replace(group, layers=layers)], AT_LAYERS))) == asked
