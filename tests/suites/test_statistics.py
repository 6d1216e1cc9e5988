"""The suite `statistics`: chance levels on synthetic data; layers, seeds and components on trained networks."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.shared_runs import run_shared
from tests.suites.reduced import grade, reduced, verdict

from simbench.run.session import RunResult

SUITE = reduced("statistics", ("cka", "cka_debiased", "cca"))


@pytest.fixture(scope="module")
def result(shared_store: Path) -> RunResult:
    return run_shared(SUITE, shared_store, ["layers", "deletion", "sample_size", "noise"])


def test_every_test_is_graded_and_says_both_correlations(result: RunResult) -> None:
    assert result.complete
    for metric in ("cka", "cca"):
        for test in ("layers", "deletion"):
            assert set(verdict(result, metric, test).auxiliary) >= {"spearman", "kendall"}


@pytest.mark.parametrize("biased", ["cka", "cca"])
def test_independent_data_look_similar_when_there_are_few_rows_unless_the_bias_is_taken_out(
    result: RunResult, biased: str
) -> None:
    assert grade(result, "cka_debiased", "sample_size/null") > 0.85
    assert grade(result, biased, "sample_size/null") < 0.7


def test_less_is_similar_the_more_noise_there_is(result: RunResult) -> None:
    assert grade(result, "cka", "noise") == 1.0


def test_deleted_components_are_seen_as_the_probe_loses_by_them_but_not_by_cca(result: RunResult) -> None:
    assert grade(result, "cka", "deletion") >= 0.95
    # what is left spans a part of what was there: all of its canonical correlations are 1
    assert verdict(result, "cca", "deletion").auxiliary["spearman"] == 0.0
