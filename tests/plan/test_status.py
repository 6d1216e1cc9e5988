"""What of a plan is there, what is missing, what failed, and why."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from simbench.metrics.metric import Metric
from simbench.plan.plan import Plan, make_plan
from simbench.plan.status import PlanStatus, plan_status
from simbench.registry import ARCHITECTURES
from simbench.results.record import ScoreRecord
from simbench.results.store import Store
from simbench.suite.schema import Suite

SuiteWith = Callable[..., Suite]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def small(suite_with: SuiteWith, plain: Metric) -> Plan:
    return make_plan(suite_with(("seeds: [0, 1, 2]", "seeds: [0]")), [plain], ["same"])


def record(key: str, metric: Metric, reason: str | None = None) -> ScoreRecord:
    return ScoreRecord(
        key=key,
        metric=metric.identity,
        parameters={},
        a="a",
        b="b",
        a_key="a",
        b_key="b",
        status="ok" if reason is None else "error",
        value=1.0 if reason is None else None,
        reason=reason,
        seconds=0.0,
        suite="planned@1",
        provenance="p",
    )


def write_model_record(store: Store, place: str, key: str) -> None:
    record = {
        "schema_version": 1,
        "description": {"key": key, "name": "net/0"},
        **{"accuracy": 0.5, "train_accuracy": 0.5, "losses": [], "seconds": 0.0, "weights_sha256": "", "versions": {}},
    }
    store.model(place).mkdir(parents=True, exist_ok=True)
    (store.model(place) / "model.json").write_text(json.dumps(record))


def test_in_an_empty_store_everything_is_missing(small: Plan, store: Store) -> None:
    status = plan_status(small, store)
    assert [(model.state, model.why) for model in status.models] == [("missing", "nothing with this key was ever made")]
    assert status.activations == {"missing": 3}
    (metric,) = status.metrics
    assert (metric.total, metric.cached, metric.failed) == (9, 0, 0)
    assert metric.why == "no score of this metric and version on these comparisons"


def test_a_complete_checkpoint_is_cached(small: Plan, store: Store) -> None:
    (model,) = small.models.values()
    store.model(model.key).mkdir(parents=True)
    assert plan_status(small, store).models[0].state == "missing"
    write_model_record(store, model.key, model.key)
    assert plan_status(small, store).models[0].state == "cached"


def test_a_checkpoint_of_another_model_is_missing_and_says_why(small: Plan, store: Store) -> None:
    (model,) = small.models.values()
    write_model_record(store, model.key, "another")
    status = plan_status(small, store).models[0]
    assert status.state == "missing"
    assert "is of model another (net/0), and lies at" in status.why


def test_a_model_that_failed_says_why(small: Plan, store: Store) -> None:
    (model,) = small.models.values()
    store.record_failure("models", model.key, "the loss became infinite")
    (status,) = plan_status(small, store).models
    assert (status.state, status.why) == ("failed", "failed last time: the loss became infinite")


def loading(suite_with: SuiteWith, plain: Metric, store: Store, load: str, *changes: tuple[str, str]) -> PlanStatus:
    trained = "train: {dataset: digits, epochs: 2, learning_rate: 0.01}"
    suite = suite_with((trained, f"load: {load}"), *changes)
    return plan_status(make_plan(suite, [plain], ["same"]), store)


ONE_SEED = ("seeds: [0, 1, 2]", "seeds: [0]")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A file of weights that fit the suite's network."""
    network = ARCHITECTURES.get("mlp").build((1, 8, 8), 10, width=8, depth=3)
    torch.save(network.state_dict(), tmp_path / "weights.ckpt")
    return tmp_path / "weights.ckpt"


def test_a_model_that_is_loaded_needs_no_making(
    suite_with: SuiteWith, plain: Metric, store: Store, weights: Path
) -> None:
    status = loading(suite_with, plain, store, str(weights), ONE_SEED)
    assert {(model.state, model.why) for model in status.models} == {("cached", f"loaded from {weights}")}
    assert status.problems == ()


def test_a_file_that_is_not_there_is_not_cached(suite_with: SuiteWith, plain: Metric, store: Store) -> None:
    status = loading(suite_with, plain, store, "/weights.pt", ONE_SEED)
    assert {(model.state, model.why) for model in status.models} == {("missing", "no such file: /weights.pt")}
    assert status.to_dict()["problems"] == ["models.net.load: no such file: /weights.pt"]


def test_weights_of_another_network_are_not_cached(
    suite_with: SuiteWith, plain: Metric, store: Store, weights: Path
) -> None:
    status = loading(suite_with, plain, store, str(weights), ONE_SEED, ("depth: 3", "depth: 4"))
    (model,) = status.models
    assert model.state == "failed"
    assert model.why.startswith(f'{weights} does not fit mlp: 5 keys missing (first "block4.')


def test_seeds_of_one_file_are_copies(suite_with: SuiteWith, plain: Metric, store: Store, weights: Path) -> None:
    status = loading(suite_with, plain, store, str(weights))
    (problem,) = status.problems
    assert problem.startswith("models.net.seeds: `load` gives all 3 seeds the same weights")


def test_synthetic_models_are_not_listed(suite_with: SuiteWith, plain: Metric, store: Store) -> None:
    assert plan_status(make_plan(suite_with(), [plain], ["synthetic"]), store).models == ()


def test_activations_are_counted(small: Plan, store: Store) -> None:
    path = store.activations(next(iter(small.activations)))
    path.parent.mkdir(parents=True)
    path.touch()
    assert plan_status(small, store).activations == {"cached": 1, "missing": 2}


def test_scores_that_are_new_are_counted(small: Plan, store: Store, plain: Metric) -> None:
    store.write_block([record(key, plain) for key in list(small.metrics[0].scores)[:4]])
    (status,) = plan_status(small, store).metrics
    assert (status.cached, status.failed, status.why) == (4, 0, "5 comparisons are new")


def test_scores_that_are_all_there_are_cached(small: Plan, store: Store, plain: Metric) -> None:
    store.write_block([record(key, plain) for key in small.metrics[0].scores])
    (status,) = plan_status(small, store).metrics
    assert (status.cached, status.why) == (9, "all in the store")


def test_scores_that_failed_say_why_and_are_not_cached(small: Plan, store: Store, plain: Metric) -> None:
    keys = list(small.metrics[0].scores)
    store.write_block([record(keys[0], plain, reason="out of memory"), *(record(key, plain) for key in keys[1:])])
    (status,) = plan_status(small, store).metrics
    assert (status.cached, status.failed, status.why) == (8, 1, "1 failed last time: out of memory")


def test_scores_of_another_version_are_not_these(small: Plan, store: Store, plain: Metric) -> None:
    store.write_block([record(key, replace(plain, version=2)) for key in small.metrics[0].scores])
    assert plan_status(small, store).metrics[0].cached == 0


def test_a_status_is_plain_data(small: Plan, store: Store) -> None:
    document = json.loads(json.dumps(plan_status(small, store).to_dict()))
    assert document["activations"] == {"cached": 0, "missing": 3}
    assert document["metrics"][0]["metric"] == "plain"
