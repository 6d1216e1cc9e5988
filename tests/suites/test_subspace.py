"""What the suite `subspace` is there to show, on two really trained networks."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from tests.shared_runs import run_shared
from tests.suites.reduced import grade, profile, reduced, verdict

from simbench.run.session import RunResult, prepare
from simbench.suite.load import load_suite

SUITE = reduced("subspace", ("cca", "match_semi", "subspace_match", "subspace_match_auc"))
EPSILONS = ("(epsilon=0.15)", "(epsilon=0.2)", "", "(epsilon=0.3)", "(epsilon=0.5)")
"""As labels have them; 0.25 is the default."""


@pytest.fixture(scope="module")
def result(shared_store: Path) -> RunResult:
    return run_shared(SUITE, shared_store, ["correspondence", "matching", "overlap"])


@pytest.mark.parametrize("epsilon", EPSILONS)
def test_a_maximum_match_is_the_share_of_common_units(result: RunResult, epsilon: str) -> None:
    found = verdict(result, f"subspace_match{epsilon}", "overlap")
    assert found.grade == 1.0
    assert set(found.auxiliary) == {
        f"distance_from_share_{form}" for form in ("permuted", "rotated", "extended", "dead")
    }
    assert max(found.auxiliary.values()) < 0.001  # an extended population has a whole number of units


def test_rotated_units_are_lost_one_to_one_and_dead_or_additional_ones_do_not_count_for_cca(result: RunResult) -> None:
    assert verdict(result, "match_semi", "overlap").auxiliary["distance_from_share_rotated"] > 0.2
    assert grade(result, "cca", "overlap/rotated") == 1.0
    assert grade(result, "cca", "overlap/extended") == grade(result, "cca", "overlap/dead") == 0.0


def test_middle_layers_of_two_seeds_do_not_match_and_more_does_the_larger_epsilon_is(
    result: RunResult, shared_store: Path
) -> None:
    curves = [profile(SUITE, shared_store, f"subspace_match{epsilon}") for epsilon in EPSILONS]
    for smaller, larger in pairwise(curves):
        assert all(a <= b for a, b in zip(smaller, larger, strict=True))
    assert curves[-2][0] > 0.9
    assert curves[-2][2:] == [0.0] * 5
    assert profile(SUITE, shared_store, "subspace_match_auc")[0] > 0.7


def test_copies_are_recognised_whatever_mixes_their_units(result: RunResult) -> None:
    kept = verdict(result, "subspace_match", "matching").auxiliary
    assert kept["kept_orthogonal"] == pytest.approx(1.0)
    assert verdict(result, "match_semi", "matching").auxiliary["kept_orthogonal"] < 0.7


def test_the_twin_asks_the_same_of_a_larger_network() -> None:
    assert load_suite("subspace-cifar10").tests == load_suite("subspace").tests
    assert all(planned.scores for planned in prepare("subspace-cifar10").metrics)
