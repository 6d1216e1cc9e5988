"""The conformance kit sees through wrong declarations."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from simbench.declaration import INVARIANCES
from simbench.metrics.metric import Metric, Score
from simbench.registry import METRICS
from simbench.representations.representation import Representation
from simbench.testing import Finding, check_metric
from simbench.testing.conformance import NOT_MEASURED
from simbench.testing.inputs import cases, common_shift, unrelated
from simbench.testing.triangles import detours


def correlation(x: Tensor, y: Tensor) -> float:
    """Biased linear CKA, written out: a correct metric for the kit to distort."""
    x, y = (side.double() - side.double().mean(dim=0) for side in (x, y))
    return float((x.T @ y).norm() ** 2 / ((x.T @ x).norm() * (y.T @ y).norm()))


def honest(function: Callable[..., Any] = correlation, **changes: Any) -> Metric:
    metric = Metric(
        "honest",
        function,
        higher_is_more_similar=True,
        symmetric=True,
        value_range=(0, 1),
        invariant_to=frozenset({"orthogonal", "isotropic_scaling", "translation"}),
    )
    return replace(metric, **changes)


def broken(metric: Metric) -> set[str]:
    """The properties that do not hold, without what stands in brackets behind them."""
    return {finding.property.partition(" (")[0] for finding in check_metric(metric) if finding.ok is False}


def finding(metric: Metric, name: str) -> Finding:
    return next(found for found in check_metric(metric) if found.property == name)


def test_an_honest_metric_has_no_broken_finding() -> None:
    assert broken(honest()) == set()


def test_a_wrong_direction_is_found() -> None:
    assert "identity" in broken(honest(higher_is_more_similar=False))


@pytest.mark.parametrize(("error", "found"), [(0.03, set()), (0.01, {"identity"})])
def test_an_identity_within_three_errors_of_the_difference_holds(error: float, found: set[str]) -> None:
    def lowered(x: Tensor, y: Tensor) -> Score:
        same = x.shape == y.shape and torch.equal(x, y)
        return Score(0.4 if same else 0.5, standard_error=error)

    assert broken(honest(lowered)) & {"identity"} == found


def test_a_distance_that_is_not_zero_for_identical_inputs_is_found() -> None:
    shifted = honest(lambda x, y: 1.1 - correlation(x, y), higher_is_more_similar=False, value_range=(0, 2))
    assert broken(shifted) == {"identity"}


def test_a_range_that_is_too_narrow_is_found() -> None:
    assert broken(honest(value_range=(0, 0.5))) == {"range"}


def test_an_asymmetry_is_found() -> None:
    def asymmetric(x: Tensor, y: Tensor) -> float:
        return correlation(x, y) * (1 if x.shape[1] <= y.shape[1] else 0.9)

    assert broken(honest(asymmetric)) == {"symmetry"}


@pytest.mark.parametrize("name", ["invertible_linear", "affine"])
def test_an_invariance_that_does_not_hold_is_found(name: str) -> None:
    assert f"invariance: {name}" in broken(honest(invariant_to=frozenset({name})))


def test_an_index_of_spectra_that_claims_to_pair_inputs_is_found() -> None:
    def spectra(x: Tensor, y: Tensor) -> float:
        first, second = (torch.linalg.svdvals(side.double() - side.double().mean(dim=0)) for side in (x, y))
        fewest = min(len(first), len(second))
        return float(first[:fewest] @ second[:fewest] / (first.norm() * second.norm()))

    assert "pairs inputs" in broken(honest(spectra))
    assert "pairs inputs" not in broken(honest(spectra, pairs_inputs=False))


def test_an_index_that_pairs_inputs_and_denies_it_is_found() -> None:
    assert broken(honest(pairs_inputs=False)) == {"pairs inputs"}


def test_an_invariance_of_one_argument_only_is_found() -> None:
    def one_sided(x: Tensor, y: Tensor) -> float:
        return correlation(x, y) + 1e-3 * float((y - y.mean(dim=0)).norm().log())

    assert broken(honest(one_sided, symmetric=False, value_range=(0, 2))) == {"invariance: isotropic_scaling"}


def test_an_uncentred_metric_is_not_invariant_to_translation() -> None:
    def uncentred(x: Tensor, y: Tensor) -> float:
        x, y = x.double(), y.double()
        return float((x.T @ y).norm() ** 2 / ((x.T @ x).norm() * (y.T @ y).norm()))

    assert broken(honest(uncentred)) == {"invariance: translation"}


@pytest.mark.parametrize(
    ("function", "found"),
    [
        (lambda x, y: float("nan"), "gives a number"),
        (lambda x, y: torch.zeros(3), "gives a number"),
        (lambda x, y: float(torch.linalg.inv(x.double().T @ x.double()).sum()), "gives a number"),
    ],
    ids=["nan", "array", "singular"],
)
def test_what_is_not_a_finite_number_is_found(function: Callable[..., Any], found: str) -> None:
    assert found in broken(honest(function))


def gives_up(x: Tensor, y: Tensor) -> float:
    raise ValueError("not today")


def leaves(x: Tensor, y: Tensor) -> float:
    sys.exit(0)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (gives_up, f"ValueError: not today (test_conformance.py:{gives_up.__code__.co_firstlineno + 1})"),
        (lambda x, y: float("nan"), "honest returned nan"),
        (leaves, f"SystemExit: 0 (test_conformance.py:{leaves.__code__.co_firstlineno + 1})"),
    ],
    ids=["raises", "nan", "exits"],
)
def test_of_a_metric_without_values_nothing_is_said_to_hold(function: Callable[..., Any], reason: str) -> None:
    def compare_many(prepared: list[Tensor], pairs: list[tuple[int, int]]) -> list[float]:
        return [function(prepared[a], prepared[b]) for a, b in pairs]

    metric = honest(
        function, compare_many=compare_many, higher_is_more_similar=False, triangle_inequality=True, value_range=(0, 1)
    )
    found = check_metric(metric)
    numbers = [one for one in found if one.property.startswith("gives a number")]
    others = [one for one in found if one not in numbers]
    assert {one.ok for one in numbers} == {False}
    assert [(one.property, one.measured) for one in others if one.ok is not None or one.measured != NOT_MEASURED] == []
    assert {one.detail for one in others} == {reason, "no triple has values"}
    measured_of_others = {
        one.property.partition(" (")[0] for one in check_metric(replace(metric, function=correlation))
    }
    assert {one.property for one in others} >= measured_of_others - {"gives a number"}


def test_what_is_modified_before_giving_up_is_found() -> None:
    def modifying(x: Tensor, y: Tensor) -> float:
        x -= 1
        raise ValueError("not today")

    assert "inputs are not modified" in broken(honest(modifying))


def test_a_fast_interface_that_gives_numbers_where_the_plain_function_has_none_is_found() -> None:
    def compare_many(prepared: list[Tensor], pairs: list[tuple[int, int]]) -> list[float]:
        return [0.5] * len(pairs)

    assert "batched interface equals plain function" in broken(honest(gives_up, compare_many=compare_many))


def test_a_dependence_on_the_order_of_rows_is_found() -> None:
    assert "order of rows does not matter" in broken(honest(lambda x, y: correlation(x[:40], y[:40])))


@pytest.mark.parametrize("draw", [random.random, np.random.random, lambda: float(torch.rand(()))])
def test_global_randomness_is_found(draw: Callable[[], float]) -> None:
    noisy = broken(honest(lambda x, y: correlation(x, y) + 1e-3 * draw()))
    assert {"determinism", "independence of global random state"} <= noisy


def test_the_state_of_the_global_generators_is_left_alone() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    check_metric(honest())
    assert torch.equal(torch.get_rng_state(), before)


def test_a_modified_input_is_found() -> None:
    def modifying(x: Tensor, y: Tensor) -> float:
        value = correlation(x, y)
        x -= 1e-3
        return value

    assert "inputs are not modified" in broken(honest(modifying))


def test_a_fast_interface_that_differs_is_found() -> None:
    def compare_many(prepared: list[Tensor], pairs: list[tuple[int, int]]) -> list[float]:
        return [correlation(prepared[a], prepared[b]) + 1e-4 for a, b in pairs]

    assert broken(honest(compare_many=compare_many)) == {"batched interface equals plain function"}


def test_a_fast_interface_that_fails_is_found() -> None:
    def compare_many(prepared: list[Tensor], pairs: list[tuple[int, int]]) -> list[float]:
        raise RuntimeError("no")

    assert broken(honest(compare_many=compare_many)) == {"batched interface equals plain function"}


def by_inner_products(prepared: list[Tensor], pairs: list[tuple[int, int]]) -> list[float]:
    return [correlation(prepared[a], prepared[b]) for a, b in pairs]


def test_a_preparation_that_expects_a_representation_is_told_that_it_is_given_the_matrix() -> None:
    metric = honest(prepare=lambda side: side.matrix, compare_many=by_inner_products)
    found = {one.property: one for one in check_metric(metric)}
    line = sys._getframe().f_lineno - 2
    reason = f"AttributeError: 'Tensor' object has no attribute 'matrix' (test_conformance.py:{line})"
    given = "the function is given two matrices and `prepare` one; with `needs`, Representations"
    assert found["batched interface equals plain function"].ok is False
    assert found["batched interface equals plain function"].detail.endswith(f"the first with {reason}; {given}")
    unmeasured = [one.detail for one in found.values() if one.measured == NOT_MEASURED]
    assert unmeasured
    assert set(unmeasured) == {reason}


def test_a_function_of_matrices_with_needs_is_told_that_it_is_given_representations() -> None:
    metric = honest(lambda x, y: float((x.T @ y).norm()), needs=frozenset({"model"}))
    given = "with `needs`, the function is given two Representations and `prepare` one; each has a `.matrix`"
    line = sys._getframe().f_lineno - 2
    found = finding(metric, "gives a number (random)")
    assert found.ok is False
    what = "AttributeError: 'Representation' object has no attribute 'T'"
    assert found.measured == f"error: {what} (test_conformance.py:{line}); {given}"


def test_an_undeclared_invariance_is_a_hint() -> None:
    found = finding(honest(invariant_to=frozenset()), "invariance: orthogonal")
    assert (found.ok, found.measured, found.detail) == (True, "yes", "could be declared")


def test_an_undeclared_symmetry_is_a_hint() -> None:
    found = finding(honest(symmetric=False), "symmetry")
    assert (found.ok, found.measured, found.detail) == (True, "yes", "could be declared")


def test_an_invariance_that_is_neither_declared_nor_there_is_reported() -> None:
    found = finding(honest(), "invariance: invertible_linear")
    assert (found.ok, found.declared, found.measured) == (True, "no", "no")


@pytest.mark.parametrize("name", INVARIANCES)
def test_every_invariance_is_measured(name: str) -> None:
    assert finding(METRICS.get("pwcca"), f"invariance: {name}").measured in ("yes", "no")


def test_a_head_metric_that_reads_uncentred_logits_is_found() -> None:
    def raw(a: Representation, b: Representation) -> float:
        return float((a.logits - b.logits).norm())

    metric = honest(
        raw,
        higher_is_more_similar=False,
        value_range=(0, float("inf")),
        needs=frozenset({"head"}),
        level="head",
        invariant_to=frozenset({"affine"}),
    )
    assert "invariance: affine" in broken(metric)


@pytest.mark.parametrize(
    ("name", "parameters"), [("procrustes_squared", {}), ("gulp", {"squared": True}), ("energy_distance", {})]
)
def test_a_square_that_is_declared_to_keep_the_triangle_inequality_is_found(
    name: str, parameters: dict[str, object]
) -> None:
    metric = replace(METRICS.get(name).with_parameters(parameters), triangle_inequality=True)
    found = finding(metric, "triangle inequality")
    assert (found.ok, found.declared, found.measured) == (False, "yes", "no")


def test_the_root_of_what_violates_the_triangle_inequality_keeps_it() -> None:
    assert finding(METRICS.get("procrustes"), "triangle inequality").ok
    assert finding(METRICS.get("procrustes"), "triangle inequality").detail == "0 of 360 triples violate it"


def test_most_triples_are_adversarial() -> None:
    squared = detours(METRICS.get("procrustes_squared"), 1e-6)
    assert squared.triples >= 300
    assert squared.violations / squared.triples > 0.25
    assert 0.1 < squared.excess <= 0.5  # half of the way is what a midpoint saves of a square


def test_a_similarity_has_no_triangle_inequality() -> None:
    assert "triangle inequality" not in {found.property for found in check_metric(honest())}


def test_small_values_are_told_apart_by_the_scale_of_the_metric() -> None:
    def tiny(x: Tensor, y: Tensor) -> float:
        return 1e-7 * correlation(x, y) * (1 if x.shape[1] <= y.shape[1] else 0.9)

    assert broken(honest(tiny)) == {"symmetry"}


def test_a_self_comparison_away_from_the_end_is_reported() -> None:
    lowered = honest(lambda x, y: 0.9 * correlation(x, y))
    assert finding(lowered, "self-comparison").measured == "1.0e-01 away"


def test_an_invariance_has_to_hold_on_all_inputs() -> None:
    def narrow(x: Tensor, y: Tensor) -> float:
        return correlation(x, y) if len(x) > x.shape[1] else correlation(x * torch.arange(x.shape[1]), y)

    assert broken(honest(narrow, symmetric=False)) == {"invariance: orthogonal", "invariance: permutation"}


def test_the_value_for_unrelated_inputs_is_reported() -> None:
    assert 0 < float(finding(honest(), "value for unrelated representations").measured) < 0.5


def test_the_inputs_are_what_their_names_say() -> None:
    by_name = {case.name: case for case in cases(0)}
    assert torch.linalg.matrix_rank(by_name["low rank"].b.matrix - by_name["low rank"].b.matrix.mean(dim=0)) == 5
    assert by_name["wide"].a.features > len(by_name["wide"].a.matrix)
    assert torch.equal(by_name["duplicated units"].a.matrix[:, :2], by_name["duplicated units"].a.matrix[:, -2:])
    assert int((by_name["dead units"].a.matrix == by_name["dead units"].a.matrix[:1]).all(dim=0).sum()) == 2
    assert by_name["float32"].a.matrix.dtype == torch.float32
    assert torch.equal(by_name["shared units"].b.matrix[:, 0], 2 * by_name["shared units"].a.matrix[:, 0])


def test_unrelated_sides_are_independent_and_one_of_them_knows_the_targets() -> None:
    case = unrelated(0, rows=2000, width=5)
    assert float(torch.corrcoef(torch.cat([case.a.matrix, case.b.matrix], dim=1).T)[:5, 5:].abs().max()) < 0.1
    assert torch.equal(case.b.logits.argmax(dim=1), case.b.targets)


def test_a_common_shift_of_the_unembeddings_leaves_the_distribution() -> None:
    side = cases(0)[0].a
    shifted = common_shift(side, seed=1)
    assert torch.allclose(shifted.log_probabilities, side.log_probabilities)
    assert not torch.allclose(shifted.logits, side.logits)
