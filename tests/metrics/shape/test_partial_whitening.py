"""The forms of the Procrustes distance, generalised shapes and the aligned cosine."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import scipy.linalg
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from simbench.metrics.cca.correlations import cca
from simbench.metrics.metric import Score
from simbench.metrics.shape.aligned_cosine import aligned_cosine
from simbench.metrics.shape.partial_whitening import shape_linear
from simbench.metrics.shape.procrustes import nbs, procrustes
from simbench.metrics.shape.procrustes_variants import (
    procrustes_angular,
    procrustes_permutation,
    procrustes_size_shape,
    procrustes_squared,
)
from simbench.registry import METRICS

Array = NDArray[np.float64]
SHAPES = [(40, 6, 6), (40, 6, 9), (40, 9, 6), (12, 30, 25), (20, 1, 3)]
DISTANCES = [procrustes_squared, procrustes_angular, procrustes_size_shape, procrustes_permutation, shape_linear]
NAMES = [distance.__name__ for distance in DISTANCES] + ["aligned_cosine"]


def pair(rows: int, width: int, other: int, seed: int = 0) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, width))
    return x, x @ rng.normal(size=(width, other)) + rng.normal(size=(rows, other)) + 3


def value(metric, x: Array, y: Array, **parameters) -> float:
    found = metric(torch.as_tensor(x), torch.as_tensor(y), **parameters)
    return float(getattr(found, "value", found))


def padded(x: Array, y: Array) -> tuple[Array, Array]:
    width = max(x.shape[1], y.shape[1])
    left, right = (np.pad(side, ((0, 0), (0, width - side.shape[1]))) for side in (x, y))
    return left, right


def rotated(x: Array, y: Array) -> tuple[Array, Array]:
    """Padded, x rotated onto y."""
    x, y = padded(x, y)
    return x @ scipy.linalg.orthogonal_procrustes(x, y)[0], y


@pytest.mark.parametrize("shape", SHAPES)
def test_squared_and_angle_are_functions_of_nbs(shape: tuple[int, int, int]) -> None:
    x, y = pair(*shape)
    cosine = value(nbs, x, y)
    assert value(procrustes_squared, x, y) == pytest.approx(2 - 2 * cosine, abs=1e-12)
    assert math.cos(value(procrustes_angular, x, y)) == pytest.approx(cosine, abs=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_size_and_shape_is_what_the_best_rotation_leaves_of_the_centred_matrices(shape: tuple[int, int, int]) -> None:
    x, y = (side - side.mean(axis=0) for side in pair(*shape))
    first, second = rotated(x, y)
    assert value(procrustes_size_shape, x, y) == pytest.approx(np.linalg.norm(first - second), rel=1e-10)


@pytest.mark.parametrize("shape", SHAPES)
def test_size_and_shape_is_the_bures_distance_of_the_gram_matrices(shape: tuple[int, int, int]) -> None:
    x, y = (side - side.mean(axis=0) for side in pair(*shape))
    nuclear = np.linalg.norm(x.T @ y, "nuc")
    expected = (x**2).sum() + (y**2).sum() - 2 * nuclear
    assert value(procrustes_size_shape, x, y) ** 2 == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("width", "other"), [(4, 4), (3, 4), (4, 2)])
@pytest.mark.parametrize("centre", [False, True])
def test_the_permutation_distance_is_the_least_over_all_permutations(width: int, other: int, centre: bool) -> None:
    x, y = pair(15, width, other)
    first, second = padded(*(side - centre * side.mean(axis=0) for side in (x, y)))
    orders = itertools.permutations(range(first.shape[1]))
    expected = min(np.linalg.norm(first[:, list(order)] - second) for order in orders)
    assert value(procrustes_permutation, x, y, centre=centre) == pytest.approx(expected, rel=1e-12)


def test_a_permutation_cannot_do_better_than_a_rotation() -> None:
    x, y = pair(40, 6, 8)
    assert value(procrustes_permutation, x, y, centre=True) >= value(procrustes_size_shape, x, y)


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


@pytest.mark.parametrize("shape", SHAPES)
def test_aligned_cosine_is_the_mean_cosine_after_the_best_rotation_of_the_uncentred_rows(
    shape: tuple[int, int, int],
) -> None:
    x, y = pair(*shape)
    first, second = rotated(x, y)
    cosines = (first * second).sum(axis=1) / (np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1))
    assert value(aligned_cosine, x, y) == pytest.approx(cosines.mean(), rel=1e-10)


def test_aligned_cosine_leaves_out_rows_that_are_zero() -> None:
    x, y = pair(20, 4, 4)
    x[3], y[7] = 0, 0
    kept = [row for row in range(20) if row not in (3, 7)]
    first, second = rotated(x, y)
    lengths = np.linalg.norm(first[kept], axis=1) * np.linalg.norm(second[kept], axis=1)
    expected = ((first * second).sum(axis=1)[kept] / lengths).mean()
    assert value(aligned_cosine, x, y) == pytest.approx(expected, rel=1e-10)


def test_aligned_cosine_of_orthogonal_subspaces_is_zero_whatever_the_null_space() -> None:
    basis = np.linalg.qr(np.random.default_rng(0).normal(size=(20, 6)))[0]
    assert abs(value(aligned_cosine, basis[:, :3], basis[:, 3:])) < 1e-12


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


def test_the_squared_distance_violates_it() -> None:
    a, c = pair(20, 4, 4)
    x, y = (side - side.mean(axis=0) for side in (a, c))
    first, second = rotated(x / np.linalg.norm(x), y / np.linalg.norm(y))
    middle = (first + second) / 2
    through = value(procrustes_squared, a, middle) + value(procrustes_squared, middle, c)
    assert value(procrustes_squared, a, c) > through + 1e-3


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


def test_unnormalised_forms_scale_with_the_representations() -> None:
    x, y = pair(30, 5, 5)
    for distance in (procrustes_size_shape, procrustes_permutation):
        assert value(distance, 1e6 * x, 1e6 * y) == pytest.approx(1e6 * value(distance, x, y), rel=1e-10)
    assert value(procrustes, 1e6 * x, y) == pytest.approx(value(procrustes, x, y), rel=1e-10)
