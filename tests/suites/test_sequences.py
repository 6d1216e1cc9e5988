"""What the suite `sequences` is there to show, on two really trained transformers of either width."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.shared_runs import run_shared
from tests.suites.reduced import grade, reduced, verdict

from simbench.grading import lookup, stored_records
from simbench.results.store import Store
from simbench.run.session import RunResult, prepare
from simbench.suite.load import load_suite

METRICS = ("kl", "identifiability_llv", "cca", "cka", "dsa", "stitch_direct_r2")
SUITE = reduced("sequences", METRICS)


@pytest.fixture(scope="module")
def result(shared_store: Path) -> RunResult:
    return run_shared(SUITE, shared_store, ["identity", "reparametrised", "layers", "untrained"])


def test_there_are_labels_enough_for_the_identifiability_distances() -> None:
    suite = load_suite("sequences")
    widths = {spec.architecture.parameters["width"] for spec in suite.models.values() if spec.architecture is not None}
    assert widths == {8, 16}
    assert suite.probe.dataset is not None
    assert suite.probe.dataset.parameters["symbols"] >= max(widths) + 2


def test_indices_of_heads_and_cca_see_through_the_maps_that_leave_the_distribution(result: RunResult) -> None:
    for metric in ("kl", "identifiability_llv", "cca"):
        assert grade(result, metric, "reparametrised") == 1.0
    assert grade(result, "cka", "reparametrised/head_linear") == 0.0
    assert grade(result, "cka", "reparametrised/unit_permutation") == 1.0


def test_dynamics_are_of_sequences_only_and_do_not_know_the_order_of_units(result: RunResult) -> None:
    found = verdict(result, "dsa", "reparametrised/head_linear")
    assert found.status == "skip"
    assert "needs a sequence" in (found.reason or "")
    # it declares to be invariant to orthogonal maps, of which a permutation of units is one
    assert grade(result, "dsa", "reparametrised/unit_permutation") == 1.0
    assert grade(result, "dsa", "identity") == 1.0


def test_layers_are_in_order_and_trained_networks_nearer_to_each_other(result: RunResult) -> None:
    assert grade(result, "cka", "layers") >= 0.9
    for metric in ("cca", "stitch_direct_r2"):
        assert grade(result, metric, "untrained") >= 0.9


def test_cka_of_two_transformers_is_below_that_of_a_layer_with_its_shuffled_sequences(
    result: RunResult, shared_store: Path
) -> None:
    """Shuffled sequences keep their positions, which CKA sees: .73 in block 2, and .35 for another seed.

    So there is no answer, although the other seed is closer than the untrained network, with .14.
    """
    found = verdict(result, "cka", "untrained")
    assert (found.outcome, found.grade) == ("skip", None)
    assert "3 of 3 at the null level" in (found.reason or "")
    plan = prepare(SUITE, (), ["untrained"])
    metric = next(one.metric for one in plan.metrics if one.metric.label == "cka")
    scores = lookup(plan, metric, stored_records(plan, Store(shared_store)))
    (test,) = plan.tests
    for question in test.asked(plan.groups_of(test), metric):
        trained, untrained, shuffled = (scores(comparison).value for comparison in question.comparisons)
        assert shuffled > trained > untrained
