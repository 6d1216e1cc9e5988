"""Distillation order: students taught by logits are nearer to the teacher than those taught by divergence."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.sanity.kinds.subjects import AT_HEAD

from simbench.references import Comparison, ModelGroup
from simbench.sanity.kinds.distillation_order import DistillationOrder
from simbench.sanity.question import Similarity

TEST = DistillationOrder(id="order", kind="distillation_order", models=["teacher", "logits", "divergence"])


@pytest.fixture
def groups(group: ModelGroup) -> list[ModelGroup]:
    """A teacher and four students of either kind."""
    return [replace(group, name=name) for name in TEST.models]


def test_every_pair_of_students_is_asked_and_each_is_compared_with_one_teacher(groups: list[ModelGroup]) -> None:
    values = {"logits": [0.9, 0.8, 0.6, 0.1], "divergence": [0.7, 0.5, 0.5, 0.2]}

    def scores(comparison: Comparison, variable: object = None) -> Similarity:
        assert (str(comparison.b.model), comparison.b.layer) == ("teacher/0", "embedding")
        return Similarity(values[comparison.a.model.group][comparison.a.model.seed])

    verdict = TEST.grade(groups, AT_HEAD, scores)
    assert verdict.grade == (4 + 4 + 3 + 0) / 16
    assert verdict.auxiliary == pytest.approx({"median_of_logit_students": 0.7, "median_of_kl_students": 0.5})


@pytest.mark.parametrize("headless", [0, 1, 2])
def test_without_a_head_in_every_group_nothing_is_asked(headless: int, groups: list[ModelGroup]) -> None:
    groups[headless] = replace(groups[headless], embedding_layer=None)
    verdict = TEST.grade(groups, AT_HEAD, lambda c: Similarity(1.0))
    assert (verdict.status, verdict.reason) == ("skip", TEST.nothing_to_ask(AT_HEAD))


def test_of_a_directed_metric_students_receive_too(groups: list[ModelGroup]) -> None:
    """The order is right where students send, and wrong where they receive."""

    def scores(comparison: Comparison, variable: object = None) -> Similarity:
        student, sign = (comparison.b, -1) if comparison.a.model.group == "teacher" else (comparison.a, 1)
        return Similarity(sign * float(student.model.group == "logits"))

    verdict = TEST.grade(groups, replace(AT_HEAD, symmetric=False), scores)
    assert {name: column.grade for name, column in verdict.columns.items()} == {"as sender": 1.0, "as receiver": 0.0}
