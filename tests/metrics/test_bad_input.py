"""What no metric may make a number of, and what every metric must say instead."""

from __future__ import annotations

import re
import sys
from dataclasses import replace

import pytest
import torch

from simbench.metrics.metric import Score
from simbench.metrics.scoring import score_pairs
from simbench.registry import METRICS
from simbench.representations.representation import Representation
from simbench.testing.inputs import Case, LinearReadout, cases, in_sequences, unrelated

LIBRARIES = {
    "ot": {"soft_matching", "partial_soft_matching"},
    "gudhi": {"rtd", "geometry_score"},
}
"""The optional libraries, and the metrics that cannot do without them."""
every_metric = pytest.mark.parametrize("name", METRICS.names())


def given(name: str, case: Case) -> Case:
    return in_sequences(case) if "sequence" in METRICS.get(name).needs else case


def ordinary(name: str) -> Case:
    return given(name, cases(0)[0])


def score(name: str, a: Representation, b: Representation) -> Score:
    return score_pairs(METRICS.get(name), [a, b], [(0, 1)])[0]


def both_orders(name: str, bad: Representation, good: Representation) -> list[Score]:
    return [score(name, bad, good), score(name, good, bad)]


def with_first_rows(side: Representation, rows: int) -> Representation:
    targets = None if side.targets is None else side.targets[:rows]
    return replace(side, activations=side.activations[:rows], targets=targets)


@every_metric
@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_activations_that_are_not_finite_are_an_error_that_names_the_layer(name: str, number: float) -> None:
    case = ordinary(name)
    activations = case.a.activations.clone()
    activations[3] = number
    for found in both_orders(name, case.a.with_activations(activations), case.b):
        assert (found.status, found.reason) == ("error", "non-finite activations in embedding")


@every_metric
def test_constant_activations_are_a_skip_that_names_the_layer(name: str) -> None:
    case = ordinary(name)
    constant = case.a.with_activations(torch.full_like(case.a.activations, 0.1))
    for found in both_orders(name, constant, case.b):
        assert (found.status, found.reason) == ("skip", "no variance in embedding")


@every_metric
@pytest.mark.parametrize("factor", [1e-160, 1e160])
def test_activations_whose_squares_are_no_numbers_are_an_error_that_says_so(name: str, factor: float) -> None:
    case = ordinary(name)
    beyond = case.a.with_activations(factor * case.a.activations.double())
    for found in both_orders(name, beyond, case.b):
        assert found.status == "error"
        assert re.match("activations in embedding are as large as .* leave the range of float64; rescale", found.reason)


@every_metric
def test_fewer_than_three_rows_are_an_error(name: str) -> None:
    case = ordinary(name)
    (found,) = {score(name, *(with_first_rows(side, 2) for side in (case.a, case.b)))}
    assert (found.status, found.reason) == ("error", "embedding has 2 rows; at least 3 are needed")


@every_metric
def test_other_numbers_of_inputs_are_an_error(name: str) -> None:
    case = ordinary(name)
    inputs = len(case.b.activations)
    for found in both_orders(name, with_first_rows(case.a, inputs - 1), case.b):
        assert found.status == "error"
        assert re.fullmatch(
            rf"({inputs} inputs against {inputs - 1}|{inputs - 1} inputs against {inputs})", found.reason
        )


@every_metric
def test_three_rows_are_a_number_or_a_reason(name: str) -> None:
    case = ordinary(name)
    for found in both_orders(name, with_first_rows(case.a, 3), with_first_rows(case.b, 3)):
        assert (found.status == "ok") == (found.reason is None)
        assert found.status != "ok" or found.value == pytest.approx(found.value, nan_ok=False)


@every_metric
def test_fewer_rows_than_features_are_a_value_by_rank_that_says_when_it_is_forced(name: str) -> None:
    case = given(name, unrelated(0, rows=24, width=40))
    metric = METRICS.get(name)
    found = score(name, case.a, case.b)
    if found.value is None:
        assert found.status == "skip" or "NonPositiveSelfHSICError" in found.reason
        return
    end = metric.value_range[1 if metric.higher_is_more_similar else 0]
    said = any(re.search(r"saturated|only \d+ rows", warning) for warning in found.warnings)
    assert said or abs(found.value - end) > 1e-9, "of independent data"


@every_metric
@pytest.mark.parametrize("library", LIBRARIES)
def test_without_an_optional_library_a_metric_works_or_says_what_to_install(
    name: str, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for loaded in [module for module in sys.modules if module.partition(".")[0] == library]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, library, None)
    case = ordinary(name)
    if METRICS.get(name).cost == "heavy" and name not in LIBRARIES[library]:
        pytest.skip("asked of the metrics that may need it, and of those that are quick")
    found = score(name, case.a, case.b)
    if name in LIBRARIES[library]:
        assert found.status == "skip"
        assert re.search(r'pip install "simbench-leaderboard\[\w+\]"', found.reason or "")
    else:
        assert found.status == "ok"


HEAD = [name for name, metric in METRICS if metric.level == "head" or metric.family == "functional"]


@pytest.mark.parametrize("name", HEAD)
def test_models_of_other_labels_are_a_reason_where_labels_are_compared(name: str) -> None:
    case = cases(0)[0]
    head = case.b.model.head()
    fewer = replace(case.b, model=LinearReadout(head.unembedding[:9], head.bias[:9]), classes=9)
    for found in both_orders(name, case.a, fewer):
        assert found.status == ("ok" if name in ("accuracy_difference", "probe_accuracy_difference") else "skip")
        assert found.status == "ok" or "labels" in (found.reason or "")


@every_metric
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("factor", [1e-30, 1e30])
def test_large_and_small_numbers_are_none_without_variance(name: str, factor: float, dtype: torch.dtype) -> None:
    case = ordinary(name)
    scaled = [side.with_activations((factor * side.activations.double()).to(dtype)) for side in (case.a, case.b)]
    found, usual = score(name, *scaled), score(name, case.a, case.b)
    assert "variance" not in str(found.reason)
    if not METRICS.get(name).needs and "isotropic_scaling" in METRICS.get(name).invariant_to:
        assert found.value == pytest.approx(usual.value, rel=1e-4, abs=1e-5)
