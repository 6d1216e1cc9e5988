"""noise_null: noise is less similar to a layer than its counterparts in other models."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.sanity.kinds.scales import changed_by, make
from tests.sanity.kinds.subjects import AT_LAYERS

from simbench.references import Comparison, ModelGroup
from simbench.sanity.question import Similarity

PAIRS = replace(AT_LAYERS, pairs_inputs=True)
# Of a layer and itself, of counterparts, and of unrelated data.
SELF, COUNTERPART, UNRELATED = 0.9, 0.7, 0.5


def index(comparison: Comparison, **values: float) -> Similarity:
    for name, value in {"row_shuffle": UNRELATED, **values}.items():
        if changed_by(comparison, name):
            return Similarity(value)
    return Similarity(SELF if comparison.a.model == comparison.b.model else COUNTERPART)


@pytest.mark.parametrize(("noise", "grade"), [(0.3, 1.0), (0.5, 1.0), (0.69, 1.0), (0.7, 0.0), (0.9, 0.0)])
def test_noise_is_held_against_the_counterparts(noise: float, grade: float, group: ModelGroup) -> None:
    verdict = make("noise_null").grade([group], PAIRS, lambda c: index(c, iid_noise=noise, class_noise=0.2))
    assert {name: column.grade for name, column in verdict.columns.items()} == {
        "iid_noise": grade,
        "row_shuffle": 1.0,
        "class_noise": 1.0,
    }
    assert verdict.outcome == ("undecided" if grade else "fail")


def test_every_counterpart_in_the_ring_is_asked_about(group: ModelGroup) -> None:
    test = make("noise_null", noises=["iid_noise"], layers=1)
    symmetric = list(test.questions([group], AT_LAYERS))
    assert [question.comparisons[1].a.model.seed for question in symmetric] == [3, 1, 0, 2, 1, 3, 2, 0]
    directed = list(test.questions([group], replace(AT_LAYERS, symmetric=False)))
    assert [question.column for question in directed] == ["iid_noise", "iid_noise as receiver"] * 4
    counterparts = [(q.comparisons[1].a.model.seed, q.comparisons[1].b.model.seed) for q in directed]
    assert counterparts == [(3, 0), (0, 1), (0, 1), (1, 2), (1, 2), (2, 3), (2, 3), (3, 0)]


def test_what_is_found_in_noise_that_receives_is_found(group: ModelGroup) -> None:
    def well_received(comparison: Comparison, variable: object = None) -> Similarity:
        return Similarity(1.0) if comparison.b.transform is not None else index(comparison, iid_noise=0.0)

    verdict = make("noise_null", noises=["iid_noise"]).grade([group], replace(PAIRS, symmetric=False), well_received)
    assert {name: column.grade for name, column in verdict.columns.items()} == {
        "iid_noise": 1.0,
        "iid_noise as receiver": 0.0,
    }


def test_no_network_is_asked_to_read_noise(group: ModelGroup) -> None:
    stitching = replace(PAIRS, symmetric=False, needs=frozenset({"model"}))
    assert {q.column for q in make("noise_null", noises=["iid_noise"]).questions([group], stitching)} == {"iid_noise"}


def test_shuffled_rows_are_no_question_to_a_metric_that_does_not_pair_inputs(group: ModelGroup) -> None:
    """It holds a layer and its shuffled rows for the same, and noise for something else."""
    verdict = make("noise_null", pass_if=">= 0.5").grade(
        [group], AT_LAYERS, lambda c: index(c, row_shuffle=SELF, iid_noise=0.1, class_noise=0.1)
    )
    assert (verdict.grade, verdict.passed, verdict.reason) == (1.0, True, None)
    column = verdict.columns["row_shuffle"]
    assert (column.status, column.owed) == ("skip", "not promised")
    assert "does not pair inputs" in str(column.reason)


def test_counterparts_that_are_not_seen_leave_the_question_open(group: ModelGroup) -> None:
    def blind(comparison: Comparison, variable: object = None) -> Similarity:
        own = comparison.a == comparison.b
        return Similarity(SELF if own else UNRELATED)

    verdict = make("noise_null").grade([group], PAIRS, blind)
    assert verdict.status == "skip"
    assert "null level" in str(verdict.reason)


def test_a_layer_of_a_single_model_has_no_counterpart(group: ModelGroup) -> None:
    verdict = make("noise_null").grade([replace(group, seeds=(0,))], AT_LAYERS, index)
    assert (verdict.status, verdict.reason) == (
        "skip",
        "noise_null needs two seeds of a network, so that a layer has a counterpart",
    )
