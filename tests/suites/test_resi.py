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


SIZES = [("resi", 40, 16), ("resi-cifar100", 20, 8)]


@pytest.mark.parametrize(("name", "seeds", "of_group"), SIZES)
def test_seeds_and_five_more_groups_are_trained_and_the_clean_group_is_the_first_of_the_seeds(
    name: str, seeds: int, of_group: int
) -> None:
    plan = prepare(name)
    assert len({model.key for model in plan.models.values()}) == seeds + 5 * of_group
    keys = {str(ref): model.key for ref, model in plan.models.items()}
    assert all(keys[f"clean/{seed}"] == keys[f"net/{seed}"] for seed in range(of_group))


@pytest.mark.parametrize(("name", "seeds", "of_group"), SIZES)
def test_the_pairs_are_those_of_resi(name: str, seeds: int, of_group: int) -> None:
    plan = prepare(name)
    of_seeds = seeds * (seeds - 1) // 2
    # within each of three groups, and across each two of them
    of_groups = 3 * (of_group * (of_group - 1) // 2) + 3 * of_group**2
    assert [pairs(plan, test, "cka") for test in ("accuracy", "outputs")] == [of_seeds] * 2
    assert [pairs(plan, test, "cka") for test in ("labels", "augmentation")] == [of_groups] * 2
    # a directed metric is asked both ways
    assert [pairs(plan, test, "linear_regression") for test in ("accuracy", "outputs")] == [2 * of_seeds] * 2
    assert [pairs(plan, test, "linear_regression") for test in ("labels", "augmentation")] == [2 * of_groups] * 2


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
