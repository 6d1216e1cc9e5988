"""Sparse prediction: against scikit-learn's LASSO, the optimality conditions, known answers, and by properties."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.linear_model import Lasso

from simbench.errors import NotApplicable
from simbench.metrics.kernels.memory import limited_memory
from simbench.metrics.kernels.prediction import splits_of_rows
from simbench.metrics.matching import sparse as module
from simbench.metrics.matching.correlation import match_bipartite
from simbench.metrics.matching.sparse import is_optimal, lasso, sparse_prediction
from simbench.metrics.regression.linear import linear_regression
from simbench.metrics.scoring import score_pairs
from simbench.registry import METRICS
from simbench.representations.representation import Representation

Array = NDArray[np.float64]
SHAPES = [(60, 4, 6), (60, 6, 4), (12, 20, 5), (30, 1, 3)]


def pair(rows: int, width: int, other: int, seed: int = 0) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, width)) + 2
    return x, x @ rng.normal(size=(width, other)) + rng.normal(size=(rows, other)) + 3


def value(x: Array, y: Array, **parameters) -> float:
    found = sparse_prediction(torch.as_tensor(x), torch.as_tensor(y), **parameters)
    assert found.value is not None
    return found.value


def weights_by_hand(x: Array, y: Array, alpha: float) -> Array:
    """scikit-learn's coordinate descent, one target at a time, on the data; both sides standardised."""
    model = Lasso(alpha=alpha, fit_intercept=False, tol=1e-14, max_iter=100_000)
    return np.column_stack([model.fit(x, target).coef_ for target in y.T])


def by_hand(x: Array, y: Array, alpha: float, folds: int) -> float:
    residual, spread = np.zeros((2, y.shape[1]))
    for rows, training in splits_of_rows(len(x), folds, 0):
        (x_mean, x_scale), (y_mean, y_scale) = ((side[training].mean(0), side[training].std(0)) for side in (x, y))
        weights = weights_by_hand((x[training] - x_mean) / x_scale, (y[training] - y_mean) / y_scale, alpha)
        predicted = y_mean + y_scale * ((x[rows] - x_mean) / x_scale @ weights)
        residual += ((y[rows] - predicted) ** 2).sum(axis=0)
        spread += ((y[rows] - y_mean) ** 2).sum(axis=0)
    return float(np.clip(1 - residual / spread, 0, 1).mean())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("alpha", [0.1, 0.25])
def test_it_is_the_lasso_of_scikit_learn_on_held_out_rows(shape: tuple[int, int, int], alpha: float) -> None:
    x, y = pair(*shape)
    for folds in (2, 5):
        expected = by_hand(x, y, alpha, folds)
        assert value(x, y, alpha=alpha, folds=folds) == pytest.approx(expected, abs=1e-7)


@settings(max_examples=30, deadline=None)
@given(
    rows=st.integers(3, 40),
    width=st.integers(1, 40),
    copies=st.integers(0, 3),
    closeness=st.sampled_from([0.0, 1e-6, 1e-3, 0.1]),
    alpha=st.sampled_from([0.01, 0.1, 0.5]),
    seed=st.integers(0, 10**6),
)
def test_the_weights_meet_the_conditions_of_an_optimum(
    rows: int, width: int, copies: int, closeness: float, alpha: float, seed: int
) -> None:
    """Also for sources that are (nearly) copies of each other, where plain coordinate descent crawls."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, width, generator=generator, dtype=torch.float64)
    near = x[:, :copies] + closeness * torch.randn(x[:, :copies].shape, generator=generator, dtype=torch.float64)
    x, y = torch.cat([x, near], dim=1), torch.randn(rows, 4, generator=generator, dtype=torch.float64)
    x, y = (side / side.norm(dim=0) for side in (x, y))
    correlations, targets = x.T @ x, x.T @ y
    weights, optimal = lasso(correlations, targets, alpha)
    assert bool(optimal.all())
    unexplained = targets - correlations @ weights
    assert float(unexplained.abs().max()) <= alpha + 1e-8
    assert torch.allclose(unexplained[weights != 0], alpha * weights[weights != 0].sign(), rtol=0, atol=1e-8)


def test_an_optimum_is_recognised() -> None:
    eye = torch.eye(2, dtype=torch.float64)
    targets = torch.tensor([[0.5, 0.5, 0.5, 0.5], [0.05, 0.05, 0.3, 0.05]], dtype=torch.float64)
    weights = torch.tensor([[0.4, 0.39, 0.4, 0.6], [0.0, 0.0, 0.0, 0.0]], dtype=torch.float64)
    assert is_optimal(eye, targets, weights, 0.1).tolist() == [True, False, False, False]


# What it should be


def median_nonzeros(x: torch.Tensor, y: torch.Tensor, **parameters: float) -> float:
    return sparse_prediction(x, y, **parameters).auxiliary["median_nonzeros"]


@pytest.mark.parametrize("alpha", [0.1, 0.25])
def test_a_copy_is_predicted_up_to_the_penalty(alpha: float) -> None:
    rng = np.random.default_rng(0)
    x = np.maximum(rng.normal(size=(300, 20)), 0)
    order, scale = rng.permutation(20), rng.uniform(0.5, 2, size=20)
    for copy in (x, x[:, order] * scale + 4, -x):
        assert value(x, copy, alpha=alpha) == pytest.approx(1 - alpha**2, abs=1e-8)


def test_a_rotation_is_predicted_in_part_and_from_many_units() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1000, 64))
    rotated, permuted = x @ np.linalg.qr(rng.normal(size=(64, 64)))[0], x[:, rng.permutation(64)]
    a, b, c = (torch.as_tensor(side) for side in (x, rotated, permuted))
    assert value(x, rotated) == pytest.approx(0.59, abs=0.02)
    assert median_nonzeros(a, b) == pytest.approx(27, abs=1.5)
    assert median_nonzeros(a, c) == 1.0
    assert float(match_bipartite(a, b)) < 0.5 < float(linear_regression(a, b))


def test_independent_units_are_not_predicted() -> None:
    rng = np.random.default_rng(0)
    assert value(*rng.normal(size=(2, 1000, 64))) < 0.001


@pytest.mark.parametrize("noise", [0.5, 1.0, 2.0])
def test_a_noisy_copy_is_predicted_by_its_correlation_less_the_penalty(noise: float) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20_000, 8))
    found = value(x, x + noise * rng.normal(size=x.shape))
    assert found == pytest.approx(1 / (1 + noise**2) - 0.01, abs=0.01)


def test_a_larger_penalty_takes_fewer_units() -> None:
    x, y = (torch.as_tensor(side) for side in pair(300, 30, 20))
    counts = [median_nonzeros(x, y, alpha=alpha) for alpha in (0.01, 0.1, 0.25, 0.9)]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[-1]


def test_it_is_directed() -> None:
    x = np.random.default_rng(0).normal(size=(300, 20))
    assert value(x, x[:, :5]) == pytest.approx(0.99, abs=1e-8)
    assert value(x[:, :5], x) == pytest.approx(0.99 / 4, abs=0.01)


def test_a_second_copy_of_a_source_changes_nothing() -> None:
    x, y = pair(100, 6, 5)
    assert value(np.hstack([x, x[:, :3]]), y) == pytest.approx(value(x, y), abs=1e-8)


@pytest.mark.parametrize("seed", [1, 2])
def test_another_seed_deals_the_rows_otherwise(seed: int) -> None:
    x, y = pair(200, 5, 4)
    assert value(x, y, seed=seed) != value(x, y)
    assert value(x, y, seed=seed) == pytest.approx(value(x, y), abs=0.03)


# Dead units


def test_dead_units_are_left_out_and_counted() -> None:
    x, y = pair(60, 6, 5)
    dead = [np.column_stack([np.full((60, count), 0.1), side]) for count, side in ((2, x), (3, y))]
    sides = [Representation(torch.tensor(side)) for side in dead]
    (score,) = score_pairs(METRICS.get("sparse_prediction"), sides, [(0, 1)])
    assert score.value == pytest.approx(value(x, y), abs=1e-9)
    assert score.warnings == ("2 and 3 dead units",)


def test_a_fold_without_training_variance_is_left_out() -> None:
    """Of a source it predicts nothing there, of a target nothing is asked there."""
    x, y = pair(50, 4, 3)
    (rows, training), *_ = splits_of_rows(50, 5, 0)
    once = np.full(50, 0.3)
    once[rows] = y[rows, 0]
    assert np.ptp(once[training]) == 0
    both = np.column_stack([x, once])
    assert value(both, both) == pytest.approx(0.99, abs=1e-8)
    # Elsewhere it is predicted as well as any; counted there with R² = 0 it would take a fifth off its share.
    assert value(both, both[:, -2:]) == pytest.approx(0.99, abs=1e-8)
    with pytest.raises(NotApplicable, match="no variance"):
        value(both, once[:, None])
    assert np.isfinite(value(np.column_stack([x, once]), y))


def test_only_dead_units_are_not_applicable() -> None:
    with pytest.raises(NotApplicable, match="no variance"):
        sparse_prediction(torch.full((10, 3), 0.1), torch.randn(10, 3))


def test_what_is_not_solved_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = pair(60, 20, 7)
    monkeypatch.setattr(module, "ROUNDS", 1)
    found = sparse_prediction(torch.as_tensor(x), torch.as_tensor(y))
    assert "7 units is not optimal after 1 sweeps" in found.warnings[0]


# All of it


def test_a_batch_of_mixed_shapes_equals_the_plain_function() -> None:
    shapes = [(30, 4), (30, 50), (30, 4), (30, 1), (12, 20), (12, 3)]
    sides = [Representation(torch.randn(*shape) + 0.5) for shape in shapes]
    pairs = [(a, b) for a in range(6) for b in range(6) if shapes[a][0] == shapes[b][0]]
    expected = [value(sides[a].matrix, sides[b].matrix) for a, b in pairs]
    found = [score.value for score in score_pairs(METRICS.get("sparse_prediction"), sides, pairs)]
    assert found == pytest.approx(expected, abs=1e-8)
    with limited_memory(2**14):  # so that targets, and the systems of their units, are solved a few at a time
        streamed = [score.value for score in score_pairs(METRICS.get("sparse_prediction"), sides, pairs)]
    assert streamed == pytest.approx(expected, abs=1e-8)


@settings(max_examples=20, deadline=None)
@given(rows=st.integers(4, 30), width=st.integers(1, 20), other=st.integers(1, 20), seed=st.integers(0, 10**6))
def test_within_the_declared_range(rows: int, width: int, other: int, seed: int) -> None:
    assert 0 <= value(*pair(rows, width, other, seed)) <= 1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_gpu_finds_the_same() -> None:
    x, y = (torch.as_tensor(side) for side in pair(300, 30, 20))
    assert sparse_prediction(x.cuda(), y.cuda()).value == pytest.approx(sparse_prediction(x, y).value, abs=1e-9)
