"""Generalised shape distances, and what all distances between shapes have in common."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.metrics.sides import pair, value

from simbench.metrics.cca.correlations import cca
from simbench.metrics.metric import Score
from simbench.metrics.shape.partial_whitening import shape_linear
from simbench.metrics.shape.procrustes_variants import (
    procrustes_angular,
    procrustes_permutation,
    procrustes_size_shape,
    procrustes_squared,
)
from simbench.registry import METRICS

SHAPES = [(40, 6, 6), (40, 6, 9), (40, 9, 6), (12, 30, 25), (20, 1, 3)]
DISTANCES = [procrustes_squared, procrustes_angular, procrustes_size_shape, procrustes_permutation, shape_linear]
NAMES = [distance.__name__ for distance in DISTANCES] + ["aligned_cosine"]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.5, 1.0])
def test_shape_linear_is_the_angle_after_partial_whitening(shape: tuple[int, int, int], alpha: float) -> None:
    sides = []
    for side in pair(*shape):
        side = side - side.mean(axis=0)
        side = side / np.linalg.norm(side)
        inverse_root = scipy.linalg.sqrtm(np.linalg.pinv(side.T @ side, rcond=1e-12)).real
        side = alpha * side + (1 - alpha) * side @ inverse_root
        sides.append(side / np.linalg.norm(side))
    cosine = np.linalg.norm(sides[0].T @ sides[1], "nuc")
    assert math.cos(value(shape_linear, *pair(*shape), alpha=alpha)) == pytest.approx(cosine, abs=1e-7)


def test_without_whitening_it_is_the_procrustes_angle() -> None:
    x, y = pair(40, 6, 9)
    assert value(shape_linear, x, y, alpha=1.0) == pytest.approx(value(procrustes_angular, x, y), abs=1e-12)


def test_fully_whitened_it_is_cca_with_the_geometric_mean_of_the_ranks() -> None:
    x, y = pair(60, 4, 9)
    x = np.column_stack([x, x[:, :2], np.full(60, 0.1)])  # rank 4 in 7 columns
    expected = value(cca, x, y) * 4 / math.sqrt(4 * 9)
    assert math.cos(value(shape_linear, x, y, alpha=0.0)) == pytest.approx(expected, abs=1e-12)


def test_fully_whitened_it_is_invariant_to_affine_maps_and_says_when_it_is_saturated() -> None:
    x, y = pair(40, 5, 7)
    other = x @ np.random.default_rng(5).normal(size=(5, 5)) + 4
    assert value(shape_linear, other, y, alpha=0.0) == pytest.approx(value(shape_linear, x, y, alpha=0.0), abs=1e-10)
    wide = torch.as_tensor(pair(8, 12, 10)[0])
    saturated = shape_linear(wide, wide.flip(0), alpha=0.0)
    assert isinstance(saturated, Score)
    assert saturated.warnings == ("saturated: ranks 7 and 7 of 8 rows force 7 of 7 correlations to 1",)
    assert isinstance(shape_linear(wide, wide.flip(0), alpha=0.1), float)


@pytest.mark.parametrize("scale", [1e-6, 2.5, 1e6])
def test_a_rotated_shifted_and_rescaled_copy_is_at_distance_zero_at_any_whitening(scale: float) -> None:
    x, _ = pair(40, 6, 6)
    rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(6, 6)))[0]
    assert value(shape_linear, x, scale * (x @ rotation) + 2 * scale, alpha=0.5) < 1e-10


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(40, 6), (8, 30)])
@pytest.mark.parametrize("distance", DISTANCES)
def test_the_distance_from_oneself_is_zero(distance, dtype: torch.dtype, shape: tuple[int, int]) -> None:
    x = torch.randn(*shape, dtype=dtype)
    assert float(distance(x, x)) < 1e-12


@pytest.mark.parametrize("distance", [procrustes_angular, procrustes_size_shape, procrustes_permutation, shape_linear])
def test_the_triangle_inequality_holds(distance) -> None:
    rng = np.random.default_rng(0)
    base, violations = rng.normal(size=(20, 4)), 0
    for _ in range(300):
        a, c = base + rng.normal(size=(20, 4)), base + rng.normal(size=(20, 4))
        b = (a + c) / 2 if rng.random() < 0.5 else base + rng.normal(size=(20, 4))
        violations += value(distance, a, c) > value(distance, a, b) + value(distance, b, c) + 1e-9
    assert violations == 0


@pytest.mark.parametrize("size", [1e-3, 1e-6, 1e-9])
@pytest.mark.parametrize("distance", [procrustes_angular, procrustes_size_shape, procrustes_permutation])
def test_small_distances_keep_their_digits(distance, size: float) -> None:
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=(100, 5)), rng.normal(size=(100, 5))
    exact = value(distance, x, x + 1e-2 * noise) / 1e-2
    assert value(distance, x, x + size * noise) / size == pytest.approx(exact, rel=0.02)


@settings(max_examples=30, deadline=None)
@given(rows=st.integers(3, 30), width=st.integers(1, 40), other=st.integers(1, 40), seed=st.integers(0, 10**6))
def test_symmetric_and_within_the_declared_range(rows: int, width: int, other: int, seed: int) -> None:
    x, y = pair(rows, width, other, seed)
    for name in NAMES:
        metric = METRICS.get(name)
        forwards = value(metric.function, x, y)
        low, high = metric.value_range
        assert forwards == pytest.approx(value(metric.function, y, x), abs=1e-9)
        assert low - 1e-12 <= forwards <= high + 1e-12
