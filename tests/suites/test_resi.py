"""The suites of ReSi: its protocol in the plan, its premises and the headline on really trained networks."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.shared_runs import run_shared
from tests.suites.reduced import grade, reduced

from simbench.plan.plan import Plan
from simbench.run.session import prepare
from simbench.suite.load import load_suite


def pairs(plan: Plan, test: str, label: str) -> int:
    """How many scores of two models a test needs of a metric, each pair of a symmetric one once."""
    chosen = next(one for one in plan.tests if one.id == test)
    metric = next(one.metric for one in plan.board if one.metric.name == label)
    return len({plan.score_key(metric, c) for c in plan.comparisons(chosen, metric) if c.a.model != c.b.model})


@pytest.mark.parametrize("name", ["resi", "resi-cifar100"])
def test_twenty_seeds_and_five_groups_of_eight_more_are_trained_and_the_clean_group_is_eight_of_the_twenty(
    name: str,
) -> None:
    plan = prepare(name)
    assert len({model.key for model in plan.models.values()}) == 20 + 5 * 8
    keys = {str(ref): model.key for ref, model in plan.models.items()}
    assert all(keys[f"clean/{seed}"] == keys[f"net/{seed}"] for seed in range(8))


@pytest.mark.parametrize("name", ["resi", "resi-cifar100"])
def test_the_pairs_are_those_of_resi(name: str) -> None:
    plan = prepare(name)
    # 20 seeds: 190 pairs
    assert [pairs(plan, test, "cka") for test in ("accuracy", "outputs")] == [190, 190]
    # 3 groups of 8: 28 pairs each within; 64 across each two groups
    assert [pairs(plan, test, "cka") for test in ("labels", "augmentation")] == [3 * 28 + 3 * 64] * 2
    # a directed metric is asked both ways
    assert [pairs(plan, test, "linear_regression") for test in ("accuracy", "outputs")] == [2 * 190] * 2
    assert [pairs(plan, test, "linear_regression") for test in ("labels", "augmentation")] == [
        2 * (3 * 28 + 3 * 64)
    ] * 2


@pytest.mark.parametrize("name", ["resi-shortcuts", "resi-shortcuts-cifar100"])
def test_shortcuts_are_compared_where_marks_say_nothing(name: str) -> None:
    suite = load_suite(name)
    assert suite.probe.shortcut == 0.0
    assert [test.id for test in suite.tests] == ["shortcuts"]
    rates = [train.shortcut for group in suite.tests[0].models if (train := suite.models[group].train) is not None]
    assert rates == [0.0, 0.75, 1.0]
    assert len(prepare(name).models) == 3 * 8


def test_random_labels_separate_networks_by_scale_and_outputs_before_cka_does(shared_store: Path) -> None:
    suite = reduced("resi", ["cka", "rsm_norm_difference", "jensen_shannon"], seeds=3, epochs=4)
    result = run_shared(suite, shared_store, ["labels", "layers"])
    assert result.complete
    # the premise: networks trained on other labels put out something else
    assert grade(result, "jensen_shannon", "labels") == 1.0
    assert grade(result, "rsm_norm_difference", "labels") > grade(result, "cka", "labels")
    # what all layers of a network share cannot tell them apart
    assert grade(result, "jensen_shannon", "layers") == 0.0
    assert grade(result, "cka", "layers") >= 0.9


def test_networks_that_always_had_a_right_mark_behave_alike_and_unlike_the_others(shared_store: Path) -> None:
    suite = reduced("resi-shortcuts", ["jensen_shannon"], epochs=4)
    result = run_shared(suite, shared_store, ["shortcuts"])
    assert result.complete
    assert grade(result, "jensen_shannon", "shortcuts/shortcut100") == 1.0
