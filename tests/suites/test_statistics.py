"""The suite `statistics`: chance levels on synthetic data; layers, seeds and components on trained networks."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.shared_runs import run_shared
from tests.suites.reduced import grade, reduced, verdict

from simbench.run.session import RunResult

SUITE = reduced("statistics", ("cka", "cka_debiased", "cca", "pwcca"))


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
    assert grade(result, "cka_debiased", "sample_size/across sizes") == 1.0
    assert grade(result, biased, "sample_size/across sizes") < 0.7


def test_few_inputs_keep_the_order_of_layers_and_seeds(result: RunResult) -> None:
    assert grade(result, "cka", "sample_size/order") > 0.8


def test_less_is_similar_the_more_noise_there_is(result: RunResult) -> None:
    assert grade(result, "cka", "noise") == 1.0


def test_deleted_components_are_seen_as_the_probe_loses_by_them_but_not_by_cca(result: RunResult) -> None:
    """In the order of Ding et al.: PWCCA with the weights of the reference, then CKA."""
    assert grade(result, "pwcca(weights=receiver)", "deletion") > grade(result, "cka", "deletion") > 0.5
    assert grade(result, "cca", "deletion") == 0.0
