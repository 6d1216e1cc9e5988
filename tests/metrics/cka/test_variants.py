"""Minibatch, Gaussian, angular and dimension-corrected CKA, and the effective number of shared dimensions."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist, squareform
from tests.metrics.sides import Array, value

from simbench.metrics.cka.gaussian import cka_rbf
from simbench.metrics.cka.linear import cka, cka_debiased
from simbench.metrics.cka.variants import cka_angular, cka_dimension_corrected, cka_minibatch, ensd
from simbench.metrics.scoring import score_pairs
from simbench.registry import METRICS
from simbench.representations.representation import Representation
from simbench.testing import check_metric

NAMES = ["cka_minibatch", "cka_rbf", "cka_angular", "cka_dimension_corrected", "ensd"]
SHAPES = [(40, 6, 6), (40, 6, 9), (40, 9, 6), (12, 30, 25), (20, 2, 3)]


def pair(rows: int, width: int, other: int, seed: int = 0) -> tuple[Array, Array]:
    """Units that correlate, within a side and between the two."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, width)) + rng.normal(size=(rows, 1))
    return x, x @ rng.normal(size=(width, other)) + rng.normal(size=(rows, other)) + 3


def hsic1(k: Array, l: Array) -> float:  # noqa: E741
    """The U-statistic from Gram matrices without their diagonals, term by term."""
    n, one = len(k), np.ones(len(k))
    k, l = (m - np.diag(np.diag(m)) for m in (k, l))  # noqa: E741
    terms = np.trace(k @ l) + (one @ k @ one) * (one @ l @ one) / ((n - 1) * (n - 2)) - 2 * one @ k @ l @ one / (n - 2)
    return terms / (n * (n - 3))


def participation_ratio(x: Array) -> float:
    values = np.linalg.eigvalsh(np.cov(x.T).reshape(x.shape[1], x.shape[1]))
    return values.sum() ** 2 / (values**2).sum()


# Minibatches


@pytest.mark.parametrize("shape", SHAPES)
def test_one_batch_is_the_debiased_cka(shape: tuple[int, int, int]) -> None:
    x, y = pair(*shape)
    assert value(cka_minibatch, x, y) == pytest.approx(value(cka_debiased, x, y), abs=1e-12)


@pytest.mark.parametrize("batch_size", [4, 7, 13, 20])
def test_several_batches_are_sums_of_the_u_statistic(batch_size: int) -> None:
    x, y = pair(45, 6, 9)
    batches = _row_numbers(batch_size)
    assert max(len(rows) for rows in batches) <= max(batch_size, 5)  # 45 rows make no batches of exactly 4
    assert sorted(row for rows in batches for row in rows) == list(range(45))
    sums = np.zeros(3)
    for rows in batches:
        k, l = x[rows] @ x[rows].T, y[rows] @ y[rows].T  # noqa: E741
        sums += [hsic1(k, l), hsic1(k, k), hsic1(l, l)]
    expected = sums[0] / math.sqrt(sums[1] * sums[2])
    assert value(cka_minibatch, x, y, batch_size=batch_size) == pytest.approx(expected, rel=1e-10)


def _row_numbers(batch_size: int) -> list[list[int]]:
    """Which rows make up each batch of 45: unit vectors tell, even after each batch has been centred."""
    batches = METRICS.get("cka_minibatch").prepare(torch.eye(45).double(), batch_size=batch_size, seed=0)
    return [batch.argmax(dim=1).tolist() for batch in batches]


def test_the_value_of_minibatches_of_independent_data_is_not_biased() -> None:
    rng = np.random.default_rng(0)
    values = [
        value(cka_minibatch, rng.normal(size=(60, 30)), rng.normal(size=(60, 20)), batch_size=15) for _ in range(200)
    ]
    assert abs(np.mean(values)) < 3 * np.std(values) / math.sqrt(200)


def test_another_seed_gives_other_batches_and_nearly_the_same_value() -> None:
    x, y = pair(400, 6, 9)
    values = [value(cka_minibatch, x, y, batch_size=50, seed=seed) for seed in range(5)]
    assert len(set(values)) == 5
    assert np.std(values) < 0.02
    assert np.mean(values) == pytest.approx(value(cka_debiased, x, y), abs=0.02)


def test_batches_in_which_nothing_varies_count_nothing() -> None:
    x = np.zeros((200, 2))
    x[:60] = np.random.default_rng(0).normal(size=(60, 2))
    assert value(cka_minibatch, x, 2 * x + 1, batch_size=5) == pytest.approx(1, abs=1e-12)


# Gaussian kernels


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("fraction", [0.05, 0.2, 0.5, 1.0])
def test_the_width_is_a_fraction_of_the_median_distance_of_pairs(shape: tuple[int, int, int], fraction: float) -> None:
    kernels = []
    for side in pair(*shape):
        distances = pdist(side)
        kernel = np.exp(-(squareform(distances) ** 2) / (2 * (fraction * np.median(distances)) ** 2))
        centring = np.eye(len(side)) - 1 / len(side)
        kernels.append(centring @ kernel @ centring)
    expected = (kernels[0] * kernels[1]).sum() / (np.linalg.norm(kernels[0]) * np.linalg.norm(kernels[1]))
    assert value(cka_rbf, *pair(*shape), fraction=fraction) == pytest.approx(expected, rel=1e-10)
    assert _fast("cka_rbf", *pair(*shape), fraction=fraction) == pytest.approx(expected, rel=1e-10)


def test_a_wide_kernel_is_the_linear_one() -> None:
    x, y = pair(60, 5, 7)
    assert _fast("cka_rbf", x, y, fraction=1e3) == pytest.approx(value(cka, x, y), abs=1e-5)
    assert _fast("cka_rbf", x, y, fraction=1e5) == pytest.approx(value(cka, x, y), abs=1e-7)


def test_blocks_of_rows_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = pair(50, 5, 7)
    whole = _fast("cka_rbf", x, y)
    monkeypatch.setattr("simbench.metrics.kernels.memory.BLOCK", 8 * 50 * 2 * 7)
    assert _fast("cka_rbf", x, y) == pytest.approx(whole, rel=1e-12)


def test_no_width_is_an_error_and_not_a_number() -> None:
    x = np.zeros((20, 2))
    x[0] = 1
    for interface in (
        lambda: value(cka_rbf, x, x),
        lambda: METRICS.get("cka_rbf").prepare(_side(x).matrix, fraction=0.5),
    ):
        with pytest.raises(ValueError, match="median distance"):
            interface()


# Angles


@pytest.mark.parametrize("shape", SHAPES)
def test_the_cosine_of_the_angle_is_linear_cka(shape: tuple[int, int, int]) -> None:
    x, y = pair(*shape)
    assert math.cos(value(cka_angular, x, y)) == pytest.approx(value(cka, x, y), abs=1e-12)
    assert math.cos(_fast("cka_angular", x, y)) == pytest.approx(value(cka, x, y), abs=1e-12)


@pytest.mark.parametrize("size", [1e-3, 1e-6, 1e-9])
def test_small_angles_keep_their_digits(size: float) -> None:
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=(100, 5)), rng.normal(size=(100, 5))
    exact = value(cka_angular, x, x + 1e-2 * noise) / 1e-2
    assert value(cka_angular, x, x + size * noise) / size == pytest.approx(exact, rel=0.02)
    assert _fast("cka_angular", x, x + size * noise) / size == pytest.approx(exact, rel=0.02)


def test_the_angle_satisfies_the_triangle_inequality() -> None:
    rng = np.random.default_rng(0)
    base, violations = rng.normal(size=(20, 4)), 0
    for _ in range(300):
        a, c = base + rng.normal(size=(20, 4)), base + rng.normal(size=(20, 4))
        b = (a + c) / 2 if rng.random() < 0.5 else base + rng.normal(size=(20, 4))
        violations += value(cka_angular, a, c) > value(cka_angular, a, b) + value(cka_angular, b, c) + 1e-9
    assert violations == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(40, 6), (8, 30)])
def test_the_angle_with_oneself_is_zero(dtype: torch.dtype, shape: tuple[int, int]) -> None:
    x = torch.randn(*shape, dtype=dtype)
    assert float(cka_angular(x, x)) < 1e-12
    assert score_pairs(METRICS.get("cka_angular"), [Representation(x)], [(0, 0)])[0].value < 1e-12


# Dimensions


@pytest.mark.parametrize("shape", SHAPES)
def test_shared_dimensions_are_cka_times_the_geometric_mean_of_participation_ratios(
    shape: tuple[int, int, int],
) -> None:
    x, y = pair(*shape)
    expected = value(cka, x, y) * math.sqrt(participation_ratio(x) * participation_ratio(y))
    assert value(ensd, x, y) == pytest.approx(expected, rel=1e-10)
    assert value(ensd, x, x) == pytest.approx(participation_ratio(x), rel=1e-10)


@pytest.mark.parametrize("shape", SHAPES[:3])
def test_the_correction_leaves_a_unit_out_of_what_it_is_compared_with(shape: tuple[int, int, int]) -> None:
    x, y = pair(*shape)
    scales = []
    for side in (x, y):
        grams = [np.outer(unit, unit) for unit in side.T]
        terms = [hsic1(k, l) for i, k in enumerate(grams) for j, l in enumerate(grams) if i != j]  # noqa: E741
        scales.append(np.mean(terms))
    expected = hsic1(x @ x.T, y @ y.T) / (x.shape[1] * y.shape[1]) / math.sqrt(scales[0] * scales[1])
    assert value(cka_dimension_corrected, x, y) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("units", [5, 20, 80])
def test_few_units_of_one_population_are_as_similar_as_many(units: int) -> None:
    rng = np.random.default_rng(0)
    latents = rng.normal(size=(200, 30))
    draws = [tuple(latents @ rng.normal(size=(30, units)) for _ in range(2)) for _ in range(150)]
    corrected = [value(cka_dimension_corrected, x, y) for x, y in draws]
    assert np.median(corrected) == pytest.approx(1, abs=0.1)
    if units < 80:
        assert np.median([value(cka_debiased, x, y) for x, y in draws]) < 0.5


def test_rotations_change_which_units_are_left_out() -> None:
    findings = {finding.property: finding for finding in check_metric(METRICS.get("cka_dimension_corrected"))}
    assert findings["invariance: orthogonal"].measured == "no"


@pytest.mark.parametrize(("rows", "units"), [(3, 5), (10, 1)])
def test_too_few_rows_or_units_are_an_error(rows: int, units: int) -> None:
    with pytest.raises(ValueError, match="at least 4 rows and 2 units"):
        cka_dimension_corrected(torch.randn(rows, units), torch.randn(rows, 4))


# All of them


@settings(max_examples=25, deadline=None)
@given(rows=st.integers(8, 30), width=st.integers(2, 40), other=st.integers(2, 40), seed=st.integers(0, 10**6))
def test_symmetric_and_within_the_declared_range(rows: int, width: int, other: int, seed: int) -> None:
    x, y = pair(rows, width, other, seed)
    for name in set(NAMES) - {"cka_dimension_corrected", "cka_minibatch"}:  # which may fail, or exceed 1, by chance
        metric = METRICS.get(name)
        forwards = value(metric.function, x, y)
        low, high = metric.value_range
        assert forwards == pytest.approx(value(metric.function, y, x), abs=1e-10)
        assert low - 1e-12 <= forwards <= high + 1e-12


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", [1, 2])
def test_declarations_hold_on_other_inputs_too(name: str, seed: int) -> None:
    open_findings = [finding for finding in check_metric(METRICS.get(name), seed=seed) if not finding.ok]
    # unrelated data may have no positive HSIC to divide by: then there is no value to tell
    assert [
        one for one in open_findings if (one.property, one.ok) != ("value for unrelated representations", None)
    ] == []


@pytest.mark.parametrize("name", ["cka_minibatch", "cka_dimension_corrected"])
def test_a_representation_that_cannot_be_normalised_spoils_only_its_own_pairs(name: str) -> None:
    one, bad = torch.randn(8, 1), torch.eye(8)  # all rows equally far apart: HSIC₁ is 0
    sides = [Representation(one + torch.randn(8, 3) / 3), Representation(one * 2 + torch.randn(8, 4) / 3)]
    scores = score_pairs(METRICS.get(name), [*sides, Representation(bad)], [(0, 1), (0, 2), (2, 1)])
    assert [score.status for score in scores] == ["ok", "error", "error"]
    assert "NonPositiveSelfHSICError" in str(scores[1].reason)


def _side(x: Array) -> Representation:
    return Representation(torch.as_tensor(x))


def _fast(name: str, x: Array, y: Array, **parameters) -> float:
    (score,) = score_pairs(METRICS.get(name).with_parameters(parameters), [_side(x), _side(y)], [(0, 1)])
    assert score.value is not None, score.reason
    return score.value
