"""Predictivity in sample and by cross-validated ridge regression, and what all predictivities have in common."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression, Ridge
from tests.metrics.sides import Array, batched, value

from simbench.metrics.cca.correlations import cca_squared
from simbench.metrics.kernels.prediction import PENALTIES, splits_of_rows
from simbench.metrics.metric import Score
from simbench.metrics.regression.linear import linear_predictivity, linear_regression
from simbench.metrics.regression.pls import pls_predictivity
from simbench.registry import METRICS
from simbench.testing import check_metric

NAMES = ["linear_regression", "linear_predictivity", "pls_predictivity"]
SHAPES = [(40, 6, 6), (40, 6, 9), (40, 9, 6), (30, 1, 3)]


def pair(rows: int, width: int, other: int, seed: int = 0) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, width)) + 2
    return x, x @ rng.normal(size=(width, other)) + rng.normal(size=(rows, other)) + 3


# In sample


@pytest.mark.parametrize("shape", SHAPES)
def test_in_sample_it_is_the_r2_of_least_squares(shape: tuple[int, int, int]) -> None:
    x, y = pair(*shape)
    expected = LinearRegression().fit(x, y).predict(x)
    r2 = 1 - ((y - expected) ** 2).sum() / ((y - y.mean(axis=0)) ** 2).sum()
    assert value(linear_regression, x, y) == pytest.approx(r2, rel=1e-10)
    assert batched("linear_regression", x, y) == pytest.approx(r2, rel=1e-10)


def test_in_sample_with_a_whitened_target_it_is_the_squared_canonical_correlation() -> None:
    x, y = pair(40, 6, 4)
    white = np.linalg.qr(y - y.mean(axis=0))[0]
    assert value(linear_regression, x, white) == pytest.approx(value(cca_squared, x, y), rel=1e-10)


def test_in_sample_an_affine_map_of_the_source_does_not_matter() -> None:
    x, y = pair(40, 6, 9)
    mapped = x @ np.random.default_rng(3).normal(size=(6, 6)) + 5
    assert value(linear_regression, mapped, y) == pytest.approx(value(linear_regression, x, y), rel=1e-9)


def test_a_source_that_fits_anything_says_so() -> None:
    x, y = (torch.randn(8, width) for width in (12, 3))
    saturated = linear_regression(x, y)
    assert isinstance(saturated, Score)
    assert saturated.warnings == ("saturated: rank 7 of 8 rows fits anything",)
    assert saturated.value == pytest.approx(1)
    assert isinstance(linear_regression(y, x), float)


# On held-out rows


def ridge_by_hand(x: Array, y: Array, folds: int, seed: int = 0) -> tuple[float, float]:
    """R² and correlation by scikit-learn, the penalty by the trace of the explicit n × n smoothing matrix."""
    residual = spread = 0.0
    correlations = []
    for rows, training in splits_of_rows(len(x), folds, seed):
        x_train, y_train, mean = x[training], y[training], y[training].mean(axis=0)
        centred = x_train - x_train.mean(axis=0)
        largest = np.linalg.svd(centred, compute_uv=False)[0] ** 2
        criteria = []
        for penalty in largest * np.array(PENALTIES):
            smoother = centred @ np.linalg.solve(centred.T @ centred + penalty * np.eye(x.shape[1]), centred.T)
            left = y_train - mean - smoother @ (y_train - mean)
            criteria.append((left**2).sum() / (len(x_train) - 1 - np.trace(smoother)) ** 2)
        best = largest * PENALTIES[int(np.argmin(criteria))]
        predicted = Ridge(alpha=best).fit(x_train, y_train).predict(x[rows]).reshape(len(rows), -1)
        residual += ((y[rows] - predicted) ** 2).sum()
        spread += ((y[rows] - mean) ** 2).sum()
        correlations.append(np.median([np.corrcoef(a, b)[0, 1] for a, b in zip(predicted.T, y[rows].T, strict=True)]))
    return 1 - residual / spread, float(np.mean(correlations))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("folds", [2, 5])
@pytest.mark.parametrize("name", ["linear_predictivity"])
def test_it_is_ridge_regression_with_the_penalty_of_generalised_cross_validation(
    name: str, shape: tuple[int, int, int], folds: int
) -> None:
    x, y = pair(*shape)
    r2, correlation = ridge_by_hand(x, y, folds)
    assert value(linear_predictivity, x, y, folds=folds) == pytest.approx(r2, abs=1e-9)
    assert batched(name, x, y, folds=folds) == pytest.approx(r2, abs=1e-9)
    assert value(linear_predictivity, x, y, folds=folds, measure="pearson") == pytest.approx(correlation, abs=1e-9)
    assert batched(name, x, y, folds=folds, measure="pearson") == pytest.approx(correlation, abs=1e-9)


@pytest.mark.parametrize("metric", [linear_predictivity, pls_predictivity])
def test_held_out_rows_are_not_predicted_by_what_is_unrelated(metric) -> None:
    rng = np.random.default_rng(0)
    values = [value(metric, rng.normal(size=(60, 30)), rng.normal(size=(60, 5)), folds=5) for _ in range(20)]
    assert np.mean(values) < 0.05
    assert max(values) < 0.2


@pytest.mark.parametrize("name", ["linear_predictivity", "pls_predictivity"])
def test_wide_sources_are_as_good_as_what_they_span(name: str) -> None:
    x, y = pair(60, 5, 4)
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(100, 100)))[0][:5]
    assert value(METRICS.get(name).function, x @ rotation, y) == pytest.approx(
        value(METRICS.get(name).function, x, y), abs=1e-9
    )


def test_more_noise_is_predicted_worse() -> None:
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=(200, 8)), rng.normal(size=(200, 8))
    for metric in (linear_predictivity, pls_predictivity):
        values = [value(metric, x, x + size * noise) for size in (0, 0.3, 1, 3)]
        assert values == sorted(values, reverse=True)
        assert values[0] == pytest.approx(1, abs=1e-9)


def test_units_that_do_not_vary_are_left_out_of_the_median() -> None:
    x, y = pair(60, 5, 3)
    dead = np.column_stack([y, np.full((60, 5), 0.1)])
    for name in ("linear_predictivity", "pls_predictivity"):
        parameters = {"measure": "pearson"} if name == "linear_predictivity" else {}
        assert batched(name, x, dead, **parameters) == pytest.approx(batched(name, x, y, **parameters), abs=1e-9)


@pytest.mark.parametrize("seed", [1, 2])
def test_another_seed_deals_the_rows_otherwise(seed: int) -> None:
    x, y = pair(100, 5, 4)
    for metric in (linear_predictivity, pls_predictivity):
        other = value(metric, x, y, seed=seed)
        assert other != value(metric, x, y)
        assert other == pytest.approx(value(metric, x, y), abs=0.03)


# Partial least squares


# All of them


@settings(max_examples=20, deadline=None)
@given(rows=st.integers(3, 30), width=st.integers(1, 40), other=st.integers(1, 40), seed=st.integers(0, 10**6))
def test_finite_and_within_the_declared_range(rows: int, width: int, other: int, seed: int) -> None:
    x, y = pair(rows, width, other, seed)
    for name in NAMES:
        metric = METRICS.get(name)
        low, high = metric.value_range
        assert low - 1e-9 <= batched(name, x, y) <= high + 1e-9
        assert np.isfinite(batched(name, x, y))


@pytest.mark.parametrize("name", NAMES[:2])
@pytest.mark.parametrize("seed", [1, 2])
def test_declarations_hold_on_other_inputs_too(name: str, seed: int) -> None:
    assert [finding for finding in check_metric(METRICS.get(name), seed=seed) if not finding.ok] == []
