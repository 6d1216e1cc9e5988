"""What the suite `sequences` is there to show, on two really trained transformers of either width."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.shared_runs import run_shared
from tests.suites.reduced import grade, reduced, verdict

from simbench.run.session import RunResult
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


def test_dynamics_are_of_sequences_only_and_do_not_know_their_order(result: RunResult) -> None:
    found = verdict(result, "dsa", "reparametrised/head_linear")
    assert found.status == "skip"
    assert "needs a sequence" in (found.reason or "")
    assert grade(result, "dsa", "reparametrised/unit_permutation") == 0.0
    assert grade(result, "dsa", "identity") == 1.0


def test_layers_are_in_order_and_trained_networks_nearer_to_each_other(result: RunResult) -> None:
    assert grade(result, "cka", "layers") >= 0.9
    for metric in ("cka", "cca", "stitch_direct_r2"):
        assert grade(result, metric, "untrained") >= 0.9
