"""Intervals over inputs: they cover, and are of halves of the inputs, of which none is drawn twice."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from simbench.metrics.metric import Metric, Score
from simbench.metrics.scoring import score_pairs
from simbench.metrics.wrappers.base import WrappedMetric
from simbench.metrics.wrappers.bootstrap import Resampling
from simbench.registry import METRICS
from simbench.representations.representation import Representation
from simbench.testing import check_metric
from simbench.testing.inputs import cases

MIXING = torch.tensor([[1.0, 0.5, 0.0], [0.3, 1.0, 0.2], [0.0, 0.0, 0.7]], dtype=torch.float64)


def bootstrapped(name: str, **options: Any) -> Metric:
    return METRICS.get(name).with_parameters({"bootstrap": options})


def drawn(seed: int, rows: int) -> list[Tensor]:
    """A Gaussian pair whose covariances are known, rows from one population."""
    generator = torch.Generator().manual_seed(seed)
    z, noise = (torch.randn(rows, 3, generator=generator, dtype=torch.float64) for _ in range(2))
    return [z @ MIXING, z @ MIXING.T + 0.7 * noise]


def of_population(name: str) -> float:
    """cka and nbs from the covariances that `drawn` has."""
    xx, xy, yy = MIXING.T @ MIXING, MIXING.T @ MIXING.T, MIXING @ MIXING.T + 0.49 * torch.eye(3, dtype=torch.float64)
    if name == "nbs":
        return float(torch.linalg.svdvals(xy).sum() / (xx.trace() * yy.trace()).sqrt())
    return float(xy.square().sum() / (xx.norm() * yy.norm()))


def scores(metric: Metric, *matrices: Tensor, pairs: Any = ((0, 1),)) -> list[Score]:
    return score_pairs(metric, [Representation(matrix, layer="layer") for matrix in matrices], pairs)


def wrapper_of(metric: Metric) -> Resampling:
    assert isinstance(metric, WrappedMetric)
    assert isinstance(metric.function, Resampling)
    return metric.function


@pytest.mark.parametrize("name", ["cka", "nbs"])
def test_the_interval_covers_about_as_often_as_it_says(name: str) -> None:
    count, truth = 150, of_population(name)
    matrices = [side for seed in range(count) for side in drawn(seed, 100)]
    found = scores(bootstrapped(name, draws=40, level=0.9), *matrices, pairs=[(2 * k, 2 * k + 1) for k in range(count)])
    covered = np.mean([one.auxiliary["lower"] <= truth <= one.auxiliary["upper"] for one in found])
    assert 0.8 <= covered <= 0.97
    spread = np.std([one.value for one in found])
    assert np.mean([one.standard_error for one in found]) == pytest.approx(spread, rel=0.2)


def test_the_interval_makes_up_for_the_bias_of_few_inputs() -> None:
    """In-sample R² of 20 features and 100 inputs: a bias of several standard errors, of which little may be left.

    With replacement nearly one standard error was left, of 200 inputs and 40 features more than that.
    """
    count, rows, width = 60, 100, 20
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(width, width, generator=generator, dtype=torch.float64) / width**0.5
    truth = float(weights.square().sum() / (weights.square().sum() + width))
    matrices = []
    for _ in range(count):
        x, noise = torch.randn(2, rows, width, generator=generator, dtype=torch.float64)
        matrices += [x, x @ weights + noise]
    metric = bootstrapped("linear_regression", draws=40)
    found = scores(metric, *matrices, pairs=[(2 * k, 2 * k + 1) for k in range(count)])
    error = np.mean([one.standard_error for one in found])
    ends = np.array([[one.auxiliary["lower"], one.auxiliary["upper"]] for one in found])
    assert np.mean([one.value for one in found]) - truth > 4 * error
    assert abs(ends.mean() - truth) < 0.5 * error
    assert 0.7 <= ((ends[:, 0] <= truth) & (truth <= ends[:, 1])).mean() <= 0.98


@pytest.mark.parametrize(
    ("name", "width"),
    [("cca", 30), ("cca", 70), ("linear_regression", 70), ("gulp", 70), ("cca", 120), ("linear_regression", 120)],
)
def test_saturated_resamples_leave_no_interval(name: str, width: int) -> None:
    """Of 50 rows, all correlations with 70 features are 1: an interval of them would have no width."""
    generator = torch.Generator().manual_seed(0)
    (found,) = scores(
        bootstrapped(name, draws=20), *torch.randn(2, 100, width, generator=generator, dtype=torch.float64)
    )
    assert found.value is not None
    assert (found.standard_error, dict(found.auxiliary)) == (None, {})
    assert found.warnings[-1].startswith("no interval: 20 of 20 resamples: saturated")


def test_counts_of_dead_units_are_no_reason_against_an_interval() -> None:
    x, y = drawn(0, 40)
    x[:, 0] = 0
    x[0, 0] = 1  # of most halves this unit is dead
    (found,) = scores(bootstrapped("match_bipartite", draws=20), x, y)
    assert (found.warnings, found.standard_error is None) == ((), False)


def test_a_resample_is_half_of_the_inputs_and_none_twice() -> None:
    choices = wrapper_of(bootstrapped("nbs", draws=20))._choices(41)
    assert [len(one.unique()) for one in choices] == [len(one) for one in choices] == [20] * 20


def test_half_of_the_inputs_have_half_of_the_neighbours() -> None:
    metric = METRICS.get("mutual_knn").with_parameters({"k": 7, "bootstrap": "inputs"})
    assert wrapper_of(metric)._of_resample(100).parameters["k"] == 4
    assert METRICS.get("mutual_knn").with_parameters(metric.parameters).parameters["k"] == 7


def test_duplicates_would_have_biased_neighbours() -> None:
    """The reason for subsampling: on unrelated data a bootstrap resample looks related."""
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(100, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    twice = torch.randint(100, (100,), generator=generator)
    plain = METRICS.get("mutual_knn")
    chance, resampled = (scores(plain, x[rows], y[rows])[0].value for rows in (slice(None), twice))
    (found,) = scores(bootstrapped("mutual_knn"), x, y)
    assert chance is not None
    assert resampled is not None
    assert resampled > chance + 0.05
    assert found.auxiliary["lower"] <= chance <= found.auxiliary["upper"]


def test_the_value_is_that_of_the_metric_and_identity_has_no_error() -> None:
    x, y = drawn(0, 50)
    (plain,) = scores(METRICS.get("procrustes"), x, y)
    found, own = scores(bootstrapped("procrustes"), x, y, pairs=[(0, 1), (0, 0)])
    assert found.value == plain.value
    assert own.standard_error == pytest.approx(0, abs=1e-12)
    assert own.auxiliary["lower"] >= 0


def test_more_inputs_make_a_narrower_interval() -> None:
    errors = [scores(bootstrapped("cka"), *drawn(1, rows))[0].standard_error or 0.0 for rows in (50, 800)]
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.4)


@pytest.mark.parametrize("name", ["kl", "jensen_shannon", "accuracy_difference"])
def test_a_functional_metric_is_resampled_with_its_model(name: str) -> None:
    case = cases(0)[0]
    (found,) = score_pairs(bootstrapped(name, draws=20), [case.a, case.b], [(0, 1)])
    assert found.status == "ok", found.reason
    assert found.standard_error is not None


def test_what_it_declares_of_a_metric_holds() -> None:
    assert [found for found in check_metric(bootstrapped("nbs", draws=20)) if not found.ok] == []


def test_too_few_inputs_have_a_value_and_no_interval() -> None:
    (found,) = scores(bootstrapped("cka"), *drawn(2, 6))
    assert found.value is not None
    assert (found.standard_error, dict(found.auxiliary)) == (None, {})
    assert found.warnings == ("no interval: 6 inputs; at least 8 are needed",)


def test_resamples_without_a_score_leave_no_interval() -> None:
    (found,) = scores(bootstrapped("cka"), torch.eye(40, 1), drawn(3, 40)[1])
    assert found.standard_error is None
    assert "resamples have no score: no variance" in found.warnings[0]
