"""A plan is the union of what all tests ask for. Making one runs nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from itertools import combinations, product
from pathlib import Path
from typing import Any

import pytest

import simbench
from simbench.errors import UnknownNameError
from simbench.metrics.metric import Metric
from simbench.plan.plan import Plan, make_plan
from simbench.references import Comparison, ModelRef, RepresentationRef
from simbench.suite.load import bundled_suites
from simbench.suite.schema import Suite

SuiteWith = Callable[..., Suite]
BLOCKS = ("block1", "block2", "block3")
ONLY_CORRESPONDENCE = ["across"]


PLAN_ALL_SUITES = """
import json, sys, traceback
from simbench.plan.plan import make_plan
from simbench.plan.suite_metrics import gather_metrics
from simbench.suite.load import bundled_suites, load_suite

found = {}
for name in bundled_suites():
    try:
        suite = load_suite(name)
        planned, error = len(make_plan(suite, gather_metrics(suite)).metrics), ""
    except Exception:
        planned, error = 0, traceback.format_exc()
    found[name] = {"metrics": planned, "error": error, "torch": "torch" in sys.modules}
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def planned_in_one_process(process: None) -> dict[str, dict[str, Any]]:
    """Plan all bundled suites in a fresh process; return for each its metrics, its error and whether torch is there."""
    environment = {"PYTHONPATH": str(Path(simbench.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", PLAN_ALL_SUITES], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("suite", bundled_suites())
def test_planning_a_bundled_suite_imports_no_torch(suite: str, planned_in_one_process: dict[str, Any]) -> None:
    found = planned_in_one_process[suite]
    assert found["error"] == ""
    assert found["metrics"] > 0
    assert not found["torch"], "torch was imported by this suite or by one before it"


def test_a_directed_metric_is_asked_for_both_orders(suite_with: SuiteWith, plain: Metric) -> None:
    plan = make_plan(suite_with(), [plain], ["same"])
    asked = set(plan.metrics[0].scores.values())
    expected = {
        Comparison(RepresentationRef(ModelRef("net", seed), a), RepresentationRef(ModelRef("net", seed), b))
        for seed in (0, 1, 2)
        for a, b in product(BLOCKS, BLOCKS)
    }
    assert asked == expected


def test_a_symmetric_pair_is_scored_once(suite_with: SuiteWith, symmetric: Metric) -> None:
    plan = make_plan(suite_with(), [symmetric], ["same"])
    pairs = Counter(frozenset((str(c.a), str(c.b))) for c in plan.metrics[0].scores.values())
    assert set(pairs.values()) == {1}
    assert len(pairs) == 3 * (3 + len(list(combinations(BLOCKS, 2))))


def test_two_tests_that_need_the_same_comparison_get_one_score(suite_with: SuiteWith, plain: Metric) -> None:
    suite = suite_with()
    separately = [len(make_plan(suite, [plain], [test.id]).metrics[0].scores) for test in suite.tests]
    together = make_plan(suite, [plain])
    asked = {c for test in suite.tests for c in together.comparisons(test, plain)}
    assert len(together.metrics[0].scores) == len(asked) < sum(separately)


def test_every_comparison_of_every_test_has_its_score(plan: Plan) -> None:
    for planned in plan.metrics:
        for test in plan.tests:
            for comparison in plan.comparisons(test, planned.metric):
                assert plan.score_key(planned.metric, comparison) in planned.scores


def test_every_representation_that_is_compared_has_its_model_and_its_activations(plan: Plan) -> None:
    extracted = {(one.model, one.layer, one.reparametrisation) for one in plan.activations.values()}
    for planned in plan.metrics:
        for comparison in planned.scores.values():
            for side in (comparison.a, comparison.b):
                assert side.model in plan.models
                if side.model.generator is None:
                    assert (side.model, side.layer, side.reparametrisation) in extracted


def test_nothing_is_planned_that_no_comparison_needs(plan: Plan) -> None:
    sides = {side for planned in plan.metrics for c in planned.scores.values() for side in (c.a, c.b)}
    assert set(plan.models) == {side.model for side in sides}
    places = {(one.model, one.layer, one.reparametrisation) for one in plan.activations.values()}
    assert places <= {(side.model, side.layer, side.reparametrisation) for side in sides}


def test_fitting_inputs_are_extracted_only_for_metrics_that_learn(
    suite_with: SuiteWith, plain: Metric, learning: Metric
) -> None:
    assert {one.inputs for one in make_plan(suite_with(), [plain]).activations.values()} == {"probe"}
    assert {one.inputs for one in make_plan(suite_with(), [learning]).activations.values()} == {"probe", "fit"}


def test_only_keeps_the_named_tests_and_what_they_need(suite_with: SuiteWith, plain: Metric) -> None:
    plan = make_plan(suite_with(), [plain], ["synthetic"])
    assert [test.id for test in plan.tests] == ["synthetic"]
    assert all(model.spec is None for model in plan.models.values())
    assert not plan.activations


def test_only_says_the_nearest_test(suite_with: SuiteWith, plain: Metric) -> None:
    with pytest.raises(UnknownNameError, match='unknown test "sme"; did you mean "same"'):
        make_plan(suite_with(), [plain], ["same", "sme"])


def test_a_metric_of_the_head_is_asked_about_the_layer_that_the_head_reads(
    suite_with: SuiteWith, at_head: Metric
) -> None:
    plan = make_plan(suite_with(), [at_head], ["same", "across", "turned", "rewritten"])
    assert {side.layer for c in plan.metrics[0].scores.values() for side in (c.a, c.b)} == {"embedding"}


def test_a_plan_is_the_same_every_time(suite_with: SuiteWith, all_metrics: list[Metric]) -> None:
    one, other = (make_plan(suite_with(), all_metrics) for _ in range(2))
    assert [list(m.scores.items()) for m in one.metrics] == [list(m.scores.items()) for m in other.metrics]
    assert list(one.activations) == list(other.activations)


def test_metrics_with_different_parameters_share_no_score(suite_with: SuiteWith, plain: Metric) -> None:
    plan = make_plan(suite_with(), [plain, plain.with_parameters({"strength": 2.0})])
    first, second = plan.metrics
    assert first.metric.label != second.metric.label
    assert not set(first.scores) & set(second.scores)
