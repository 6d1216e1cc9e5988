"""What is taken from a few rows at a time is what all rows at once give."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from simbench.metrics.kernels.moments import accumulated, from_products
from simbench.metrics.metric import Metric, Score, metric, rowwise
from simbench.metrics.scoring import score_pairs
from simbench.registry import METRICS
from simbench.representations.representation import Representation
from simbench.testing.inputs import cases

SUPPORTED = tuple(name for name, metric in METRICS if metric.from_sums is not None)

PAIRS = [(0, 1), (1, 0), (0, 0)]
PARAMETERS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in SUPPORTED),
    ("gulp", {"ridge": 0.1}),
    ("shape_linear", {"alpha": 0.0}),
    ("svcca", {"variance": 0.8}),
]


def plain(name: str, **parameters: Any) -> Metric:
    """By the plain function: batched interfaces are allowed a larger tolerance."""
    return replace(METRICS.get(name).with_parameters(parameters), prepare=None, compare_many=None)


def minibatched(name: str, rows: int, **parameters: Any) -> Metric:
    return METRICS.get(name).with_parameters({**parameters, "minibatch": rows})


def agree(found: list[Score], expected: list[Score]) -> None:
    assert [(one.status, one.warnings) for one in found] == [(one.status, one.warnings) for one in expected]
    for one, other in zip(found, expected, strict=True):
        assert one.value == pytest.approx(other.value, rel=1e-10, abs=1e-10)


@pytest.mark.parametrize(("name", "parameters"), PARAMETERS)
@pytest.mark.parametrize("case", cases(0), ids=lambda case: case.name)
def test_minibatches_in_any_order_give_the_full_value(name: str, parameters: dict[str, Any], case: Any) -> None:
    sides = [case.a, case.b]
    expected = score_pairs(plain(name, **parameters), sides, PAIRS)
    order = torch.randperm(len(case.a.activations), generator=torch.Generator().manual_seed(0))
    for rows in (7, 1000):
        agree(score_pairs(minibatched(name, rows, **parameters), sides, PAIRS), expected)
    reordered = [Representation(side.activations[order]) for side in sides]
    agree(score_pairs(minibatched(name, 7, **parameters), reordered, PAIRS), expected)


@pytest.mark.parametrize("name", SUPPORTED)
def test_a_large_mean_and_a_wide_spectrum_cost_no_digits(name: str) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(200, 6, generator=generator, dtype=torch.float64)
    y = x @ torch.randn(6, 5, generator=generator, dtype=torch.float64) + torch.randn(200, 5, generator=generator)
    x = x * torch.logspace(0, -5, 6)
    sides = [Representation(x + 3), Representation(y - 1000)]
    agree(score_pairs(minibatched(name, 16), sides, PAIRS), score_pairs(plain(name), sides, PAIRS))


def test_what_is_kept_does_not_grow_with_the_rows() -> None:
    x, y = torch.randn(500, 4), torch.randn(500, 3)
    assert accumulated(x, y, 32).factor.shape == accumulated(x[:100], y[:100], 32).factor.shape == (8, 8)


def test_no_variance_is_a_skip() -> None:
    stuck = Representation(torch.tensor([1.0, -1.0]) * torch.randn(40, 2, 1), "channels_first")
    pooled = replace(stuck, activations=torch.cat([stuck.activations, -stuck.activations], dim=2))
    pooled = replace(pooled, spatial=replace(pooled.spatial, mode="pool"))
    other = Representation(torch.randn(40, 3))
    for name in SUPPORTED:
        (score,) = score_pairs(minibatched(name, 8), [pooled, other], [(0, 1)])
        assert score.status == "skip", name
        assert re.search("no variance|within the rounding errors", str(score.reason)), name


def test_the_width_does_not_have_to_be_equal_nor_the_types() -> None:
    def narrow(x: Tensor) -> Tensor:
        return x[:, :2].float()

    case = cases(1)[0]
    sides = [Representation(case.a.activations), Representation(narrow(case.b.activations))]
    agree(score_pairs(minibatched("procrustes", 9), sides, PAIRS), score_pairs(plain("procrustes"), sides, PAIRS))


def test_the_metric_of_a_third_party_gets_the_same_wrappers_and_fast_paths() -> None:
    prepared: list[Tensor] = []

    def centre(x: Tensor) -> Tensor:
        prepared.append(x)
        return x - x.mean(dim=0)

    def alignment(x: Tensor, y: Tensor) -> Tensor:
        a, b = x.double() - x.double().mean(dim=0), y.double() - y.double().mean(dim=0)
        return (a.T @ b).square().sum() / ((a.T @ a).norm() * (b.T @ b).norm())

    with METRICS.isolated():
        metric(
            "third_party/alignment",
            higher_is_more_similar=True,
            value_range=(0, 1),
            prepare=rowwise(centre),
            compare_many=lambda prepared, pairs: [alignment(prepared[a], prepared[b]) for a, b in pairs],
            from_sums=from_products,
        )(alignment)
        sides = [Representation(torch.randn(40, 3, generator=torch.Generator().manual_seed(seed))) for seed in (0, 1)]
        agree(
            score_pairs(minibatched("third_party/alignment", 7), sides, PAIRS),
            score_pairs(plain("third_party/alignment"), sides, PAIRS),
        )
        prepared.clear()
        calibrated = METRICS.get("third_party/alignment").with_parameters({"calibrate": {"permutations": 20}})
        (score,) = score_pairs(calibrated, sides, [(0, 1)])
        assert score.auxiliary["p_value"] > 0
        assert len(prepared) == 2  # each side once: permuted copies are rows of what was prepared
