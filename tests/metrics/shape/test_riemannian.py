"""The Riemannian distance of kernels."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.linalg
from tests.metrics.sides import Array, batched, pair, value

from simbench.metrics.shape.riemannian import riemannian

SHAPES = [(40, 6, 6), (40, 6, 9), (40, 9, 6), (12, 30, 25), (20, 1, 3)]


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
    assert batched("riemannian", x, y, shrinkage=shrinkage) == pytest.approx(expected, rel=1e-8)


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
    assert batched("riemannian", x, x + size * noise) / size == pytest.approx(exact, rel=0.02)
