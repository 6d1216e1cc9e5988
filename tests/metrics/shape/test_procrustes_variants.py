"""The forms of the Procrustes distance."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from tests.metrics.sides import padded, pair, rotated, value

from simbench.metrics.shape.procrustes import nbs, procrustes
from simbench.metrics.shape.procrustes_variants import (
    procrustes_angular,
    procrustes_permutation,
    procrustes_size_shape,
    procrustes_squared,
)

SHAPES = [(40, 6, 6), (40, 6, 9), (40, 9, 6), (12, 30, 25), (20, 1, 3)]


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


def test_the_squared_distance_violates_it() -> None:
    a, c = pair(20, 4, 4)
    x, y = (side - side.mean(axis=0) for side in (a, c))
    first, second = rotated(x / np.linalg.norm(x), y / np.linalg.norm(y))
    middle = (first + second) / 2
    through = value(procrustes_squared, a, middle) + value(procrustes_squared, middle, c)
    assert value(procrustes_squared, a, c) > through + 1e-3


def test_unnormalised_forms_scale_with_the_representations() -> None:
    x, y = pair(30, 5, 5)
    for distance in (procrustes_size_shape, procrustes_permutation):
        assert value(distance, 1e6 * x, 1e6 * y) == pytest.approx(1e6 * value(distance, x, y), rel=1e-10)
    assert value(procrustes, 1e6 * x, y) == pytest.approx(value(procrustes, x, y), rel=1e-10)
