"""GULP and decoding similarity."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.metrics.sides import batched, pair, value

from simbench.metrics.cca.correlations import cca_squared
from simbench.metrics.cka.linear import cka
from simbench.metrics.regression.gulp import decoding_similarity, gulp

SHAPES = [(40, 6, 6), (40, 6, 9), (40, 9, 6), (20, 1, 3)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("ridge", [0.01, 1.0])
def test_gulp_is_its_definition_by_covariances(shape: tuple[int, int, int], ridge: float) -> None:
    x, y = (side - side.mean(axis=0) for side in pair(*shape))
    n = len(x)
    sx, sy, sxy = x.T @ x / n, y.T @ y / n, x.T @ y / n
    ix, iy = (np.linalg.inv(s + ridge * np.eye(len(s))) for s in (sx, sy))
    squared = np.trace(ix @ sx @ ix @ sx) + np.trace(iy @ sy @ iy @ sy) - 2 * np.trace(ix @ sxy @ iy @ sxy.T)
    assert value(gulp, x, y, ridge=ridge) == pytest.approx(math.sqrt(squared), rel=1e-9)
    assert batched("gulp", x, y, ridge=ridge, squared=True) == pytest.approx(squared, rel=1e-9)


@pytest.mark.parametrize("ridge", [0.01, 1.0])
def test_gulp_is_what_ridge_regressions_disagree_by(ridge: float) -> None:
    """Proposition 1: the mean over random targets of the mean squared difference of the predictions."""
    x, y = (side - side.mean(axis=0) for side in pair(40, 5, 7))
    targets = np.sqrt(40) * np.eye(40)  # an orthonormal set of tasks in place of their distribution
    predictions = [
        side @ np.linalg.solve(side.T @ side + 40 * ridge * np.eye(side.shape[1]), side.T @ targets) for side in (x, y)
    ]
    assert value(gulp, x, y, ridge=ridge) ** 2 == pytest.approx(((predictions[0] - predictions[1]) ** 2).sum() / 40)


@pytest.mark.parametrize("shape", SHAPES)
def test_unregularised_gulp_counts_ranks_and_canonical_correlations(shape: tuple[int, int, int]) -> None:
    x, y = pair(*shape)
    ranks = shape[1:]
    shared = value(cca_squared, x, y) * min(ranks)
    assert value(gulp, x, y) ** 2 == pytest.approx(sum(ranks) - 2 * shared, rel=1e-9)


def test_decoding_similarity_lies_between_canonical_correlations_and_cka() -> None:
    x, y = pair(40, 5, 7)
    ranks, shared = (5, 7), value(cca_squared, x, y) * 5
    assert value(decoding_similarity, x, y, ridge=0.0) == pytest.approx(shared / math.sqrt(math.prod(ranks)), rel=1e-9)
    assert value(decoding_similarity, x, y, ridge=1e9) == pytest.approx(value(cka, x, y), rel=1e-6)


def test_decoding_similarity_is_the_cosine_of_what_the_readouts_say() -> None:
    x, y = (side - side.mean(axis=0) for side in pair(40, 5, 7))
    rng = np.random.default_rng(0)
    targets = rng.normal(size=(40, 200_000))
    said = [
        side @ np.linalg.solve(side.T @ side + 0.01 * (side**2).sum() * np.eye(side.shape[1]), side.T)
        for side in (x, y)
    ]
    covariance = [(a @ targets * (b @ targets)).mean() for a, b in [(said[0], said[1]), (said[0],) * 2, (said[1],) * 2]]
    assert value(decoding_similarity, x, y) == pytest.approx(
        covariance[0] / math.sqrt(covariance[1] * covariance[2]), abs=0.01
    )
