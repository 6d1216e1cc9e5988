"""far_pair: credit is what is left of the scale between layers far apart."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.sanity.kinds.scales import graded, make
from tests.sanity.kinds.subjects import AT_HEAD, AT_LAYERS

from simbench.references import ModelGroup
from simbench.sanity.kind import Similarity


@pytest.mark.parametrize(("far", "credit"), [(0.5, 1.0), (0.4, 1.0), (0.7, 0.5), (0.9, 0.0), (1.0, 0.0)])
def test_far_pair_gives_credit_for_what_is_lost(far: float, credit: float, group: ModelGroup) -> None:
    assert graded(make("far_pair"), group, far=far) == pytest.approx(credit)


def test_far_pair_asks_within_models_and_between_neighbours(group: ModelGroup) -> None:
    questions = list(make("far_pair").questions([group], AT_LAYERS))
    assert [len(question.models) for question in questions] == [1] * 4 + [2] * 4
    assert {(q.comparisons[0].a.layer, q.comparisons[0].b.layer) for q in questions} == {("block5", "block1")}
    assert make("far_pair").grade([group], AT_HEAD, lambda c: Similarity(1.0)).status == "skip"


@pytest.mark.parametrize(("layers", "asked"), [(("only",), 0), (("first", "last"), 8)])
def test_far_pair_needs_two_layers(layers: tuple[str, ...], asked: int, group: ModelGroup) -> None:
    assert len(list(make("far_pair").questions([replace(group, layers=layers)], AT_LAYERS))) == asked
