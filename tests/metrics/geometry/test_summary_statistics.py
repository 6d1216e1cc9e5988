"""Differences of numbers that describe each representation on its own."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from simbench.errors import NotApplicable
from simbench.metrics.geometry.summary_statistics import concentricity_difference, uniformity_difference
from simbench.metrics.scoring import score_pairs
from simbench.registry import METRICS
from simbench.representations.representation import Representation
from simbench.testing import check_metric

Array = NDArray[np.float64]


def magnitude(x: Array) -> float:
    return float(np.linalg.norm(x.mean(axis=0)))


def concentricity(x: Array) -> float:
    mean = x.mean(axis=0)
    return float(np.mean([row @ mean / (np.linalg.norm(row) * np.linalg.norm(mean)) for row in x]))


def uniformity(x: Array) -> float:
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    return math.log(np.exp(-2 * cdist(unit, unit) ** 2).mean())


def participation_ratio(x: Array) -> float:
    values = np.linalg.eigvalsh(np.cov(x.T))
    return float(values.sum() ** 2 / (values**2).sum())


STATISTICS = {
    "magnitude_difference": magnitude,
    "concentricity_difference": concentricity,
    "uniformity_difference": uniformity,
    "participation_ratio_difference": participation_ratio,
}


def pair(rows: int = 40, width: int = 6, other: int = 9) -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(rows, width)) + 1, rng.normal(size=(rows, other)) * np.linspace(1, 3, other) - 0.5


def value(name: str, x: Array, y: Array) -> float:
    return float(METRICS.get(name).function(torch.as_tensor(x), torch.as_tensor(y)))


@pytest.mark.parametrize("name", STATISTICS)
@pytest.mark.parametrize("shape", [(40, 6, 9), (10, 30, 20)])
def test_it_is_the_absolute_difference_of_the_statistic(name: str, shape: tuple[int, int, int]) -> None:
    x, y = pair(*shape)
    assert value(name, x, y) == pytest.approx(abs(STATISTICS[name](x) - STATISTICS[name](y)), rel=1e-9)
    sides = [Representation(torch.as_tensor(side)) for side in (x, y)]
    scores = score_pairs(METRICS.get(name), sides, [(0, 1), (1, 0), (1, 1)])
    assert [score.value for score in scores] == pytest.approx([value(name, x, y), value(name, x, y), 0], abs=1e-12)


@pytest.mark.parametrize("name", STATISTICS)
def test_rows_need_no_pairing(name: str) -> None:
    x, y = pair()
    assert value(name, x, y) == pytest.approx(value(name, x[::-1].copy(), y), abs=1e-12)


@pytest.mark.parametrize("name", STATISTICS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_difference_from_oneself_is_zero(name: str, dtype: torch.dtype) -> None:
    x = torch.randn(30, 5, dtype=dtype) + 1
    assert value(name, x, x) == 0


@pytest.mark.parametrize("name", STATISTICS)
@pytest.mark.parametrize("seed", [1, 2])
def test_declarations_hold_on_other_inputs_too(name: str, seed: int) -> None:
    assert [finding for finding in check_metric(METRICS.get(name), seed=seed) if not finding.ok] == []


@pytest.mark.parametrize("name", STATISTICS)
def test_a_translation_is_seen_by_all_but_the_covariance(name: str) -> None:
    x, y = pair()
    same = abs(value(name, x + 3, y) - value(name, x, y)) < 1e-9
    assert same == (name == "participation_ratio_difference")


def test_uniformity_is_taken_on_the_sphere_where_it_does_not_saturate() -> None:
    rng = np.random.default_rng(0)
    x, y = 10 * rng.normal(size=(50, 20)), 10 * rng.normal(size=(50, 20)) + 20
    assert value("uniformity_difference", x, y) > 1


def test_blocks_of_rows_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = pair()
    whole = value("uniformity_difference", x, y)
    monkeypatch.setattr("simbench.metrics.kernels.memory.BLOCK", 8 * 40 * 7)
    assert value("uniformity_difference", x, y) == pytest.approx(whole, rel=1e-12)


@pytest.mark.parametrize("metric", [concentricity_difference, uniformity_difference])
def test_rows_without_a_direction_are_left_out(metric) -> None:
    x, y = (torch.as_tensor(side) for side in pair())
    with_zeros = torch.cat([x, torch.zeros(3, x.shape[1])])
    assert metric(with_zeros, y) == pytest.approx(metric(x, y), rel=1e-9)


def test_a_mean_of_zero_has_no_direction() -> None:
    x = torch.randn(10, 3)
    with pytest.raises(NotApplicable, match="mean row is zero"):
        concentricity_difference(torch.cat([x, -x]), x)
