"""far_pair, noise_null, noise_response, outliers: credit is what is left of, or was moved on, the metric's scale."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.sanity.kinds.subjects import AT_HEAD, AT_LAYERS

from simbench.references import Comparison, ModelGroup, RepresentationRef
from simbench.registry import TEST_KINDS
from simbench.sanity.kind import SanityTest, Similarity, give_credit
from simbench.sanity.stats.scale import scale_of, shuffled
from simbench.seeds import seed_for

SELF, UNRELATED = 0.9, 0.5


def make(kind: str, **keys: Any) -> SanityTest:
    test = TEST_KINDS.get(kind).model_validate({"id": "t", "kind": kind, "models": ["net"], **keys})
    assert isinstance(test, SanityTest)
    return test


def changed_by(comparison: Comparison, name: str) -> bool:
    return any(side.transform is not None and side.transform.name == name for side in (comparison.a, comparison.b))


def graded(test: SanityTest, group: ModelGroup, **values: float) -> float:
    """The grade of an index: 0.9 on itself, 0.5 on shuffled copies, and `values` by transform or place."""

    def scores(comparison: Comparison, variable: object = None) -> Similarity:
        for name, value in values.items():
            if changed_by(comparison, name):
                return Similarity(value)
        if changed_by(comparison, "row_shuffle"):
            return Similarity(UNRELATED)
        if comparison.a.layer != comparison.b.layer:
            return Similarity(values.get("far", SELF))
        return Similarity(SELF if comparison.a.model == comparison.b.model else values.get("other", 0.8))

    grade = test.grade([group], AT_LAYERS, scores).grade
    assert grade is not None
    return grade


@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e9])
def test_the_scale_has_a_sign_and_is_0_where_it_is_rounding(unit: float, group: ModelGroup) -> None:
    a = RepresentationRef(group.models[0], "block1")
    own, copy = Comparison(a, a), shuffled(a)

    def scale(of_own: float, of_copy: float) -> float:
        return scale_of(lambda c, variable=None: Similarity(unit * (of_own if c == own else of_copy)), own, [copy])

    assert scale(0.9, 0.5) == pytest.approx(0.4 * unit)
    assert scale(0.5, 0.9) == pytest.approx(-0.4 * unit)
    assert scale(0.9, 0.9 + 1e-8) == scale(0.9 + 1e-8, 0.9) == 0.0


@pytest.mark.parametrize(
    ("credit", "answer"),
    [
        (1.2, (True, 0.0, 0, 1.0)),
        (0.9, (False, -0.1, 0, 0.9)),
        (0.51, (False, -0.49, 0, 0.51)),
        (0.5, (False, -0.5, 1, 0.5)),
        (-0.2, (False, -1.0, 1, 0.0)),
    ],
)
def test_what_lost_half_of_its_credit_or_more_is_marked(credit: float, answer: Any, group: ModelGroup) -> None:
    a = RepresentationRef(group.models[0], "block1")
    found = give_credit(credit, Comparison(a, a))
    assert (found.held, pytest.approx(found.margin), len(found.violating), found.credit) == answer


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


@pytest.mark.parametrize(("noise", "credit"), [(0.5, 1.0), (0.3, 1.0), (0.6, 0.75), (0.9, 0.0)])
def test_noise_null_gives_credit_for_what_is_as_good_as_unrelated(
    noise: float, credit: float, group: ModelGroup
) -> None:
    test = make("noise_null", noises=["iid_noise", "class_noise"])
    assert graded(test, group, iid_noise=noise, class_noise=UNRELATED) == pytest.approx((credit + 1.0) / 2)


def test_noise_null_has_a_column_per_noise(group: ModelGroup) -> None:
    verdict = make("noise_null").grade(
        [group],
        AT_LAYERS,
        lambda c: Similarity(float(not changed_by(c, "row_shuffle") and not changed_by(c, "iid_noise"))),
    )
    assert {name: column.grade for name, column in verdict.columns.items()} == {
        "iid_noise": 1.0,
        "row_shuffle": 1.0,
        "class_noise": 0.0,
    }


@pytest.mark.parametrize("spread", [0.0, 0.2, 0.4])
def test_noise_null_finds_an_index_whose_value_for_shuffled_rows_varies_from_draw_to_draw(
    spread: float, group: ModelGroup
) -> None:
    draws: dict[Comparison, float] = {}

    def scores(comparison: Comparison, variable: object = None) -> Similarity:
        if not changed_by(comparison, "row_shuffle"):
            return Similarity(SELF)
        noise = np.random.default_rng(seed_for(of=str(comparison))).uniform(-spread, spread)
        return Similarity(draws.setdefault(comparison, UNRELATED + noise))

    verdict = make("noise_null", noises=["row_shuffle"]).grade([group], AT_LAYERS, scores)
    assert len(draws) == 2 * 4 * 5  # per model and layer: the noise, and the shuffled copy that it is measured by
    lost = spread / 4 / (SELF - UNRELATED)  # in the mean: what of a uniform draw is above its median
    assert verdict.grade == pytest.approx(1 - lost, abs=0.05 if spread else 1e-9)


def test_noise_response_counts_steps_in_the_right_order_and_the_range_used(group: ModelGroup) -> None:
    values = {0.0: 0.9, 0.1: 0.9, 1.0: 0.8, 10.0: 0.7}

    def scores(comparison: Comparison, variable: object = None) -> Similarity:
        if changed_by(comparison, "row_shuffle"):
            return Similarity(0.5)
        transform = comparison.a.transform
        return Similarity(values[float(dict(transform.parameters)["ratio"]) if transform is not None else 0.0])

    verdict = make("noise_response", ratios=[1.0, 10.0, 0.1], layers=2).grade([group], AT_LAYERS, scores)
    assert verdict.grade == pytest.approx(2 / 3)
    assert verdict.auxiliary["dynamic_range_used"] == pytest.approx(0.5)
    assert {trial.at for trial in verdict.trials if not trial.held} == {0.1}
    assert [trial.margin for trial in verdict.trials[:3]] == pytest.approx([0.0, 0.1, 0.1])


@pytest.mark.parametrize(("moved", "credit"), [(0.9, 1.0), (0.8, 0.75), (0.5, 0.0), (0.1, 0.0)])
def test_outliers_give_credit_for_what_stayed(moved: float, credit: float, group: ModelGroup) -> None:
    assert graded(make("outliers"), group, outlier_rows=moved, other=SELF) == pytest.approx(credit)


def test_outliers_are_swept_over_their_share(group: ModelGroup) -> None:
    questions = list(make("outliers", shares=[0.01, 0.1], layers=1).questions([group], AT_LAYERS))
    assert len(questions) == 4 * 2 * 2
    assert {question.at for question in questions} == {0.01, 0.1}


def test_an_index_to_which_shuffled_inputs_are_more_alike_than_the_same_ones_answers_no_noise(
    group: ModelGroup,
) -> None:
    """It may fall with noise all the same: what it falls from is no similarity."""

    def scores(comparison: Comparison, variable: object = None) -> Similarity:
        if changed_by(comparison, "row_shuffle"):
            return Similarity(2.0)
        how = comparison.a.transform
        return Similarity(1.0 - (0.0 if how is None else float(dict(how.parameters)["ratio"]) / 100))

    verdict = make("noise_response").grade([group], AT_LAYERS, scores)
    assert (verdict.grade, verdict.passed) == (0.0, False)
