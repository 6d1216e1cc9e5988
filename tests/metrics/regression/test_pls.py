"""Predictivity by partial least squares."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from tests.metrics.sides import Array, batched, value

from simbench.metrics.kernels.prediction import splits_of_rows
from simbench.metrics.regression.pls import pls_predictivity


def pair(rows: int, width: int, other: int, seed: int = 0) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, width)) + 2
    return x, x @ rng.normal(size=(width, other)) + rng.normal(size=(rows, other)) + 3


@pytest.mark.parametrize("shape", [(60, 40, 30), (200, 120, 110), (40, 60, 5)])
@pytest.mark.parametrize("components", [1, 3, 25])
def test_the_batched_interface_is_the_regression_of_scikit_learn(shape: tuple[int, int, int], components: int) -> None:
    x, y = pair(*shape)
    expected = value(pls_predictivity, x, y, components=components, folds=3)
    assert batched("pls_predictivity", x, y, components=components, folds=3) == pytest.approx(expected, abs=1e-8)


def test_as_many_components_as_dimensions_are_least_squares() -> None:
    x, y = pair(60, 5, 4)
    found = []
    for rows, training in splits_of_rows(60, 4, 0):
        predicted = LinearRegression().fit(x[training], y[training]).predict(x[rows])
        found.append(np.median([np.corrcoef(a, b)[0, 1] for a, b in zip(predicted.T, y[rows].T, strict=True)]))
    assert batched("pls_predictivity", x, y, folds=4) == pytest.approx(np.mean(found), abs=1e-9)
