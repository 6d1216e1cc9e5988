"""What the bundled suites are there to show, on really trained networks. A failure here is a finding."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.shared_runs import run_shared
from tests.suites.reduced import grade, verdict

from simbench.grading import lookup, stored_records
from simbench.references import Comparison, ModelRef, Named, RepresentationRef
from simbench.results.store import Store
from simbench.run.session import RunResult, prepare, run
from simbench.suite.load import bundled_suites, load_suite
from simbench.suite.schema import Component, Suite

EXPECTED = ["cka", "stitch_direct_r2", "stitch_task(epochs=8)"]


def two_seeds_of_sanity() -> Suite:
    """The sanity suite with two of its models and the three metrics of the headline, stitching with 8 epochs for 30."""
    suite = load_suite("sanity")
    cnn = suite.models["cnn"].model_copy(update={"seeds": [0, 1]})
    metrics = [Component(name="stitch_task", epochs=8)]
    plain = load_suite("quick").metrics[0]
    named = [plain.model_copy(update={"name": name}) for name in ("cka", "stitch_direct_r2")]
    return suite.model_copy(update={"models": {"cnn": cnn}, "metrics": [*named, *metrics]})


@pytest.fixture(scope="module")
def sanity(shared_store: Path) -> RunResult:
    return run_shared(two_seeds_of_sanity(), shared_store, ["identity", "correspondence"])


def test_the_headline_is_scored_with_the_three_metrics_it_is_about(sanity: RunResult) -> None:
    assert sorted(ranked.row.metric.label for ranked in sanity.board.rows) == EXPECTED


@pytest.mark.parametrize("metric", ["cka", "stitch_direct_r2"])
def test_cka_and_direct_matching_know_a_layer_from_the_others(sanity: RunResult, metric: str) -> None:
    assert grade(sanity, metric, "identity") >= 0.95


def test_task_loss_matching_does_not(sanity: RunResult) -> None:
    assert grade(sanity, "stitch_task(epochs=8)", "identity") <= 0.5


@pytest.mark.parametrize("metric", ["cka", "stitch_direct_r2"])
def test_cka_and_direct_matching_find_the_corresponding_layer_of_another_seed(sanity: RunResult, metric: str) -> None:
    assert grade(sanity, metric, "correspondence") >= 0.95


def test_models_close_in_kl_may_be_unrelated_and_only_some_metrics_see_it(shared_store: Path) -> None:
    suite = load_suite("sanity")
    run_shared(suite, shared_store, ["unrelated"])
    plan = prepare(suite, (), ["unrelated"])
    records = stored_records(plan, Store(shared_store))
    pair = Comparison(_synthetic(permuted=False), _synthetic(permuted=True))
    value = {
        planned.metric.name: lookup(plan, planned.metric, records)(pair).value
        for planned in plan.metrics
        if planned.metric.name in ("kl", "cca", "identifiability_llv")
    }
    assert 0 < -value["kl"] < 1e-4
    assert value["cca"] <= 0.01
    assert -value["identifiability_llv"] == pytest.approx(1.317, abs=0.03)


def _synthetic(*, permuted: bool) -> RepresentationRef:
    generator = Named.of("permuted_clusters", classes=7, rho=20.0, permuted=permuted)
    return RepresentationRef(ModelRef("permuted_clusters", 0, generator), "embedding")


@pytest.mark.parametrize("name", sorted(bundled_suites()))
def test_every_bundled_suite_can_be_planned(name: str) -> None:
    plan = prepare(name)
    assert all(planned.scores for planned in plan.metrics)


@pytest.mark.trains
@pytest.mark.process
def test_the_quick_suite_runs_from_nothing(tmp_path: Path) -> None:
    assert torch.get_num_threads() == 1
    result = run("quick", store=tmp_path, jobs=2)
    assert result.complete
    assert grade(result, "cka", "identity") == 1.0
    assert verdict(result, "kl", "unrelated").outcome == "fail"
