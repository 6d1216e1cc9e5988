"""What the suite `distillation` is there to show, on a teacher and one really trained student of either kind."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.shared_runs import run_shared
from tests.suites.reduced import grade, reduced, verdict

from simbench.run.session import RunResult
from simbench.suite.load import load_suite

METRICS = ("disagreement", "cca", "identifiability_llv", "identifiability_fg", "logit_distance_relative", "d_rep")


def test_students_of_a_seed_start_alike_and_not_as_their_teacher() -> None:
    models = load_suite("distillation").models
    assert models["logit_students"].seeds == models["kl_students"].seeds
    assert models["teacher"].seeds[0] not in models["kl_students"].seeds
    assert {models[name].teacher for name in ("logit_students", "kl_students")} == {"teacher"}


@pytest.fixture(scope="module")
def result(shared_store: Path) -> RunResult:
    return run_shared(reduced("distillation", METRICS, seeds=1), shared_store, ["distillation"])


def test_the_student_that_answers_as_its_teacher_is_the_less_similar_one(result: RunResult) -> None:
    assert grade(result, "disagreement", "distillation") == 0.0
    for metric in METRICS[1:]:
        assert grade(result, metric, "distillation") == 1.0


def test_the_student_of_logits_has_the_teachers_embedding_up_to_a_linear_map(result: RunResult) -> None:
    auxiliary = verdict(result, "cca", "distillation").auxiliary
    assert auxiliary["median_of_logit_students"] > 0.998
    assert auxiliary["median_of_kl_students"] < 0.99
