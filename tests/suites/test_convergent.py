"""What the suite `convergent` is there to show, on two really trained networks."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.shared_runs import run_shared
from tests.suites.reduced import grade, profile, reduced, verdict

from simbench.run.session import RunResult, prepare

ONE_TO_ONE = ("match_bipartite", "match_semi")
SUITE = reduced("convergent", (*ONE_TO_ONE, "linear_regression", "match_mutual_information"))


@pytest.fixture(scope="module")
def result(shared_store: Path) -> RunResult:
    return run_shared(SUITE, shared_store, ["correspondence", "matching"])


@pytest.mark.parametrize("metric", ONE_TO_ONE)
def test_units_are_most_alike_in_the_first_layer_least_in_a_middle_one_and_more_again_in_the_last(
    result: RunResult, shared_store: Path, metric: str
) -> None:
    found = profile(SUITE, shared_store, metric)
    lowest = found.index(min(found))
    assert max(found) == found[0]
    assert 2 <= lowest <= 4
    assert found[-1] > found[lowest] + 0.1


def test_permuted_units_are_found_one_to_one_and_rotated_ones_only_by_regression(result: RunResult) -> None:
    for metric in (*ONE_TO_ONE, "linear_regression"):
        assert grade(result, metric, "matching") == 1.0
    kept = {metric: verdict(result, metric, "matching").auxiliary["kept_orthogonal"] for metric in ONE_TO_ONE}
    assert max(kept.values()) < 0.7
    assert verdict(result, "linear_regression", "matching").auxiliary["kept_orthogonal"] == pytest.approx(1.0)


def test_mutual_information_hangs_on_exact_zeros(result: RunResult) -> None:
    """Noise of one per cent takes the zeros of the ReLUs out of the bin that isolates them: about half is lost.

    The copy is still more similar to the layer than every other layer is, which is all that the test asks.
    """
    kept = {
        metric: verdict(result, metric, "matching").auxiliary for metric in (*ONE_TO_ONE, "match_mutual_information")
    }
    assert kept["match_mutual_information"]["kept_permutation"] == pytest.approx(1.0)
    assert kept["match_mutual_information"]["kept_noise"] < 0.7
    assert min(kept[metric]["kept_noise"] for metric in ONE_TO_ONE) > 0.95
    assert grade(result, "match_mutual_information", "matching/noise") == 1.0


@pytest.mark.parametrize("name", ["convergent", "subspace"])
def test_the_trained_models_are_those_of_the_sanity_suite(name: str) -> None:
    ours, theirs = ({str(ref): model.key for ref, model in prepare(one).models.items()} for one in (name, "sanity"))
    trained = {ref: key for ref, key in ours.items() if ref.startswith("cnn/")}
    assert len(trained) == 12
    assert trained.items() <= theirs.items()
