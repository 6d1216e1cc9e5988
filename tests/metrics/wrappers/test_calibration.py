"""Null calibration: chance is 0 or below, identity is 1, and p-values are uniform where nothing is related."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from simbench.metrics.metric import Metric, Preparation, Score
from simbench.metrics.scoring import score_pairs
from simbench.registry import METRICS
from simbench.representations.representation import Representation, SpatialRule
from simbench.seeds import seed_for
from simbench.testing import check_metric

FEW = {"permutations": 20}


def calibrated(name: str, **options: Any) -> Metric:
    return METRICS.get(name).with_parameters({"calibrate": options})


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def related(seed: int, rows: int = 40) -> tuple[Tensor, Tensor]:
    x = normal(seed, rows, 5)
    return x, x @ normal(seed + 1, 5, 4) + 2 * normal(seed + 2, rows, 4)


def scores(metric: Metric, *matrices: Tensor, pairs: Any = ((0, 1),)) -> list[Score]:
    return score_pairs(metric, [Representation(matrix, layer="layer") for matrix in matrices], pairs)


def value(score: Score) -> float:
    assert score.value is not None, score.reason
    return score.value


@pytest.mark.parametrize("name", ["cka", "procrustes", "mutual_knn", "pwcca"])
def test_it_is_what_the_formula_says(name: str) -> None:
    x, y = related(0)
    plain, sign = METRICS.get(name), 1 if METRICS.get(name).higher_is_more_similar else -1
    generator = torch.Generator().manual_seed(seed_for(purpose="calibration", inputs=40, seed=0))
    orders = [torch.randperm(40, generator=generator) for _ in range(10)]
    orders += [torch.argsort(order) for order in orders]
    null = sorted(
        sign * float(getattr(s := plain.function(x, y[order], **plain.parameters), "value", s)) for order in orders
    )
    observed = sign * float(getattr(s := plain.function(x, y, **plain.parameters), "value", s))
    threshold, largest = null[-2], 1.0 if sign == 1 else 0.0  # of 20 scores and a level of 0.9, the 2nd largest
    (found,) = scores(calibrated(name, permutations=20, level=0.9), x, y)
    assert value(found) == pytest.approx((observed - threshold) / (largest - threshold), rel=1e-6)
    assert found.auxiliary == pytest.approx(
        {
            "raw": sign * observed,
            "p_value": (1 + sum(one >= observed for one in null)) / 21,
            "threshold": sign * threshold,
            "null_mean": sign * float(np.mean(null)),
        },
        rel=1e-6,
    )


def test_independent_data_that_cka_calls_similar_is_at_chance() -> None:
    matrices = [normal(seed, 50, 512) for seed in range(40)]
    found = scores(calibrated("cka", permutations=40), *matrices, pairs=[(k, k + 1) for k in range(0, 40, 2)])
    assert min(one.auxiliary["raw"] for one in found) > 0.9
    assert max(abs(value(one)) for one in found) < 0.15
    assert np.mean([value(one) for one in found]) == pytest.approx(0, abs=0.08)
    assert sum(one.auxiliary["p_value"] <= 0.05 for one in found) <= 4


@pytest.mark.parametrize("name", ["cka", "cca", "procrustes", "rsa", "mutual_knn", "ensd"])
def test_identity_is_1_and_as_significant_as_can_be(name: str) -> None:
    x, _ = related(1)
    (found,) = scores(calibrated(name, **FEW), x, x)
    assert value(found) == pytest.approx(1, abs=1e-9)
    assert found.auxiliary["p_value"] == 1 / 21


@pytest.mark.parametrize(("name", "rows"), [("cka", 10), ("cca", 12), ("mutual_knn", 20)])
def test_p_values_are_uniform_where_nothing_is_related(name: str, rows: int) -> None:
    count = 300
    sides = [normal(seed, rows, 3) for seed in range(2 * count)]
    found = scores(calibrated(name, **FEW), *sides, pairs=[(2 * k, 2 * k + 1) for k in range(count)])
    p = [one.auxiliary["p_value"] for one in found]
    spread = np.random.default_rng(0).uniform(0, 1 / 21, size=count)  # they are multiples of 1/21
    assert stats.kstest(np.array(p) - spread, "uniform").pvalue > 0.01
    assert [value(one) > 0 for one in found] == [one.auxiliary["p_value"] <= 0.05 for one in found]


@pytest.mark.parametrize("name", ["cka", "procrustes", "rsa_pearson"])
def test_a_symmetric_metric_stays_symmetric(name: str) -> None:
    one, other = scores(calibrated(name, **FEW), *related(2), pairs=[(0, 1), (1, 0)])
    assert value(one) == pytest.approx(value(other), rel=1e-9)
    assert one.auxiliary["p_value"] == other.auxiliary["p_value"]


@pytest.mark.parametrize("metric", [one for _, one in METRICS if one.prepares_rows], ids=lambda one: one.name)
@pytest.mark.parametrize("rows", [12, 40])
def test_permuting_what_was_prepared_is_preparing_what_was_permuted(metric: Metric, rows: int) -> None:
    prepared = metric.prepare
    assert isinstance(prepared, Preparation)
    unknown = replace(metric, prepare=prepared.function)
    x, y = normal(3, rows, 5), normal(4, rows, 20)
    both = [scores(one.with_parameters({"calibrate": FEW}), x, y)[0] for one in (metric, unknown)]
    assert both[0].status == both[1].status
    if both[0].value is not None:
        assert both[0].value == pytest.approx(both[1].value, rel=1e-6)


def test_all_pairs_at_once_are_the_pairs_one_by_one() -> None:
    matrices = [*related(5), *related(6)]
    pairs = [(0, 1), (2, 1), (3, 3)]
    together = scores(calibrated("cka", **FEW), *matrices, pairs=pairs)
    alone = [scores(calibrated("cka", **FEW), *matrices, pairs=[pair])[0] for pair in pairs]
    assert [value(one) for one in together] == pytest.approx([value(one) for one in alone], rel=1e-9)


def test_what_it_declares_of_a_metric_holds() -> None:
    findings = [found for found in check_metric(calibrated("cka", **FEW)) if not found.ok]
    assert [found.property for found in findings] == ["order of rows does not matter"]  # permutations go by position


def test_a_metric_that_no_permutation_changes_has_no_null() -> None:
    (found,) = scores(calibrated("magnitude_difference", **FEW), *related(7))
    assert found.status == "skip"
    assert "does not depend on which inputs belong together" in str(found.reason)


def test_where_chance_reaches_the_top_nothing_is_left() -> None:
    (found,) = scores(calibrated("cca", **FEW), normal(0, 12, 20), normal(1, 12, 20))
    assert (found.status, found.value) == ("skip", None)
    assert "nothing is left to calibrate" in str(found.reason)


@pytest.mark.parametrize("name", ["cka", "rsa", "mutual_knn", "match_bipartite", "match_mutual_information"])
def test_positions_move_with_their_input(name: str) -> None:
    """Positions of one input are alike, so that exchanging rows would make chance look better than it is."""
    activations = normal(8, 30, 6, 1) + 0.3 * normal(9, 30, 6, 4)
    side = Representation(activations, "channels_first", spatial=SpatialRule("positions", rows=60))
    assert side.matrix.shape == (60, 6)
    (found,) = score_pairs(calibrated(name, **FEW), [side, side], [(0, 1)])
    assert value(found) == pytest.approx(1)
    other = Representation(normal(10, 30, 6, 4), "channels_first", spatial=SpatialRule("positions", rows=60))
    (chance,) = score_pairs(calibrated(name, **FEW), [side, other], [(0, 1)])
    assert value(chance) < 0.5


def test_what_the_metric_cannot_score_keeps_its_reason() -> None:
    bad, *good = scores(calibrated("cka", **FEW), torch.ones(40, 2), *related(9), pairs=[(0, 1), (1, 2)])
    assert (bad.status, bad.reason) == ("skip", "no variance in layer")
    assert good[0].status == "ok"
