"""The suite `identifiability`: what the papers say of synthetic pairs, of trained ones, and of distilled students."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.shared_runs import run_shared
from tests.suites.reduced import grade, verdict

from simbench.run.session import RunResult
from simbench.suite.load import load_suite
from simbench.suite.schema import Suite

METRICS = (
    "kl",
    "cca",
    "identifiability_llv",
    "identifiability_fg",
    "logit_distance",
    "logit_distance_relative",
    "d_rep",
)
SYNTHETIC = ("distribution_sensitivity", "jointly", "graded")


def reduced(seeds: dict[str, list[int]], tests: dict[str, dict[str, Any]]) -> Suite:
    """The suite with a few of its metrics, models and tests."""
    suite = load_suite("identifiability")
    models = {name: suite.models[name].model_copy(update={"seeds": few}) for name, few in seeds.items()}
    asked = [test.model_copy(update=tests[test.id]) for test in suite.tests if test.id in tests]
    metrics = [choice for choice in suite.metrics if choice.name in METRICS]
    assert len(metrics) == len(METRICS)
    return suite.model_copy(update={"models": models, "metrics": metrics, "tests": asked})


def test_the_suite_asks_what_it_is_about() -> None:
    assert {test.kind for test in load_suite("identifiability").tests} == {
        "distribution_sensitivity",
        "distribution_invariance",
        "graded_perturbation",
        "closeness",
        "axioms",
        "distillation_order",
    }


def test_the_students_of_a_seed_start_alike_and_not_as_their_teacher() -> None:
    models = load_suite("identifiability").models
    students = [models[name] for name in ("logit_students", "kl_students")]
    assert students[0].seeds == students[1].seeds
    assert models["middle"].seeds[0] not in students[0].seeds
    assert [student.teacher for student in students] == ["middle", "middle"]


@pytest.fixture(scope="module")
def synthetic(shared_store: Path) -> RunResult:
    asked: dict[str, dict[str, Any]] = {name: {"seeds": [0]} for name in SYNTHETIC}
    asked["graded"] = {"seeds": [0], "levels": [1, 61, 121, 181, 241]}
    return run_shared(reduced({}, asked), shared_store)


def test_kl_does_not_know_the_pairs_that_are_close_in_kl(synthetic: RunResult) -> None:
    """It holds a little noise for larger than the exchange of clusters, but for that of the farthest, at ρ = 5."""
    assert grade(synthetic, "kl", "distribution_sensitivity") < 0.5
    assert grade(synthetic, "kl", "distribution_sensitivity/deranged_clusters") == 0.0
    assert grade(synthetic, "kl", "jointly/exchanged_unembeddings") == 0.0


@pytest.mark.parametrize(
    "metric", ["identifiability_fg", "identifiability_llv", "logit_distance", "logit_distance_relative", "d_rep"]
)
def test_the_distances_of_the_papers_know_all_pairs(synthetic: RunResult, metric: str) -> None:
    assert [grade(synthetic, metric, test) for test in SYNTHETIC] == [1.0, 1.0, 1.0]


def test_embeddings_alone_are_enough_for_the_permuted_and_not_for_the_joint_pairs(synthetic: RunResult) -> None:
    assert grade(synthetic, "cca", "distribution_sensitivity") == 1.0
    assert grade(synthetic, "cca", "jointly") == 0.0


@pytest.fixture(scope="module")
def widths(shared_store: Path) -> RunResult:
    """Trained pairs of the narrowest and of the widest models."""
    suite = reduced({"narrow": [0, 1, 2], "wide": [0, 1, 2]}, {"width": {"models": ["narrow", "wide"]}})
    return run_shared(suite, shared_store)


@pytest.mark.parametrize("metric", ["identifiability_fg", "logit_distance_relative"])
def test_wider_models_are_closer(widths: RunResult, metric: str) -> None:
    similarities = verdict(widths, metric, "width").auxiliary
    assert similarities["median_similarity_widest"] > similarities["median_similarity_narrowest"]
    assert similarities["median_d_llv_widest"] < similarities["median_d_llv_narrowest"]


def test_the_distance_that_closeness_goes_by_is_not_held_against_itself(widths: RunResult) -> None:
    found = verdict(widths, "identifiability_llv", "width")
    assert (found.outcome, found.owed) == ("skip", "not promised")
    assert "the fact that this test goes by" in (found.reason or "")


def test_no_bound_of_theory_is_violated_by_trained_or_by_perturbed_pairs(widths: RunResult) -> None:
    """The suite `identifiability-bounds`, on networks that are trained already."""
    suite = load_suite("identifiability-bounds")
    models = {name: suite.models[name].model_copy(update={"seeds": [0, 1, 2]}) for name in ("narrow", "wide")}
    (bounds,) = suite.tests
    # all synthetic pairs: those of one seed are too few to exclude that one pair in ten violates a bound
    asked = bounds.model_copy(update={"models": list(models)})
    result = run_shared(suite.model_copy(update={"models": models, "tests": [asked]}), widths.store)
    assert result.work.trained == 0
    for metric, pairs in {"identifiability_fg": 6, "logit_correlation_loss": 12, "logit_map_loss": 12}.items():
        found = verdict(result, metric, "bounds")
        assert (found.grade, found.passed) == (1.0, True)
        assert len([trial for trial in found.trials if trial.column == "trained"]) == pairs


@pytest.fixture(scope="module")
def distilled(shared_store: Path) -> RunResult:
    suite = reduced({"middle": [0], "logit_students": [6], "kl_students": [6]}, {"distillation": {}})
    return run_shared(suite, shared_store)


@pytest.mark.parametrize("metric", ["cca", "identifiability_llv", "identifiability_fg", "logit_distance_relative"])
def test_the_student_of_logits_has_the_teachers_embeddings(distilled: RunResult, metric: str) -> None:
    assert grade(distilled, metric, "distillation") == 1.0
