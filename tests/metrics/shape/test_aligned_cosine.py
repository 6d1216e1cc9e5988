"""The aligned cosine."""

from __future__ import annotations

import numpy as np
import pytest
from tests.metrics.sides import pair, rotated, value

from simbench.metrics.shape.aligned_cosine import aligned_cosine

SHAPES = [(40, 6, 6), (40, 6, 9), (40, 9, 6), (12, 30, 25), (20, 1, 3)]


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
