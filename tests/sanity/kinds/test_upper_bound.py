"""Upper bound: what theory allows is measured, not assumed, and a constant does not keep within it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.sanity.kinds.subjects import AT_HEAD

from simbench.metrics.metric import Metric
from simbench.references import Comparison, ModelGroup, Named
from simbench.sanity.kinds.upper_bound import UpperBound
from simbench.sanity.question import Similarity
from simbench.verdicts.verdict import Verdict

DISTANCE = replace(AT_HEAD, name="identifiability_fg", higher_is_more_similar=False, symmetric=True)
EPSILON = 0.3


def make(**keys: Any) -> UpperBound:
    return UpperBound.model_validate({"id": "t", "kind": "upper_bound", **keys})


def graded(test: UpperBound, group: ModelGroup, value: float, metric: Metric = DISTANCE) -> Verdict:
    """The verdict on a distance that is `value` between any two, where every bounding distance is EPSILON."""

    def scores(comparison: Comparison, variable: Named | None = None) -> Similarity:
        if variable is not None:
            return Similarity(EPSILON)
        if any(side.transform is not None for side in (comparison.a, comparison.b)):
            return Similarity(-1.0)
        return Similarity(-value if comparison.a != comparison.b else 0.0)

    return test.grade([group], metric, scores)


def test_a_constant_within_the_bound_is_no_distance(group: ModelGroup) -> None:
    claiming = replace(DISTANCE, pairs_inputs=True)

    def constant(comparison: Comparison, variable: Named | None = None) -> Similarity:
        return Similarity(EPSILON if variable is not None else 0.0)

    assert make().grade([group], claiming, constant).grade == 0.0
    assert graded(make(), group, 0.0, claiming).grade == 1.0


@pytest.mark.parametrize(("value", "grade"), [(2 * EPSILON**2 - 1e-4, 1.0), (2 * EPSILON**2 + 1e-4, 0.0)])
def test_fg_is_held_against_twice_the_square_of_llv(value: float, grade: float, group: ModelGroup) -> None:
    verdict = graded(make(pass_if=">= 0.3"), group, value)
    assert (verdict.grade, verdict.passed) == (grade, grade == 1.0)


def test_what_is_exactly_at_the_bound_is_within_it_up_to_rounding(group: ModelGroup) -> None:
    assert graded(make(), group, 2 * EPSILON**2 * (1 + 1e-9)).grade == 1.0


def test_a_suite_may_give_bounds_of_its_own(group: ModelGroup) -> None:
    test = make(bounds={"identifiability_fg": {"by": {"name": "logit_distance"}, "times": 0.5}})
    assert graded(test, group, 0.5 * EPSILON - 1e-4).grade == 1.0
    assert graded(test, group, 0.5 * EPSILON + 1e-4).grade == 0.0
    assert {named.name for named in test.reference_variables([group], DISTANCE)} == {"logit_distance"}


def test_the_bounding_distance_has_the_parameters_of_the_bounded_one(group: ModelGroup) -> None:
    """At other pivots the theorem says nothing."""
    metric = replace(DISTANCE, parameters={"seed": 0, "tuples": 1, "max_subsets": 9})
    assert list(make().reference_variables([group], metric)) == [Named.of("identifiability_llv", tuples=1)]
    given = make(bounds={"identifiability_fg": {"by": {"name": "identifiability_llv", "tuples": 7}}})
    assert list(given.reference_variables([group], metric)) == [Named.of("identifiability_llv", tuples=7)]


def test_pairs_of_models_and_synthetic_pairs_are_columns(group: ModelGroup) -> None:
    columns = graded(make(), group, 0.0).columns
    assert {name: column.comparisons for name, column in columns.items()} == {
        "trained": 6,
        "perturbed": 3 * 3 * 5,
    }
    assert graded(make(classes=[]), group, 0.0).columns.keys() == {"trained"}


def test_a_directed_distance_is_asked_both_ways(group: ModelGroup) -> None:
    test = make(classes=[])
    both = {len(list(test.questions([group], replace(DISTANCE, symmetric=some)))) for some in (True, False)}
    assert both == {6, 12}


@pytest.mark.parametrize(
    ("metric", "reason"),
    [
        (replace(DISTANCE, name="kl"), "theory puts no bound on kl that this test knows"),
        (replace(DISTANCE, higher_is_more_similar=True), "identifiability_fg is no distance"),
    ],
)
def test_who_is_not_asked_is_told_why(metric: Metric, reason: str, group: ModelGroup) -> None:
    verdict = graded(make(), group, 0.0, metric)
    assert (verdict.status, verdict.reason, verdict.passed) == ("skip", reason, None)


def test_without_models_there_is_nothing_to_ask(group: ModelGroup) -> None:
    verdict = graded(make(classes=[]), replace(group, embedding_layer=None), 0.0)
    assert (verdict.status, verdict.reason) == (
        "skip",
        "upper_bound needs two models with a linear head, or synthetic ones",
    )


def test_violations_say_by_how_much_in_units_of_the_distance(group: ModelGroup) -> None:
    verdict = graded(make(classes=[]), group, 0.5)
    assert len(verdict.violations) == 6
    assert verdict.violations[0].margin == pytest.approx(2 * EPSILON**2 - 0.5)
