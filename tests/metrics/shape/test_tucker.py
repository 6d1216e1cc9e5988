"""Tucker's congruence and the Riemannian distance."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from simbench.metrics.scoring import score_pairs
from simbench.metrics.shape.riemannian import riemannian
from simbench.metrics.shape.tucker import tucker_congruence
from simbench.registry import METRICS
from simbench.representations.representation import Representation
from simbench.testing import check_metric

Array = NDArray[np.float64]
NAMES = ["tucker_congruence", "riemannian"]
SHAPES = [(40, 6, 6), (40, 6, 9), (40, 9, 6), (12, 30, 25), (20, 1, 3)]


def pair(rows: int, width: int, other: int, seed: int = 0) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, width))
    return x, x @ rng.normal(size=(width, other)) + rng.normal(size=(rows, other)) + 3


def value(metric, x: Array, y: Array, **parameters) -> float:
    return float(metric(torch.as_tensor(x), torch.as_tensor(y), **parameters))


def fast(name: str, x: Array, y: Array, **parameters) -> float:
    sides = [Representation(torch.as_tensor(side)) for side in (x, y)]
    (score,) = score_pairs(METRICS.get(name).with_parameters(parameters), sides, [(0, 1)])
    assert score.value is not None, score.reason
    return score.value


@pytest.mark.parametrize("shape", SHAPES)
def test_congruence_is_the_mean_cosine_of_columns_after_rotation_onto_the_target(shape: tuple[int, int, int]) -> None:
    x, y = pair(*shape)
    width = max(shape[1:])
    first, second = (np.pad(side, ((0, 0), (0, width - side.shape[1]))) for side in (x, y))
    second = second @ scipy.linalg.orthogonal_procrustes(second, first)[0]
    cosines = [
        abs(a @ b) / (np.linalg.norm(a) * np.linalg.norm(b))
        for a, b in zip(first.T, second.T, strict=True)
        if np.linalg.norm(a) > 0
    ]
    if shape != (12, 30, 25):  # there is more than one best rotation where y has fewer dimensions than x has rows
        assert value(tucker_congruence, x, y) == pytest.approx(np.mean(cosines), rel=1e-9)
    assert fast("tucker_congruence", x, y) == pytest.approx(value(tucker_congruence, x, y), rel=1e-9)


def test_congruence_is_that_with_the_first_side_as_the_target() -> None:
    x, y = pair(40, 6, 6)
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(6, 6)))[0]
    assert value(tucker_congruence, x, y @ rotation) == pytest.approx(value(tucker_congruence, x, y), rel=1e-9)
    assert value(tucker_congruence, x @ rotation, y) != pytest.approx(value(tucker_congruence, x, y), rel=1e-3)


def test_congruence_leaves_out_dead_units_of_the_target() -> None:
    x, y = pair(40, 5, 6)
    dead = np.column_stack([x, np.zeros(40)])
    assert value(tucker_congruence, dead, y) == pytest.approx(value(tucker_congruence, x, y), rel=1e-9)


def test_congruence_of_orthogonal_subspaces_is_zero_whatever_the_null_space() -> None:
    basis = np.linalg.qr(np.random.default_rng(0).normal(size=(20, 6)))[0]
    assert value(tucker_congruence, basis[:, :3], basis[:, 3:]) == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(40, 6), (8, 30)])
def test_self_comparisons_are_exact(dtype: torch.dtype, shape: tuple[int, int]) -> None:
    x = torch.randn(*shape, dtype=dtype)
    own = [score_pairs(METRICS.get(name), [Representation(x)], [(0, 0)])[0].value for name in NAMES]
    assert own == pytest.approx([1, 0], abs=1e-9)
    assert [float(tucker_congruence(x, x)), float(riemannian(x, x))] == pytest.approx([1, 0], abs=1e-9)


def kernel(x: Array, shrinkage: float) -> Array:
    gram = (x - x.mean(axis=0)) @ (x - x.mean(axis=0)).T
    return (1 - shrinkage) * len(x) * gram / np.trace(gram) + shrinkage * np.eye(len(x))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("shrinkage", [0.01, 0.1, 0.5])
def test_the_distance_is_that_of_generalised_eigenvalues(shape: tuple[int, int, int], shrinkage: float) -> None:
    x, y = pair(*shape)
    eigenvalues = scipy.linalg.eigh(kernel(y, shrinkage), kernel(x, shrinkage), eigvals_only=True)
    expected = math.sqrt((np.log(eigenvalues) ** 2).sum())
    assert value(riemannian, x, y, shrinkage=shrinkage) == pytest.approx(expected, rel=1e-8)
    assert fast("riemannian", x, y, shrinkage=shrinkage) == pytest.approx(expected, rel=1e-8)


def test_the_distance_is_the_norm_of_a_matrix_logarithm() -> None:
    x, y = pair(15, 4, 6)
    root = scipy.linalg.fractional_matrix_power(kernel(x, 0.2), -0.5)
    expected = np.linalg.norm(scipy.linalg.logm(root @ kernel(y, 0.2) @ root))
    assert value(riemannian, x, y, shrinkage=0.2) == pytest.approx(expected, rel=1e-8)


def test_the_triangle_inequality_holds() -> None:
    rng = np.random.default_rng(0)
    base, violations = rng.normal(size=(12, 4)), 0
    for _ in range(300):
        a, c = base + rng.normal(size=(12, 4)), base + rng.normal(size=(12, 4))
        b = (a + c) / 2 if rng.random() < 0.5 else base + rng.normal(size=(12, 4))
        violations += value(riemannian, a, c) > value(riemannian, a, b) + value(riemannian, b, c) + 1e-9
    assert violations == 0


@pytest.mark.parametrize("size", [1e-3, 1e-6, 1e-9])
def test_small_distances_keep_their_digits(size: float) -> None:
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=(60, 5)), rng.normal(size=(60, 5))
    exact = value(riemannian, x, x + 1e-3 * noise) / 1e-3
    assert fast("riemannian", x, x + size * noise) / size == pytest.approx(exact, rel=0.02)


@settings(max_examples=25, deadline=None)
@given(rows=st.integers(3, 30), width=st.integers(1, 40), other=st.integers(1, 40), seed=st.integers(0, 10**6))
def test_within_the_declared_range(rows: int, width: int, other: int, seed: int) -> None:
    x, y = pair(rows, width, other, seed)
    assert 0 <= fast("tucker_congruence", x, y) <= 1 + 1e-12
    assert fast("riemannian", x, y) == pytest.approx(fast("riemannian", y, x), rel=1e-7)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", [1, 2])
def test_declarations_hold_on_other_inputs_too(name: str, seed: int) -> None:
    assert [finding for finding in check_metric(METRICS.get(name), seed=seed) if not finding.ok] == []
