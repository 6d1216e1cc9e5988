"""CKA, biased and debiased: against the Gram-matrix definitions, by known answers and by properties."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.metrics.sides import Array, pair

from simbench.errors import NotApplicable
from simbench.metrics.cka.linear import cka, cka_debiased
from simbench.metrics.kernels.hsic import NonPositiveSelfHSICError
from simbench.metrics.scoring import score_pairs
from simbench.registry import METRICS
from simbench.representations.representation import Representation

SHAPES = [(40, 6, 9), (12, 30, 25), (20, 20, 1), (5, 2, 3)]
BOTH = [cka, cka_debiased]


def biased_reference(x: Array, y: Array) -> float:
    """tr(KHLH) / √(tr(KHKH) tr(LHLH)) with uncentred Gram matrices."""
    n = len(x)
    h = np.eye(n) - np.ones((n, n)) / n
    k, l = x @ x.T, y @ y.T  # noqa: E741
    return float(np.trace(k @ h @ l @ h) / np.sqrt(np.trace(k @ h @ k @ h) * np.trace(l @ h @ l @ h)))


def hsic1(x: Array, y: Array) -> float:
    """The U-statistic, by loops over the hollow Gram matrices of the uncentred data."""
    n = len(x)
    k, l = x @ x.T, y @ y.T  # noqa: E741
    np.fill_diagonal(k, 0)
    np.fill_diagonal(l, 0)
    trace = sum(k[i, j] * l[j, i] for i in range(n) for j in range(n))
    return float((trace + k.sum() * l.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * (k @ l).sum()) / (n * (n - 3)))


def debiased_reference(x: Array, y: Array) -> float:
    return hsic1(x, y) / float(np.sqrt(hsic1(x, x) * hsic1(y, y)))


def value(metric, x: Array, y: Array) -> float:
    return float(metric(torch.as_tensor(x), torch.as_tensor(y)))


@pytest.mark.parametrize("shape", SHAPES)
def test_cka_equals_the_gram_definition(shape: tuple[int, int, int]) -> None:
    x, y = pair(*shape)
    assert value(cka, x, y) == pytest.approx(biased_reference(x, y), rel=1e-10)


@pytest.mark.parametrize("shape", SHAPES)
def test_debiased_cka_equals_the_u_statistic(shape: tuple[int, int, int]) -> None:
    x, y = pair(*shape)
    assert value(cka_debiased, x, y) == pytest.approx(debiased_reference(x, y), rel=1e-9)


def test_cka_of_two_orthogonal_units_against_one_of_them() -> None:
    x = np.array([[1.0, 1], [1, -1], [-1, 1], [-1, -1]])
    assert value(cka, x, x[:, :1]) == pytest.approx(1 / np.sqrt(2))


def test_cka_of_single_units_is_their_squared_correlation() -> None:
    x, y = pair(30, 1, 1)
    assert value(cka, x, y) == pytest.approx(np.corrcoef(x[:, 0], y[:, 0])[0, 1] ** 2, rel=1e-10)


def test_uncorrelated_units_have_cka_zero() -> None:
    assert value(cka, np.array([[1.0], [1], [-1], [-1]]), np.array([[1.0], [-1], [1], [-1]])) == pytest.approx(0)


@pytest.mark.parametrize(("rows", "width", "other"), [(50, 512, 512), (300, 64, 48)])
def test_debiased_cka_of_independent_data_is_zero_on_average(rows: int, width: int, other: int) -> None:
    rng = np.random.default_rng(1)
    sides = [Representation(torch.tensor(rng.normal(size=(rows, w)))) for _ in range(200) for w in (width, other)]
    scores = score_pairs(METRICS.get("cka_debiased"), sides, [(2 * k, 2 * k + 1) for k in range(200)])
    draws = np.array([score.value for score in scores])
    assert abs(draws.mean()) < 3 * draws.std(ddof=1) / np.sqrt(200)


def test_biased_cka_of_independent_wide_data_is_high() -> None:
    rng = np.random.default_rng(2)
    assert value(cka, rng.normal(size=(50, 512)), rng.normal(size=(50, 512))) == pytest.approx(0.911, abs=0.01)


@pytest.mark.parametrize("metric", BOTH)
@settings(max_examples=40, deadline=None)
@given(rows=st.integers(5, 30), width=st.integers(1, 40), other=st.integers(1, 40), seed=st.integers(0, 10**6))
def test_symmetric_and_within_its_range(metric, rows: int, width: int, other: int, seed: int) -> None:
    x, y = pair(rows, width, other, seed)
    forwards, backwards = value(metric, x, y), value(metric, y, x)
    assert forwards == pytest.approx(backwards, abs=1e-12)
    assert -1 - 1e-9 <= forwards <= 1 + 1e-9


@pytest.mark.parametrize("metric", BOTH)
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), exponent=st.floats(-6, 6), offset=st.floats(-1e3, 1e3))
def test_rotation_scale_and_translation_do_not_matter(metric, seed: int, exponent: float, offset: float) -> None:
    x, y = pair(25, 6, 4, seed)
    rotation = np.linalg.qr(np.random.default_rng(seed).normal(size=(6, 6)))[0]
    assert value(metric, 10**exponent * (x @ rotation + offset), y) == pytest.approx(value(metric, x, y), rel=1e-7)


@pytest.mark.parametrize("metric", BOTH)
@pytest.mark.parametrize("shape", [(40, 6), (8, 30)])
def test_identical_inputs_give_one(metric, shape: tuple[int, int]) -> None:
    x = np.random.default_rng(0).normal(size=shape)
    assert value(metric, x, x) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("metric", BOTH)
def test_integers_are_taken_as_they_are(metric) -> None:
    x = np.random.default_rng(0).integers(-5, 5, size=(20, 4))
    y = np.random.default_rng(1).integers(-5, 5, size=(20, 3))
    assert value(metric, x, y) == value(metric, x.astype(float), y.astype(float))


@pytest.mark.parametrize("metric", BOTH)
def test_memory_layout_does_not_matter(metric) -> None:
    x, y = (torch.tensor(side) for side in pair(20, 6, 8))
    assert float(metric(x.T.contiguous().T, y[:, ::2])) == pytest.approx(float(metric(x, y[:, ::2].clone())), rel=1e-12)


@pytest.mark.parametrize("metric", BOTH)
def test_dead_and_constant_units_do_not_matter(metric) -> None:
    x, y = pair(20, 6, 8)
    padded = np.column_stack([x, np.zeros(20), np.full(20, 0.1)])
    assert value(metric, padded, y) == pytest.approx(value(metric, x, y), rel=1e-10)


@pytest.mark.parametrize("metric", BOTH)
def test_more_noise_is_less_similar(metric) -> None:
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=(200, 10)), rng.normal(size=(200, 10))
    values = [value(metric, x, x + level * noise) for level in (0, 0.1, 0.3, 1, 3, 10)]
    assert values == sorted(values, reverse=True)


@pytest.mark.parametrize("metric", BOTH)
def test_a_constant_matrix_is_not_applicable(metric) -> None:
    with pytest.raises(NotApplicable, match="no variance"):
        metric(torch.full((10, 3), 0.1), torch.randn(10, 3))


def test_debiased_cka_needs_four_rows() -> None:
    x = torch.randn(3, 2)
    with pytest.raises(ValueError, match="at least 4 rows, got 3"):
        cka_debiased(x, x)


def test_a_self_similarity_of_zero_is_a_named_error() -> None:
    one_outlier = torch.zeros(10, 2)
    one_outlier[0] = 1
    with pytest.raises(NonPositiveSelfHSICError, match="not positive"):
        cka_debiased(one_outlier, torch.randn(10, 2))


def test_a_self_similarity_of_zero_spoils_only_its_own_pairs() -> None:
    generator = torch.Generator().manual_seed(0)
    one_outlier = torch.zeros(10, 2)
    one_outlier[0] = 1
    sides = [Representation(side) for side in (one_outlier, *torch.randn(2, 10, 2, generator=generator))]
    scores = score_pairs(METRICS.get("cka_debiased"), sides, [(0, 1), (1, 2)])
    assert [score.status for score in scores] == ["error", "ok"]
    assert scores[0].reason is not None
    assert scores[0].reason.startswith("NonPositiveSelfHSICError")
